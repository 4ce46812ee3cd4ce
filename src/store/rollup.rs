//! Readings summed up: buckets of a minute in blocks of half a day, of an hour in blocks of a day.
//!
//! A block's body (version 1), all numbers as varints of Protocol Buffers:
//!
//! ```text
//! through u64     the last frame whose readings are in the block
//! count u64       number of buckets
//! then per run of buckets without a gap between them: how many are missing before it, and its
//! length (u64)
//! ```
//!
//! Then come five columns (see [`column`](mod@super::column)): of the numbers of readings, of the means, rounded
//! down, of what is left of the sums then, and of how far the lowest and the highest values are
//! from the means. A bucket of 60 readings with ±1 of noise takes 1.7 bytes in a full block of
//! minutes.

use super::{
    column,
    error::Corrupt,
    varint::{pull, push},
};
use crate::model::{Bucket, Timestamp, Width};

/// The version of the body that is written.
pub(super) const VERSION: u8 = 1;

/// Half a day in ms.
pub(super) const HALF_DAY: i64 = 43_200_000;
/// A day in ms.
pub(super) const DAY: i64 = 86_400_000;

/// How much time a block of buckets of this width covers, in ms.
pub(super) const fn span(width: Width) -> i64 {
    match width {
        Width::Minute => HALF_DAY,
        Width::Hour => DAY,
    }
}

/// Where the block begins that a time in ms since the Unix epoch belongs to.
pub(super) const fn block_start(width: Width, at: i64) -> i64 {
    at.div_euclid(span(width)) * span(width)
}

/// Sums readings up, whatever their order: buckets in the order of time.
pub(super) fn summarise(
    width: Width,
    readings: impl IntoIterator<Item = (i64, u8)>,
) -> Vec<Bucket> {
    collect(readings.into_iter().map(|(at, value)| Bucket::of(width, at, value)))
}

/// Sums buckets of minutes up to those of hours.
pub(super) fn widen(buckets: &[Bucket]) -> Vec<Bucket> {
    let hour = Width::Hour.millis();
    collect(buckets.iter().map(|bucket| {
        let start = bucket.start.millis().div_euclid(hour) * hour;
        Bucket { start: Timestamp::from_millis(start), ..*bucket }
    }))
}

/// All buckets of both, in the order of time; two of the same time become one.
pub(super) fn merge(mut a: Vec<Bucket>, b: &[Bucket]) -> Vec<Bucket> {
    a.extend(b);
    collect(a)
}

/// Sorts buckets by time, and makes one of those of the same time.
fn collect(buckets: impl IntoIterator<Item = Bucket>) -> Vec<Bucket> {
    // Neighbours first: most readings come in the order of time, and a minute has many.
    let mut collected = Vec::new();
    for bucket in buckets {
        add(&mut collected, bucket);
    }
    if collected.is_sorted_by(|a, b| a.start < b.start) {
        return collected;
    }
    collected.sort_by_key(|bucket| bucket.start);
    let mut sorted = Vec::with_capacity(collected.len());
    for bucket in collected {
        add(&mut sorted, bucket);
    }
    sorted
}

/// Appends a bucket, or adds it to the last where that is of the same time.
fn add(buckets: &mut Vec<Bucket>, bucket: Bucket) {
    match buckets.last_mut() {
        Some(last) if last.start == bucket.start => last.add(&bucket),
        _ => buckets.push(bucket),
    }
}

/// Buckets of one block of time, and which frames they sum up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The last frame whose readings they have.
    pub(super) through: u64,
    /// The buckets, in the order of time, each at most once.
    pub(super) buckets: Vec<Bucket>,
}

/// The most readings that a bucket can have: sums of as many, and of many such buckets, fit in
/// 64 bits.
const READINGS_MAX: u64 = 1 << 48;

/// How many columns there are.
const COLUMNS: usize = 5;

