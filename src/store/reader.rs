//! Queries over what is sealed, what is in heads, and what waits for its commit.
//!
//! A query looks at a head and at what waits under one lock, and at chunks afterwards, of which
//! it takes those only that were there when it looked at the head: so no reading is seen twice or
//! missed, whatever is committed and sealed meanwhile. Upkeep, which moves values that are
//! sealed, stands still until the query is over.

use super::{
    chunk,
    engine::Engine,
    envelope,
    error::{Corrupt, StoreError},
    heads::Heads,
    key::{self, Chunk},
    queue::Queue,
    record,
    rollup::{self, Block},
    series::Series,
    stats::Counters,
    upkeep::Layout,
};
use crate::model::{Bucket, Channel, DeviceId, LogEntry, Timestamp, Width};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// What queries need; they block and run on threads that may.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) engine: Arc<Engine>,
    pub(super) queue: Arc<Queue>,
    pub(super) heads: Arc<RwLock<Heads>>,
    pub(super) layout: Arc<Layout>,
    pub(super) counters: Arc<Counters>,
}

/// Since when a channel's readings are kept, for each of the ways to keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// The earliest single reading.
    pub raw: Option<Timestamp>,
    /// The earliest minute.
    pub minute: Option<Timestamp>,
    /// The earliest hour.
    pub hour: Option<Timestamp>,
}

impl Coverage {
    /// What is kept of two series together.
    fn or(self, other: Self) -> Self {
        let earliest = |a: Option<Timestamp>, b| a.into_iter().chain(b).min();
        Self {
            raw: earliest(self.raw, other.raw),
            minute: earliest(self.minute, other.minute),
            hour: earliest(self.hour, other.hour),
        }
    }
}

/// What of a series is not sealed, as of one moment.
struct Unsealed {
    series: Series,
    /// The readings up to this frame are in chunks.
    sealed: u64,
    /// The longest time that a chunk spans, in ms.
    span_max: i64,
    /// The others, in the order of their arrival.
    readings: Vec<(i64, u8)>,
}

impl Reader {
    /// The oldest readings of a channel with `from <= at < to`, by time, and in the order of their
    /// arrival where times are equal.
    pub(super) fn readings(
        &self,
        device: DeviceId,
        channel: Channel,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, u8)>, StoreError> {
        let _layout = self.layout.blocking_read();
        let mut found = Vec::new();
        for series in Series::of(device, channel) {
            let Some(unsealed) = self.unsealed(series, from, to) else { return Ok(Vec::new()) };
            found.extend(self.readings_of(unsealed, from, to, limit)?);
        }
        // Stable: each series is in order, and most have nothing late.
        found.sort_by_key(|&(at, _)| at);
        found.truncate(limit);
        Ok(found)
    }

    fn readings_of(
        &self,
        unsealed: Unsealed,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, u8)>, StoreError> {
        let Unsealed { series, sealed, span_max, readings } = unsealed;
        let (from, to) = (from.millis(), to.millis());
        let mut oldest = Oldest::new(from, to, limit);
        let key = |first| key::chunk(Chunk { series, first, through: 0, part: 0 });
        // A chunk that begins before `from` may reach into the span.
        let start = from.saturating_sub(span_max);
        self.engine.scan(&key(start), &key(to), |key, value| {
            match oldest.take_chunk(sealed, key, value) {
                Ok(more) => more,
                Err(why) => {
                    self.counters.corrupt(key, why);
                    true
                }
            }
        })?;
        for (at, value) in readings {
            oldest.push(at, u64::MAX, value);
        }
        Ok(oldest.finish())
    }

    /// The oldest buckets of a channel that have a part of `from <= at < to`.
    pub(super) fn buckets(
        &self,
        device: DeviceId,
        channel: Channel,
        width: Width,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        if limit == 0 || from >= to {
            return Ok(Vec::new());
        }
        let _layout = self.layout.blocking_read();
        let from = Bucket::of(width, from.millis(), 0).start;
        // Whole buckets only: readings after `to` count as well where they share its last bucket.
        let last = Bucket::of(width, to.millis() - 1, 0).start.millis();
        let to = Timestamp::from_millis(last + width.millis());
        let mut found = Vec::new();
        for series in Series::of(device, channel) {
            let Some(unsealed) = self.unsealed(series, from, to) else { return Ok(Vec::new()) };
            found.extend(self.merged(&unsealed, width, from, to, limit)?);
        }
        let mut buckets = rollup::merge(found, &[]);
        buckets.truncate(limit);
        Ok(buckets)
    }

