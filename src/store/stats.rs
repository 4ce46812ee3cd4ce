//! What the store tells of itself, for health and metrics.

use super::{heads::Usage, wear::Wear};
use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The store's figures since it was opened, unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Commits that reached the medium.
    pub commits: u64,
    /// Readings that reached the medium.
    pub committed_readings: u64,
    /// Bytes of the frames that those readings took, keys and checksums included.
    pub frame_bytes: u64,
    /// Seconds that all commits took together, each from the first write to the end of the sync.
    pub commit_seconds_sum: f64,
    /// Seconds that the longest commit took.
    pub commit_seconds_max: f64,
    /// Seconds that the last commit took.
    pub commit_seconds_last: f64,
    /// Commits that failed: never more than one, since the store then takes no more changes.
    pub write_errors: u64,
    /// Changes that wait for their commit, now.
    pub queued: u64,
    /// Values that were found damaged, each counted once.
    pub corrupt_values: u64,
    /// Readings that the store holds, whenever they came; those of removed devices don't count.
    pub stored_readings: u64,
    /// Of these, those that are in write-ahead frames only, and in memory.
    pub unsealed_readings: u64,
    /// Readings that retention has deleted.
    pub retired_readings: u64,
    /// What sealed readings take, in bytes of keys and values.
    pub raw_bytes: u64,
    /// What buckets of minutes take.
    pub minute_bytes: u64,
    /// What buckets of hours take.
    pub hour_bytes: u64,
    /// What the devices' logs take.
    pub log_bytes: u64,
    /// Size of the database's file in bytes.
    pub file_bytes: u64,
    /// Room on the file system for us, in bytes; `None` where the system won't tell.
    pub free_bytes: Option<u64>,
    /// What the card has been through.
    pub wear: Wear,
    /// Whether the store takes changes: it is open, and no commit has failed.
    pub healthy: bool,
}

/// The figures, as the store's threads count them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    committed_readings: AtomicU64,
    frame_bytes: AtomicU64,
    commit_nanos_sum: AtomicU64,
    commit_nanos_max: AtomicU64,
    commit_nanos_last: AtomicU64,
    write_errors: AtomicU64,
    stored_readings: AtomicU64,
    unsealed_readings: AtomicU64,
    retired_readings: AtomicU64,
    raw_bytes: AtomicU64,
    minute_bytes: AtomicU64,
    hour_bytes: AtomicU64,
    log_bytes: AtomicU64,
    corrupt: Mutex<BTreeSet<Vec<u8>>>,
    /// As of the last look.
    card: Mutex<(Wear, Option<u64>)>,
}

impl Counters {
    /// Counts a commit.
    pub(super) fn committed(&self, readings: u64, frame_bytes: u64, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Relaxed);
        self.committed_readings.fetch_add(readings, Relaxed);
        self.frame_bytes.fetch_add(frame_bytes, Relaxed);
        self.commit_nanos_sum.fetch_add(nanos, Relaxed);
        self.commit_nanos_max.fetch_max(nanos, Relaxed);
        self.commit_nanos_last.store(nanos, Relaxed);
    }

    /// Counts a commit that failed.
    pub(super) fn failed(&self) {
        self.write_errors.fetch_add(1, Relaxed);
    }

    /// Counts readings that the store now holds, and those that it holds no longer.
    pub(super) fn stored(&self, more: u64, fewer: u64) {
        self.stored_readings.fetch_add(more, Relaxed);
        self.stored_readings.fetch_sub(fewer, Relaxed);
    }

    /// Keeps what the writer's thread sees of the card: its wear, and the room on it.
    pub(super) fn look(&self, wear: Wear, free_bytes: Option<u64>) {
        *self.card.lock().unwrap_or_else(PoisonError::into_inner) = (wear, free_bytes);
    }

    /// Counts readings that retention has deleted.
    pub(super) fn retired(&self, readings: u64) {
        self.retired_readings.fetch_add(readings, Relaxed);
        self.stored(0, readings);
    }

    /// Keeps what is held and taken now.
    pub(super) fn keep(&self, usage: Usage, unsealed: usize, log_bytes: u64) {
        self.raw_bytes.store(usage.raw, Relaxed);
        self.minute_bytes.store(usage.minute, Relaxed);
        self.hour_bytes.store(usage.hour, Relaxed);
        self.log_bytes.store(log_bytes, Relaxed);
        self.unsealed_readings.store(u64::try_from(unsealed).unwrap_or(u64::MAX), Relaxed);
    }

    /// Logs a damaged value and counts it, unless it is known already.
    pub(super) fn corrupt(&self, key: &[u8], why: super::error::Corrupt) {
        let mut known = self.corrupt.lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert(key.to_vec()) {
            tracing::warn!(key = %hex(key), "a stored value is skipped: {why}");
        }
    }

    /// The figures now; what the counters don't know is left at its default.
    pub(super) fn stats(&self) -> Stats {
        let seconds = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Relaxed)).as_secs_f64();
        let corrupt = self.corrupt.lock().unwrap_or_else(PoisonError::into_inner).len();
        let (wear, free_bytes) = *self.card.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            free_bytes,
            wear,
            commits: self.commits.load(Relaxed),
            committed_readings: self.committed_readings.load(Relaxed),
            frame_bytes: self.frame_bytes.load(Relaxed),
            commit_seconds_sum: seconds(&self.commit_nanos_sum),
            commit_seconds_max: seconds(&self.commit_nanos_max),
            commit_seconds_last: seconds(&self.commit_nanos_last),
            write_errors: self.write_errors.load(Relaxed),
            corrupt_values: u64::try_from(corrupt).unwrap_or(u64::MAX),
            stored_readings: self.stored_readings.load(Relaxed),
            unsealed_readings: self.unsealed_readings.load(Relaxed),
            retired_readings: self.retired_readings.load(Relaxed),
            raw_bytes: self.raw_bytes.load(Relaxed),
            minute_bytes: self.minute_bytes.load(Relaxed),
            hour_bytes: self.hour_bytes.load(Relaxed),
            log_bytes: self.log_bytes.load(Relaxed),
            ..Stats::default()
        }
    }
}

fn hex(key: &[u8]) -> String {
    use std::fmt::Write;
    key.iter().fold(String::with_capacity(key.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
