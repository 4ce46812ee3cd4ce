//! The thread that commits.

use super::{
    change::{Done, Queued},
    condition::Lookout,
    engine::{Change, Engine, Medium},
    envelope,
    error::StoreError,
    frame,
    heads::{Entry, Heads},
    key, late,
    logs::Logs,
    queue::{Group, Next, Queue},
    record::{self, SeriesRecord, Tombstone},
    recovery, seal,
    series::Series,
    stats::Counters,
    upkeep::Upkeep,
};
use crate::model::{DeviceId, LateReadings};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

/// The most readings that all heads hold: what bounds their memory (9 bytes each) and, with the
/// frames, the time that opening takes.
const UNSEALED_MAX: usize = 1 << 20;
/// The most frames that are kept because some head needs them: 18 hours at a commit a second.
const FRAMES_MAX: u64 = 1 << 16;
/// How many heads one commit seals at most because they hold the frames back.
const SEALS_FORCED: usize = 32;

/// What the writer's thread owns.
pub(super) struct Writer<M> {
    pub(super) medium: M,
    /// What `medium` was made of, to read from.
    pub(super) engine: Arc<Engine>,
    pub(super) queue: Arc<Queue>,
    pub(super) heads: Arc<RwLock<Heads>>,
    pub(super) logs: Logs,
    pub(super) counters: Arc<Counters>,
    /// The longest time that a change waits.
    pub(super) interval: Duration,
    /// The last frame that was written.
    pub(super) last_frame: u64,
    /// Every removed device.
    pub(super) removed: HashSet<DeviceId>,
    pub(super) upkeep: Upkeep,
    pub(super) lookout: Lookout,
}

/// A commit, encoded.
#[derive(Debug, Default)]
struct Batch {
    changes: Vec<Change>,
    /// Its readings, by series and, in a series, in the order of their arrival.
    entries: Vec<frame::Entry>,
    seals: HashMap<Series, SeriesRecord>,
    removed: Vec<DeviceId>,
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
            let due = self.upkeep.due(&self.heads(), self.last_frame).min(self.lookout.due());
            let result = match self.queue.next(self.interval, due) {
                Next::Commit(group) => self.commit(group),
                Next::Idle => Ok(()),
                Next::End => return,
            };
            self.lookout.look();
            // Also after a commit: where one follows the other at once, there is no idle moment.
            let result = result.and_then(|()| self.upkeep().map_err(|error| (error, Vec::new())));
            if let Err((error, dones)) = result {
                self.counters.failed();
                self.lookout.failed(&error);
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
        let mut changes = std::mem::take(&mut batch.changes);
        if !changes.is_empty() {
            changes.extend(self.lookout.along(!batch.entries.is_empty())?);
            let start = Instant::now();
            recovery::watched(self.engine.path(), || {
                self.medium.apply(changes)?;
                self.medium.sync()
            })?;
            self.count(&batch, start.elapsed());
        }
        self.publish(group, batch);
        Ok(())
    }

    /// Lets readers find what is on the medium now where it is: a head in the place of what
    /// waited, and chunks in the place of a head.
    fn publish(&mut self, group: &Group, batch: Batch) {
        self.last_frame = batch.last_frame;
        let mut heads = self.heads.write().unwrap_or_else(PoisonError::into_inner);
        for &(series, at, value) in &batch.entries {
            if !batch.seals.contains_key(&series) {
                heads.push(series, batch.last_frame, at, value);
            }
        }
        for (series, record) in batch.seals {
            heads.seal(series, record);
        }
        for &device in &batch.removed {
            let readings = heads.remove(device);
            self.counters.stored(0, readings);
            self.logs.remove(device);
            self.upkeep.remove(device, batch.last_frame);
        }
        heads.reach(batch.last_frame);
        self.counters.keep(heads.usage(), heads.unsealed(), self.logs.bytes());
        // Under the lock: what leaves the queue is in the heads for whoever looks next.
        self.queue.publish(group, &batch.removed);
    }

