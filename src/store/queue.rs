//! What waits for its commit: shared by submitters, writer and readers.
//!
//! A lock and a condition variable, not a channel, so that readers see what was submitted and not
//! yet committed. Nobody holds the lock longer than it takes to copy some values.

use super::{
    change::{Done, Queued, Urgency},
    error::StoreError,
    key,
};
use crate::model::{Channel, DeviceId, Timestamp};
use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, TryAcquireError};

/// The most changes that wait or are being committed: about half a second at full speed.
const QUEUE_MAX: u32 = 16_384;
/// So many waiting changes are committed at once, however long they may wait.
const COMMIT_AT: usize = 4_096;
/// The most weight of one commit, unless a single submission has more: sled holds a lock over
/// its whole tree while it applies a batch, and some 3 kB for each value of it.
const BATCH_MAX: usize = 8_192;

/// What is urgent waits so long after the commit before it: where many devices want their
/// acknowledgements, each commit then carries several, which spares the card. After a pause there
/// is no wait.
const URGENT_GAP: Duration = Duration::from_millis(5);

/// The queue in front of the writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    room: Semaphore,
}

#[derive(Default)]
struct State {
    /// The changes of all submissions that wait, in order.
    waiting: Vec<Queued>,
    /// How `waiting` falls into submissions.
    submissions: VecDeque<Submission>,
    /// What the writer is committing.
    committing: Arc<Vec<Queued>>,
    /// Whether the writer is to commit as soon as it can.
    urgent: bool,
    /// When the oldest of `waiting` came.
    oldest: Option<Instant>,
    /// When the last commit was on the medium.
    committed: Option<Instant>,
    /// Why nothing more is taken.
    end: Option<StoreError>,
    /// Devices whose removal is on the medium.
    removed: HashSet<DeviceId>,
}

struct Submission {
    changes: usize,
    weight: usize,
    permits: u32,
    done: Option<Done>,
}

/// What one commit takes in.
pub(super) struct Group {
    /// The changes, in order.
    pub(super) changes: Arc<Vec<Queued>>,
    /// Whom to tell, in order.
    pub(super) dones: Vec<Done>,
    permits: usize,
}

/// What the writer is to do next.
pub(super) enum Next {
    /// Commit these.
    Commit(Group),
    /// Nothing is due: there is time for other work.
    Idle,
    /// Everything is committed and the queue is closed.
    End,
}

impl Queue {
    /// A queue without the devices in `removed`.
    pub(super) fn new(removed: HashSet<DeviceId>) -> Self {
        Self {
            state: Mutex::new(State { removed, ..State::default() }),
            wake: Condvar::new(),
            room: Semaphore::new(QUEUE_MAX as usize),
        }
    }