    /// The oldest buckets of what is not sealed and of what is that begin in `from..to`.
    fn merged(
        &self,
        unsealed: &Unsealed,
        width: Width,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        let Unsealed { series, sealed, ref readings, .. } = *unsealed;
        let (from, mut to) = (from.millis(), to.millis());
        let mut found = Vec::new();
        let key = |start| key::block(width, series, start);
        self.engine.scan(&key(rollup::block_start(width, from)), &key(to), |key, value| {
            let block = key::block_of(key).ok_or(Corrupt::Key);
            match block.and_then(|(.., start)| open_block(width, start, key, value)) {
                Ok(block) => found.extend(within(block.buckets, from, to)),
                Err(why) => self.counters.corrupt(key, why),
            }
            found.len() < limit
        })?;
        if let Some(last) = found.get(limit - 1) {
            // No later one is among the oldest.
            to = last.start.millis() + 1;
        }
        let key = |start| key::fresh(series, start, 0);
        let start = rollup::block_start(Width::Minute, from);
        self.engine.scan(&key(start), &key(to), |key, value| {
            match key::fresh_of(key) {
                Some((_, start, through)) if through <= sealed => {
                    match open_block(Width::Minute, start, key, value) {
                        Ok(Block { buckets, .. }) if width == Width::Hour => {
                            found.extend(within(rollup::widen(&buckets), from, to));
                        }
                        Ok(block) => found.extend(within(block.buckets, from, to)),
                        Err(why) => self.counters.corrupt(key, why),
                    }
                }
                Some(_) => {}
                None => self.counters.corrupt(key, Corrupt::Key),
            }
            true
        })?;
        found.extend(within(rollup::summarise(width, readings.iter().copied()), from, to));
        let mut buckets = rollup::merge(found, &[]);
        buckets.truncate(limit);
        Ok(buckets)
    }

    /// Since when a channel's readings are kept.
    pub(super) fn coverage(
        &self,
        device: DeviceId,
        channel: Channel,
    ) -> Result<Coverage, StoreError> {
        let _layout = self.layout.blocking_read();
        let mut coverage = Coverage::default();
        for series in Series::of(device, channel) {
            let Some(unsealed) = self.unsealed(series, Timestamp::MIN, Timestamp::MAX) else {
                return Ok(Coverage::default());
            };
            coverage = coverage.or(self.coverage_of(&unsealed)?);
        }
        Ok(coverage)
    }

    fn coverage_of(&self, unsealed: &Unsealed) -> Result<Coverage, StoreError> {
        let chunk =
            |first| key::chunk(Chunk { series: unsealed.series, first, through: 0, part: 0 });
        let chunk = self.engine.keys(&chunk(i64::MIN), &chunk(i64::MAX), 1)?.into_iter().next();
        let chunk = chunk.and_then(|key| key::chunk_of(&key)).map(|chunk| chunk.first);
        let head = unsealed.readings.iter().map(|&(at, _)| at).min();
        let first = |width| {
            let buckets = self.merged(unsealed, width, Timestamp::MIN, Timestamp::MAX, 1)?;
            Ok::<_, StoreError>(buckets.first().map(|bucket| bucket.start))
        };
        Ok(Coverage {
            raw: [chunk, head].into_iter().flatten().min().map(Timestamp::from_millis),
            minute: first(Width::Minute)?,
            hour: first(Width::Hour)?,
        })
    }

    /// What of a series' readings of `from <= at < to` is not sealed; `None` where the device is
    /// removed.
    fn unsealed(&self, series: Series, from: Timestamp, to: Timestamp) -> Option<Unsealed> {
        let (device, channel) = series.split()?;
        let heads = self.heads.read().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: nothing moves from what waits to a head meanwhile.
        let pending = self.queue.readings(device, channel, from, to)?;
        let mut unsealed = Unsealed { series, sealed: 0, span_max: 0, readings: Vec::new() };
        if let Some(entry) = heads.get(series) {
            let within = |&(at, _): &(i64, u8)| (from.millis()..to.millis()).contains(&at);
            unsealed.sealed = entry.record().sealed;
            unsealed.span_max = entry.record().span_max.into();
            unsealed.readings.extend(entry.head().filter(within));
        }
        if !series.is_late() {
            unsealed.readings.extend(pending);
        }
        Some(unsealed)
    }

