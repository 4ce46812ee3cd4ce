//! The nightly backup, beside the store.
//!
//! Once a day, in the hour of the settings, and soon after the start where the newest backup is
//! older than a day; not while the time of day is a guess. A new one is made and checked before an old one goes. It does not take the
//! room that the store needs.

use crate::{
    config,
    model::{Clock, Timestamp},
    store::{
        Store, StoreError,
        backup::{Backup, BackupError, file},
    },
};
use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    task,
    time::{Instant, sleep},
};

/// The folder of the backups in that of the store.
pub const FOLDER: &str = "backups";

/// What their names begin with.
const NAME: &str = "capteur";

/// How often it is looked whether a backup is due; also how soon after the start.
const TURN: Duration = Duration::from_mins(1);

/// How long it takes until what has failed is tried again.
const RETRY: Duration = Duration::from_hours(1);

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How many bytes are written before it is looked again how much room is left.
const SPACE_CHECK_BYTES: u64 = 16 << 20;

/// The newest nightly backup, and what became of the last attempt; for health and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastBackup {
    /// Whether backups are made.
    pub enabled: bool,
    /// When the newest was made; `None` where there is none.
    pub at: Option<Timestamp>,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many attempts have failed since the hub started.
    pub failures: u64,
    /// Why the last attempt failed; `None` where it did not.
    pub failure: Option<String>,
}

/// What the nightly backup needs.
pub struct Parts {
    /// What is copied.
    pub store: Store,
    /// The folder of the store.
    pub path: PathBuf,
    /// When, and how many are kept.
    pub settings: config::Backup,
    /// The room on the file system that has to be left, in bytes.
    pub min_free_bytes: u64,
    /// Whether the store had anything in it when it was opened.
    pub worth_it: bool,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl Parts {
    /// What the settings say of the nightly backup of this store.
    pub fn of(
        settings: &config::Store,
        store: Store,
        worth_it: bool,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            path: settings.path.clone(),
            settings: settings.backup.clone(),
            min_free_bytes: settings.min_free_mb.saturating_mul(1_000_000),
            worth_it,
            clock,
        }
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The task that makes the backups.
#[derive(Debug)]
pub struct Nightly {
    parts: Parts,
    folder: PathBuf,
    report: watch::Sender<LastBackup>,
    /// Before this, what has failed is not tried again.
    retry_at: Option<Instant>,
}

impl Nightly {
    /// Looks at the backups that there are; what it reports is for health and metrics.
    pub fn new(parts: Parts) -> (Self, watch::Receiver<LastBackup>) {
        let folder = parts.path.join(FOLDER);
        let mut last = LastBackup { enabled: parts.settings.enabled, ..LastBackup::default() };
        match file::list(&folder, NAME) {
            Ok(found) => {
                if let Some((at, path)) = found.last() {
                    last.at = Some(*at);
                    last.bytes = path.metadata().map_or(0, |data| data.len());
                }
            }
            Err(error) => tracing::warn!("the backups can't be listed: {error}"),
        }
        let (report, reports) = watch::channel(last);
        (Self { parts, folder, report, retry_at: None }, reports)
    }

    /// Makes backups until `shutdown`. One that is under way ends with the store.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        if !self.parts.settings.enabled {
            return;
        }
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = sleep(TURN) => self.turn().await,
            }
        }
    }

    /// Makes a backup if one is due.
    async fn turn(&mut self) {
        // A backup is named and kept by its time.
        if !self.parts.clock.certain() {
            return;
        }
        let now = self.parts.clock.now();
        if self.retry_at.is_some_and(|at| Instant::now() < at) || !self.worth_it() {
            return;
        }
        let made = match self.newest(now) {
            Ok(newest) if !due(now, newest, self.parts.settings.hour) => return,
            Ok(_) => self.make(now).await,
            Err(error) => Err(error.into()),
        };
        match made {
            Ok(bytes) => {
                self.retry_at = None;
                self.report.send_modify(|last| {
                    (last.at, last.bytes, last.failure) = (Some(now), bytes, None);
                });
                self.drop_old(now);
            }
            // Somebody takes one just now, or the hub stops.
            Err(NightlyError::Store(StoreError::BackupRunning | StoreError::Closed)) => {}
            Err(error) => {
                tracing::warn!("the nightly backup has failed: {error}");
                self.retry_at = Some(Instant::now() + RETRY);
                self.report.send_modify(|last| {
                    last.failures += 1;
                    last.failure = Some(error.to_string());
                });
            }
        }
    }

    fn worth_it(&self) -> bool {
        let stats = self.parts.store.stats();
        self.parts.worth_it || stats.stored_readings > 0 || stats.commits > 0
    }

    /// When the newest backup was made. Those that seem to come from the future tell of a clock
    /// that was wrong: they don't count.
    fn newest(&self, now: Timestamp) -> Result<Option<Timestamp>, BackupError> {
        let found = file::list(&self.folder, NAME)?;
        Ok(found.into_iter().map(|(at, _)| at).rfind(|at| *at <= now))
    }

    /// Makes a backup: its length in bytes.
    async fn make(&self, now: Timestamp) -> Result<u64, NightlyError> {
        let (folder, min_free) = (self.folder.clone(), self.parts.min_free_bytes);
        let expected = self.report.borrow().bytes;
        let backup = self.parts.store.backup(now).await?;
        let made = task::spawn_blocking(move || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            file::sweep(&folder)?;
            has_room(&folder, min_free.saturating_add(expected))?;
            let source = Guarded { backup, folder: &folder, min_free, read: 0 };
            let checked = file::save(source, &folder.join(file::name(NAME, now)), true)?;
            let holding = checked.holding;
            tracing::info!(
                bytes = checked.bytes,
                devices = holding.devices,
                readings = holding.readings,
                "the nightly backup is made"
            );
            Ok(checked.bytes)
        });
        // It does not panic: it is cancelled when the runtime ends.
        made.await.unwrap_or(Err(NightlyError::Store(StoreError::Closed)))
    }

    /// Deletes the oldest backups beyond those that are kept; never the one made `now`.
    fn drop_old(&self, now: Timestamp) {
        let dropped = file::list(&self.folder, NAME).and_then(|found| {
            let made = file::name(NAME, now);
            let others = found.iter().filter(|(_, path)| !path.ends_with(&made));
            let keep = usize::try_from(self.parts.settings.keep).unwrap_or(usize::MAX);
            for (_, path) in others.rev().skip(keep.saturating_sub(1)) {
                file::delete(path)?;
            }
            Ok(())
        });
        if let Err(error) = dropped {
            tracing::warn!("an old backup can't be deleted: {error}");
        }
    }
}

