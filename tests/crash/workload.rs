//! Numbered submissions, and the comparison of a store with them.
//!
//! The counters are part of every submission: they say how far the store got.

use crate::random::scrambled;
use capteur::{
    model::{
        Channel, ChannelState, DeviceId, DeviceRecord, LogEntry, LogKind, Marks, Reading, Timestamp,
    },
    store::{Change, Contents, Options, Store},
};
use capteur_protocol::{Mac, Name, Pair, SessionId};
use std::{collections::BTreeMap, time::Duration};

/// Devices that stay; others come and are removed.
const DEVICES: u32 = 5;
/// How far apart submissions are, in ms.
const PACE: i64 = 60_000;
/// When the first one is, in ms since the Unix epoch: 22 November 2025, 08:26:40 UTC.
const START: i64 = 1_763_800_000_000;
const HOUR: i64 = 3_600_000;

pub(crate) fn options() -> Options {
    Options { commit_interval: Duration::from_millis(20) }
}

/// The first submission that the store does not have, going by the counters.
pub(crate) fn next_number(contents: &Contents) -> u64 {
    contents.marks.last_session.map_or(0, |session| session.micros() + 1)
}

/// All that is written under a number.
pub(crate) fn submission(number: u64) -> Vec<Change> {
    let marks = Marks {
        last_session: SessionId::from_micros(number),
        next_device: next_device(number),
        ..Marks::default()
    };
    let mut changes = vec![Change::PutMarks(marks)];
    changes.extend(readings(number).map(Change::Reading));
    if number.is_multiple_of(5) {
        changes.push(Change::PutDevice(Box::new(record(number))));
    }
    if number.is_multiple_of(7) {
        let (device, entry) = line(number);
        changes.push(Change::Log(device, entry));
    }
    // A device that lives from one submission to the next but one; and what comes for it later is
    // dropped.
    changes.extend(guest_readings(number).map(Change::Reading));
    if let Some(guest) = number.checked_sub(2).and_then(guest) {
        changes.push(Change::RemoveDevice(guest));
    }
    changes.extend(number.checked_sub(3).into_iter().flat_map(guest_readings).map(Change::Reading));
    changes
}

/// How many readings there are in the submissions before this one, those of guests not counted.
pub(crate) fn readings_before(number: u64) -> usize {
    (0..number).map(|number| readings(number).count()).sum()
}

/// One to some thousand readings: now and then a flood of one series, that fills several chunks.
fn readings(number: u64) -> impl Iterator<Item = Reading> {
    let hash = scrambled(number);
    let (count, series) = match number % 8 {
        0 => (1200 + hash % 1200, 1),
        4 => (300 + hash % 500, 2),
        1 | 5 => (40, 15),
        _ => (1 + hash % 3, 15),
    };
    (0..count).map(move |n| {
        let own = scrambled(number << 16 | n);
        let series = number / 4 % 15 + own % series;
        // Spread over the time until the next submission, as a rule.
        let spread = i64::try_from(n).unwrap() * PACE / i64::try_from(count).unwrap();
        let late = match own >> 8 & 127 {
            0 => i64::try_from(own >> 16 & 63).unwrap() * HOUR,
            1..8 => i64::try_from(own >> 16 & 0xFFFF).unwrap(),
            _ => 0,
        };
        Reading {
            device: DeviceId(u32::try_from(series % u64::from(DEVICES)).unwrap()),
            channel: Channel::ALL[usize::try_from(series).unwrap() % 3],
            value: u8::try_from((number + n / 50 + (own >> 40 & 3)) % 101).unwrap(),
            at: Timestamp::from_millis(clock(number) + spread - late),
        }
    })
}

/// The hub's clock at a submission: it steps back by some minutes, and ahead by days, and
/// sometimes knows nothing yet.
fn clock(number: u64) -> i64 {
    let uptime = i64::try_from(number).unwrap() * PACE;
    match number % 128 {
        40..44 => START + uptime - 5 * PACE,
        80..84 => START + uptime + 50 * HOUR,
        100..103 => uptime,
        _ => START + uptime,
    }
}

fn stamp(number: u64) -> Timestamp {
    Timestamp::from_millis(clock(number))
}

fn record(number: u64) -> DeviceRecord {
    let id = u32::try_from(number / 5 % u64::from(DEVICES)).unwrap();
    let name: Name = format!("board {number}").parse().unwrap();
    let session = SessionId::from_micros(number).unwrap();
    let pairs = usize::try_from(number % 20).unwrap();
    DeviceRecord {
        id: DeviceId(id),
        mac: Mac([2, 0, 0, 0, 0, u8::try_from(id).unwrap()]),
        name: name.clone(),
        first_seen: stamp(0),
        last_seen: stamp(number),
        joined_at: None,
        left_at: Some(stamp(number)),
        session: None,
        offered: vec![Pair { name, session }; pairs],
    }
}

