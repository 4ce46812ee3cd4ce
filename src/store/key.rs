//! The keys: one tree, whose tables are told apart by the key's first byte.
//!
//! | key | value (version of the body) |
//! | --- | --- |
//! | `00 name` | single values (1: postcard): the hub's counters under `marks`, the last time that was certain under `clock`, what was written to the card under `wear`, the number of the store under `lineage` |
//! | `00 "uncertain " time i64` | a span in which the time was a guess, by its begin (1: postcard) |
//! | `01 device u32` | a device's record (1: postcard) |
//! | `02 device u32, time i64, order u64` | a line of a device's log (1: JSON) |
//! | `03 device u32` | tombstone of a removed device (1: postcard) |
//! | `04 device u32` | what a device's log takes (1: postcard) |
//! | `10 sequence u64, part u8` | a write-ahead frame of readings (1: see [`frame`](super::frame)) |
//! | `20 series u64, first i64, through u64, part u16` | a sealed chunk of readings (1: see [`chunk`](mod@super::chunk)) |
//! | `21 series u64` | what is known of a series (1: postcard) |
//! | `30 width u8, series u64, start i64` | compacted buckets: of minutes (1) in half a day, of hours (2) in a day (1: see [`rollup`](super::rollup)) |
//! | `31 series u64, start i64, through u64` | buckets of minutes of one seal in half a day (1: as above) |
//!
//! Integers are big-endian, so that keys sort as their numbers do; times are milliseconds since
//! the Unix epoch with the sign bit flipped, for the same reason. A frame's sequence number
//! counts the commits that had readings; a log line's order keeps lines of the same millisecond
//! apart and in the order of their arrival. `through` is the last frame whose readings are in the
//! value; `part` tells apart the chunks of one seal.

use super::series::Series;
use crate::model::{DeviceId, Timestamp, Width};

/// The table of the hub's counters.
pub(super) const META: u8 = 0x00;
/// The table of device records.
pub(super) const DEVICE: u8 = 0x01;
/// The table of log lines.
pub(super) const LOG: u8 = 0x02;
/// The table of tombstones.
pub(super) const REMOVED: u8 = 0x03;
/// The table of what the devices' logs take.
pub(super) const LOG_USAGE: u8 = 0x04;
/// The table of write-ahead frames.
pub(super) const FRAME: u8 = 0x10;
/// The table of sealed chunks.
pub(super) const CHUNK: u8 = 0x20;
/// The table of series.
pub(super) const SERIES: u8 = 0x21;
/// The table of compacted buckets.
pub(super) const BLOCK: u8 = 0x30;
/// The table of buckets that are not compacted yet.
pub(super) const FRESH: u8 = 0x31;

/// The key of the hub's counters.
pub(super) fn marks() -> Vec<u8> {
    [&[META], &b"marks"[..]].concat()
}

/// The key of the last time that was certain.
pub(super) fn clock() -> Vec<u8> {
    [&[META], &b"clock"[..]].concat()
}

/// The key of what was written to the card.
pub(super) fn wear() -> Vec<u8> {
    [&[META], &b"wear"[..]].concat()
}

/// What the keys of all spans of uncertain time begin with.
const UNCERTAIN: &[u8] = b"\0uncertain ";

/// The key of the span of uncertain time that begins at `from`.
pub(super) fn uncertain(from: Timestamp) -> Vec<u8> {
    [UNCERTAIN, &time(from.millis())].concat()
}

/// Whether a key is that of a span of uncertain time.
pub(super) fn is_uncertain(key: &[u8]) -> bool {
    key.starts_with(UNCERTAIN)
}

/// The keys of all spans of uncertain time: from the first, to one after the last.
pub(super) fn uncertain_all() -> [Vec<u8>; 2] {
    [UNCERTAIN.to_vec(), [UNCERTAIN, &[0xFF; 9]].concat()]
}

/// The key of the number that says which store this is.
pub(super) fn lineage() -> Vec<u8> {
    [&[META], &b"lineage"[..]].concat()
}

/// The key of a device's record.
pub(super) fn device(id: DeviceId) -> Vec<u8> {
    [&[DEVICE], &id.0.to_be_bytes()[..]].concat()
}

/// The key of a removed device's tombstone.
pub(super) fn removed(id: DeviceId) -> Vec<u8> {
    [&[REMOVED], &id.0.to_be_bytes()[..]].concat()
}

