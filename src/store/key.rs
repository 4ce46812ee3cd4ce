//! The keys: one tree, whose tables are told apart by the key's first byte.
//!
//! | key | value (version of the body) |
//! | --- | --- |
//! | `00 name` | the hub's counters under `marks` (1: postcard) |
//! | `01 device u32` | a device's record (1: postcard) |
//! | `02 device u32, time i64, order u64` | a line of a device's log (1: JSON) |
//! | `03 device u32` | tombstone of a removed device (1: postcard) |
//! | `10 sequence u64, part u8` | a write-ahead frame of readings (1: see [`frame`](super::frame)) |
//! | `20 series u64, time i64` | reserved: sealed chunks of readings |
//! | `30 tier u8, series u64, time i64` | reserved: rollups |
//!
//! Integers are big-endian, so that keys sort as their numbers do; times are milliseconds since
//! the Unix epoch with the sign bit flipped, for the same reason. A frame's sequence number
//! counts the commits that had readings; a log line's order keeps lines of the same millisecond
//! apart and in the order of their arrival.

use crate::model::{DeviceId, Timestamp};

/// The table of the hub's counters.
const META: u8 = 0x00;
/// The table of device records.
pub(super) const DEVICE: u8 = 0x01;
/// The table of log lines.
const LOG: u8 = 0x02;
/// The table of tombstones.
pub(super) const REMOVED: u8 = 0x03;
/// The table of write-ahead frames.
pub(super) const FRAME: u8 = 0x10;

/// The key of the hub's counters.
pub(super) fn marks() -> Vec<u8> {
    [&[META], &b"marks"[..]].concat()
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
    let at = at.millis().cast_unsigned() ^ (1 << 63);
    [&log_prefix(id)[..], &at.to_be_bytes(), &order.to_be_bytes()].concat()
}

/// A key after those of all lines of a device's log.
pub(super) fn log_end(id: DeviceId) -> Vec<u8> {
    [&log_prefix(id)[..], &[0xFF; 17]].concat()
}

/// The key of a part of a frame; with part 0, the first of that frame.
pub(super) fn frame(sequence: u64, part: u8) -> Vec<u8> {
    [&[FRAME], &sequence.to_be_bytes()[..], &[part]].concat()
}

/// The device of a record's, log line's or tombstone's key.
pub(super) fn device_of(key: &[u8]) -> Option<DeviceId> {
    let (&(DEVICE | LOG | REMOVED), rest) = key.split_first()? else { return None };
    rest.first_chunk().map(|id| DeviceId(u32::from_be_bytes(*id)))
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
        fn arbitrary_bytes_never_panic(key in vec(any::<u8>(), 0..30)) {
            let _ = (device_of(&key), sequence_of(&key));
        }
    }
}
