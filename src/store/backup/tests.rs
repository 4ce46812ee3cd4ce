//! Backups as files, and of stores that go on.

use super::{
    layout::{FORMAT, MAGIC},
    writer::Writer,
    *,
};
use crate::{
    model::{
        Bucket, Channel, DeviceId, DeviceRecord, LogEntry, LogKind, Marks, Reading, Timestamp,
        Width, Wish,
    },
    store::{
        Change, Options, Store, StoreError, Urgency,
        engine::{Engine, Medium},
        envelope,
        folder::Folder,
        format::Format,
        key, record,
    },
};
use capteur_protocol::Mac;
use proptest::{collection::vec, prelude::*};
use std::{
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

const CREATED: i64 = 1_763_800_000_000;

fn header() -> Header {
    Header::new(Format::SCHEMA, Timestamp::from_millis(CREATED))
}

/// A backup with a tombstone for each of these numbers, and a value of which nothing is known.
fn backup(numbers: &[u32]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for &number in numbers {
        let tombstone = record::Tombstone { last_frame: 1 };
        writer.put(&record::tombstone(DeviceId(number), tombstone).unwrap().1).unwrap();
    }
    writer.put(&envelope::seal(b"\x7fkey", 200, b"of a later time", "a test").unwrap()).unwrap();
    writer.finish(0).unwrap()
}

/// Key and value of everything in a backup.
fn values(bytes: &[u8]) -> Result<Vec<record::Pair>, BackupError> {
    let mut reader = Reader::new(bytes, "test")?;
    let mut found = Vec::new();
    while let Some((key, value)) = reader.next()? {
        found.push((key.to_vec(), value.to_vec()));
    }
    let checked = reader.finish()?;
    assert_eq!(checked.bytes, bytes.len() as u64);
    assert_eq!(checked.header, header());
    Ok(found)
}

proptest! {
    #[test]
    fn values_come_back_as_they_went(numbers in vec(any::<u32>(), 0..60)) {
        let found = values(&backup(&numbers)).unwrap();
        prop_assert_eq!(found.len(), numbers.len() + 1);
        for ((key, value), number) in found.iter().zip(numbers) {
            prop_assert_eq!(&record::tombstone(DeviceId(number), record::Tombstone { last_frame: 1 }).unwrap().0, key);
            prop_assert!(envelope::open(key, value).is_ok());
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed(
        numbers in vec(any::<u32>(), 0..20),
        at: prop::sample::Index,
        bit in 0..8,
    ) {
        let mut bytes = backup(&numbers);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert!(values(&bytes).is_err());
    }

    #[test]
    fn any_cut_is_noticed_and_where(numbers in vec(any::<u32>(), 0..20), at: prop::sample::Index) {
        let bytes = backup(&numbers);
        let at = at.index(bytes.len());
        let error = values(&bytes[..at]).unwrap_err();
        let cut_there =
            matches!(error, BackupError::Truncated { offset, .. } if offset == at as u64);
        prop_assert!(cut_there, "{}", error);
    }

    #[test]
    fn whatever_follows_is_noticed(more in vec(any::<u8>(), 1..100)) {
        let bytes = backup(&[1, 2]);
        let error = values(&[&bytes[..], &more].concat()).unwrap_err();
        let there = matches!(error, BackupError::Damaged { offset, .. } if offset == bytes.len() as u64);
        prop_assert!(there, "{}", error);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..500)) {
        prop_assert!(values(&bytes).is_err());
        prop_assert!(values(&[&MAGIC[..], &bytes].concat()).is_err());
        prop_assert!(values(&[&header().encode()[..], &bytes].concat()).is_err());
    }
}

#[test]
fn a_flip_is_named_with_its_place() {
    let bytes = backup(&[1, 2, 3]);
    let mut bad = bytes.clone();
    let second = header().encode().len() + envelope_len(&[1]);
    bad[second + 12] ^= 1;
    let error = values(&bad).unwrap_err().to_string();
    assert!(error.starts_with(&format!("test is damaged at byte {second}: ")), "{error}");
    // In the hash alone.
    let mut bad = bytes.clone();
    *bad.last_mut().unwrap() ^= 1;
    assert!(values(&bad).unwrap_err().to_string().contains("hash"));
}

/// How long the values of these tombstones are.
fn envelope_len(numbers: &[u32]) -> usize {
    let tombstone = |number: &u32| {
        record::tombstone(DeviceId(*number), record::Tombstone { last_frame: 1 }).unwrap().1.len()
    };
    numbers.iter().map(tombstone).sum()
}

#[test]
fn what_is_newer_is_refused_by_name_and_what_is_foreign_too() {
    let known = backup(&[]);
    for (at, what, known_number) in
        [(MAGIC.len(), "format", FORMAT), (MAGIC.len() + 4, "schema", Format::SCHEMA)]
    {
        let mut bytes = known.clone();
        bytes[at..at + 4].copy_from_slice(&(known_number + 1).to_le_bytes());
        let error = values(&bytes).unwrap_err();
        assert!(matches!(error, BackupError::Newer { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("the {what} {}", known_number + 1)), "{text}");
    }
    for bytes in [&b"x"[..], b"PK\x03\x04 and some more of an archive", &[0; 100]] {
        assert!(matches!(values(bytes).unwrap_err(), BackupError::Foreign { .. }));
    }
    // Line ends that were changed on the way.
    let text: Vec<u8> = known.iter().copied().filter(|byte| *byte != b'\r').collect();
    assert!(matches!(values(&text).unwrap_err(), BackupError::Foreign { .. }));
}

#[test]
fn a_trailer_that_counts_something_else_is_refused() {
    let writer = Writer::new(Vec::new(), &header()).unwrap();
    let error = values(&writer.finish(5).unwrap()).unwrap_err();
    assert!(error.to_string().contains("5 readings"), "{error}");
}

// -- of a store that goes on --------------------------------------------------------------------

fn options() -> Options {
    Options { commit_interval: Duration::from_millis(5), ..Options::default() }
}

fn open(dir: &TempDir) -> Store {
    Store::open(dir.path(), &options()).unwrap().0
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(CREATED + millis)
}

fn reading(device: u32, millis: i64, value: u8) -> Change {
    let channel = Channel::Photoresistor;
    Change::Reading(Reading { device: DeviceId(device), channel, value, at: at(millis) })
}

fn device(id: u32) -> Change {
    Change::PutDevice(Box::new(DeviceRecord {
        id: DeviceId(id),
        mac: Mac([2, 0, 0, 0, 0, u8::try_from(id).unwrap()]),
        name: format!("capteur{id:02}").parse().unwrap(),
        first_seen: at(0),
        last_seen: at(0),
        joined_at: None,
        left_at: None,
        session: None,
        offered: Vec::new(),
        replaced: None,
        revision: 0,
        wish: Wish::Open,
        former_wish: Wish::Open,
    }))
}

fn line(device: u32, millis: i64) -> Change {
    Change::Log(DeviceId(device), LogEntry { at: at(millis), kind: LogKind::Joined })
}

/// More than a backup holds ready for whoever takes it: it can't end before somebody does.
async fn fill(store: &Store) {
    let [from, to] = ["a", "b"].map(|name| name.parse().unwrap());
    let kind = LogKind::Renamed { from, to, by: "x".repeat(1000) };
    let line = |n| Change::Log(DeviceId(1), LogEntry { at: at(n), kind: kind.clone() });
    put(store, (0..1000).map(line).collect()).await;
}

async fn put(store: &Store, changes: Vec<Change>) {
    store.submit(changes, Urgency::Now, None).await.unwrap();
    store.flush().await.unwrap();
}

async fn taken(mut backup: Backup) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

async fn readings(store: &Store, device: u32) -> Vec<(i64, u8)> {
    let (from, to) = (Timestamp::MIN, Timestamp::MAX);
    let channel = Channel::Photoresistor;
    let found = store.readings(DeviceId(device), channel, from, to, usize::MAX).await.unwrap();
    found.into_iter().map(|(when, value)| (when.millis() - CREATED, value)).collect()
}

/// The store that a backup makes, in a folder of its own.
fn restored(bytes: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, bytes).unwrap();
    crate::store::offline::restore(dir.path(), &file, at(0)).unwrap();
    dir
}

#[tokio::test]
async fn a_backup_holds_what_the_store_holds_and_makes_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let marks = Marks { next_device: 9, highest_name: 7, last_session: None, boots: 1 };
    put(&store, vec![device(1), device(2), device(3), Change::PutMarks(marks)]).await;
    for first in (0..3000).step_by(100) {
        let value = |n: i64| u8::try_from(n % 101).unwrap();
        put(&store, (first..first + 100).map(|n| reading(1, n, value(n))).collect()).await;
    }
    put(&store, vec![reading(2, 5, 50), line(2, 6), line(2, 7), reading(3, 90_000, 1)]).await;
    put(&store, vec![Change::RemoveDevice(DeviceId(3))]).await;

    let bytes = taken(store.backup(at(12)).await.unwrap()).await.unwrap();
    let checked = check(&bytes[..], "test").unwrap();
    assert_eq!(checked.header, Header::new(Format::SCHEMA, at(12)));
    let span = Some((at(0), at(2999)));
    assert_eq!(checked.holding, Holding { devices: 2, log_lines: 2, readings: 3001, span });
    assert_eq!(store.stats().stored_readings, 3001);

    let copy = restored(&bytes);
    let (copy, contents) = Store::open(copy.path(), &options()).unwrap();
    assert_eq!(contents.devices.len(), 2);
    assert_eq!(contents.marks, Marks { boots: 2, ..marks });
    for device in 1..=3 {
        assert_eq!(readings(&copy, device).await, readings(&store, device).await, "{device}");
    }
    let log = store.log(DeviceId(2), None, 10).await.unwrap();
    assert_eq!(copy.log(DeviceId(2), None, 10).await.unwrap(), log);
    assert_eq!(log.len(), 2);
    assert_eq!(copy.stats().stored_readings, 3001);
    for device in 1..=3 {
        for width in [Width::Minute, Width::Hour] {
            assert_eq!(buckets(&copy, device, width).await, buckets(&store, device, width).await);
        }
    }
}

async fn buckets(store: &Store, device: u32, width: Width) -> Vec<Bucket> {
    let (from, to) = (Timestamp::MIN, Timestamp::MAX);
    let channel = Channel::Photoresistor;
    store.buckets(DeviceId(device), channel, width, from, to, usize::MAX).await.unwrap()
}

#[tokio::test]
async fn a_copy_is_consistent_while_commits_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    put(&store, vec![device(1), device(2)]).await;
    fill(&store).await;
    let mut number = 0;
    while number < 20_000 {
        let some = (number..number + 1000).map(|n| reading(1, n, 1)).collect();
        number += 1000;
        put(&store, some).await;
    }
    let mut backup = store.backup(at(0)).await.unwrap();
    let mut bytes = backup.next().await.unwrap().unwrap().to_vec();
    let before = readings(&store, 1).await.len();
    // Heads are sealed meanwhile, again and again, and nothing of that may be in it.
    for more in 0..50 {
        let mut some: Vec<_> = (0..200).map(|n| reading(1, number + 200 * more + n, 2)).collect();
        some.extend([reading(2, more, 2), line(1, more)]);
        put(&store, some).await;
    }
    put(&store, vec![Change::RemoveDevice(DeviceId(2))]).await;
    while let Some(piece) = backup.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    let holding = check(&bytes[..], "test").unwrap().holding;
    assert_eq!(holding.readings, before as u64);
    let copy = restored(&bytes);
    let (copy, _) = Store::open(copy.path(), &options()).unwrap();
    assert_eq!(readings(&copy, 1).await, readings(&store, 1).await[..before]);
    assert_eq!(readings(&copy, 2).await, []);
}

