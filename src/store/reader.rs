//! Queries over what is committed and what waits.

use super::{
    engine::Engine,
    envelope,
    error::{Corrupt, StoreError},
    frame,
    index::FrameIndex,
    key,
    queue::{PendingReadings, Queue},
    record,
    series::Series,
    stats::Counters,
};
use crate::model::{Channel, DeviceId, LogEntry, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// What queries need; they block and run on threads that may.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) engine: Arc<Engine>,
    pub(super) queue: Arc<Queue>,
    pub(super) index: Arc<RwLock<FrameIndex>>,
    pub(super) counters: Arc<Counters>,
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
        // What waits first: what is published meanwhile is then in frames that are not looked at.
        let Some(PendingReadings { readings: pending, published }) =
            self.queue.readings(device, channel, from, to)
        else {
            return Ok(Vec::new());
        };
        let series = Series::new(device, channel);
        let mut oldest = Oldest::new(from.millis(), to.millis(), limit);
        let rows = self
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .overlapping(from.millis(), to.millis());
        for (first, last, earliest) in rows {
            let end = last.min(published).saturating_add(1);
            if earliest >= oldest.to || first >= end {
                continue;
            }
            self.engine.scan(&key::frame(first, 0), &key::frame(end, 0), |key, value| {
                if let Err(why) = oldest.take_part(series, key, value) {
                    self.counters.corrupt(key, why);
                }
                true
            })?;
        }
        for (at, value) in pending {
            oldest.push(at.millis(), value);
        }
        Ok(oldest.finish())
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

/// The oldest readings of a span of time, in little more room than they take.
#[derive(Debug)]
struct Oldest {
    from: i64,
    to: i64,
    limit: usize,
    found: Vec<(i64, u8)>,
}

impl Oldest {
    fn new(from: i64, to: i64, limit: usize) -> Self {
        // Nothing is before the end of the span where nothing is asked for.
        Self { from, to: if limit == 0 { from } else { to }, limit, found: Vec::new() }
    }

    /// Takes what a frame's part has of a series.
    fn take_part(&mut self, series: Series, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let body = envelope::open_version(key, frame::VERSION, value)?;
        let (head, rest) = frame::head(body)?;
        let overlaps = head.latest >= self.from && head.earliest < self.to;
        if !overlaps || !(head.first..=head.last).contains(&series) {
            return Ok(());
        }
        for (found, at, value) in frame::decode(&head, rest)? {
            if found == series {
                self.push(at, value);
            }
        }
        Ok(())
    }

    /// Takes a reading; those of equal times have to come in the order of their arrival.
    fn push(&mut self, at: i64, value: u8) {
        if (self.from..self.to).contains(&at) {
            self.found.push((at, value));
            if self.found.len() >= self.limit.saturating_mul(2).saturating_add(1024) {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        self.found.sort_by_key(|&(at, _)| at);
        self.found.truncate(self.limit);
        // From here on a reading counts only if it is older than the last of these.
        if let Some(&(at, _)) = self.found.get(self.limit.saturating_sub(1)) {
            self.to = self.to.min(at);
        }
    }

    fn finish(mut self) -> Vec<(Timestamp, u8)> {
        self.cut();
        self.found.into_iter().map(|(at, value)| (Timestamp::from_millis(at), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn the_oldest_are_kept_in_order_however_many_come(
            readings in vec((0..500_i64, any::<u8>()), 0..5000),
            from in 0..300_i64,
            len in 0..500_i64,
            limit in 0..1500_usize,
        ) {
            let mut oldest = Oldest::new(from, from + len, limit);
            for &(at, value) in &readings {
                oldest.push(at, value);
            }
            let mut expected: Vec<_> = readings
                .into_iter()
                .filter(|(at, _)| (from..from + len).contains(at))
                .map(|(at, value)| (Timestamp::from_millis(at), value))
                .collect();
            expected.sort_by_key(|reading| reading.0);
            expected.truncate(limit);
            prop_assert_eq!(oldest.finish(), expected);
        }
    }
}
