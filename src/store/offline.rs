//! What is done to a store on which no hub runs: restoring a backup, and compacting.
//!
//! Both build a new database beside the present one, put it into its place, open it there and look
//! whether it holds what it was given. Where it does not, the old one takes its place again.

use super::{
    backup::{BackupError, Checked, Reader, file},
    builder::{Builder, Built, Lineage},
    engine::{self, Engine},
    envelope,
    error::StoreError,
    folder::{self, Folder, Purpose},
    key, recovery,
};
use crate::model::Timestamp;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A store could not be restored or compacted. What it was, it still is.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The store can't be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup is refused.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There is no store in the folder.
    #[error("there is no store in {path}")]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// The file system has too little room.
    #[error(
        "{path} has {free} bytes of room, and {needed} are needed beside what is there: free some"
    )]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// What there is, in bytes.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// The new database does not hold what it was given; the old one is back.
    #[error("the new database in {path} does not hold what it was given; nothing was changed")]
    Disagrees {
        /// The folder of the store.
        path: PathBuf,
    },
}

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub backup: Checked,
    /// Where the database is that was there before; `None` where there was none.
    pub replaced: Option<PathBuf>,
}

/// Makes the store in the folder `path` what the backup in `file` says, and sets aside what it was.
/// Blocks.
///
/// # Errors
///
/// [`StoreError::Locked`] while a hub runs, [`BackupError`] for a backup that is not whole, and
/// whatever else [`OfflineError`] names: the store then is what it was.
pub fn restore(path: &Path, file: &Path, now: Timestamp) -> Result<Restored, OfflineError> {
    let folder = Arc::new(Folder::lock(path)?);
    folder.finish_swap()?;
    // The whole file first: nothing is begun for one that is damaged at its end.
    let backup = file::check_file(file)?;
    room(&folder, backup.bytes)?;
    let (built, content) = pour(&folder, file)?;
    let replaced = put_in_place(&folder, built, content, now)?;
    Ok(Restored { backup, replaced })
}

/// Builds a database of a backup.
fn pour<'f>(folder: &'f Folder, file: &Path) -> Result<(Built<'f>, Content), OfflineError> {
    let name = file.display().to_string();
    let opened = File::open(file).map_err(|error| BackupError::Io { name: name.clone(), error })?;
    let mut reader = Reader::new(opened, name)?;
    let mut content = Content::default();
    // The store goes another way from here than the one that was backed up.
    let mut builder = Builder::start(folder, Lineage::New)?;
    while let Some((key, value)) = reader.next()? {
        content.add(key, value);
        builder.push(key, value)?;
    }
    Ok((builder.finish()?, content))
}

/// What a compaction has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// How many values there are.
    pub values: u64,
    /// How many damaged values were left out.
    pub damaged: u64,
    /// How long the files of the database were, in bytes.
    pub before: u64,
    /// How long they are.
    pub after: u64,
    /// Where the old database is: it is kept where it had damaged values.
    pub kept: Option<PathBuf>,
}

/// Copies all that is live in the database of the store in the folder `path` into a new one, which
/// takes its place: sled does not give back what it no longer needs. Blocks.
///
/// # Errors
///
/// [`StoreError::Locked`] while a hub runs, [`OfflineError::NoRoom`] where the copy would not fit,
/// and whatever else [`OfflineError`] names: the store then is what it was.
pub fn compact(path: &Path, now: Timestamp) -> Result<Compacted, OfflineError> {
    if !folder::exists(path)? {
        return Err(OfflineError::Absent { path: path.to_owned() });
    }
    let folder = Arc::new(Folder::lock(path)?);
    folder.finish_swap()?;
    if !folder::exists(folder.database())? {
        return Err(OfflineError::Absent { path: path.to_owned() });
    }
    let before = bytes_of(folder.database())?;
    let opened =
        recovery::open_in(&folder, engine::RECLAIM_INTERVAL, now, |engine| Content::of(engine))?;
    let (engine, (live, damaged)) = (opened.engine, opened.content);
    room(&folder, live.bytes)?;
    let mut builder = Builder::start(&folder, Lineage::Kept)?;
    engine::caught(engine.path(), || {
        let mut pushed = Ok(());
        engine.scan(&[], &[u8::MAX], |key, value| {
            if envelope::open(key, value).is_ok() {
                pushed = builder.push(key, value);
            }
            pushed.is_ok()
        })?;
        pushed
    })?;
    let built = builder.finish()?;
    drop(engine);
    let mut kept = put_in_place(&folder, built, live, now)?;
    if let Some(old) = kept.take_if(|_| damaged == 0) {
        fs::remove_dir_all(&old).map_err(StoreError::io(&old))?;
        folder::sync(path)?;
    }
    let after = bytes_of(folder.database())?;
    Ok(Compacted { values: live.values, damaged, before, after, kept })
}

/// Puts a new database into the place of the present one, and makes sure that it can be opened
/// there and holds this. Returns where the old one is.
fn put_in_place(
    folder: &Arc<Folder>,
    built: Built<'_>,
    content: Content,
    now: Timestamp,
) -> Result<Option<PathBuf>, OfflineError> {
    let aside = folder.place_aside(Purpose::Replaced, now)?;
    let replaced = folder::exists(folder.database())?.then(|| aside.clone());
    built.swap(&aside)?;
    let found = Engine::open(Arc::clone(folder), engine::RECLAIM_INTERVAL)
        .and_then(|engine| Content::of(&engine));
    if found.as_ref().is_ok_and(|(found, damaged)| *found == content && *damaged == 0) {
        return Ok(replaced);
    }
    let bad = folder.place_aside(Purpose::Damaged, now)?;
    let database = folder.database();
    fs::rename(database, &bad).map_err(StoreError::io(database))?;
    if replaced.is_some() {
        fs::rename(&aside, database).map_err(StoreError::io(database))?;
    }
    folder::sync(folder.path())?;
    found?;
    Err(OfflineError::Disagrees { path: folder.path().to_owned() })
}

/// What a database holds, summed up: two that hold the same have the same sum, in whatever order
/// they were filled. The number of the lineage does not count, which a restore draws anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Content {
    values: u64,
    bytes: u64,
    /// Of the checksums of all values.
    sum: u64,
}

impl Content {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        if key == key::lineage() {
            return;
        }
        self.values += 1;
        self.bytes += u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX);
        // An envelope ends with its checksum, which covers the key as well.
        let checksum = value.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        self.sum = self.sum.wrapping_add(checksum.into());
    }

    /// What a database holds, and how many values in it are damaged.
    fn of(engine: &Engine) -> Result<(Self, u64), StoreError> {
        let (mut content, mut damaged) = (Self::default(), 0);
        engine::caught(engine.path(), || {
            engine.scan(&[], &[u8::MAX], |key, value| {
                match envelope::open(key, value) {
                    Ok(_) => content.add(key, value),
                    Err(_) => damaged += 1,
                }
                true
            })
        })?;
        Ok((content, damaged))
    }
}

/// Whether the file system has room for a copy of so many bytes.
fn room(folder: &Folder, needed: u64) -> Result<(), OfflineError> {
    let free = folder.free_bytes()?;
    if free >= needed {
        return Ok(());
    }
    Err(OfflineError::NoRoom { path: folder.path().to_owned(), free, needed })
}

/// How long all files in a folder are together.
fn bytes_of(folder: &Path) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let entry = entry.map_err(StoreError::io(folder))?;
        let data = entry.metadata().map_err(StoreError::io(folder))?;
        bytes += if data.is_dir() { bytes_of(&entry.path())? } else { data.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
