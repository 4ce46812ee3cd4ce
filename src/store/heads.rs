//! What is held in memory of every series: its record, and its head, the readings that are in
//! write-ahead frames and not in chunks yet.
//!
//! The writer changes it once a commit is on the medium, readers look at it meanwhile.

use super::{record::SeriesRecord, series::Series};
use crate::model::DeviceId;
use std::collections::{BTreeSet, HashMap};

/// A head is sealed when it has so many readings.
const SEAL_AT: usize = 2048;
/// The first seal of a series comes between this and [`SEAL_AT`]: series that begin together
/// would otherwise all be sealed by the same commit, again and again.
const FIRST_SEAL_AT: usize = 1024;
/// Vectors grow by an eighth, not to the double: there are thousands of them.
const GROWTH: usize = 8;

/// All series.
#[derive(Debug, Default)]
pub(super) struct Heads {
    series: HashMap<Series, Entry>,
    /// The series that have a head, by the frame in which it begins.
    by_frame: BTreeSet<(u64, Series)>,
    unsealed: usize,
    usage: Usage,
    /// The last frame whose readings are in the heads, or in chunks that the records know.
    frame: u64,
}

/// A series.
#[derive(Debug, Default)]
pub(super) struct Entry {
    record: SeriesRecord,
    /// The first frame that holds one of the readings below.
    first_frame: u64,
    times: Vec<i64>,
    values: Vec<u8>,
}

/// What the tiers of all series take, in bytes of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) raw: u64,
    pub(super) minute: u64,
    pub(super) hour: u64,
}

impl Entry {
    /// What is stored of the series.
    pub(super) fn record(&self) -> &SeriesRecord {
        &self.record
    }

    /// The readings that are not sealed: time in ms and value, in the order of their arrival.
    pub(super) fn head(&self) -> impl Iterator<Item = (i64, u8)> + '_ {
        self.times.iter().copied().zip(self.values.iter().copied())
    }

    /// How many readings are not sealed.
    pub(super) fn unsealed(&self) -> usize {
        self.times.len()
    }

    /// How many readings the series has, sealed or not.
    pub(super) fn readings(&self) -> u64 {
        self.record.readings + u64::try_from(self.times.len()).unwrap_or(u64::MAX)
    }

    fn push(&mut self, at: i64, value: u8) {
        if self.times.len() == self.times.capacity() {
            let more = (self.times.len() / GROWTH).max(4);
            self.times.reserve_exact(more);
            self.values.reserve_exact(more);
        }
        self.times.push(at);
        self.values.push(value);
    }
}

impl Heads {
    /// A series, if it has readings.
    pub(super) fn get(&self, series: Series) -> Option<&Entry> {
        self.series.get(&series)
    }