    fn encode(&mut self, changes: &[Queued]) -> Result<Batch, StoreError> {
        let mut batch = Batch { last_frame: self.last_frame, ..Batch::default() };
        let mut logs = BTreeSet::new();
        for change in changes {
            match change {
                Queued::Reading(reading) if !self.removed.contains(&reading.device) => {
                    let series = Series::new(reading.device, reading.channel);
                    batch.entries.push((series, reading.at.millis(), reading.value));
                }
                Queued::Late(late) if !self.removed.contains(&late.device) => {
                    self.take_late(late, &mut batch)?;
                }
                Queued::Put { device, key, value }
                    if device.is_none_or(|device| !self.removed.contains(&device)) =>
                {
                    let change = (key.clone(), Some(value.clone()));
                    self.logs.added(&change, &mut logs);
                    batch.changes.push(change);
                }
                Queued::Remove(device) if self.removed.insert(*device) => {
                    batch.changes.push((key::device(*device), None));
                    batch.removed.push(*device);
                }
                Queued::Reading(_) | Queued::Late(_) | Queued::Put { .. } | Queued::Remove(_) => {
                    tracing::debug!(?change, "a change of a removed device is dropped");
                }
            }
        }
        batch.changes.extend(self.logs.changes(logs)?);
        batch.entries.sort_by_key(|&(series, ..)| series);
        batch.push_frames()?;
        self.seal(&mut batch)?;
        for device in &batch.removed {
            let (key, value) =
                record::tombstone(*device, Tombstone { last_frame: batch.last_frame })?;
            batch.changes.push((key, Some(value)));
        }
        Ok(batch)
    }

    /// Adds those readings of a message that are not stored, nor before it in the batch.
    fn take_late(&self, late: &LateReadings, batch: &mut Batch) -> Result<(), StoreError> {
        let readings = late.readings.iter().map(|&(at, value)| (at.millis(), value));
        let readings: Vec<_> = readings.collect();
        let all = Series::of(late.device, late.channel);
        let now = batch.entries.iter().filter(|(series, ..)| all.contains(series));
        let mut stored: Vec<_> = now.map(|&(_, at, value)| (at, value)).collect();
        for series in all {
            let heads = self.heads();
            stored.extend(late::stored(&self.engine, &heads, &self.counters, series, &readings)?);
        }
        let series = Series::late(late.device, late.channel);
        let fresh = late::fresh(readings, stored);
        batch.entries.extend(fresh.into_iter().map(|(at, value)| (series, at, value)));
        Ok(())
    }

    /// Seals the heads that this commit fills, and those that hold back too much.
    fn seal(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let heads = self.heads();
        let mut due = BTreeSet::new();
        for entries in batch.entries.chunk_by(|a, b| a.0 == b.0) {
            due.extend(
                entries
                    .first()
                    .map(|entry| entry.0)
                    .filter(|&series| heads.is_full(series, entries.len())),
            );
        }
        let cut = batch.last_frame.saturating_sub(FRAMES_MAX);
        let mut over = (heads.unsealed() + batch.entries.len()).saturating_sub(UNSEALED_MAX);
        for (forced, (frame, series)) in heads.oldest().enumerate() {
            if over == 0 && (frame >= cut || forced >= SEALS_FORCED) {
                break;
            }
            over = over.saturating_sub(heads.get(series).map_or(0, Entry::unsealed));
            due.insert(series);
        }
        for series in due {
            let entry = heads.get(series);
            let record = entry.map_or_else(SeriesRecord::default, |entry| *entry.record());
            let mut readings: Vec<_> = entry.into_iter().flat_map(Entry::head).collect();
            let from = batch.entries.partition_point(|entry| entry.0 < series);
            let new = batch.entries[from..].iter().take_while(|entry| entry.0 == series);
            readings.extend(new.map(|&(_, at, value)| (at, value)));
            let seal = seal::seal(series, &record, readings, batch.last_frame)?;
            batch.changes.extend(seal.changes);
            batch.seals.insert(series, seal.record);
        }
        Ok(())
    }

    fn count(&mut self, batch: &Batch, took: Duration) {
        let readings = u64::try_from(batch.entries.len()).unwrap_or(u64::MAX);
        self.counters.stored(readings, 0);
        let bytes = u64::try_from(batch.frame_bytes).unwrap_or(u64::MAX);
        self.counters.committed(readings, bytes, took);
    }

    /// Does one step of what has no hurry, if it is time.
    fn upkeep(&mut self) -> Result<(), StoreError> {
        if self.upkeep.due(&self.heads(), self.last_frame) > Instant::now() {
            return Ok(());
        }
        let path = self.engine.path();
        let mut turn = super::upkeep::Turn {
            engine: &self.engine,
            medium: &self.medium,
            heads: &self.heads,
            logs: &mut self.logs,
            counters: &self.counters,
            last_frame: self.last_frame,
        };
        recovery::watched(path, || self.upkeep.step(&mut turn))
    }

    fn heads(&self) -> RwLockReadGuard<'_, Heads> {
        self.heads.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn push_frames(&mut self) -> Result<(), StoreError> {
        let mut part = u8::MAX;
        for body in frame::encode(&self.entries) {
            part = part.wrapping_add(1);
            if part == 0 {
                self.last_frame += 1;
            }
            let key = key::frame(self.last_frame, part);
            let value = envelope::seal(&key, frame::VERSION, &body, "a frame")?;
            self.frame_bytes += value.len();
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
