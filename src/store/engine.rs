//! sled 0.34.7, opened and synced so that what it calls flushed is on the medium.
//!
//! - It opens only what [`recovery`] lets through, and a panic while it opens (its
//!   answer to a damaged log) becomes an error.
//! - Its `flush` ends in `sync_file_range`, which commits neither the file's length nor the
//!   drive's cache. So what it creates is synced once when it is open, and every flush is followed
//!   by `fdatasync` through a descriptor of our own.
//! - Its space is reclaimed by its flusher thread only, which therefore runs. Each turn cleans one
//!   segment of 512 KiB at most (what looks like a loop in it ends with the first), so the turns
//!   a second bound what can be written without the file growing.

use super::{
    envelope,
    error::StoreError,
    folder::{self, Folder},
    recovery,
};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// What sled may use to keep pages in memory, in bytes. Reads of readings are long scans and the
/// last values live in the registry, so more would hardly be hit. (20,000 commits of 100 readings
/// leave the process at 13 MB, with 1 MiB at 11 MB.)
const CACHE_BYTES: u64 = 4 << 20;
/// How often space is reclaimed, unless it is said how often.
pub(super) const RECLAIM_INTERVAL: Duration = Duration::from_millis(500);
/// How long a closed sled may take to let go of its file.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// One change of the tree: a key, and its new value or `None` to remove it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Where commits go: sled, or what a test puts in its place.
pub(super) trait Medium: Send + 'static {
    /// Applies all of the changes or none of them, in memory at first.
    fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Returns when all that was applied is on the medium.
    fn sync(&self) -> Result<(), StoreError>;
}

/// The open database. Closing it waits until sled has let go of its file, so that it can be opened
/// again at once.
pub(super) struct Engine {
    // Dropped in this order: the files, what is left behind them, then the lock on the folder.
    files: Files,
    _closed: Closed,
    folder: Arc<Folder>,
}

/// Notes how the files were when sled closed them.
struct Closed(PathBuf);

/// sled's open files.
pub(super) struct Files {
    // Dropped in this order: sled, then the lock on its file.
    tree: sled::Tree,
    _db: sled::Db,
    file: Release,
    path: PathBuf,
}

/// The second descriptor on sled's file.
struct Release(File);

impl Files {
    /// Opens the files in this folder, which were put in order, or creates them. Space is reclaimed
    /// at every `reclaim_interval`, at the cost of an fsync.
    pub(super) fn open(path: &Path, reclaim_interval: Duration) -> Result<Self, StoreError> {
        let interval = reclaim_interval.as_millis();
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(u64::try_from(interval).unwrap_or(u64::MAX)))
            // Compressed values could not be found in a damaged file.
            .use_compression(false);
        let (db, tree) = guarded(path, || {
            let db = config.open()?;
            let tree = db.open_tree("d")?;
            // The tree's own creation is a change too.
            db.flush()?;
            Ok((db, tree))
        })?;
        let name = path.join("db");
        let file =
            OpenOptions::new().read(true).write(true).open(&name).map_err(StoreError::io(&name))?;
        sync_files(path)?;
        Ok(Self { tree, _db: db, file: Release(file), path: path.to_owned() })
    }

    /// Applies a batch in memory.
    pub(super) fn apply(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.tree.apply_batch(batch).map_err(|error| StoreError::sled(&self.path, error))
    }

    /// Returns when all that was applied is on the medium.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.tree.flush().map_err(|error| StoreError::sled(&self.path, error))?;
        self.file.0.sync_data().map_err(StoreError::io(&self.path))
    }

    /// Their folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Engine {
    /// Opens the database of a locked folder, whose files were put in order.
    pub(super) fn open(
        folder: Arc<Folder>,
        reclaim_interval: Duration,
    ) -> Result<Self, StoreError> {
        let files = Files::open(folder.database(), reclaim_interval)?;
        Ok(Self { files, _closed: Closed(folder.database().to_owned()), folder })
    }

    /// Calls `visit` with every key and value from `from` on, in order, while it returns `true`.
    ///
    /// sled may panic where its file is damaged: run it where that is caught.
    pub(super) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for item in self.files.tree.range(from..to) {
            let (key, value) = item.map_err(|error| self.error(error))?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    /// As [`scan`](Self::scan), from the last key before `to` back to `from`.
    pub(super) fn scan_back(
        &self,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for item in self.files.tree.range(from..to).rev() {
            let (key, value) = item.map_err(|error| self.error(error))?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    /// At most `limit` keys from `from` on and before `to`, in order.
    pub(super) fn keys(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let keys = self.files.tree.range(from..to).keys().take(limit);
        keys.map(|key| key.map(|key| key.to_vec()).map_err(|error| self.error(error))).collect()
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        self.files.tree.get(key).map_err(|error| self.error(error))
    }

    /// The size of sled's log file in bytes; 0 where the system won't tell.
    pub(super) fn file_bytes(&self) -> u64 {
        self.files.file.0.metadata().map_or(0, |data| data.len())
    }

    /// The folder of the database.
    pub(super) fn path(&self) -> &Path {
        self.folder.database()
    }

    fn error(&self, error: sled::Error) -> StoreError {
        StoreError::sled(self.path(), error)
    }
}

impl Medium for Arc<Engine> {
    fn apply(&self, mut changes: Vec<Change>) -> Result<(), StoreError> {
        debug_assert!(
            changes.iter().flat_map(|(_, value)| value).all(|value| value.len() <= envelope::MAX)
        );
        // A batch writes a manifest beside its changes; one change is atomic without.
        let result = if changes.len() == 1 {
            match changes.pop() {
                Some((key, Some(value))) => self.files.tree.insert(key, value).map(drop),
                Some((key, None)) => self.files.tree.remove(key).map(drop),
                None => Ok(()),
            }
        } else {
            let mut batch = sled::Batch::default();
            for (key, value) in changes {
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            self.files.tree.apply_batch(batch)
        };
        result.map_err(|error| self.error(error))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.files.sync()
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// sled's own threads may hold its file, and with it the lock on it, a little longer than its
/// handles live.
impl Drop for Release {
    fn drop(&mut self) {
        let deadline = Instant::now() + RELEASE_TIMEOUT;
        while self.0.try_lock().is_err() {
            if Instant::now() > deadline {
                tracing::warn!("sled holds its file longer than it should");
                return;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        // sled syncs nothing on its way out.
        let closed = sync_files(&self.0).and_then(|()| recovery::closed(&self.0));
        if let Err(error) = closed {
            tracing::warn!("how the store was closed can't be noted: {error}");
        }
    }
}

/// Runs what may meet a damaged log, which sled answers with a panic.
pub(super) fn guarded<T>(
    path: &Path,
    run: impl FnOnce() -> Result<T, sled::Error>,
) -> Result<T, StoreError> {
    caught(path, || run().map_err(|error| StoreError::sled(path, error)))
}

/// Turns a panic into [`StoreError::Damaged`].
pub(super) fn caught<T>(
    path: &Path,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Whatever the panic left half done in sled is not used again.
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(StoreError::Damaged {
            path: path.to_owned(),
            detail: format!("sled panicked: {}", text.unwrap_or("without a word")),
        })
    })
}

/// Makes durable what sled has created: it syncs none of these.
pub(super) fn sync_files(database: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(database).map_err(StoreError::io(database))? {
        let path: PathBuf = entry.map_err(StoreError::io(database))?.path();
        match folder::sync(&path) {
            // sled removes an old snapshot at any time.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    folder::sync(database)
}