#[tokio::test]
async fn there_is_one_backup_at_a_time_and_a_dropped_one_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    fill(&store).await;
    let backup = store.backup(at(0)).await.unwrap();
    assert!(matches!(store.backup(at(0)).await, Err(StoreError::BackupRunning)));
    drop(backup);
    let free = async {
        loop {
            match store.backup(at(0)).await {
                Err(StoreError::BackupRunning) => tokio::task::yield_now().await,
                other => break other.unwrap(),
            }
        }
    };
    let backup = tokio::time::timeout(Duration::from_mins(1), free).await.unwrap();
    check(&taken(backup).await.unwrap()[..], "test").unwrap();
}

#[tokio::test]
async fn a_backup_ends_with_an_error_when_the_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    fill(&store).await;
    let backup = store.backup(at(0)).await.unwrap();
    store.close().await.unwrap();
    let error = taken(backup).await.unwrap_err();
    assert!(matches!(error, StoreError::BackupCut { .. }), "{error}");
    assert!(matches!(store.backup(at(0)).await, Err(StoreError::Closed)));
    // Its files are free.
    open(&dir);
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_nobody_takes_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    fill(&store).await;
    let backup = store.backup(at(0)).await.unwrap();
    let start = std::time::Instant::now();
    while matches!(store.backup(at(0)).await, Err(StoreError::BackupRunning)) {
        assert!(start.elapsed() < Duration::from_mins(1), "it goes on");
        tokio::time::advance(Duration::from_secs(20)).await;
    }
    let error = taken(backup).await.unwrap_err();
    assert!(error.to_string().contains("not taken in time"), "{error}");
}

