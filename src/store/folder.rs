//! The folder of the store: who may use it, and what makes its names durable.
//!
//! `LOCK` is held by the process that has the store open. The database has a folder of its own,
//! `sled`, so that it can be set aside or swapped by one rename while the lock is held; a service
//! manager's state folder itself can't be renamed.

use super::error::StoreError;
use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The folder of the store, locked against other processes as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
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
        let database = path.join("sled");
        create(&database)?;
        sync(path)?;
        if let Some(parent) = path.canonicalize().map_err(StoreError::io(path))?.parent() {
            sync(parent)?;
        }
        Ok(Self { database, _lock: lock })
    }

    /// The folder of the database.
    pub(super) fn database(&self) -> &Path {
        &self.database
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
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn a_new_folder_is_open_to_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let folder = Folder::lock(&path).unwrap();
        for path in [&path, folder.database()] {
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
}
