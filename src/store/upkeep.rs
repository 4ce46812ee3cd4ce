//! What the writer's thread does when no commit is due: small steps with pauses between them.
//!
//! - *Trim*: frames whose readings are all in chunks go.
//! - *Purge*: what a removed device has left goes, and its tombstone once no frame can hold
//!   readings of it.
//! - *Compact*: buckets of half a day that is over become one value, and so do small chunks.
//! - *Retire*: what is too old, or too much, goes.
//!
//! No step is synced: a power cut undoes the last ones as a whole, and they are done again. Each
//! is one batch, applied while nobody scans the tree: a reader would else see a reading at two
//! places, or at none.

mod compact;
mod purge;
mod retire;

use super::{
    engine::{Change, Engine, Medium},
    error::StoreError,
    handle::Options,
    heads::Heads,
    key,
    logs::Logs,
    record::{self, SeriesRecord},
    series::Series,
    stats::Counters,
};
use crate::model::{Clock, DeviceId};
use purge::Purge;
pub use retire::{Limit, Retention};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

/// The most keys that one step touches.
const STEP_MAX: usize = 256;
/// The pause between two steps: a step takes some milliseconds.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a step waits for readers to go before it tries again.
const BUSY: Duration = Duration::from_millis(5);
/// So many frames are trimmed together, for there is a batch to each turn.
const TRIM_AT: u64 = 64;
/// How long after the opening it is first looked for what can be compacted or retired, at most.
const FIRST_WALK: Duration = Duration::from_mins(1);

/// Held for reading by whoever scans the tree, and for writing by a step that moves or deletes.
pub(super) type Layout = tokio::sync::RwLock<()>;

/// What has no hurry.
pub(super) struct Upkeep {
    layout: Arc<Layout>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    /// No frame before this one is left.
    low: u64,
    purge: Purge,
    pass: Option<Pass>,
    /// When the next step may come.
    next_step: Instant,
    /// How often all series are walked over.
    interval: Duration,
    next_walk: Instant,
}

/// A walk over all series.
enum Pass {
    Compact(compact::Pass),
    Retire(retire::Pass),
}

/// What a step works on.
pub(super) struct Turn<'a, M> {
    pub(super) engine: &'a Engine,
    pub(super) medium: &'a M,
    pub(super) heads: &'a RwLock<Heads>,
    pub(super) logs: &'a mut Logs,
    pub(super) counters: &'a Counters,
    pub(super) last_frame: u64,
}

impl<M: Medium> Turn<'_, M> {
    fn heads(&self) -> RwLockReadGuard<'_, Heads> {
        self.heads.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies changes of the tree and of what is known of series, all or none of them.
    fn apply(
        &self,
        mut changes: Vec<Change>,
        records: HashMap<Series, SeriesRecord>,
    ) -> Result<(), StoreError> {
        for (&series, record) in &records {
            let (key, value) = record::series(series, record)?;
            changes.push((key, Some(value)));
        }
        if !changes.is_empty() {
            self.medium.apply(changes)?;
        }
        let mut heads = self.heads.write().unwrap_or_else(PoisonError::into_inner);
        for (series, record) in records {
            heads.put(series, record);
        }
        self.counters.keep(heads.usage(), heads.unsealed(), self.logs.bytes());
        Ok(())
    }

    /// Deletes at most [`STEP_MAX`] keys from `from` on and before `to`; returns the last one
    /// where there may be more.
    fn delete(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let keys = self.engine.keys(from, to, STEP_MAX)?;
        let last = (keys.len() == STEP_MAX).then(|| keys.last().cloned()).flatten();
        if !keys.is_empty() {
            self.medium.apply(keys.into_iter().map(|key| (key, None)).collect())?;
        }
        Ok(last)
    }
}

impl Upkeep {
    /// The upkeep of a store whose first frame is `low`, and from which these devices were removed,
    /// each with the last frame that may have readings of it.
    pub(super) fn new(
        layout: Arc<Layout>,
        options: &Options,
        low: u64,
        removed: impl IntoIterator<Item = (DeviceId, u64)>,
    ) -> Self {
        let now = Instant::now();
        Self {
            layout,
            clock: Arc::clone(&options.clock),
            retention: options.retention,
            low,
            purge: removed.into_iter().collect(),
            pass: None,
            next_step: now,
            interval: options.upkeep_interval,
            next_walk: now + options.upkeep_interval.min(FIRST_WALK),
        }
    }

    /// Takes up a device that was removed, with the last frame that may have readings of it.
    pub(super) fn remove(&mut self, device: DeviceId, last_frame: u64) {
        self.purge.add(device, last_frame);
    }

    /// When the next step is due.
    pub(super) fn due(&self, heads: &Heads, last_frame: u64) -> Instant {
        let busy = self.pass.is_some()
            || self.purge.is_due(self.low)
            || self.trim_end(heads, last_frame).is_some();
        if busy { self.next_step } else { self.next_walk }
    }

    /// Does one step.
    pub(super) fn step<M: Medium>(&mut self, turn: &mut Turn<'_, M>) -> Result<(), StoreError> {
        let layout = Arc::clone(&self.layout);
        let Ok(_alone) = layout.try_write() else {
            self.next_step = Instant::now() + BUSY;
            return Ok(());
        };
        let end = self.trim_end(&turn.heads(), turn.last_frame);
        if let Some(end) = end {
            self.trim(end, turn)?;
        } else if self.purge.is_due(self.low) {
            self.purge.step(self.low, turn)?;
        } else {
            self.walk(turn)?;
        }
        self.next_step = Instant::now() + PAUSE;
        Ok(())
    }

    /// Up to where frames are to be trimmed, if it is time: no head needs those before it. The
    /// newest stays, for its number.
    fn trim_end(&self, heads: &Heads, last_frame: u64) -> Option<u64> {
        let needed = heads.oldest().next().map_or(last_frame, |(frame, _)| frame.min(last_frame));
        // Before chunks are retired no frame may be left that could bring them back.
        let enough = if self.pass.is_some() { 1 } else { TRIM_AT };
        (needed >= self.low + enough).then_some(needed)
    }

    fn trim<M: Medium>(&mut self, end: u64, turn: &Turn<'_, M>) -> Result<(), StoreError> {
        let last = turn.delete(&key::frame(self.low, 0), &key::frame(end, 0))?;
        // Other parts of the last one may be left.
        self.low = last.and_then(|key| key::sequence_of(&key)).unwrap_or(end);
        Ok(())
    }

    fn walk<M: Medium>(&mut self, turn: &mut Turn<'_, M>) -> Result<(), StoreError> {
        let now = self.clock.now().millis();
        let more = match &mut self.pass {
            Some(Pass::Compact(pass)) => pass.step(now, turn)?,
            // While the time is a guess, so is what is old: nothing goes.
            Some(Pass::Retire(_)) if !self.clock.certain() => false,
            Some(Pass::Retire(pass)) => pass.step(&self.retention, now, self.low, turn)?,
            None => {
                if Instant::now() >= self.next_walk {
                    self.next_walk = Instant::now() + self.interval;
                    self.pass = Some(Pass::Compact(compact::Pass::new(&turn.heads())));
                }
                true
            }
        };
        if !more {
            self.pass = match self.pass.take() {
                Some(Pass::Compact(_)) => Some(Pass::Retire(retire::Pass::new())),
                Some(Pass::Retire(_)) | None => None,
            };
        }
        Ok(())
    }
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upkeep").field("low", &self.low).finish_non_exhaustive()
    }
}