    /// All series, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Series, &Entry)> {
        self.series.iter().map(|(&series, entry)| (series, entry))
    }

    /// Takes up the record of a series as it is stored.
    pub(super) fn put(&mut self, series: Series, record: SeriesRecord) {
        let entry = self.series.entry(series).or_default();
        self.usage.subtract(&entry.record);
        self.usage.add(&record);
        entry.record = record;
    }

    /// Says that all frames up to this one are taken in.
    pub(super) fn reach(&mut self, frame: u64) {
        self.frame = frame;
    }

    /// The last frame that is taken in.
    pub(super) fn frame(&self) -> u64 {
        self.frame
    }

    /// Adds a reading of a frame to its head. Frames come in their order.
    pub(super) fn push(&mut self, series: Series, frame: u64, at: i64, value: u8) {
        let entry = self.series.entry(series).or_default();
        if entry.times.is_empty() {
            entry.first_frame = frame;
            self.by_frame.insert((frame, series));
        }
        entry.push(at, value);
        self.unsealed += 1;
    }

    /// Empties a head whose readings are in chunks now, as the new record says.
    pub(super) fn seal(&mut self, series: Series, record: SeriesRecord) {
        self.put(series, record);
        if let Some(entry) = self.series.get_mut(&series) {
            self.by_frame.remove(&(entry.first_frame, series));
            self.unsealed -= entry.times.len();
            entry.times = Vec::new();
            entry.values = Vec::new();
        }
    }

    /// Forgets the series of a device; returns how many readings they had.
    pub(super) fn remove(&mut self, device: DeviceId) -> u64 {
        let mut readings = 0;
        for series in Series::all(device) {
            let Some(entry) = self.series.remove(&series) else { continue };
            readings += entry.readings();
            self.by_frame.remove(&(entry.first_frame, series));
            self.unsealed -= entry.times.len();
            self.usage.subtract(&entry.record);
        }
        readings
    }

    /// Whether the head is to be sealed when `more` readings are added to it.
    pub(super) fn is_full(&self, series: Series, more: usize) -> bool {
        let entry = self.get(series);
        let full = match entry {
            Some(entry) if entry.record.sealed > 0 => SEAL_AT,
            _ => first_seal_at(series),
        };
        entry.map_or(0, |entry| entry.times.len()) + more >= full
    }

    /// The series with a head, by the frame in which it begins.
    pub(super) fn oldest(&self) -> impl Iterator<Item = (u64, Series)> + '_ {
        self.by_frame.iter().copied()
    }

    /// How many readings all heads have.
    pub(super) fn unsealed(&self) -> usize {
        self.unsealed
    }

    /// What all series take.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }
}

impl Usage {
    fn add(&mut self, record: &SeriesRecord) {
        self.raw += record.raw_bytes;
        self.minute += record.minute_bytes;
        self.hour += record.hour_bytes;
    }

    fn subtract(&mut self, record: &SeriesRecord) {
        self.raw -= record.raw_bytes;
        self.minute -= record.minute_bytes;
        self.hour -= record.hour_bytes;
    }
}

/// A number that neighbouring series don't share (the multiplier is 2^64 divided by the golden
/// ratio).
fn first_seal_at(series: Series) -> usize {
    let spread = series.number().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    FIRST_SEAL_AT + usize::try_from(spread).unwrap_or(0) % (SEAL_AT - FIRST_SEAL_AT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Channel;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn counts_and_order_hold_whatever_comes(
            steps in vec((0..4u32, 0..3u8, any::<bool>(), 0..20usize), 0..60),
        ) {
            let mut heads = Heads::default();
            for (frame, (device, kind, _, readings)) in (1..).zip(steps) {
                let series = Series::new(DeviceId(device), Channel::Photoresistor);
                match kind {
                    0 => {
                        let record = SeriesRecord {
                            sealed: frame,
                            raw_bytes: frame * 3,
                            ..SeriesRecord::default()
                        };
                        heads.seal(series, record);
                    }
                    1 => drop(heads.remove(DeviceId(device))),
                    _ => (0..readings).for_each(|_| heads.push(series, frame, 1, 2)),
                }
                let unsealed: usize = heads.iter().map(|(_, entry)| entry.times.len()).sum();
                prop_assert_eq!(heads.unsealed(), unsealed);
                let raw: u64 = heads.iter().map(|(_, entry)| entry.record.raw_bytes).sum();
                prop_assert_eq!(heads.usage().raw, raw);
                let mut expected: Vec<_> = heads
                    .iter()
                    .filter(|(_, entry)| !entry.times.is_empty())
                    .map(|(series, entry)| (entry.first_frame, series))
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(heads.oldest().collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn series_that_begin_together_are_not_sealed_together() {
        let at: BTreeSet<_> = (0..100)
            .map(|id| first_seal_at(Series::new(DeviceId(id), Channel::Photoresistor)))
            .collect();
        assert!(at.len() > 80, "{at:?}");
        assert!(at.iter().all(|at| (FIRST_SEAL_AT..SEAL_AT).contains(at)));
    }
}
