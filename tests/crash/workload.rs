//! Numbered submissions, and the comparison of a store with them.
//!
//! The counters are part of every submission: they say how far the store got.

use crate::random::scrambled;
use capteur::{
    model::{
        Bucket, Channel, ChannelState, Clock, DeviceId, DeviceRecord, LogEntry, LogKind, Marks,
        Reading, Timestamp, Width, Wish,
    },
    store::{Change, Contents, Limit, Options, Retention, Store},
};
use capteur_protocol::{Mac, Name, Pair, SessionId};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Devices that stay; others come and are removed.
const DEVICES: u32 = 5;
/// How far apart submissions are, in ms.
const PACE: i64 = 60_000;
/// When the first one is, in ms since the Unix epoch: 22 November 2025, 08:26:40 UTC.
const START: i64 = 1_763_800_000_000;
const HOUR: i64 = 3_600_000;
const ALL_TIME: (Timestamp, Timestamp) = (Timestamp::MIN, Timestamp::MAX);

/// A time at which every half day of the workload is over, and is to be compacted at once.
struct LongAfter;

impl Clock for LongAfter {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + 1000 * 24 * HOUR)
    }
}

/// Readings from before this time may go: those of when the clock knew nothing.
fn cutoff() -> Timestamp {
    Timestamp::from_millis(START - 100 * 24 * HOUR)
}

/// How the store is opened that is compared: with upkeep all the time, but nothing that it has may
/// go meanwhile.
pub(crate) fn options() -> Options {
    Options {
        commit_interval: Duration::from_millis(20),
        retention: Retention::default(),
        upkeep_interval: Duration::from_millis(1),
        reclaim_interval: None,
        min_free_bytes: 0,
        clock: Arc::new(LongAfter),
    }
}

