//! Write-ahead frames: the readings of one commit, in parts of at most 4 KiB.
//!
//! A part's body (version 1), all numbers as varints of Protocol Buffers (signed ones in zigzag):
//!
//! ```text
//! base i64        time of the part's first reading, ms since the Unix epoch
//! before u64      base minus the earliest time
//! after u64       the latest time minus base
//! count u64       number of readings
//! first u64       lowest series
//! span u64        highest series minus the lowest
//! then per reading: series minus the one before (u64), time minus the one before (i64), value u8
//! ```
//!
//! Readings are sorted by series and keep the order of their arrival within one, so that the last
//! reading of a series is the last that came, even where the clock stepped back between two.
//! A reader that looks for one series in some span of time skips a part by its head alone.

use super::{
    envelope,
    error::Corrupt,
    series::Series,
    varint::{pull, push},
};
use integer_encoding::VarInt;

/// The version of the body that is written.
pub(super) const VERSION: u8 = 1;

/// One reading in a frame: series, time in ms since the Unix epoch, value.
pub(super) type Entry = (Series, i64, u8);

/// The most bytes that a part's value takes in the tree.
const PART_MAX: usize = 4096;
/// The key of a part, in bytes.
const KEY_LEN: usize = 10;
/// The longest varint, in bytes.
const VARINT_MAX: usize = 10;
/// What is left for the readings of a part when its head is at its longest.
const READINGS_MAX: usize = PART_MAX - envelope::OVERHEAD - KEY_LEN - 6 * VARINT_MAX;

/// What the head of a part says of its readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The earliest time, in ms since the Unix epoch.
    pub(super) earliest: i64,
    /// The latest time.
    pub(super) latest: i64,
    /// How many readings there are.
    pub(super) count: u64,
    /// The lowest series.
    pub(super) first: Series,
    /// The highest series.
    pub(super) last: Series,
    base: i64,
}

/// Encodes the readings of a commit, sorted by series and in the order of their arrival within
/// one, into the bodies of parts.
pub(super) fn encode(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut rest = entries;
    while let Some((part, taken)) = encode_part(rest) {
        parts.push(part);
        rest = &rest[taken..];
    }
    parts
}

/// The part that takes as many of the entries as fit, and how many those are.
fn encode_part(entries: &[Entry]) -> Option<(Vec<u8>, usize)> {
    let &(first, base, _) = entries.first()?;
    let mut head = Head { earliest: base, latest: base, count: 0, first, last: first, base };
    let mut readings = Vec::with_capacity(READINGS_MAX.min(entries.len() * 5));
    let (mut series, mut time) = (first, base);
    let mut taken = 0;
    for &(next, at, value) in entries {
        let (step, delta) = (next.number() - series.number(), at - time);
        if readings.len() + step.required_space() + delta.required_space() + 1 > READINGS_MAX {
            break;
        }
        push(&mut readings, step);
        push(&mut readings, delta);
        readings.push(value);
        (series, time) = (next, at);
        head.earliest = head.earliest.min(at);
        head.latest = head.latest.max(at);
        head.last = next;
        head.count += 1;
        taken += 1;
    }
    let mut body = Vec::with_capacity(6 * VARINT_MAX + readings.len());
    push(&mut body, base);
    push(&mut body, base.abs_diff(head.earliest));
    push(&mut body, head.latest.abs_diff(base));
    push(&mut body, head.count);
    push(&mut body, first.number());
    push(&mut body, head.last.number() - first.number());
    body.extend(readings);
    Some((body, taken))
}

/// Decodes the head of a part; the rest is for [`decode`].
pub(super) fn head(body: &[u8]) -> Result<(Head, &[u8]), Corrupt> {
    let mut rest = body;
    let base: i64 = pull(&mut rest)?;
    let earliest = base.checked_sub_unsigned(pull(&mut rest)?).ok_or(Corrupt::Body)?;
    let latest = base.checked_add_unsigned(pull(&mut rest)?).ok_or(Corrupt::Body)?;
    let count = pull(&mut rest)?;
    let first: u64 = pull(&mut rest)?;
    let last = first.checked_add(pull(&mut rest)?).ok_or(Corrupt::Body)?;
    let (first, last) = (Series::from_number(first), Series::from_number(last));
    Ok((Head { earliest, latest, count, first, last, base }, rest))
}

