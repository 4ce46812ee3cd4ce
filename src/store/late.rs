//! Readings that come late: of a board's backlog, dated by the hub from their age.
//!
//! Late readings of a channel are a series of their own beside the channel's. So the last reading
//! of a series stays the last that came, whatever comes late, and frames, chunks and rollups know
//! nothing of all this. Whoever asks for a channel gets both.
//!
//! A board sends a message again whose acknowledgement it has not got, and the hub dates it anew:
//! the same reading comes out some milliseconds apart, by what the network took. So a late reading
//! is a double where its channel has one of the same value at nearly the same time. Each of those
//! accounts for one late reading only, so that light that stays the same is not thinned out. Where
//! the readings of a message are close together, "nearly" is less than half of what lies between
//! them.

use super::{
    chunk,
    engine::Engine,
    envelope,
    error::{Corrupt, StoreError},
    heads::Heads,
    key::{self, Chunk},
    series::Series,
    stats::Counters,
};
use std::ops::RangeInclusive;

/// How far apart two times of the same reading may be, in milliseconds.
const TOLERANCE_MS: u64 = 1000;

/// The readings of a message that are not doubles of those that are stored, both as time in ms and
/// value; in the order of time.
pub(super) fn fresh(mut late: Vec<(i64, u8)>, mut stored: Vec<(i64, u8)>) -> Vec<(i64, u8)> {
    late.sort_by_key(|&(at, _)| at);
    stored.sort_by_key(|&(at, _)| at);
    let gaps = late.windows(2).map(|two| two[0].0.abs_diff(two[1].0));
    // Strictly less than half of a gap: no stored reading is as near to two of the message's.
    let half = gaps.min().map_or(TOLERANCE_MS, |gap| gap.saturating_sub(1) / 2);
    let tolerance = TOLERANCE_MS.min(half);
    late.retain(|&(at, value)| {
        let near = |&(_, &(stored_at, stored)): &(usize, &(i64, u8))| {
            stored == value && stored_at.abs_diff(at) <= tolerance
        };
        let nearest = stored
            .iter()
            .enumerate()
            .filter(near)
            .min_by_key(|(_, (stored_at, _))| stored_at.abs_diff(at))
            .map(|(index, _)| index);
        // It accounts for one.
        nearest.map(|index| stored.remove(index)).is_none()
    });
    late
}

/// What a series has stored within [`TOLERANCE_MS`] of each of these readings, sealed or not.
///
/// What lies between them is left alone: a message may have a reading of now and one of a month ago.
pub(super) fn stored(
    engine: &Engine,
    heads: &Heads,
    counters: &Counters,
    series: Series,
    around: &[(i64, u8)],
) -> Result<Vec<(i64, u8)>, StoreError> {
    let times = Times::of(around);
    let Some(span) = times.span() else { return Ok(Vec::new()) };
    let Some(entry) = heads.get(series) else { return Ok(Vec::new()) };
    let mut found: Vec<_> = entry.head().filter(|&(at, _)| times.are_near(at, at)).collect();
    let record = entry.record();
    let key = |first| key::chunk(Chunk { series, first, through: 0, part: 0 });
    let start = span.start().saturating_sub(record.span_max.into());
    engine.scan(&key(start), &key(span.end().saturating_add(1)), |key, value| {
        match sealed(record.sealed, &times, key, value) {
            Ok(readings) => found.extend(readings),
            Err(why) => counters.corrupt(key, why),
        }
        true
    })?;
    Ok(found)
}

/// What of a chunk is near these times, if it is a chunk that counts: of the frames up to `through`.
fn sealed(
    through: u64,
    times: &Times,
    key: &[u8],
    value: &[u8],
) -> Result<Vec<(i64, u8)>, Corrupt> {
    if key::chunk_of(key).ok_or(Corrupt::Key)?.through > through {
        return Ok(Vec::new());
    }
    let (head, rest) = chunk::head(envelope::open_version(key, chunk::VERSION, value)?)?;
    if !times.are_near(head.first, head.last) {
        return Ok(Vec::new());
    }
    let readings = chunk::decode(&head, rest)?.into_iter();
    Ok(readings.filter(|&(at, _)| times.are_near(at, at)).collect())
}