/// Why a nightly backup was not made.
#[derive(Debug, thiserror::Error)]
enum NightlyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether a backup is due: in the hour of the settings where there is none of that hour yet, and
/// at any time where the newest is older than a day.
fn due(now: Timestamp, newest: Option<Timestamp>, hour: u32) -> bool {
    let Some(newest) = newest.map(Timestamp::millis) else { return true };
    let now = now.millis();
    let since_hour = (now - i64::from(hour) * HOUR_MS).rem_euclid(DAY_MS);
    let in_hour = since_hour < HOUR_MS && newest < now - since_hour;
    in_hour || now - newest >= DAY_MS
}

/// A backup under way that ends where it would take the room that the store needs.
struct Guarded<'a> {
    backup: Backup,
    folder: &'a Path,
    min_free: u64,
    /// Bytes since it was last looked how much room is left.
    read: u64,
}

impl io::Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.backup.read(buffer)?;
        self.read += u64::try_from(count).unwrap_or(u64::MAX);
        if self.read >= SPACE_CHECK_BYTES {
            self.read = 0;
            has_room(self.folder, self.min_free)?;
        }
        Ok(count)
    }
}

/// Whether the file system has `needed` bytes of room.
fn has_room(folder: &Path, needed: u64) -> io::Result<()> {
    let system = rustix::fs::statvfs(folder)?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let [free, needed] = [free, needed].map(|bytes| bytes / 1_000_000);
    let text = format!("the file system has {free} MB of room, and {needed} MB are needed");
    Err(io::Error::new(io::ErrorKind::StorageFull, text))
}

#[cfg(test)]
mod tests;
