//! The folder of the store: who may use it, what is where, and what makes its names durable.
//!
//! | name | what it is |
//! | --- | --- |
//! | `LOCK` | held by the process that has the store open |
//! | `sled/` | the database: sled's files, `FORMAT`, and at times `CLOSED`, `TAIL`, `REPAIR` (see [`recovery`](super::recovery)) |
//! | `sled.new/` | a database that is being built; complete once it has a `FORMAT` |
//! | `damaged-<time>/` | a database that was set aside, with `RECOVERY.json`; never deleted |
//! | `replaced-<time>/` | a database that another took the place of |
//! | `backups/` | the nightly backups |
//!
//! The database has a folder of its own, so that it can be set aside or swapped by one rename
//! while the lock is held; a service manager's state folder itself can't be renamed. Nothing is
//! ever built in place: a `sled` that is there was whole once.

use super::{error::StoreError, format};
use crate::model::Timestamp;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Why a database is no longer `sled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It could not be opened or read.
    Damaged,
    /// Another was to take its place.
    Replaced,
}

/// The folder of the store, locked against other processes as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    database: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder where it is absent, open to its owner only, and locks it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] where another process has it.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        create(path)?;
        let name = path.join("LOCK");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(StoreError::io(&name))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io(&name)(error)),
        }
        sync(path)?;
        if let Some(parent) = path.canonicalize().map_err(StoreError::io(path))?.parent() {
            sync(parent)?;
        }
        Ok(Self { path: path.to_owned(), database: path.join("sled"), _lock: lock })
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the database.
    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// The folder where a new database is built.
    pub(super) fn new_database(&self) -> PathBuf {
        self.path.join("sled.new")
    }

    /// The folder of the nightly backups.
    pub(super) fn backups(&self) -> PathBuf {
        self.path.join("backups")
    }

    /// Goes on where a power cut or a kill has interrupted a builder: a complete database takes a
    /// place that is free, any other is removed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the system refuses.
    pub(super) fn finish_swap(&self) -> Result<(), StoreError> {
        let new = self.new_database();
        if !exists(&new)? {
            return Ok(());
        }
        if !exists(&self.database)? && format::is_there(&new)? {
            tracing::info!(path = %self.path.display(), "a swap of databases is finished");
            return self.install();
        }
        tracing::info!(path = %new.display(), "a database that was not finished is removed");
        self.remove_new()
    }

    /// Removes what is left of a database that was to be built.
    pub(super) fn remove_new(&self) -> Result<(), StoreError> {
        let new = self.new_database();
        if exists(&new)? {
            // The file that makes it complete goes first: a half removed one is not taken in.
            format::remove(&new)?;
            fs::remove_dir_all(&new).map_err(StoreError::io(&new))?;
            sync(&self.path)?;
        }
        Ok(())
    }

    /// Creates an empty folder for a new database.
    pub(super) fn create_new(&self) -> Result<PathBuf, StoreError> {
        self.remove_new()?;
        let new = self.new_database();
        create(&new)?;
        sync(&self.path)?;
        Ok(new)
    }

    /// A name that is free for a database that is set aside now.
    pub(super) fn place_aside(
        &self,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<PathBuf, StoreError> {
        let word = match purpose {
            Purpose::Damaged => DAMAGED,
            Purpose::Replaced => REPLACED,
        };
        // To the second, without the colons that other file systems refuse.
        let time: String =
            now.to_string().chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect();
        let name = format!("{word}{time}Z");
        let mut place = self.path.join(&name);
        for number in 2_u32.. {
            if !exists(&place)? {
                break;
            }
            place = self.path.join(format!("{name}-{number}"));
        }
        Ok(place)
    }

    /// Puts the finished new database into the place of the present one, which becomes `aside`.
    pub(super) fn swap(&self, aside: &Path) -> Result<(), StoreError> {
        if exists(&self.database)? {
            fs::rename(&self.database, aside).map_err(StoreError::io(aside))?;
            // On the medium before the next: never two that claim to be the database.
            sync(&self.path)?;
        }
        self.install()
    }

    fn install(&self) -> Result<(), StoreError> {
        fs::rename(self.new_database(), &self.database).map_err(StoreError::io(&self.database))?;
        sync(&self.path)
    }

    /// How many bytes the file system has free for this process.
    pub(super) fn free_bytes(&self) -> Result<u64, StoreError> {
        let system = rustix::fs::statvfs(&self.path)
            .map_err(|error| StoreError::io(&self.path)(error.into()))?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }
}

/// What the names of databases begin with that were set aside for damage.
pub(super) const DAMAGED: &str = "damaged-";
/// What the names of databases begin with that another took the place of.
pub(super) const REPLACED: &str = "replaced-";

/// Whether there is something of this name.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

fn create(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io(path))
}

/// Makes the names in a folder durable, or a file's content.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_folder_is_open_to_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let folder = Folder::lock(&path).unwrap();
        for path in [&path, &folder.create_new().unwrap()] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", path.display());
        }
    }

    #[test]
    fn a_second_lock_is_refused_and_the_folder_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path()).unwrap();
        let error = Folder::lock(dir.path()).unwrap_err();
        assert!(matches!(&error, StoreError::Locked { path } if path == dir.path()), "{error}");
        drop(folder);
        Folder::lock(dir.path()).unwrap();
    }

    #[test]
    fn databases_set_aside_in_one_second_get_names_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path()).unwrap();
        let now = "2026-11-22T14:05:27.123Z".parse().unwrap();
        for name in ["damaged-20261122T140527Z", "damaged-20261122T140527Z-2"] {
            let place = folder.place_aside(Purpose::Damaged, now).unwrap();
            assert_eq!(place, dir.path().join(name));
            fs::create_dir(place).unwrap();
        }
    }
}