    /// Queues a submission. Waits only while there is no room; when it is dropped while it waits,
    /// nothing was queued.
    pub(super) async fn submit(
        &self,
        changes: Vec<Queued>,
        urgency: Urgency,
        done: Option<Done>,
    ) -> Result<(), StoreError> {
        let permits = u32::try_from(changes.len()).unwrap_or(QUEUE_MAX).clamp(1, QUEUE_MAX);
        let permit = match self.room.try_acquire_many(permits) {
            Ok(permit) => Ok(permit),
            Err(TryAcquireError::NoPermits) => {
                // Room is made by commits only.
                self.hurry();
                self.room.acquire_many(permits).await.map_err(drop)
            }
            Err(TryAcquireError::Closed) => Err(()),
        };
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Err(end.clone());
        }
        // The semaphore is closed after `end` is set only.
        let Ok(permit) = permit else { return Err(StoreError::Closed) };
        permit.forget();
        let first = state.submissions.is_empty();
        let weight = changes.iter().map(weight).sum();
        state.submissions.push_back(Submission { changes: changes.len(), weight, permits, done });
        state.waiting.extend(changes);
        state.oldest.get_or_insert_with(Instant::now);
        state.urgent |= urgency == Urgency::Now || state.waiting.len() >= COMMIT_AT;
        if first || state.urgent {
            self.wake.notify_one();
        }
        Ok(())
    }

    fn hurry(&self) {
        self.lock().urgent = true;
        self.wake.notify_one();
    }

    /// Takes nothing more; what waits is still committed.
    pub(super) fn close(&self) {
        self.lock().end.get_or_insert(StoreError::Closed);
        self.room.close();
        self.wake.notify_one();
    }

    /// Takes nothing more and gives up what waits: the callbacks are for the caller to call.
    pub(super) fn fail(&self, error: &StoreError) -> Vec<Done> {
        let mut state = self.lock();
        state.end = Some(error.clone());
        state.waiting = Vec::new();
        state.committing = Arc::default();
        let submissions = mem::take(&mut state.submissions);
        drop(state);
        self.room.close();
        submissions.into_iter().filter_map(|submission| submission.done).collect()
    }

    /// Waits until a commit is due: at once where one is urgent, else when the oldest change has
    /// waited for `interval`. Returns [`Next::Idle`] where none is due by `upkeep`.
    pub(super) fn next(&self, interval: Duration, upkeep: Instant) -> Next {
        let mut state = self.lock();
        loop {
            let left = match state.oldest {
                None if state.end.is_some() => return Next::End,
                None => None,
                Some(_) if state.end.is_some() || state.waiting.len() >= COMMIT_AT => {
                    Some(Duration::ZERO)
                }
                Some(_) if state.urgent => Some(state.gap()),
                Some(oldest) => Some(interval.saturating_sub(oldest.elapsed())),
            };
            if left == Some(Duration::ZERO) {
                return Next::Commit(state.take());
            }
            let upkeep = upkeep.saturating_duration_since(Instant::now());
            if upkeep.is_zero() {
                return Next::Idle;
            }
            let left = left.map_or(upkeep, |left| left.min(upkeep));
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says that a group is on the medium, and makes room for more.
    pub(super) fn publish(&self, group: &Group, removed: &[DeviceId]) {
        let mut state = self.lock();
        state.committing = Arc::default();
        state.committed = Some(Instant::now());
        state.removed.extend(removed);
        drop(state);
        self.room.add_permits(group.permits);
    }

    /// How many changes wait or are being committed.
    pub(super) fn len(&self) -> usize {
        let state = self.lock();
        state.waiting.len() + state.committing.len()
    }

    /// Why nothing more is taken; `None` while changes are.
    pub(super) fn end(&self) -> Option<StoreError> {
        self.lock().end.clone()
    }

    /// The readings of a channel of `from <= at < to` that are not published yet, in the order of
    /// their arrival; `None` where the device is removed. Without those that come late: which of
    /// them are doubles is known when they are committed.
    pub(super) fn readings(
        &self,
        device: DeviceId,
        channel: Channel,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<Vec<(i64, u8)>> {
        let state = self.lock();
        let reading = |change: &Queued| match change {
            Queued::Reading(reading)
                if (reading.device, reading.channel) == (device, channel)
                    && (from..to).contains(&reading.at) =>
            {
                Some((reading.at.millis(), reading.value))
            }
            _ => None,
        };
        Some(state.unpublished(device)?.filter_map(reading).collect())
    }

    /// The keys and values of a device's log that are not published yet, up to key `end`; `None`
    /// where the device is removed. Some may be in the tree already.
    pub(super) fn log(&self, device: DeviceId, end: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let prefix = key::log_prefix(device);
        let state = self.lock();
        let line = |change: &Queued| match change {
            Queued::Put { key, value, .. } if key.starts_with(&prefix) && key[..] < *end => {
                Some((key.clone(), value.clone()))
            }
            _ => None,
        };
        Some(state.unpublished(device)?.filter_map(line).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in this file can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a change adds to a batch: a value of its own, or a few bytes of a frame.
fn weight(change: &Queued) -> usize {
    match change {
        Queued::Reading(_) => 1,
        Queued::Late(late) => late.readings.len(),
        Queued::Put { .. } | Queued::Remove(_) => 16,
    }
}

impl State {
    /// How long what is urgent still waits for others.
    fn gap(&self) -> Duration {
        let since = self.committed.map_or(Duration::MAX, |committed| committed.elapsed());
        URGENT_GAP.saturating_sub(since)
    }

    /// As many whole submissions as one commit takes.
    fn take(&mut self) -> Group {
        let (mut changes, mut weight, mut permits, mut dones) = (0, 0, 0, Vec::new());
        while let Some(next) = self.submissions.pop_front() {
            if changes > 0 && weight + next.weight > BATCH_MAX {
                self.submissions.push_front(next);
                break;
            }
            changes += next.changes;
            weight += next.weight;
            permits += next.permits as usize;
            dones.extend(next.done);
        }
        let rest = self.waiting.split_off(changes);
        self.committing = Arc::new(mem::replace(&mut self.waiting, rest));
        // What is left over is due as well.
        self.urgent = !self.submissions.is_empty();
        self.oldest = self.oldest.filter(|_| self.urgent);
        Group { changes: Arc::clone(&self.committing), dones, permits }
    }

    /// All changes that are not published yet, in order; `None` where they remove the device, or
    /// it is removed already.
    fn unpublished(&self, device: DeviceId) -> Option<impl Iterator<Item = &Queued>> {
        let changes = || self.committing.iter().chain(&self.waiting);
        let removed =
            self.removed.contains(&device) || changes().any(|c| *c == Queued::Remove(device));
        (!removed).then(changes)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("waiting", &self.waiting.len())
            .field("committing", &self.committing.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