#[tokio::test]
async fn a_file_is_there_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    put(&store, vec![device(1), reading(1, 0, 1)]).await;
    let file = dir.path().join("a.capteur");
    let save = |backup: Backup, replace| {
        let file = file.clone();
        tokio::task::spawn_blocking(move || file::save(backup, &file, replace))
    };
    let checked = save(store.backup(at(1)).await.unwrap(), false).await.unwrap().unwrap();
    assert_eq!(file::check_file(&file).unwrap(), checked);
    let exists = save(store.backup(at(2)).await.unwrap(), false).await.unwrap().unwrap_err();
    assert!(matches!(exists, BackupError::Exists { .. }), "{exists}");
    store.flush().await.unwrap();
    let device = file::save(&b"x"[..], Path::new("/dev/null"), true).unwrap_err();
    assert!(matches!(device, BackupError::NoFile { .. }), "{device}");
    // A source that breaks, and one that is no backup, leave the file as it is, and nothing else.
    for source in [Box::new(Broken) as Box<dyn Read>, Box::new(&b"no backup"[..])] {
        assert!(file::save(source, &file, true).is_err());
        assert_eq!(file::check_file(&file).unwrap(), checked);
    }
    let names = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
    let before = names(dir.path());
    let again = wait_for_backup(&store).await;
    let replaced = save(again, true).await.unwrap().unwrap();
    assert_eq!(replaced.header.created, at(3));
    assert_eq!(names(dir.path()), before);
}