/// How the store is opened that is written to: what is old may go as well.
pub(crate) fn options_to_write() -> Options {
    let age = (LongAfter.now().millis() - cutoff().millis()).cast_unsigned();
    let raw = Limit { age: Some(Duration::from_millis(age)), bytes: None };
    Options { retention: Retention { raw, ..Retention::default() }, ..options() }
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
        let late = match own >> 8 & 1023 {
            0 => i64::try_from(own >> 18 & 15).unwrap() * HOUR,
            1..64 => i64::try_from(own >> 18 & 0xFFFF).unwrap(),
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

/// The hub's clock at a submission: it steps back by some minutes, and ahead by hours, and
/// sometimes knows nothing yet.
fn clock(number: u64) -> i64 {
    let uptime = i64::try_from(number).unwrap() * PACE;
    match number % 128 {
        40..44 => START + uptime - 5 * PACE,
        80..84 => START + uptime + 12 * HOUR,
        96..104 => uptime,
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
        offered: vec![Pair { name: name.clone(), session }; pairs],
        replaced: None,
        revision: 0,
        wish: if id == 0 { Wish::Open } else { Wish::Heard(Box::new(name.clone())) },
        former_wish: Wish::Open,
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
    let id = DEVICES + u32::try_from(number / 10).unwrap();
    number.is_multiple_of(10).then_some(DeviceId(id))
}

fn guest_readings(number: u64) -> impl Iterator<Item = Reading> {
    let count = if number.is_multiple_of(20) { 1500 } else { 5 };
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
    DEVICES + u32::try_from(number / 10).unwrap() + 1
}

/// What a store was found to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) submissions: u64,
    pub(crate) readings: u64,
    /// How many of these are in chunks.
    pub(crate) sealed: u64,
    /// How many old readings were let go.
    pub(crate) retired: u64,
    /// Whether there are buckets of hours, which compaction makes.
    pub(crate) compacted: bool,
}

/// What a store has to hold.
#[derive(Debug, Default)]
struct Expected {
    readings: BTreeMap<(DeviceId, Channel), Vec<(Timestamp, u8)>>,
    states: BTreeMap<(DeviceId, Channel), Option<ChannelState>>,
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
        let state = self.states.entry(series).or_default();
        *state = Some(ChannelState::updated(*state, reading.value, reading.at));
    }
}

/// Compares the store with the submissions up to the one that it says it got to, which have to be
/// the first `least` at least.
pub(crate) async fn compare(store: &Store, contents: &Contents, least: u64) -> Held {
    assert_eq!(contents.recovery, None, "the crash was taken for damage");
    let next = next_number(contents);
    assert!(next >= least, "{least} submissions were on the medium, {next} are there");
    let mut expected = Expected::before(next);
    assert_eq!(contents.devices, expected.records.into_values().collect::<Vec<_>>());
    let states = contents.last.iter();
    let states: BTreeMap<_, _> =
        states.map(|&(device, channel, state)| ((device, channel), Some(state))).collect();
    assert_eq!(states, expected.states);
    // Of the guests, those that are there, and some that are not any more.
    let guests = (DEVICES..next_device(next)).rev().take(6);
    let mut held = Held { submissions: next, ..Held::default() };
    let readings: usize = expected.readings.values().map(Vec::len).sum();
    for device in (0..DEVICES).chain(guests).map(DeviceId) {
        for channel in Channel::ALL {
            let readings = expected.readings.remove(&(device, channel)).unwrap_or_default();
            held.readings += compare_readings(store, device, channel, &readings).await;
            for width in [Width::Minute, Width::Hour] {
                compare_buckets(store, device, channel, width, &readings).await;
            }
        }
        let mut expected = expected.lines.remove(&device).unwrap_or_default();
        expected.reverse();
        assert_eq!(store.log(device, None, usize::MAX).await.unwrap(), expected);
    }
    assert!(expected.readings.is_empty() && expected.lines.is_empty());
    let figures = store.stats();
    assert_eq!(figures.stored_readings, held.readings, "the number of readings");
    assert_eq!(figures.corrupt_values, 0, "damaged values");
    held.sealed = held.readings - figures.unsealed_readings;
    held.compacted = figures.hour_bytes > 0;
    held.retired = readings as u64 - held.readings;
    held
}

/// Returns how many readings there are.
async fn compare_readings(
    store: &Store,
    device: DeviceId,
    channel: Channel,
    expected: &[(Timestamp, u8)],
) -> u64 {
    let what = format!("readings of {device:?} {channel}");
    let readings = |(from, to)| store.readings(device, channel, from, to, usize::MAX);
    let found = readings(ALL_TIME).await.unwrap();
    let (old, kept) = expected.split_at(expected.partition_point(|&(at, _)| at < cutoff()));
    let (found_old, found_kept) = found.split_at(found.partition_point(|&(at, _)| at < cutoff()));
    same(&what, found_kept, kept);
    // Of the old ones some may have gone, and no other have come.
    let mut rest = old.iter();
    assert!(found_old.iter().all(|found| rest.any(|old| old == found)), "old {what} differ");
    if let [.., from, _, to] = kept[..kept.len() / 2] {
        let within: Vec<_> =
            kept.iter().filter(|(at, _)| (from.0..to.0).contains(at)).copied().collect();
        same(&what, &readings((from.0, to.0)).await.unwrap(), &within);
    }
    found.len() as u64
}

/// The buckets of a channel sum up its readings: those as well that were let go.
async fn compare_buckets(
    store: &Store,
    device: DeviceId,
    channel: Channel,
    width: Width,
    readings: &[(Timestamp, u8)],
) {
    let mut expected: Vec<Bucket> = Vec::new();
    for &(at, value) in readings {
        let bucket = Bucket::of(width, at.millis(), value);
        match expected.last_mut().filter(|last| last.start == bucket.start) {
            Some(last) => last.add(&bucket),
            None => expected.push(bucket),
        }
    }
    let (from, to) = ALL_TIME;
    let found = store.buckets(device, channel, width, from, to, usize::MAX).await.unwrap();
    same(&format!("{width:?} buckets of {device:?} {channel}"), &found, &expected);
}

fn same<T: std::fmt::Debug + PartialEq>(what: &str, found: &[T], expected: &[T]) {
    if found == expected {
        return;
    }
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    panic!(
        "{} {what} and not {}; the first that differs is number {same}: {:?} and not {:?}",
        found.len(),
        expected.len(),
        found.get(same),
        expected.get(same),
    );
}
