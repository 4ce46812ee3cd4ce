//! The bodies of device records, counters, log lines, tombstones and what is known of a series.
//!
//! All but log lines are postcard; a log line is JSON, since its kind is an
//! internally tagged enum, which only a self-describing format can read back.

use super::series::Series;
use super::{
    envelope,
    error::{Corrupt, StoreError},
    key,
    wear::Written,
};
use crate::model::{ChannelState, ClockMark, DeviceId, DeviceRecord, LogEntry, Marks, TimeSpan};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version of the body of a log line.
const LOG_VERSION: u8 = 1;

/// What is kept under a key of its own, in postcard.
pub(super) trait Body: Serialize + DeserializeOwned {
    /// The version that is written.
    const VERSION: u8 = 1;

    /// Reads a body of another version.
    fn decode_older(version: u8, _body: &[u8]) -> Result<Self, Corrupt> {
        Err(Corrupt::Version(version))
    }
}

impl Body for Marks {}
impl Body for Tombstone {}
impl Body for SeriesRecord {}
impl Body for LogUsage {}
impl Body for ClockMark {}
impl Body for TimeSpan {}
impl Body for Written {}
/// The number of the store.
impl Body for u128 {}

impl Body for DeviceRecord {
    const VERSION: u8 = 3;

    /// Older versions end earlier: 1 before `replaced` and `revision`, 2 before the two wishes. What
    /// postcard has for `None`, 0 and the open wish, a byte of zero each, makes version 3 of them.
    fn decode_older(version: u8, body: &[u8]) -> Result<Self, Corrupt> {
        let missing: &[u8] = match version {
            1 => &[0; 4],
            2 => &[0; 2],
            _ => return Err(Corrupt::Version(version)),
        };
        decode(&[body, missing].concat())
    }
}

/// A key and the value to keep under it.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// What is kept of a removed device: readings share frames, so they can't be deleted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    /// The last frame that may hold readings of the device: once it and all before it have been
    /// rewritten or dropped, the tombstone can go.
    pub(super) last_frame: u64,
}

/// What is known of a series beside its readings, as of its last seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct SeriesRecord {
    /// The readings of all frames up to this one are in chunks.
    pub(super) sealed: u64,
    /// The longest time that any of its chunks spans, in ms.
    pub(super) span_max: u32,
    /// How many readings its chunks hold.
    pub(super) readings: u64,
    /// What its chunks take, in bytes of keys and values.
    pub(super) raw_bytes: u64,
    /// What its buckets of minutes take, compacted or not.
    pub(super) minute_bytes: u64,
    /// What its buckets of hours take.
    pub(super) hour_bytes: u64,
    /// The last reading, in the order of their arrival.
    pub(super) last: Option<ChannelState>,
}

/// What a device's log takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct LogUsage {
    /// How many lines.
    pub(super) lines: u64,
    /// Bytes of keys and values.
    pub(super) bytes: u64,
}

/// What is known of a series.
pub(super) fn series(series: Series, record: &SeriesRecord) -> Result<Pair, StoreError> {
    seal(key::series(series), record, "a series")
}

/// What a device's log takes.
pub(super) fn log_usage(id: DeviceId, usage: &LogUsage) -> Result<Pair, StoreError> {
    seal(key::log_usage(id), usage, "the size of a log")
}

/// A device's record.
pub(super) fn device(record: &DeviceRecord) -> Result<Pair, StoreError> {
    seal(key::device(record.id), record, "a device record")
}

/// The hub's counters.
pub(super) fn marks(marks: &Marks) -> Result<Pair, StoreError> {
    seal(key::marks(), marks, "the counters")
}

/// The last time that was certain.
pub(super) fn clock(mark: &ClockMark) -> Result<Pair, StoreError> {
    seal(key::clock(), mark, "the time")
}

/// What was written to the card.
pub(super) fn wear(written: Written) -> Result<Pair, StoreError> {
    seal(key::wear(), &written, "what was written")
}

/// A span in which the time was a guess.
pub(super) fn uncertain(span: &TimeSpan) -> Result<Pair, StoreError> {
    seal(key::uncertain(span.from), span, "a span of uncertain time")
}

/// The number that says which store this is.
pub(super) fn lineage(number: u128) -> Result<Pair, StoreError> {
    seal(key::lineage(), &number, "the number of the store")
}

/// A removed device's tombstone.
pub(super) fn tombstone(id: DeviceId, tombstone: Tombstone) -> Result<Pair, StoreError> {
    seal(key::removed(id), &tombstone, "a tombstone")
}