fn line(number: u64) -> (DeviceId, LogEntry) {
    let device = DeviceId(u32::try_from(number % u64::from(DEVICES)).unwrap());
    let [from, to] = ["old", "new"].map(|name| name.parse().unwrap());
    let kind = LogKind::Renamed { from, to, by: number.to_string() };
    // Many lines share a stamp.
    let at = START + i64::try_from(number / 100).unwrap();
    (device, LogEntry { at: Timestamp::from_millis(at), kind })
}

/// The device that a submission brings.
fn guest(number: u64) -> Option<DeviceId> {
    let id = DEVICES + u32::try_from(number / 3).unwrap();
    number.is_multiple_of(3).then_some(DeviceId(id))
}

fn guest_readings(number: u64) -> impl Iterator<Item = Reading> {
    let count = if number.is_multiple_of(12) { 700 } else { 5 };
    guest(number).into_iter().flat_map(move |device| {
        (0..count).map(move |n| Reading {
            device,
            channel: Channel::Led,
            value: u8::from(n % 3 == 0),
            at: Timestamp::from_millis(clock(number) + n),
        })
    })
}

fn next_device(number: u64) -> u32 {
    DEVICES + u32::try_from(number / 3).unwrap() + 1
}

/// What a store has to hold.
#[derive(Debug, Default)]
struct Expected {
    readings: BTreeMap<(DeviceId, Channel), Vec<(Timestamp, u8)>>,
    last: BTreeMap<(DeviceId, Channel), Option<ChannelState>>,
    records: BTreeMap<DeviceId, DeviceRecord>,
    lines: BTreeMap<DeviceId, Vec<LogEntry>>,
}

impl Expected {
    /// What the submissions before this one leave.
    fn before(next: u64) -> Self {
        let mut expected = Self::default();
        for number in 0..next {
            readings(number).for_each(|reading| expected.take(&reading));
            // Its end came with the next submission but one.
            if number + 2 >= next {
                guest_readings(number).for_each(|reading| expected.take(&reading));
            }
            if number.is_multiple_of(5) {
                let record = record(number);
                expected.records.insert(record.id, record);
            }
            if number.is_multiple_of(7) {
                let (device, entry) = line(number);
                expected.lines.entry(device).or_default().push(entry);
            }
        }
        for readings in expected.readings.values_mut() {
            readings.sort_by_key(|&(at, _)| at);
        }
        expected
    }

    fn take(&mut self, reading: &Reading) {
        let series = (reading.device, reading.channel);
        self.readings.entry(series).or_default().push((reading.at, reading.value));
        let state = self.last.entry(series).or_default();
        *state = Some(ChannelState::updated(*state, reading.value, reading.at));
    }
}

/// Compares the store with the submissions up to the one that it says it got to, which have to be
/// all before `held` at least; returns how many those are.
pub(crate) async fn compare(store: &Store, contents: &Contents, held: u64) -> u64 {
    let next = next_number(contents);
    assert!(next >= held, "{held} submissions were on the medium, {next} are there");
    let mut expected = Expected::before(next);
    let stats = store.stats();
    assert_eq!(stats.corrupt_values, 0, "damaged values");
    let readings: usize = expected.readings.values().map(Vec::len).sum();
    assert_eq!(stats.stored_readings, readings as u64, "the number of readings");
    assert_eq!(contents.devices, expected.records.into_values().collect::<Vec<_>>());
    let last = contents.last.iter();
    let last: BTreeMap<_, _> =
        last.map(|&(device, channel, state)| ((device, channel), Some(state))).collect();
    assert_eq!(last, expected.last);
    // Of the guests, those that are there, and some that are not any more.
    let guests = (DEVICES..next_device(next)).rev().take(6);
    for device in (0..DEVICES).chain(guests).map(DeviceId) {
        for channel in Channel::ALL {
            let expected = expected.readings.remove(&(device, channel)).unwrap_or_default();
            let found = store
                .readings(device, channel, Timestamp::MIN, Timestamp::MAX, usize::MAX)
                .await
                .unwrap();
            compare_readings(&found, &expected, device, channel);
        }
        let mut expected = expected.lines.remove(&device).unwrap_or_default();
        expected.reverse();
        assert_eq!(store.log(device, None, usize::MAX).await.unwrap(), expected);
    }
    assert!(expected.readings.is_empty() && expected.lines.is_empty());
    next
}

fn compare_readings(
    found: &[(Timestamp, u8)],
    expected: &[(Timestamp, u8)],
    device: DeviceId,
    channel: Channel,
) {
    if found == expected {
        return;
    }
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    panic!(
        "{device:?} {channel}: {} readings and not {}; the first that differs is number {same}: \
         {:?} and not {:?}",
        found.len(),
        expected.len(),
        found.get(same),
        expected.get(same),
    );
}
