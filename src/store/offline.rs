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
    format, key, sanitise,
};
use crate::model::Timestamp;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How often a database that nobody writes to would commit.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

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
    format::check(folder.database())?;
    sanitise::sanitise(folder.database())?;
    let before = bytes_of(folder.database())?;
    let engine = Engine::open(Arc::clone(&folder), COMMIT_INTERVAL)?;
    let (live, damaged) = Content::of(&engine)?;
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
    let found =
        Engine::open(Arc::clone(folder), COMMIT_INTERVAL).and_then(|engine| Content::of(&engine));
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
mod tests {
    use super::*;
    use crate::model::DeviceId;
    use crate::store::{Store, record};
    use engine::Medium;
    use tempfile::TempDir;

    const NOW: Timestamp = Timestamp::MIN;

    /// A store with tombstones of these devices.
    fn store(numbers: impl IntoIterator<Item = u32>) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path()).unwrap();
        let mut builder = Builder::start(&folder, Lineage::New).unwrap();
        for number in numbers {
            let (key, value) = tombstone(number);
            builder.push(&key, &value).unwrap();
        }
        builder.finish().unwrap().swap(&dir.path().join("none")).unwrap();
        dir
    }

    fn tombstone(number: u32) -> record::Pair {
        record::tombstone(DeviceId(number), record::Tombstone { last_frame: 3 }).unwrap()
    }

    fn content(dir: &TempDir) -> Vec<record::Pair> {
        let folder = Arc::new(Folder::lock(dir.path()).unwrap());
        let engine = Engine::open(folder, COMMIT_INTERVAL).unwrap();
        let mut content = Vec::new();
        let take = |key: &[u8], value: &[u8]| {
            content.push((key.to_vec(), value.to_vec()));
            true
        };
        engine.scan(&[], &[u8::MAX], take).unwrap();
        content
    }

    /// Changes the database behind the store's back.
    fn tamper(dir: &TempDir, changes: Vec<engine::Change>) {
        let folder = Arc::new(Folder::lock(dir.path()).unwrap());
        let engine = Arc::new(Engine::open(folder, COMMIT_INTERVAL).unwrap());
        engine.apply(changes).unwrap();
        engine.sync().unwrap();
    }

    fn names(dir: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_compacted_store_holds_the_same_in_less_room() {
        let dir = store(0..20_000);
        tamper(&dir, (5..20_000).map(|number| (tombstone(number).0, None)).collect());
        let before = content(&dir);
        let done = compact(dir.path(), NOW).unwrap();
        assert!(done.after < done.before, "{done:?}");
        assert_eq!((done.values, done.damaged, done.kept), (5, 0, None));
        assert_eq!(content(&dir), before, "with the number of its lineage");
        assert_eq!(names(&dir), ["LOCK", "sled"]);
        compact(dir.path(), NOW).unwrap();
        assert_eq!(content(&dir), before);
    }

    #[test]
    fn a_damaged_value_is_left_out_and_the_old_database_kept() {
        let dir = store(0..10);
        tamper(&dir, vec![(tombstone(3).0, Some(b"damaged".to_vec()))]);
        let done = compact(dir.path(), NOW).unwrap();
        assert_eq!((done.values, done.damaged), (9, 1));
        let kept = done.kept.unwrap();
        assert!(kept.join("FORMAT").exists());
        assert_eq!(content(&dir).len(), 10, "nine, and the number of the lineage");
    }

    #[test]
    fn nothing_is_done_while_a_hub_runs_or_where_there_is_no_store() {
        let dir = store(0..3);
        let held = Folder::lock(dir.path()).unwrap();
        for error in [
            compact(dir.path(), NOW).unwrap_err(),
            restore(dir.path(), Path::new("none"), NOW).unwrap_err(),
        ] {
            assert!(matches!(error, OfflineError::Store(StoreError::Locked { .. })), "{error}");
        }
        drop(held);
        let empty = tempfile::tempdir().unwrap();
        for path in [empty.path(), &empty.path().join("none")] {
            let error = compact(path, NOW).unwrap_err();
            assert!(matches!(error, OfflineError::Absent { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_restored_store_is_the_backup_and_the_old_one_is_kept() {
        let dir = store(0..3);
        let (store, _) = Store::open(
            dir.path(),
            &crate::store::Options {
                commit_interval: COMMIT_INTERVAL,
                ..crate::store::Options::default()
            },
        )
        .unwrap();
        let mut backup = store.backup(NOW).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = backup.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        store.close().await.unwrap();
        let file = dir.path().join("file");
        fs::write(&file, &bytes).unwrap();
        let before = content(&dir);

        // On a new machine: there is nothing yet, not even the folder.
        let new = tempfile::tempdir().unwrap();
        let path = new.path().join("store");
        assert_eq!(restore(&path, &file, NOW).unwrap().replaced, None);
        // Over another store.
        let other = self::store(100..200);
        let old = content(&other);
        let replaced = restore(other.path(), &file, NOW).unwrap().replaced.unwrap();
        let restored = content(&other);
        assert_eq!(restored.len(), before.len());
        for (restored, before) in restored.iter().zip(&before) {
            let is_lineage = before.0 == key::lineage();
            assert_eq!(restored == before, !is_lineage, "only the lineage is another");
        }
        fs::remove_dir_all(other.path().join("sled")).unwrap();
        fs::rename(replaced, other.path().join("sled")).unwrap();
        assert_eq!(content(&other), old);

        // One that is not whole changes nothing.
        for end in [bytes.len() - 1, 100] {
            fs::write(&file, &bytes[..end]).unwrap();
            let error = restore(other.path(), &file, NOW).unwrap_err();
            assert!(
                matches!(error, OfflineError::Backup(BackupError::Truncated { .. })),
                "{error}"
            );
            assert_eq!(content(&other), old);
            assert_eq!(names(&other), ["LOCK", "sled"]);
        }
    }

    #[test]
    fn a_database_that_does_not_hold_what_it_was_given_does_not_stay() {
        let dir = store(0..3);
        let before = content(&dir);
        let folder = Arc::new(Folder::lock(dir.path()).unwrap());
        let mut builder = Builder::start(&folder, Lineage::New).unwrap();
        let (key, value) = tombstone(77);
        builder.push(&key, &value).unwrap();
        let built = builder.finish().unwrap();
        let wrong = Content { values: 1, bytes: 1, sum: 1 };
        let error = put_in_place(&folder, built, wrong, NOW).unwrap_err();
        assert!(matches!(error, OfflineError::Disagrees { .. }), "{error}");
        drop(folder);
        assert_eq!(content(&dir), before);
    }
}