/// The times of a message's readings, in order.
#[derive(Debug)]
struct Times(Vec<i64>);

impl Times {
    /// As far as [`fresh`] looks to either side.
    const MARGIN: i64 = TOLERANCE_MS.cast_signed();

    fn of(readings: &[(i64, u8)]) -> Self {
        let mut times: Vec<_> = readings.iter().map(|&(at, _)| at).collect();
        times.sort_unstable();
        Self(times)
    }

    /// From the first to the last, with what is near them; `None` where there are none.
    fn span(&self) -> Option<RangeInclusive<i64>> {
        let (first, last) = (self.0.first()?, self.0.last()?);
        Some(first.saturating_sub(Self::MARGIN)..=last.saturating_add(Self::MARGIN))
    }

    /// Whether one of them is near something that lasts from `first` to `last`.
    fn are_near(&self, first: i64, last: i64) -> bool {
        let next = self.0.partition_point(|at| at.saturating_add(Self::MARGIN) < first);
        self.0.get(next).is_some_and(|at| at.saturating_sub(Self::MARGIN) <= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn a_message_that_comes_again_leaves_nothing() {
        let stored = vec![(10_000, 5), (20_000, 5), (30_000, 6)];
        let again = vec![(10_400, 5), (20_400, 5), (30_400, 6), (40_400, 6)];
        assert_eq!(fresh(again, stored), [(40_400, 6)]);
    }

    #[test]
    fn light_that_stays_the_same_is_not_thinned_out() {
        // Stored up to 4.0 s; the message has 4.0 s again and what came after.
        let stored: Vec<_> = (0..=40).map(|n| (n * 100, 7)).collect();
        let again = vec![(4_010, 7), (4_110, 7), (4_210, 7)];
        assert_eq!(fresh(again, stored), [(4_110, 7), (4_210, 7)]);
    }

    #[test]
    fn another_value_or_another_time_is_another_reading() {
        let stored = vec![(10_000, 5)];
        assert_eq!(fresh(vec![(10_000, 6)], stored.clone()), [(10_000, 6)]);
        assert_eq!(fresh(vec![(11_001, 5)], stored.clone()), [(11_001, 5)]);
        assert_eq!(fresh(vec![(11_000, 5)], stored), []);
    }

    proptest! {
        #[test]
        fn near_is_what_lies_within_the_tolerance_of_one_of_them(
            readings in vec((0..20_000_i64, 0..3_u8), 0..8),
            first in 0..20_000_i64,
            length in 0..3_000_i64,
        ) {
            let last = first + length;
            let near = |&(at, _): &(i64, u8)| at + 1_000 >= first && at - 1_000 <= last;
            let times = Times::of(&readings);
            prop_assert_eq!(times.are_near(first, last), readings.iter().any(near));
        }

        #[test]
        fn however_the_network_shifts_a_message_nothing_is_lost_and_nothing_comes_twice(
            gaps in vec(100..20_000_i64, 1..40),
            values in vec(0..3_u8, 40),
            shift in -40..40_i64,
            split in 0..40_usize,
        ) {
            let mut at = 1_763_800_000_000;
            let all: Vec<_> = gaps.iter().zip(&values).map(|(gap, value)| {
                at += gap;
                (at, *value)
            }).collect();
            let stored = all[..split.min(all.len())].to_vec();
            let again: Vec<_> = all.iter().map(|&(at, value)| (at + shift, value)).collect();
            let expected: Vec<_> = again[stored.len()..].to_vec();
            prop_assert_eq!(fresh(again, stored), expected);
        }

        #[test]
        fn what_is_left_is_of_the_message(
            late in vec((0..5_000_i64, 0..3_u8), 0..20),
            stored in vec((0..5_000_i64, 0..3_u8), 0..20),
        ) {
            let left = fresh(late.clone(), stored.clone());
            prop_assert!(left.len() + stored.len() >= late.len());
            prop_assert!(left.iter().all(|reading| late.contains(reading)));
        }
    }
}
