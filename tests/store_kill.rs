//! The store under SIGKILL: a child process writes and says what was acknowledged, is killed at
//! random moments, and what the store then holds is compared with what the child had to write.
//!
//! Submissions are numbered, and all of one is a function of its number. So the store has to hold
//! exactly the submissions before some number: all that were acknowledged, none twice, none in
//! part, none out of order.
//!
//! `CAPTEUR_KILL_ROUNDS` sets the number of rounds (20). Power cuts, which this does not show, are
//! to be replayed from recorded writes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use capteur::{
    model::{
        Channel, ChannelState, DeviceId, DeviceRecord, LogEntry, LogKind, Marks, Reading, Timestamp,
    },
    store::{Change, Contents, Options, Store, StoreError, Urgency},
};
use capteur_protocol::{Mac, Name, Pair, SessionId};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Names the folder to the child, and tells it that it is one.
const CHILD: &str = "CAPTEUR_KILL_CHILD";
fn options() -> Options {
    Options { commit_interval: Duration::from_millis(20), ..Options::default() }
}
/// Devices that stay; others come and are removed.
const DEVICES: u32 = 5;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_doubled_when_the_process_is_killed() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return write_until_killed(Path::new(&folder));
    }
    let rounds = std::env::var("CAPTEUR_KILL_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let runtime = runtime();
    let mut dir = tempfile::tempdir().unwrap();
    let mut written = 0;
    for round in 0..rounds {
        // Every round adds to the store, and to what there is to compare.
        if round % 20 == 0 {
            dir = tempfile::tempdir().unwrap();
            written = 0;
        }
        // Every fourth is killed while it opens, or soon after.
        let opening = round % 4 == 3;
        let patience = Duration::from_micros(random(if opening { 20_000 } else { 60_000 }));
        let acknowledged = run_and_kill(dir.path(), opening, patience).unwrap_or(written);
        let (store, contents) = Store::open(dir.path(), &options())
            .unwrap_or_else(|error| panic!("round {round}, killed after {patience:?}: {error}"));
        written = runtime.block_on(compare(&store, &contents, acknowledged.max(written)));
        runtime.block_on(store.close()).unwrap();
    }
    assert!(written > 0, "no round got as far as to write");
}

/// Runs a child for a while, from its first acknowledgement on or, where `opening`, from its start;
/// returns one more than the last number that it said was acknowledged.
fn run_and_kill(folder: &Path, opening: bool, patience: Duration) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg("nothing_acknowledged_is_lost_and_nothing_doubled_when_the_process_is_killed")
        .env(CHILD, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut last = None;
        for line in output.lines().map_while(Result::ok) {
            // A line that the kill cut short has no full stop.
            let number = line.strip_prefix("acknowledged ").and_then(|rest| rest.strip_suffix('.'));
            if let Some(number) = number {
                let number: u64 = number.parse().unwrap();
                assert!(last.is_none_or(|last| number > last), "callbacks are out of order");
                last = Some(number);
                let _ = sender.send(());
            }
        }
        last.map(|last| last + 1)
    });
    if !opening {
        let started = receiver.recv_timeout(Duration::from_mins(1));
        assert!(started.is_ok(), "the child does not write: {:?}", child.try_wait());
    }
    // Nothing is sent after that: this only waits.
    let (_silent, silence) = mpsc::channel::<()>();
    let _ = silence.recv_timeout(patience);
    kill(&mut child);
    reader.join().unwrap()
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn write_until_killed(folder: &Path) {
    runtime().block_on(async {
        let (store, contents) = Store::open(folder, &options()).unwrap();
        let in_flight = Arc::new(Semaphore::new(64));
        for number in next_number(&contents).. {
            let permit = Arc::clone(&in_flight).acquire_owned().await.unwrap();
            let done = Box::new(move |result: Result<(), StoreError>| {
                result.unwrap();
                println!("acknowledged {number}.");
                drop(permit);
            });
            let urgency = if number % 3 == 0 { Urgency::Now } else { Urgency::Interval };
            store.submit(submission(number), urgency, Some(done)).await.unwrap();
        }
    });
}

/// The counters say how far the last run got: they are part of every submission.
fn next_number(contents: &Contents) -> u64 {
    contents.marks.last_session.map_or(0, |session| session.micros() + 1)
}

/// All that is written under a number.
fn submission(number: u64) -> Vec<Change> {
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
    // A device that lives from one submission to the next but one.
    if let Some(guest) = guest(number) {
        let reading = Reading { device: guest, channel: Channel::Led, value: 1, at: stamp(number) };
        changes.push(Change::Reading(reading));
    }
    if let Some(guest) = number.checked_sub(2).and_then(guest) {
        changes.push(Change::RemoveDevice(guest));
    }
    changes
}