/// A line of a device's log; `order` says which came first of two of the same millisecond.
pub(super) fn log(id: DeviceId, entry: &LogEntry, order: u64) -> Result<Pair, StoreError> {
    let key = key::log(id, entry.at, order);
    let what = "a log line";
    let body = serde_json::to_vec(entry)
        .map_err(|error| StoreError::Encoding { what, detail: error.to_string() })?;
    let value = envelope::seal(&key, LOG_VERSION, &body, what)?;
    Ok((key, value))
}

/// Reads anything but a log line back.
pub(super) fn open<T: Body>(key: &[u8], value: &[u8]) -> Result<T, Corrupt> {
    match envelope::open(key, value)? {
        (version, body) if version == T::VERSION => decode(body),
        (version, body) => T::decode_older(version, body),
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Corrupt> {
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Ok(record),
        _ => Err(Corrupt::Body),
    }
}

/// Reads a log line back.
pub(super) fn open_log(key: &[u8], value: &[u8]) -> Result<LogEntry, Corrupt> {
    let body = envelope::open_version(key, LOG_VERSION, value)?;
    serde_json::from_slice(body).map_err(|_| Corrupt::Body)
}

fn seal<T: Body>(key: Vec<u8>, record: &T, what: &'static str) -> Result<Pair, StoreError> {
    let body = postcard::to_stdvec(record)
        .map_err(|error| StoreError::Encoding { what, detail: error.to_string() })?;
    let value = envelope::seal(&key, T::VERSION, &body, what)?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Channel, CommandState, LogKind, Replaced, SESSIONS_OPEN_MAX, Timestamp, Wish,
    };
    use capteur_protocol::{Mac, Name, Pair, SessionId};
    use proptest::{collection::vec, prelude::*};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn session(micros: u64) -> SessionId {
        SessionId::from_micros(micros).unwrap()
    }

    /// The largest record that a device can have.
    fn largest() -> DeviceRecord {
        let pair = Pair { name: name(&"x".repeat(29)), session: SessionId::MAX };
        DeviceRecord {
            id: DeviceId(u32::MAX),
            mac: Mac([255; 6]),
            name: pair.name.clone(),
            first_seen: Timestamp::MIN,
            last_seen: Timestamp::MAX,
            joined_at: Some(Timestamp::MAX),
            left_at: Some(Timestamp::MAX),
            session: Some(pair.clone()),
            offered: vec![pair.clone(); SESSIONS_OPEN_MAX],
            replaced: Some(Replaced {
                mac: Mac([255; 6]),
                at: Timestamp::MAX,
                absorbed: Some(DeviceId(u32::MAX)),
            }),
            revision: u32::MAX,
            wish: Wish::Heard(Box::new(pair.name.clone())),
            former_wish: Wish::Heard(Box::new(pair.name.clone())),
        }
    }

    /// A device with little to remember.
    fn seventh() -> DeviceRecord {
        DeviceRecord {
            id: DeviceId(7),
            mac: Mac([0x61, 0xEC, 0xED, 0x3B, 0x25, 0xB1]),
            name: name("capteur01"),
            first_seen: Timestamp::from_millis(1),
            last_seen: Timestamp::from_millis(2),
            joined_at: Some(Timestamp::from_millis(3)),
            left_at: None,
            session: None,
            offered: Vec::new(),
            replaced: None,
            revision: 0,
            wish: Wish::Open,
            former_wish: Wish::Open,
        }
    }

    #[test]
    fn the_largest_device_record_fits_and_comes_back() {
        let record = largest();
        let (key, value) = device(&record).unwrap();
        assert!(value.len() <= 4_600, "{} bytes", value.len());
        assert_eq!(open(&key, &value), Ok(record));
    }

    #[test]
    fn a_device_record_of_version_1_is_read() {
        // As the first version of the hub wrote it.
        let body = [
            &[7][..],
            &[0x61, 0xEC, 0xED, 0x3B, 0x25, 0xB1],
            &[9],
            b"capteur01",
            &[2, 4, 1, 6, 0, 0, 0],
        ]
        .concat();
        let key = key::device(DeviceId(7));
        let value = envelope::seal(&key, 1, &body, "a test").unwrap();
        assert_eq!(open(&key, &value), Ok(seventh()));
        let value = envelope::seal(&key, 4, &body, "a test").unwrap();
        assert_eq!(open::<DeviceRecord>(&key, &value), Err(Corrupt::Version(4)));
    }

    #[test]
    fn a_device_record_of_version_2_is_read() {
        // As the hub wrote it before boards could wish for a name.
        let body = [
            &[7][..],
            &[0x61, 0xEC, 0xED, 0x3B, 0x25, 0xB1],
            &[9],
            b"capteur01",
            &[2, 4, 1, 6, 0, 0, 0],
            &[1, 1, 2, 3, 4, 5, 6, 8, 1, 5],
            &[42],
        ]
        .concat();
        let key = key::device(DeviceId(7));
        let value = envelope::seal(&key, 2, &body, "a test").unwrap();
        let at = Timestamp::from_millis(4);
        let absorbed = Some(DeviceId(5));
        let replaced = Some(Replaced { mac: Mac([1, 2, 3, 4, 5, 6]), at, absorbed });
        let record = DeviceRecord { replaced, revision: 42, ..seventh() };
        assert_eq!(open(&key, &value), Ok(record));
    }

    #[test]
    fn every_wish_comes_back() {
        for wish in [Wish::Open, Wish::Settled, Wish::Heard(Box::new(name("Évier ☀")))] {
            for former_wish in [Wish::Open, Wish::Settled, Wish::Heard(Box::new(name("=")))] {
                let record = DeviceRecord { wish: wish.clone(), former_wish, ..seventh() };
                let (key, value) = device(&record).unwrap();
                assert_eq!(open(&key, &value), Ok(record));
            }
        }
    }

    #[test]
    fn every_kind_of_log_line_comes_back() {
        let by = || "the page".to_owned();
        let kinds = [
            LogKind::Discovered,
            LogKind::Joined,
            LogKind::Left,
            LogKind::Renamed { from: name("capteur01"), to: name("Évier ☀"), by: by() },
            LogKind::WishRefused { name: name("a = b") },
            LogKind::Replaced { from: Mac([1; 6]), to: Mac([2; 6]), by: by() },
            LogKind::ReplacementUndone { from: Mac([2; 6]), to: Mac([1; 6]), by: by() },
            LogKind::Command {
                id: "1-42".into(),
                channel: Channel::Led,
                value: true,
                outcome: CommandState::TimedOut,
                by: by(),
            },
        ];
        for kind in kinds {
            let entry = LogEntry { at: Timestamp::from_millis(-5), kind };
            let (key, value) = log(DeviceId(7), &entry, 9).unwrap();
            assert_eq!(open_log(&key, &value), Ok(entry));
        }
    }

    #[test]
    fn a_log_line_that_is_too_long_is_refused() {
        let kind = LogKind::Renamed { from: name("a"), to: name("b"), by: "x".repeat(7000) };
        let error = log(DeviceId(1), &LogEntry { at: Timestamp::MIN, kind }, 0).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { what: "a log line", .. }), "{error}");
    }

    proptest! {
        #[test]
        fn counters_and_tombstones_come_back(
            next_device: u32,
            highest_name: u32,
            last in prop::option::of(0..=SessionId::MAX.micros()),
            boots: u64,
            last_frame: u64,
        ) {
            let counters =
                Marks { next_device, highest_name, last_session: last.map(session), boots };
            let (key, value) = marks(&counters).unwrap();
            prop_assert_eq!(open(&key, &value), Ok(counters));
            let (key, value) = tombstone(DeviceId(3), Tombstone { last_frame }).unwrap();
            prop_assert_eq!(open(&key, &value), Ok(Tombstone { last_frame }));
            let usage = LogUsage { lines: boots, bytes: last_frame };
            let (key, value) = log_usage(DeviceId(3), &usage).unwrap();
            prop_assert_eq!(open(&key, &value), Ok(usage));
        }

        #[test]
        fn what_is_known_of_a_series_comes_back(
            number: u64,
            sealed: u64,
            span_max: u32,
            bytes: (u64, u64, u64),
            last: Option<(u8, i32, i32)>,
        ) {
            let mut record = SeriesRecord {
                sealed,
                span_max,
                readings: sealed,
                raw_bytes: bytes.0,
                minute_bytes: bytes.1,
                hour_bytes: bytes.2,
                last: None,
            };
            record.last = last.map(|(value, at, changed_at)| {
                let [at, changed_at] = [at, changed_at].map(|at| Timestamp::from_millis(at.into()));
                ChannelState { value, at, changed_at }
            });
            let (key, value) = super::series(Series::from_number(number), &record).unwrap();
            prop_assert_eq!(open(&key, &value), Ok(record));
        }

        #[test]
        fn arbitrary_bodies_never_panic(body in vec(any::<u8>(), 0..300)) {
            let value = envelope::seal(b"key", DeviceRecord::VERSION, &body, "a test").unwrap();
            let _ = open::<DeviceRecord>(b"key", &value);
            let value = envelope::seal(b"key", Marks::VERSION, &body, "a test").unwrap();
            let _ = open::<DeviceRecord>(b"key", &value);
            let _ = open::<Marks>(b"key", &value);
            let _ = open_log(b"key", &value);
        }
    }

    #[test]
    fn another_version_of_a_body_is_refused() {
        let value = envelope::seal(&key::marks(), 2, &[], "a test").unwrap();
        assert_eq!(open::<Marks>(&key::marks(), &value), Err(Corrupt::Version(2)));
    }
}