/// What the keys of all lines of a device's log begin with.
pub(super) fn log_prefix(id: DeviceId) -> Vec<u8> {
    [&[LOG], &id.0.to_be_bytes()[..]].concat()
}

/// The key of a log line; with an order of 0, the first that a line of that time can have.
pub(super) fn log(id: DeviceId, at: Timestamp, order: u64) -> Vec<u8> {
    [&log_prefix(id)[..], &time(at.millis()), &order.to_be_bytes()].concat()
}

/// Device, time and order of such a key.
pub(super) fn log_of(key: &[u8]) -> Option<(DeviceId, i64, u64)> {
    let mut rest = key.strip_prefix(&[LOG])?;
    let device = DeviceId(u32::from_be_bytes(take(&mut rest)?));
    let at = time_of(take(&mut rest)?);
    let order = u64::from_be_bytes(take(&mut rest)?);
    rest.is_empty().then_some((device, at, order))
}

/// A key after those of all lines of a device's log.
pub(super) fn log_end(id: DeviceId) -> Vec<u8> {
    [&log_prefix(id)[..], &[0xFF; 17]].concat()
}

/// The key of a part of a frame; with part 0, the first of that frame.
pub(super) fn frame(sequence: u64, part: u8) -> Vec<u8> {
    [&[FRAME], &sequence.to_be_bytes()[..], &[part]].concat()
}

/// The key of what a device's log takes.
pub(super) fn log_usage(id: DeviceId) -> Vec<u8> {
    [&[LOG_USAGE], &id.0.to_be_bytes()[..]].concat()
}

/// What tells the chunks of all time apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Chunk {
    /// Whose readings it has.
    pub(super) series: Series,
    /// The time of the first, in ms since the Unix epoch.
    pub(super) first: i64,
    /// The last frame whose readings it has.
    pub(super) through: u64,
    /// Which of the chunks of its seal it is.
    pub(super) part: u16,
}

/// The key of a chunk; with `through` and `part` 0, the first that can begin at that time.
pub(super) fn chunk(chunk: Chunk) -> Vec<u8> {
    let Chunk { series, first, through, part } = chunk;
    let series = series.number().to_be_bytes();
    [&[CHUNK], &series[..], &time(first), &through.to_be_bytes(), &part.to_be_bytes()].concat()
}

/// What a chunk's key says.
pub(super) fn chunk_of(key: &[u8]) -> Option<Chunk> {
    let mut rest = key.strip_prefix(&[CHUNK])?;
    let series = Series::from_number(u64::from_be_bytes(take(&mut rest)?));
    let first = time_of(take(&mut rest)?);
    let through = u64::from_be_bytes(take(&mut rest)?);
    let part = u16::from_be_bytes(take(&mut rest)?);
    rest.is_empty().then_some(Chunk { series, first, through, part })
}

/// The key of a series.
pub(super) fn series(series: Series) -> Vec<u8> {
    [&[SERIES], &series.number().to_be_bytes()[..]].concat()
}

/// The series of such a key.
pub(super) fn series_of(key: &[u8]) -> Option<Series> {
    let number = key.strip_prefix(&[SERIES])?.try_into().ok()?;
    Some(Series::from_number(u64::from_be_bytes(number)))
}

/// The key of compacted buckets; `start` is where their half day or day begins, in ms since the
/// Unix epoch.
pub(super) fn block(width: Width, series: Series, start: i64) -> Vec<u8> {
    let series = series.number().to_be_bytes();
    [&[BLOCK, tier(width)], &series[..], &time(start)].concat()
}

/// Width, series and start of such a key.
pub(super) fn block_of(key: &[u8]) -> Option<(Width, Series, i64)> {
    let (&number, mut rest) = key.strip_prefix(&[BLOCK])?.split_first()?;
    let width = [Width::Minute, Width::Hour].into_iter().find(|&width| tier(width) == number)?;
    let series = Series::from_number(u64::from_be_bytes(take(&mut rest)?));
    let start = time_of(take(&mut rest)?);
    rest.is_empty().then_some((width, series, start))
}

/// The key of buckets that are not compacted yet.
pub(super) fn fresh(series: Series, start: i64, through: u64) -> Vec<u8> {
    let series = series.number().to_be_bytes();
    [&[FRESH], &series[..], &time(start), &through.to_be_bytes()].concat()
}

/// Series, start and `through` of such a key.
pub(super) fn fresh_of(key: &[u8]) -> Option<(Series, i64, u64)> {
    let mut rest = key.strip_prefix(&[FRESH])?;
    let series = Series::from_number(u64::from_be_bytes(take(&mut rest)?));
    let start = time_of(take(&mut rest)?);
    let through = u64::from_be_bytes(take(&mut rest)?);
    rest.is_empty().then_some((series, start, through))
}