/// Encodes a block that begins at `start`, in ms since the Unix epoch: all its buckets are in the
/// [`span`] from there.
///
/// It fits into an envelope whatever the values are, as long as no minute has more than a million
/// readings.
pub(super) fn encode(width: Width, start: i64, block: &Block) -> Vec<u8> {
    let buckets = &block.buckets;
    let mut body = Vec::with_capacity(32 + 3 * buckets.len());
    push(&mut body, block.through);
    push(&mut body, buckets.len());
    let adjoins = |a: &Bucket, b: &Bucket| a.start.millis() + width.millis() == b.start.millis();
    let mut end = start;
    for run in buckets.chunk_by(adjoins) {
        let Some((first, last)) = run.first().zip(run.last()) else { continue };
        let missing = first.start.millis().abs_diff(end) / width.millis().unsigned_abs();
        push(&mut body, missing);
        push(&mut body, run.len());
        end = last.start.millis() + width.millis();
    }
    let rows: Vec<_> = buckets.iter().map(row_of).collect();
    for index in 0..COLUMNS {
        let column: Vec<_> = rows.iter().map(|row| row[index]).collect();
        column::push(&mut body, &column);
    }
    body
}

/// Decodes a block that begins at `start`.
pub(super) fn decode(width: Width, start: i64, body: &[u8]) -> Result<Block, Corrupt> {
    let mut rest = body;
    let through = pull(&mut rest)?;
    let starts = pull_starts(&mut rest, width, start)?;
    let mut columns = [const { Vec::new() }; COLUMNS];
    for column in &mut columns {
        *column = column::pull(&mut rest, starts.len())?;
    }
    if !rest.is_empty() {
        return Err(Corrupt::Body);
    }
    let row = |index: usize| columns.each_ref().map(|column| column[index]);
    let buckets = starts.into_iter().enumerate();
    let buckets = buckets.map(|(index, start)| bucket_of(start, row(index)).ok_or(Corrupt::Body));
    Ok(Block { through, buckets: buckets.collect::<Result<_, _>>()? })
}

/// Takes the runs of buckets, and tells where each bucket begins.
fn pull_starts(rest: &mut &[u8], width: Width, start: i64) -> Result<Vec<Timestamp>, Corrupt> {
    let slots = (span(width) / width.millis()).unsigned_abs();
    let mut left: u64 = pull(rest)?;
    let (mut starts, mut end) = (Vec::new(), 0_u64);
    while left > 0 {
        let missing: u64 = pull(rest)?;
        let run: u64 = pull(rest)?;
        let first = end.checked_add(missing).ok_or(Corrupt::Body)?;
        end = first.checked_add(run).filter(|&end| end <= slots).ok_or(Corrupt::Body)?;
        left = left.checked_sub(run).filter(|_| run > 0).ok_or(Corrupt::Body)?;
        let time = |slot: u64| start.saturating_add_unsigned(slot * width.millis().unsigned_abs());
        starts.extend((first..end).map(|slot| Timestamp::from_millis(time(slot))));
    }
    Ok(starts)
}

/// What a bucket has in each column.
fn row_of(bucket: &Bucket) -> [i64; COLUMNS] {
    let count = bucket.count.max(1);
    let (mean, remainder) = ((bucket.sum / count).cast_signed(), bucket.sum % count);
    let (below, above) = (mean - i64::from(bucket.min), i64::from(bucket.max) - mean);
    [count.cast_signed(), mean, remainder.cast_signed(), below, above]
}