async fn wait_for_backup(store: &Store) -> Backup {
    loop {
        match store.backup(at(3)).await {
            Err(StoreError::BackupRunning) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[tokio::test]
async fn a_damaged_value_is_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    put(&store, vec![device(1), device(2), reading(1, 0, 1)]).await;
    store.close().await.unwrap();
    let folder = Arc::new(Folder::lock(dir.path()).unwrap());
    let engine = Arc::new(Engine::open(folder, Duration::from_secs(1)).unwrap());
    let key = key::device(DeviceId(1));
    let mut value = engine.get(&key).unwrap().unwrap().to_vec();
    value[20] ^= 1;
    engine.apply(vec![(key, Some(value))]).unwrap();
    engine.sync().unwrap();
    drop(engine);

    let store = open(&dir);
    let bytes = taken(store.backup(at(0)).await.unwrap()).await.unwrap();
    let holding = check(&bytes[..], "test").unwrap().holding;
    assert_eq!((holding.devices, holding.readings), (1, 1));
    assert_eq!(store.stats().corrupt_values, 1);
}

#[test]
fn a_file_that_is_swept_was_not_finished() {
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join(file::name("capteur", at(0)));
    for path in [&good, &dir.path().join(".capteur-abc.part")] {
        std::fs::File::create(path).unwrap().write_all(b"x").unwrap();
    }
    file::sweep(dir.path()).unwrap();
    assert_eq!(file::list(dir.path(), "capteur").unwrap(), [(at(0), good)]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