const fn tier(width: Width) -> u8 {
    match width {
        Width::Minute => 1,
        Width::Hour => 2,
    }
}

const fn time(millis: i64) -> [u8; 8] {
    (millis.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

const fn time_of(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

/// The device of the key of a record, a log line, a tombstone or what a log takes.
pub(super) fn device_of(key: &[u8]) -> Option<DeviceId> {
    let (&(DEVICE | LOG | REMOVED | LOG_USAGE), rest) = key.split_first()? else { return None };
    rest.first_chunk().map(|id| DeviceId(u32::from_be_bytes(*id)))
}

/// The device of a log line's key.
pub(super) fn log_device_of(key: &[u8]) -> Option<DeviceId> {
    (key.first() == Some(&LOG)).then(|| device_of(key))?
}

/// The time of a log line's key.
pub(super) fn log_time_of(key: &[u8]) -> Option<Timestamp> {
    let mut rest = key.strip_prefix(&log_prefix(log_device_of(key)?)[..])?;
    Some(Timestamp::from_millis(time_of(take(&mut rest)?)))
}

/// The sequence number of a frame's key.
pub(super) fn sequence_of(key: &[u8]) -> Option<u64> {
    let (&FRAME, rest) = key.split_first()? else { return None };
    let (sequence, [_part]) = rest.split_first_chunk()? else { return None };
    Some(u64::from_be_bytes(*sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn keys_come_back_as_they_went(id: u32, sequence: u64, part: u8, order: u64) {
            let id = DeviceId(id);
            prop_assert_eq!(device_of(&device(id)), Some(id));
            prop_assert_eq!(device_of(&removed(id)), Some(id));
            prop_assert_eq!(device_of(&log(id, Timestamp::MIN, order)), Some(id));
            let line = (id, Timestamp::MIN.millis(), order);
            prop_assert_eq!(log_of(&log(id, Timestamp::MIN, order)), Some(line));
            prop_assert_eq!(sequence_of(&frame(sequence, part)), Some(sequence));
            prop_assert_eq!(device_of(&frame(sequence, part)), None);
            prop_assert_eq!(sequence_of(&device(id)), None);
        }

        #[test]
        fn log_keys_sort_by_device_time_and_order(
            a: (u32, i64, u64),
            b: (u32, i64, u64),
        ) {
            let [a, b] = [a, b].map(|(id, at, order)| {
                (DeviceId(id), Timestamp::from_millis(at >> 16), order)
            });
            prop_assert_eq!(log(a.0, a.1, a.2).cmp(&log(b.0, b.1, b.2)), a.cmp(&b));
            prop_assert!(log(a.0, a.1, a.2) < log_end(a.0));
            prop_assert!(a.0 >= b.0 || log_end(a.0) < log(b.0, b.1, b.2));
        }

        #[test]
        fn frame_keys_sort_by_sequence_and_part(a: (u64, u8), b: (u64, u8)) {
            prop_assert_eq!(frame(a.0, a.1).cmp(&frame(b.0, b.1)), a.cmp(&b));
        }

        #[test]
        fn keys_of_a_series_come_back_and_sort_by_time(
            number: u64,
            a: (i64, u64, u16),
            b: (i64, u64, u16),
        ) {
            let series = Series::from_number(number);
            let [a, b] = [a, b].map(|(first, through, part)| Chunk { series, first, through, part });
            prop_assert_eq!(chunk_of(&chunk(a)), Some(a));
            prop_assert_eq!(chunk(a).cmp(&chunk(b)), a.cmp(&b));
            prop_assert_eq!(series_of(&super::series(series)), Some(series));
            for width in [Width::Minute, Width::Hour] {
                let key = block(width, series, a.first);
                prop_assert_eq!(block_of(&key), Some((width, series, a.first)));
                prop_assert_eq!(key.cmp(&block(width, series, b.first)), a.first.cmp(&b.first));
            }
            let key = fresh(series, a.first, a.through);
            prop_assert_eq!(fresh_of(&key), Some((series, a.first, a.through)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(key in vec(any::<u8>(), 0..30)) {
            let _ = (device_of(&key), sequence_of(&key), log_of(&key), chunk_of(&key), series_of(&key));
            let _ = (block_of(&key), fresh_of(&key));
        }
    }
}