/// One to forty readings, with stamps that step back now and then.
fn readings(number: u64) -> impl Iterator<Item = Reading> {
    let count = if number.is_multiple_of(11) { 40 } else { 1 + scrambled(number) % 3 };
    (0..count).map(move |n| {
        let hash = scrambled(number << 8 | n);
        Reading {
            device: DeviceId(u32::try_from(hash % u64::from(DEVICES)).unwrap()),
            channel: Channel::ALL[usize::try_from(hash >> 8).unwrap() % 3],
            value: u8::try_from(hash >> 16 & 63).unwrap(),
            at: stamp(number),
        }
    })
}

fn stamp(number: u64) -> Timestamp {
    let back = if number % 50 > 45 { 200 } else { 0 };
    Timestamp::from_millis(1_763_800_000_000 + i64::try_from(number * 10).unwrap() - back)
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
        replaced: None,
        revision: 0,
    }
}

fn line(number: u64) -> (DeviceId, LogEntry) {
    let device = DeviceId(u32::try_from(number % u64::from(DEVICES)).unwrap());
    let [from, to] = ["old", "new"].map(|name| name.parse().unwrap());
    let kind = LogKind::Renamed { from, to, by: number.to_string() };
    // Many lines share a stamp.
    (device, LogEntry { at: Timestamp::from_millis(i64::try_from(number / 100).unwrap()), kind })
}

fn guest(number: u64) -> Option<DeviceId> {
    let id = DEVICES + u32::try_from(number / 13).unwrap();
    number.is_multiple_of(13).then_some(DeviceId(id))
}

fn next_device(number: u64) -> u32 {
    DEVICES + u32::try_from(number / 13).unwrap() + 1
}

/// Compares the store with the submissions up to the one that it says it got to, which must be
/// `acknowledged` at least; returns the next number.
async fn compare(store: &Store, contents: &Contents, acknowledged: u64) -> u64 {
    let next = next_number(contents);
    assert!(next >= acknowledged, "{acknowledged} were acknowledged, {next} are there");
    let mut expected: BTreeMap<_, Vec<(Timestamp, u8)>> = BTreeMap::new();
    let mut last: BTreeMap<_, Option<ChannelState>> = BTreeMap::new();
    let mut records = BTreeMap::new();
    let mut lines: BTreeMap<_, Vec<LogEntry>> = BTreeMap::new();
    let mut take = |reading: Reading| {
        let series = (reading.device, reading.channel);
        expected.entry(series).or_default().push((reading.at, reading.value));
        let state = last.entry(series).or_default();
        *state = Some(ChannelState::updated(*state, reading.value, reading.at));
    };
    for number in 0..next {
        readings(number).for_each(&mut take);
        if let Some(guest) = guest(number).filter(|_| number + 2 >= next) {
            take(Reading { device: guest, channel: Channel::Led, value: 1, at: stamp(number) });
        }
        if number.is_multiple_of(5) {
            records.insert(record(number).id, record(number));
        }
        if number.is_multiple_of(7) {
            let (device, entry) = line(number);
            lines.entry(device).or_default().push(entry);
        }
    }
    let stats = store.stats();
    assert_eq!(stats.corrupt_values, 0);
    let readings: usize = expected.values().map(Vec::len).sum();
    assert_eq!(stats.stored_readings, readings as u64);
    assert_eq!(contents.devices, records.into_values().collect::<Vec<_>>());
    let found: BTreeMap<_, _> = contents
        .last
        .iter()
        .map(|&(device, channel, state)| ((device, channel), Some(state)))
        .collect();
    assert_eq!(found, last);
    let guests = (DEVICES..next_device(next)).rev().take(4);
    for device in (0..DEVICES).chain(guests).map(DeviceId) {
        for channel in Channel::ALL {
            let mut expected = expected.remove(&(device, channel)).unwrap_or_default();
            expected.sort_by_key(|reading| reading.0);
            let found = store
                .readings(device, channel, Timestamp::MIN, Timestamp::MAX, usize::MAX)
                .await
                .unwrap();
            assert!(found == expected, "the readings of {device:?} {channel} differ");
        }
        let mut expected = lines.remove(&device).unwrap_or_default();
        expected.reverse();
        assert_eq!(store.log(device, None, usize::MAX).await.unwrap(), expected);
    }
    assert!(expected.is_empty() && lines.is_empty());
    next
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

/// `SplitMix64`: a number's own, well-mixed bits.
fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