/// Decodes the readings that follow a head, in the order in which they were encoded.
pub(super) fn decode(head: &Head, mut rest: &[u8]) -> Result<Vec<Entry>, Corrupt> {
    // Three bytes are the least that a reading takes: a head can't ask for more room than it has.
    let mut entries =
        Vec::with_capacity(usize::try_from(head.count).unwrap_or(usize::MAX).min(rest.len() / 3));
    let (mut series, mut time) = (head.first.number(), head.base);
    for _ in 0..head.count {
        series = series.checked_add(pull(&mut rest)?).ok_or(Corrupt::Body)?;
        time = time.checked_add(pull(&mut rest)?).ok_or(Corrupt::Body)?;
        let (&value, after) = rest.split_first().ok_or(Corrupt::Body)?;
        rest = after;
        entries.push((Series::from_number(series), time, value));
    }
    if rest.is_empty() { Ok(entries) } else { Err(Corrupt::Body) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use proptest::{collection::vec, prelude::*};

    fn decoded(parts: &[Vec<u8>]) -> Vec<Entry> {
        let part = |part: &Vec<u8>| {
            let (found, rest) = head(part).unwrap();
            decode(&found, rest).unwrap()
        };
        parts.iter().flat_map(part).collect()
    }

    fn entry(millis: impl Strategy<Value = i64>) -> impl Strategy<Value = Entry> {
        (0..40u64, any::<bool>(), millis, any::<u8>()).prop_map(|(series, far, at, value)| {
            (Series::from_number(if far { series << 30 } else { series }), at, value)
        })
    }

    proptest! {
        #[test]
        fn readings_come_back_by_series_in_the_order_of_their_arrival(
            near in vec(entry(1_763_800_000_000..1_763_800_060_000_i64), 0..3000),
            far in vec(entry(Timestamp::MIN.millis()..=Timestamp::MAX.millis()), 0..300),
        ) {
            let mut entries = [near, far].concat();
            entries.sort_by_key(|entry| entry.0);
            let parts = encode(&entries);
            for part in &parts {
                prop_assert!(part.len() + envelope::OVERHEAD + KEY_LEN <= PART_MAX);
            }
            prop_assert_eq!(decoded(&parts), entries);
        }

        #[test]
        fn a_head_says_what_its_part_holds(
            mut entries in vec(entry(0..100_000_i64), 1..2000),
        ) {
            entries.sort_by_key(|entry| entry.0);
            for part in encode(&entries) {
                let readings = decoded(std::slice::from_ref(&part));
                let (head, _) = head(&part).unwrap();
                let times = || readings.iter().map(|reading| reading.1);
                prop_assert_eq!(times().min(), Some(head.earliest));
                prop_assert_eq!(times().max(), Some(head.latest));
                prop_assert_eq!(readings.len() as u64, head.count);
                prop_assert_eq!(readings.first().map(|reading| reading.0), Some(head.first));
                prop_assert_eq!(readings.last().map(|reading| reading.0), Some(head.last));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(body in vec(any::<u8>(), 0..300)) {
            if let Ok((head, rest)) = head(&body) {
                let _ = decode(&head, rest);
            }
        }

        #[test]
        fn a_cut_body_is_refused(mut entries in vec(entry(0..100_000_i64), 1..100), at: prop::sample::Index) {
            entries.sort_by_key(|entry| entry.0);
            let part = encode(&entries).remove(0);
            let cut = &part[..at.index(part.len())];
            prop_assert!(head(cut).and_then(|(head, rest)| decode(&head, rest)).is_err());
        }
    }

    #[test]
    fn a_thousand_readings_of_a_second_take_little_more_than_four_bytes_each() {
        let reading =
            |n: u32| (Series::from_number(u64::from(n) * 3), 1_763_800_000_000 + i64::from(n), 58);
        let parts = encode(&(0..1000).map(reading).collect::<Vec<_>>());
        let bytes: usize = parts.iter().map(Vec::len).sum();
        assert!(bytes < 4500, "{bytes} bytes");
        assert!(encode(&[]).is_empty());
    }
}
