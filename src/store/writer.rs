//! The thread that commits.

use super::{
    change::{Done, Queued},
    engine::{self, Change, Medium},
    envelope,
    error::StoreError,
    frame,
    index::FrameIndex,
    key,
    queue::{Group, Next, Queue},
    record::{self, Tombstone},
    series::Series,
    stats::Counters,
};
use crate::model::DeviceId;
use std::{
    collections::{HashMap, HashSet},
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

/// How many log lines of a removed device one batch deletes.
const PURGE_BATCH: usize = 256;

/// What the writer's thread owns.
pub(super) struct Writer<M> {
    pub(super) medium: M,
    /// The folder of the database, for errors.
    pub(super) path: PathBuf,
    pub(super) queue: Arc<Queue>,
    pub(super) index: Arc<RwLock<FrameIndex>>,
    pub(super) counters: Arc<Counters>,
    /// The longest time that a change waits.
    pub(super) interval: Duration,
    /// The last frame that was written.
    pub(super) last_frame: u64,
    /// Every removed device.
    pub(super) removed: HashSet<DeviceId>,
    /// Removed devices that may still have log lines.
    pub(super) purge: Vec<DeviceId>,
    /// How many readings each device has.
    pub(super) stored: HashMap<DeviceId, u64>,
}

/// A commit, encoded.
#[derive(Debug, Default)]
struct Batch {
    changes: Vec<Change>,
    /// Sequence number, earliest and latest time of each part.
    frames: Vec<(u64, i64, i64)>,
    removed: Vec<DeviceId>,
    readings: HashMap<DeviceId, u64>,
    frame_bytes: usize,
    last_frame: u64,
}

impl<M: Medium> Writer<M> {
    /// Commits until the queue is closed and empty, or a commit fails.
    pub(super) fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let run = panic::catch_unwind(AssertUnwindSafe(move || self.work()));
        if run.is_err() {
            let error = StoreError::Failed { reason: "the writer panicked".into() };
            give_up(&queue, &error, Vec::new());
        }
    }

    fn work(&mut self) {
        loop {
            let result = match self.queue.next(self.interval, !self.purge.is_empty()) {
                Next::Commit(group) => self.commit(group),
                Next::Idle => self.purge().map_err(|error| (error, Vec::new())),
                Next::End => return,
            };
            if let Err((error, dones)) = result {
                self.counters.failed();
                let error = StoreError::Failed { reason: error.to_string() };
                give_up(&self.queue, &error, dones);
                return;
            }
        }
    }

    /// Puts a group on the medium and tells whom it concerns; or says why not, and who waits.
    fn commit(&mut self, group: Group) -> Result<(), (StoreError, Vec<Done>)> {
        match self.write(&group) {
            Ok(()) => {
                group.dones.into_iter().for_each(|done| done(Ok(())));
                Ok(())
            }
            Err(error) => Err((error, group.dones)),
        }
    }

    fn write(&mut self, group: &Group) -> Result<(), StoreError> {
        let mut batch = self.encode(&group.changes)?;
        if !batch.changes.is_empty() {
            let start = Instant::now();
            let changes = std::mem::take(&mut batch.changes);
            engine::caught(&self.path, || {
                self.medium.apply(changes)?;
                self.medium.sync()
            })?;
            self.count(&batch, start.elapsed());
            // The index first: a reader looks up to the published frame in it.
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for &(sequence, earliest, latest) in &batch.frames {
                index.add(sequence, earliest, latest);
            }
        }
        self.queue.publish(group, self.last_frame, &batch.removed);
        Ok(())
    }

    fn encode(&mut self, changes: &[Queued]) -> Result<Batch, StoreError> {
        let mut batch = Batch { last_frame: self.last_frame, ..Batch::default() };
        let mut entries = Vec::new();
        for change in changes {
            match change {
                Queued::Reading(reading) if !self.removed.contains(&reading.device) => {
                    let series = Series::new(reading.device, reading.channel);
                    entries.push((series, reading.at.millis(), reading.value));
                    *batch.readings.entry(reading.device).or_default() += 1;
                }
                Queued::Put { device, key, value }
                    if device.is_none_or(|device| !self.removed.contains(&device)) =>
                {
                    batch.changes.push((key.clone(), Some(value.clone())));
                }
                Queued::Remove(device) if self.removed.insert(*device) => {
                    batch.changes.push((key::device(*device), None));
                    batch.removed.push(*device);
                }
                Queued::Reading(_) | Queued::Put { .. } | Queued::Remove(_) => {
                    tracing::debug!(?change, "a change of a removed device is dropped");
                }
            }
        }
        batch.push_frames(entries)?;
        for device in &batch.removed {
            let (key, value) =
                record::tombstone(*device, Tombstone { last_frame: batch.last_frame })?;
            batch.changes.push((key, Some(value)));
        }
        Ok(batch)
    }

    fn count(&mut self, batch: &Batch, took: Duration) {
        self.last_frame = batch.last_frame;
        for (device, readings) in &batch.readings {
            *self.stored.entry(*device).or_default() += readings;
        }
        let readings: u64 = batch.readings.values().sum();
        let removed: u64 =
            batch.removed.iter().filter_map(|device| self.stored.remove(device)).sum();
        self.counters.stored(readings, removed);
        self.purge.extend(&batch.removed);
        let bytes = u64::try_from(batch.frame_bytes).unwrap_or(u64::MAX);
        self.counters.committed(readings, bytes, took);
    }

    /// Deletes some log lines of a removed device. Nobody can see them, so nothing is synced.
    fn purge(&mut self) -> Result<(), StoreError> {
        let Some(&device) = self.purge.last() else { return Ok(()) };
        let more = engine::caught(&self.path, || {
            let keys = self.medium.keys(&key::log_prefix(device), PURGE_BATCH)?;
            let more = keys.len() == PURGE_BATCH;
            if !keys.is_empty() {
                self.medium.apply(keys.into_iter().map(|key| (key, None)).collect())?;
            }
            Ok(more)
        })?;
        if !more {
            self.purge.pop();
        }
        Ok(())
    }
}

impl Batch {
    fn push_frames(&mut self, entries: Vec<frame::Entry>) -> Result<(), StoreError> {
        let mut part = u8::MAX;
        for frame::Part { head, body } in frame::encode(entries) {
            part = part.wrapping_add(1);
            if part == 0 {
                self.last_frame += 1;
            }
            let key = key::frame(self.last_frame, part);
            let value = envelope::seal(&key, frame::VERSION, &body, "a frame")?;
            self.frame_bytes += value.len();
            self.frames.push((self.last_frame, head.earliest, head.latest));
            self.changes.push((key, Some(value)));
        }
        Ok(())
    }
}

fn give_up(queue: &Queue, error: &StoreError, dones: Vec<Done>) {
    tracing::error!("{error}");
    let waiting = queue.fail(error);
    for done in dones.into_iter().chain(waiting) {
        done(Err(error.clone()));
    }
}