    /// The newest lines of a device's log before `before`, newest first.
    pub(super) fn log(
        &self,
        device: DeviceId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let start = key::log_prefix(device);
        let end = before.map_or_else(|| key::log_end(device), |at| key::log(device, at, 0));
        let Some(pending) = self.queue.log(device, &end) else { return Ok(Vec::new()) };
        let mut lines = BTreeMap::new();
        if limit > 0 {
            self.engine.scan_back(&start, &end, |key, value| {
                self.read_line(&mut lines, key, value);
                lines.len() < limit
            })?;
        }
        // Some of these may have been committed by now: they have the same keys.
        for (key, value) in pending {
            self.read_line(&mut lines, &key, &value);
        }
        Ok(lines.into_values().rev().take(limit).collect())
    }

    fn read_line(&self, lines: &mut BTreeMap<Vec<u8>, LogEntry>, key: &[u8], value: &[u8]) {
        match record::open_log(key, value) {
            Ok(entry) => {
                lines.insert(key.to_vec(), entry);
            }
            Err(why) => self.counters.corrupt(key, why),
        }
    }
}

fn open_block(width: Width, start: i64, key: &[u8], value: &[u8]) -> Result<Block, Corrupt> {
    rollup::decode(width, start, envelope::open_version(key, rollup::VERSION, value)?)
}

fn within(buckets: Vec<Bucket>, from: i64, to: i64) -> impl Iterator<Item = Bucket> {
    buckets.into_iter().filter(move |bucket| (from..to).contains(&bucket.start.millis()))
}

/// The oldest readings of a span of time, in little more room than they take.
#[derive(Debug)]
struct Oldest {
    from: i64,
    to: i64,
    limit: usize,
    /// Time, order of arrival between chunks, value.
    found: Vec<(i64, u64, u8)>,
}

impl Oldest {
    fn new(from: i64, to: i64, limit: usize) -> Self {
        // Nothing is before the end of the span where nothing is asked for.
        Self { from, to: if limit == 0 { from } else { to }, limit, found: Vec::new() }
    }

    /// Takes what a chunk has, if its readings are sealed by frame `sealed`. Returns whether later
    /// ones can have readings that count.
    fn take_chunk(&mut self, sealed: u64, key: &[u8], value: &[u8]) -> Result<bool, Corrupt> {
        let Chunk { first, through, .. } = key::chunk_of(key).ok_or(Corrupt::Key)?;
        if first >= self.to {
            return Ok(false);
        }
        if through > sealed {
            return Ok(true);
        }
        let (head, rest) = chunk::head(envelope::open_version(key, chunk::VERSION, value)?)?;
        if head.last >= self.from {
            for (at, value) in chunk::decode(&head, rest)? {
                self.push(at, through, value);
            }
        }
        Ok(true)
    }

    /// Takes a reading; those of equal times and orders have to come in the order of their arrival.
    fn push(&mut self, at: i64, order: u64, value: u8) {
        if (self.from..self.to).contains(&at) {
            self.found.push((at, order, value));
            if self.found.len() >= self.limit.saturating_mul(2).saturating_add(1024) {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        self.found.sort_by_key(|&(at, order, _)| (at, order));
        self.found.truncate(self.limit);
        // From here on a reading counts only if it is no younger than the last of these.
        if let Some(&(at, ..)) = self.found.get(self.limit.saturating_sub(1)) {
            self.to = self.to.min(at.saturating_add(1));
        }
    }

    fn finish(mut self) -> Vec<(Timestamp, u8)> {
        self.cut();
        let reading = |(at, _, value)| (Timestamp::from_millis(at), value);
        self.found.into_iter().map(reading).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn the_oldest_are_kept_in_order_however_many_come(
            mut readings in vec((0..500_i64, 0..5_u64, any::<u8>()), 0..5000),
            from in 0..300_i64,
            len in 0..500_i64,
            limit in 0..1500_usize,
        ) {
            let mut oldest = Oldest::new(from, from + len, limit);
            for &(at, order, value) in &readings {
                oldest.push(at, order, value);
            }
            readings.sort_by_key(|&(at, order, _)| (at, order));
            let mut expected: Vec<_> = readings
                .into_iter()
                .filter(|(at, ..)| (from..from + len).contains(at))
                .map(|(at, _, value)| (Timestamp::from_millis(at), value))
                .collect();
            expected.truncate(limit);
            prop_assert_eq!(oldest.finish(), expected);
        }
    }
}