/// The bucket that has this in the columns.
fn bucket_of(
    start: Timestamp,
    [count, mean, remainder, below, above]: [i64; COLUMNS],
) -> Option<Bucket> {
    let count = u64::try_from(count).ok().filter(|count| (1..=READINGS_MAX).contains(count))?;
    let mean = u8::try_from(mean).ok()?;
    let min = mean.checked_sub(u8::try_from(below).ok()?)?;
    let max = mean.checked_add(u8::try_from(above).ok()?)?;
    // A mean with a remainder is below the highest value.
    let remainder = u64::try_from(remainder).ok().filter(|&remainder| remainder < count)?;
    let possible = remainder == 0 || max > mean;
    possible.then_some(Bucket { start, min, max, sum: u64::from(mean) * count + remainder, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{envelope, sample};
    use proptest::{collection::vec, prelude::*, sample::subsequence};

    /// The key of a block that is not compacted yet, which is the longer one, in bytes.
    const KEY_LEN: usize = 25;

    fn width() -> impl Strategy<Value = Width> {
        prop_oneof![Just(Width::Minute), Just(Width::Hour)]
    }

    /// A bucket of up to so many readings, beginning at 0.
    fn bucket(most: u64) -> impl Strategy<Value = Bucket> {
        (any::<(u8, u8)>(), 1..=most, any::<prop::sample::Index>()).prop_map(
            |((a, b), count, at)| {
                let (min, max) = (a.min(b), a.max(b));
                let spread = u64::from(max - min) * count;
                let sum =
                    u64::from(min) * count + at.index(usize::try_from(spread).unwrap() + 1) as u64;
                Bucket { start: Timestamp::default(), min, max, sum, count }
            },
        )
    }

    /// A block's width, start, and content: some of its buckets.
    fn block(most: u64) -> impl Strategy<Value = (Width, i64, Block)> {
        (width(), any::<bool>(), any::<u64>(), -1000..1000i64).prop_flat_map(
            move |(width, full, through, number)| {
                let slots = usize::try_from(span(width) / width.millis()).unwrap();
                let slots = subsequence(
                    (0..).take(slots).collect::<Vec<i64>>(),
                    if full { slots..=slots } else { 0..=slots },
                );
                let start = number * span(width);
                (slots, vec(bucket(most), 720)).prop_map(move |(slots, buckets)| {
                    let place = |(slot, bucket): (i64, Bucket)| {
                        let start = Timestamp::from_millis(start + slot * width.millis());
                        Bucket { start, ..bucket }
                    };
                    let buckets = slots.into_iter().zip(buckets).map(place).collect();
                    (width, start, Block { through, buckets })
                })
            },
        )
    }

    fn readings() -> impl Strategy<Value = Vec<(i64, u8)>> {
        vec((-10_000_000..10_000_000i64, any::<u8>()), 0..300)
    }

    proptest! {
        #[test]
        fn blocks_come_back_as_they_went((width, start, block) in block(1 << 40)) {
            prop_assert_eq!(decode(width, start, &encode(width, start, &block)), Ok(block));
        }

        #[test]
        fn a_block_of_any_values_fits_into_an_envelope(
            (width, start, block) in block(1 << 20),
        ) {
            let body = encode(width, start, &block);
            prop_assert!(KEY_LEN + body.len() + envelope::OVERHEAD <= envelope::MAX);
        }

        #[test]
        fn buckets_are_the_sums_of_their_readings(width in width(), readings in readings()) {
            let buckets = summarise(width, readings.iter().copied());
            prop_assert!(buckets.is_sorted_by(|a, b| a.start < b.start));
            for bucket in &buckets {
                let start = bucket.start.millis();
                let within = || {
                    let end = start + width.millis();
                    let within = readings.iter().filter(move |(at, _)| (start..end).contains(at));
                    within.map(|&(_, value)| value)
                };
                prop_assert_eq!(within().min(), Some(bucket.min));
                prop_assert_eq!(within().max(), Some(bucket.max));
                prop_assert_eq!(within().map(u64::from).sum::<u64>(), bucket.sum);
                prop_assert_eq!(within().count() as u64, bucket.count);
            }
            let count: u64 = buckets.iter().map(|bucket| bucket.count).sum();
            prop_assert_eq!(count, readings.len() as u64);
        }

        #[test]
        fn merged_buckets_are_those_of_all_readings(
            width in width(),
            a in readings(),
            b in readings(),
        ) {
            let sums = |readings: &[(i64, u8)]| summarise(width, readings.iter().copied());
            prop_assert_eq!(merge(sums(&a), &sums(&b)), sums(&[a, b].concat()));
        }

        #[test]
        fn hours_made_of_minutes_are_those_of_the_readings(readings in readings()) {
            let sums = |width| summarise(width, readings.iter().copied());
            prop_assert_eq!(widen(&sums(Width::Minute)), sums(Width::Hour));
        }

        #[test]
        fn every_time_is_in_the_block_that_it_belongs_to(
            width in width(),
            at in Timestamp::MIN.millis()..=Timestamp::MAX.millis(),
        ) {
            let start = block_start(width, at);
            prop_assert!((start..start + span(width)).contains(&at));
            prop_assert_eq!(start % span(width), 0);
            prop_assert!(start >= Timestamp::MIN.millis());
        }

        #[test]
        fn a_cut_body_is_refused(
            (width, start, block) in block(1000),
            at: prop::sample::Index,
        ) {
            let body = encode(width, start, &block);
            prop_assert_eq!(decode(width, start, &body[..at.index(body.len())]), Err(Corrupt::Body));
        }

        #[test]
        fn what_comes_of_flipped_bits_is_refused_or_possible(
            (width, start, block) in block(1000),
            flips in vec((any::<prop::sample::Index>(), 0..8), 1..4),
        ) {
            let mut body = encode(width, start, &block);
            for (at, bit) in flips {
                let at = at.index(body.len());
                body[at] ^= 1u8 << bit;
            }
            if let Ok(Block { buckets, .. }) = decode(width, start, &body) {
                prop_assert!(buckets.is_sorted_by(|a, b| a.start < b.start));
                for bucket in buckets {
                    prop_assert_eq!(block_start(width, bucket.start.millis()), start);
                    prop_assert!(u64::from(bucket.min) * bucket.count <= bucket.sum);
                    prop_assert!(bucket.sum <= u64::from(bucket.max) * bucket.count);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            width in width(),
            start: i64,
            body in vec(any::<u8>(), 0..600),
        ) {
            let _ = decode(width, start, &body);
            // Past the runs as well.
            let body = [&[1, 20, 0, 20], &body[..]].concat();
            let _ = decode(width, start, &body);
        }
    }

    /// Buckets of a sensor that is read each second.
    fn sensor(width: Width, series: u32) -> (i64, Block) {
        let seconds = u32::try_from(span(width) / 1000).unwrap();
        let readings = (0..2 * seconds).map(|second| sample::reading(series, second));
        let mut buckets = summarise(width, readings);
        let start = block_start(width, buckets[0].start.millis() + span(width));
        let end = start + span(width);
        buckets.retain(|bucket| (start..end).contains(&bucket.start.millis()));
        (start, Block { through: 300_000, buckets })
    }

    #[test]
    fn a_sensors_minute_takes_less_than_1_75_bytes_and_its_hour_less_than_7() {
        for (width, count, most) in [(Width::Minute, 720, 1.75), (Width::Hour, 24, 7.0)] {
            let (mut bytes, mut buckets) = (0_u32, 0_u32);
            for series in 0..20 {
                let (start, block) = sensor(width, series);
                assert_eq!(block.buckets.len(), count);
                bytes += u32::try_from(encode(width, start, &block).len()).unwrap();
                buckets += u32::try_from(count).unwrap();
            }
            let each = f64::from(bytes) / f64::from(buckets);
            assert!(each < most, "{each} bytes a bucket");
        }
    }

    #[test]
    fn a_fresh_block_of_one_bucket_takes_at_most_20_bytes_and_of_34_buckets_130() {
        let (start, block) = sensor(Width::Minute, 1);
        for (count, most) in [(1, 20), (34, 130)] {
            let block =
                Block { through: 300_000, buckets: block.buckets[700 - count..700].to_vec() };
            let len = encode(Width::Minute, start, &block).len();
            assert!(len <= most, "{len} bytes for {count} buckets");
        }
    }
}
