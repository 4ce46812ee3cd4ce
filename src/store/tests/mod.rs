//! The store as a whole, on real files.

mod conditions;
mod late;
mod years;

use super::{
    engine::{self, Engine, Medium},
    *,
};
use crate::model::{
    Channel, ChannelState, DeviceId, DeviceRecord, LogEntry, LogKind, Marks, Reading, Timestamp,
    Wish,
};
use capteur_protocol::{Mac, Pair, SessionId};
use proptest::prelude::*;
use std::{
    fs,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Long enough that a test notices if it waits for it.
fn never() -> Options {
    Options { commit_interval: Duration::from_hours(1), ..Options::default() }
}
const ALL: (Timestamp, Timestamp) = (Timestamp::MIN, Timestamp::MAX);

fn open(dir: &TempDir) -> (Store, Contents) {
    Store::open(dir.path(), &never()).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_763_800_000_000 + millis)
}

fn reading(device: u32, channel: Channel, millis: i64, value: u8) -> Change {
    Change::Reading(Reading { device: DeviceId(device), channel, value, at: at(millis) })
}

fn record(id: u32) -> DeviceRecord {
    let name: capteur_protocol::Name = format!("capteur{id:02}").parse().unwrap();
    let session = SessionId::from_micros(1_763_800_000_000_000 + u64::from(id)).unwrap();
    DeviceRecord {
        id: DeviceId(id),
        mac: Mac([2, 0, 0, 0, 0, u8::try_from(id & 255).unwrap()]),
        name: name.clone(),
        first_seen: at(0),
        last_seen: at(1),
        joined_at: Some(at(1)),
        left_at: None,
        session: Some(Pair { name: name.clone(), session }),
        offered: vec![Pair { name, session }],
        replaced: None,
        revision: 0,
        wish: Wish::Open,
        former_wish: Wish::Open,
    }
}

fn line(device: u32, millis: i64, by: &str) -> Change {
    let [from, to] = ["a", "b"].map(|name| name.parse().unwrap());
    let kind = LogKind::Renamed { from, to, by: by.into() };
    Change::Log(DeviceId(device), LogEntry { at: at(millis), kind })
}

/// Who did what, of each line.
fn authors(lines: Vec<LogEntry>) -> Vec<String> {
    let author = |line: LogEntry| match line.kind {
        LogKind::Renamed { by, .. } => by,
        kind => panic!("{kind:?}"),
    };
    lines.into_iter().map(author).collect()
}

async fn put(store: &Store, changes: Vec<Change>) {
    store.submit(changes, Urgency::Interval, None).await.unwrap();
}

async fn all(store: &Store, device: u32, channel: Channel) -> Vec<(i64, u8)> {
    let found = store.readings(DeviceId(device), channel, ALL.0, ALL.1, usize::MAX).await.unwrap();
    found.into_iter().map(|(when, value)| (when.millis() - at(0).millis(), value)).collect()
}

async fn whole_log(store: &Store, device: u32) -> Vec<String> {
    authors(store.log(DeviceId(device), None, usize::MAX).await.unwrap())
}

/// Changes the closed database behind the store's back.
fn tamper(dir: &TempDir, change: impl FnOnce(&sled::Tree)) {
    let database = dir.path().join("sled");
    // It would be taken for what it is.
    let _ = fs::remove_file(database.join("CLOSED"));
    let db = sled::open(database).unwrap();
    change(&db.open_tree("d").unwrap());
    db.flush().unwrap();
}

/// The database with a gate in front of the sync, and a switch that makes it fail.
#[derive(Clone)]
struct Gated {
    engine: Arc<Engine>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    fail: Arc<AtomicBool>,
}

impl Gated {
    fn open(dir: &TempDir) -> (Store, Self) {
        let mut gated = None;
        let (store, _) = Store::open_on(dir.path(), &never(), space::gauge(dir.path()), |engine| {
            let gate = Arc::new((Mutex::new(false), Condvar::new()));
            gated.insert(Self { engine, gate, fail: Arc::default() }).clone()
        })
        .unwrap();
        (store, gated.unwrap())
    }

    fn shut(&self, shut: bool) {
        *self.gate.0.lock().unwrap() = shut;
        self.gate.1.notify_all();
    }
}

impl Medium for Gated {
    fn apply(&self, changes: Vec<engine::Change>) -> Result<(), StoreError> {
        self.engine.apply(changes)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let shut = self.gate.0.lock().unwrap();
        drop(self.gate.1.wait_while(shut, |shut| *shut).unwrap());
        if self.fail.load(SeqCst) {
            return Err(StoreError::io(Path::new("db"))(std::io::ErrorKind::StorageFull.into()));
        }
        self.engine.sync()
    }
}

/// Waits for a condition, for as long as a slow machine may need.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), reached).await.expect(what);
}

fn callback() -> (Done, oneshot::Receiver<Result<(), StoreError>>) {
    let (sender, receiver) = oneshot::channel();
    (Box::new(move |result| sender.send(result).unwrap()), receiver)
}

#[tokio::test]
async fn everything_is_there_after_closing_and_opening() {
    let dir = tempfile::tempdir().unwrap();
    let (store, contents) = open(&dir);
    assert_eq!(contents.devices, []);
    assert_eq!(contents.marks, Marks { boots: 1, ..Marks::default() });
    let marks = Marks {
        next_device: 7,
        highest_name: 5,
        last_session: SessionId::from_micros(1_800_000_000_000_000),
        boots: 1,
    };
    let mut renamed = record(2);
    renamed.name = "Évier".parse().unwrap();
    put(
        &store,
        vec![
            Change::PutDevice(Box::new(record(1))),
            Change::PutDevice(Box::new(record(2))),
            Change::PutMarks(marks),
            reading(1, Channel::Led, 0, 1),
            reading(2, Channel::Photoresistor, 5, 58),
            line(1, 10, "first"),
        ],
    )
    .await;
    put(
        &store,
        vec![
            Change::PutDevice(Box::new(renamed.clone())),
            reading(2, Channel::Photoresistor, 6, 58),
            reading(2, Channel::Photoresistor, 7, 59),
            reading(2, Channel::Photoresistor, 8, 59),
            line(1, 10, "second"),
            line(2, 11, "third"),
        ],
    )
    .await;
    store.close().await.unwrap();

    let (store, contents) = open(&dir);
    assert_eq!(contents.devices, [record(1), renamed]);
    assert_eq!(contents.marks, Marks { boots: 2, ..marks });
    let mut last = contents.last;
    last.sort_by_key(|last| last.0);
    let state =
        |value, when, changed| ChannelState { value, at: at(when), changed_at: at(changed) };
    assert_eq!(
        last,
        [
            (DeviceId(1), Channel::Led, state(1, 0, 0)),
            (DeviceId(2), Channel::Photoresistor, state(59, 8, 7)),
        ]
    );
    assert_eq!(all(&store, 1, Channel::Led).await, [(0, 1)]);
    assert_eq!(all(&store, 2, Channel::Led).await, []);
    let light = [(5, 58), (6, 58), (7, 59), (8, 59)];
    assert_eq!(all(&store, 2, Channel::Photoresistor).await, light);
    assert_eq!(whole_log(&store, 1).await, ["second", "first"]);
    assert_eq!(whole_log(&store, 2).await, ["third"]);
    let figures = store.stats();
    assert_eq!((figures.stored_readings, figures.commits, figures.corrupt_values), (5, 0, 0));
    assert!(figures.healthy && figures.file_bytes > 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn counters_older_than_the_records_catch_up() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![Change::PutDevice(Box::new(record(4)))]).await;
    store.close().await.unwrap();
    let (store, contents) = open(&dir);
    assert_eq!(contents.marks.next_device, 5);
    assert_eq!(contents.marks.last_session, record(4).session.map(|pair| pair.session));
    put(&store, vec![Change::RemoveDevice(DeviceId(9)), reading(11, Channel::Led, 0, 1)]).await;
    store.close().await.unwrap();
    let (store, contents) = open(&dir);
    assert_eq!(contents.marks.next_device, 12);
    store.close().await.unwrap();
}

#[tokio::test]
async fn queries_give_the_oldest_of_their_span_by_time_and_arrival() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    let light = |millis, value| reading(1, Channel::Photoresistor, millis, value);
    put(&store, vec![light(10, 1), light(30, 2), light(20, 3), reading(1, Channel::Led, 10, 9)])
        .await;
    store.flush().await.unwrap();
    // The clock has stepped back, and two stamps are equal to earlier ones.
    put(&store, vec![light(10, 4), light(5, 5), light(30, 6)]).await;
    store.flush().await.unwrap();
    put(&store, vec![light(10, 7), light(40, 8)]).await;
    for round in 0..2 {
        let query = async |from, to, limit| {
            let found = store
                .readings(DeviceId(1), Channel::Photoresistor, at(from), at(to), limit)
                .await
                .unwrap();
            found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(query(0, 100, 100).await, [5, 1, 4, 7, 3, 2, 6, 8], "round {round}");
        assert_eq!(query(10, 30, 100).await, [1, 4, 7, 3]);
        assert_eq!(query(10, 31, 100).await, [1, 4, 7, 3, 2, 6]);
        assert_eq!(query(0, 100, 3).await, [5, 1, 4]);
        assert_eq!(query(0, 100, 0).await, [0; 0]);
        assert_eq!(query(41, 100, 9).await, [0; 0]);
        assert_eq!(query(50, 10, 9).await, [0; 0]);
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
    // The last value is the last that came, not the one with the latest stamp.
    put_and_compare_last(&dir).await;
}

async fn put_and_compare_last(dir: &TempDir) {
    let (store, _) = open(dir);
    put(&store, vec![reading(1, Channel::Photoresistor, -50, 9)]).await;
    store.close().await.unwrap();
    let (store, contents) = open(dir);
    let state = ChannelState { value: 9, at: at(-50), changed_at: at(-50) };
    assert!(contents.last.contains(&(DeviceId(1), Channel::Photoresistor, state)));
    store.close().await.unwrap();
}

#[tokio::test]
async fn logs_are_read_from_the_newest_line_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![line(1, 1, "a"), line(1, 3, "c"), line(1, 2, "b"), line(2, 9, "other")]).await;
    store.flush().await.unwrap();
    put(&store, vec![line(1, 3, "d"), line(1, 4, "e")]).await;
    for _ in 0..2 {
        let log = async |before: Option<i64>, limit| {
            authors(store.log(DeviceId(1), before.map(at), limit).await.unwrap())
        };
        assert_eq!(log(None, 9).await, ["e", "d", "c", "b", "a"]);
        assert_eq!(log(None, 2).await, ["e", "d"]);
        assert_eq!(log(Some(3), 9).await, ["b", "a"]);
        assert_eq!(log(Some(4), 1).await, ["d"]);
        assert_eq!(log(Some(1), 9).await, [""; 0]);
        assert_eq!(log(None, 0).await, [""; 0]);
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
    // A line of the same millisecond comes after those of earlier runs.
    let (store, _) = open(&dir);
    put(&store, vec![line(1, 4, "f")]).await;
    assert_eq!(whole_log(&store, 1).await, ["f", "e", "d", "c", "b", "a"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_removed_device_is_gone_for_good_and_leaves_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    let mut changes = vec![
        Change::PutDevice(Box::new(record(1))),
        Change::PutDevice(Box::new(record(2))),
        reading(1, Channel::Led, 0, 1),
        reading(2, Channel::Led, 0, 1),
    ];
    // More lines than one batch deletes.
    changes.extend((0..600).map(|n| line(1, n, "x")));
    changes.push(line(2, 0, "y"));
    put(&store, changes).await;
    store.flush().await.unwrap();

    put(&store, vec![reading(1, Channel::Led, 1, 0), Change::RemoveDevice(DeviceId(1))]).await;
    put(
        &store,
        vec![
            reading(1, Channel::Led, 2, 1),
            line(1, 700, "late"),
            Change::PutDevice(Box::new(record(1))),
        ],
    )
    .await;
    let check = async |store: &Store| {
        assert_eq!(all(store, 1, Channel::Led).await, []);
        assert_eq!(whole_log(store, 1).await, [""; 0]);
        assert_eq!(all(store, 2, Channel::Led).await, [(0, 1)]);
        assert_eq!(whole_log(store, 2).await, ["y"]);
    };
    check(&store).await;
    store.flush().await.unwrap();
    check(&store).await;
    assert_eq!(store.stats().stored_readings, 1);
    put(&store, vec![reading(1, Channel::Led, 3, 1)]).await;
    store.close().await.unwrap();

    // Closing may have cut the deletion of its log short: opening goes on with it.
    let (store, contents) = open(&dir);
    assert_eq!(contents.devices, [record(2)]);
    assert_eq!(contents.last.len(), 1);
    assert_eq!(contents.marks.next_device, 3);
    check(&store).await;
    assert_eq!(store.stats().stored_readings, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_removed_devices_log_leaves_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (store, gated) = Gated::open(&dir);
    put(&store, (0..600).map(|n| line(1, n, "x")).collect()).await;
    store.flush().await.unwrap();
    let left = || {
        gated
            .engine
            .keys(&key::log_prefix(DeviceId(1)), &key::log_end(DeviceId(1)), 1000)
            .unwrap()
            .len()
    };
    assert_eq!(left(), 600);
    put(&store, vec![Change::RemoveDevice(DeviceId(1))]).await;
    store.flush().await.unwrap();
    until("the log is deleted", || left() == 0).await;
    drop(gated);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_may_wait_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    for n in 0..1000 {
        put(&store, vec![reading(1, Channel::Led, n, 1)]).await;
    }
    assert_eq!((store.stats().commits, store.stats().queued), (0, 1000));
    store.flush().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.commits, stats.committed_readings, stats.queued), (1, 1000, 0));
    // Where there is nothing to write, nothing is.
    store.flush().await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.stats().commits, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_may_wait_is_committed_when_the_interval_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let interval = Duration::from_millis(50);
    let (store, _) =
        Store::open(dir.path(), &Options { commit_interval: interval, ..never() }).unwrap();
    let (done, receiver) = callback();
    let start = std::time::Instant::now();
    store
        .submit(vec![reading(1, Channel::Led, 0, 1)], Urgency::Interval, Some(done))
        .await
        .unwrap();
    receiver.await.unwrap().unwrap();
    assert!(start.elapsed() >= interval);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_comes_during_a_commit_shares_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, gated) = Gated::open(&dir);
    gated.shut(true);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut last = None;
    for n in 0..50 {
        let (sender, receiver) = oneshot::channel();
        let order = Arc::clone(&order);
        let done: Done = Box::new(move |result| {
            result.unwrap();
            order.lock().unwrap().push(n);
            let _ = sender.send(());
        });
        store.submit(vec![reading(1, Channel::Led, n, 1)], Urgency::Now, Some(done)).await.unwrap();
        last = Some(receiver);
    }
    // Nobody waits for the medium to read, or to see what is not on it yet.
    assert_eq!(all(&store, 1, Channel::Led).await.len(), 50);
    assert!(order.lock().unwrap().is_empty());
    gated.shut(false);
    last.unwrap().await.unwrap();
    assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
    let commits = store.stats().commits;
    assert!(commits <= 2, "{commits} commits");
    drop(gated);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_queue_makes_submitters_wait_and_forgets_those_who_leave() {
    let dir = tempfile::tempdir().unwrap();
    let (store, gated) = Gated::open(&dir);
    gated.shut(true);
    let mut sent = 0;
    loop {
        let changes = (0..1000).map(|n| reading(1, Channel::Led, sent + n, 1)).collect();
        let submit = store.submit(changes, Urgency::Interval, None);
        if tokio::time::timeout(Duration::from_millis(300), submit).await.is_err() {
            break;
        }
        sent += 1000;
        assert!(sent < 1_000_000, "the queue has no bound");
    }
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { put(&store, vec![reading(2, Channel::Led, 0, 1); 2000]).await }
    });
    gated.shut(false);
    waiting.await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(i64::try_from(all(&store, 1, Channel::Led).await.len()).unwrap(), sent);
    assert_eq!(all(&store, 2, Channel::Led).await.len(), 2000);
    drop(gated);
    store.close().await.unwrap();
}

#[tokio::test]
async fn one_submission_of_any_size_is_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    // Stamps that far apart take the most room: more parts than a frame can have.
    let far = |n: i64| if n % 2 == 0 { Timestamp::MIN } else { Timestamp::MAX };
    let many = (0..200_000).map(|n| {
        let reading = Reading { device: DeviceId(1), channel: Channel::Led, value: 1, at: far(n) };
        Change::Reading(reading)
    });
    put(&store, many.collect()).await;
    store.flush().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.commits, stats.committed_readings), (1, 200_000));
    assert!(stats.frame_bytes > 256 * 4000);
    store.close().await.unwrap();
    let (store, _) = open(&dir);
    assert_eq!(store.stats().stored_readings, 200_000);
    let oldest = store.readings(DeviceId(1), Channel::Led, ALL.0, ALL.1, usize::MAX).await.unwrap();
    assert_eq!(oldest.len(), 100_000);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_commit_is_told_to_all_who_wait_and_ends_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, gated) = Gated::open(&dir);
    put(&store, vec![reading(1, Channel::Led, 0, 1)]).await;
    store.flush().await.unwrap();
    gated.fail.store(true, SeqCst);
    gated.shut(true);
    let mut receivers = Vec::new();
    for n in 1..5 {
        let (done, receiver) = callback();
        let changes = vec![reading(1, Channel::Led, n, 1), line(1, n, "lost")];
        store.submit(changes, Urgency::Now, Some(done)).await.unwrap();
        receivers.push(receiver);
    }
    gated.shut(false);
    for receiver in receivers {
        let error = receiver.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, StoreError::Failed { reason } if reason.contains("db: ")),
            "{error}"
        );
    }
    // It stays failed, even if the medium would work again.
    gated.fail.store(false, SeqCst);
    let again = store.submit(vec![reading(1, Channel::Led, 9, 1)], Urgency::Now, None).await;
    assert!(matches!(again, Err(StoreError::Failed { .. })), "{again:?}");
    assert!(matches!(store.flush().await, Err(StoreError::Failed { .. })));
    let stats = store.stats();
    assert!(!stats.healthy);
    assert_eq!((stats.commits, stats.write_errors), (1, 1));
    // What was stored before can still be read.
    assert_eq!(all(&store, 1, Channel::Led).await, [(0, 1)]);
    drop(gated);
    assert!(matches!(store.close().await, Err(StoreError::Failed { .. })));
    let (store, _) = open(&dir);
    assert_eq!(all(&store, 1, Channel::Led).await[0], (0, 1));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_change_that_is_too_large_is_refused_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    let changes = vec![reading(1, Channel::Led, 0, 1), line(1, 0, &"x".repeat(10_000))];
    let error = store.submit(changes, Urgency::Now, None).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert_eq!(all(&store, 1, Channel::Led).await, []);
    store.flush().await.unwrap();
    assert!(store.stats().healthy);
    store.close().await.unwrap();
}

#[tokio::test]
async fn after_closing_every_call_fails_and_the_store_can_be_opened_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let (store, _) = open(&dir);
        let other = store.clone();
        put(&store, vec![reading(1, Channel::Led, 0, 1)]).await;
        store.close().await.unwrap();
        other.close().await.unwrap();
        assert!(matches!(other.flush().await, Err(StoreError::Closed)));
        let read = other.readings(DeviceId(1), Channel::Led, ALL.0, ALL.1, 1).await;
        assert!(matches!(read, Err(StoreError::Closed)));
        assert!(matches!(other.log(DeviceId(1), None, 1).await, Err(StoreError::Closed)));
        assert!(!other.stats().healthy);
    }
}

#[tokio::test]
async fn dropping_the_last_handle_commits_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![reading(1, Channel::Led, 0, 1)]).await;
    drop(store);
    let reopened = Mutex::new(None);
    until("the writer has let go", || {
        *reopened.lock().unwrap() = Store::open(dir.path(), &never()).ok();
        reopened.lock().unwrap().is_some()
    })
    .await;
    let (store, _) = reopened.into_inner().unwrap().unwrap();
    assert_eq!(all(&store, 1, Channel::Led).await, [(0, 1)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_second_opener_is_refused_and_disturbs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    let half = dir.path().join("sled/snap.00.generating");
    fs::write(&half, "a snapshot that the first one is writing").unwrap();
    let error = Store::open(dir.path(), &never()).unwrap_err();
    assert!(matches!(&error, StoreError::Locked { path } if path == dir.path()), "{error}");
    assert!(half.exists());
    put(&store, vec![reading(1, Channel::Led, 0, 1)]).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn another_format_is_refused_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).0.close().await.unwrap();
    let format = dir.path().join("sled/FORMAT");
    let current = fs::read_to_string(&format).unwrap();
    fs::write(&format, current.replace("schema: 3", "schema: 4")).unwrap();
    let before = fs::read(dir.path().join("sled/db")).unwrap();
    let error = Store::open(dir.path(), &never()).unwrap_err();
    assert!(error.to_string().contains("schema 4"), "{error}");
    assert_eq!(fs::read(dir.path().join("sled/db")).unwrap(), before);
    fs::write(&format, current).unwrap();
    open(&dir).0.close().await.unwrap();
}

#[tokio::test]
async fn half_snapshots_and_a_torn_conf_do_not_keep_it_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![reading(1, Channel::Led, 0, 1)]).await;
    store.close().await.unwrap();
    open(&dir).0.close().await.unwrap();
    let database = dir.path().join("sled");
    let snapshot = fs::read_dir(&database)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap."))
        .unwrap();
    let bytes = fs::read(&snapshot).unwrap();
    let half = &bytes[..bytes.len() / 2];
    fs::write(database.join("snap.FFFFFFFFFFFFFFFF.generating"), half).unwrap();
    fs::write(&snapshot, half).unwrap();
    fs::write(database.join("conf"), b"segment_si").unwrap();
    let (store, _) = open(&dir);
    assert_eq!(all(&store, 1, Channel::Led).await, [(0, 1)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn damaged_values_are_skipped_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    for n in 0..3 {
        put(
            &store,
            vec![
                Change::PutDevice(Box::new(record(u32::try_from(n).unwrap()))),
                reading(1, Channel::Led, n, 1),
                line(1, n, &n.to_string()),
            ],
        )
        .await;
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
    tamper(&dir, |tree| {
        for (key, byte) in [
            (key::device(DeviceId(1)), 30),
            (key::frame(2, 0), 25),
            (key::log(DeviceId(1), at(1), (1 << 32) | 1), 40),
        ] {
            let mut value = tree.get(&key).unwrap().unwrap().to_vec();
            value[byte] ^= 4;
            tree.insert(key, value).unwrap();
        }
        tree.insert([key::FRAME, 1], b"no frame").unwrap();
    });
    let (store, contents) = open(&dir);
    assert_eq!(contents.devices, [record(0), record(2)]);
    for _ in 0..2 {
        assert_eq!(all(&store, 1, Channel::Led).await, [(0, 1), (2, 1)]);
        assert_eq!(whole_log(&store, 1).await, ["2", "0"]);
    }
    let stats = store.stats();
    assert_eq!((stats.corrupt_values, stats.stored_readings), (4, 2));
    put(&store, vec![reading(1, Channel::Led, 9, 1)]).await;
    store.close().await.unwrap();
    let (store, _) = open(&dir);
    assert_eq!(all(&store, 1, Channel::Led).await, [(0, 1), (2, 1), (9, 1)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn lost_counters_are_rebuilt_from_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![Change::PutDevice(Box::new(record(6)))]).await;
    store.close().await.unwrap();
    tamper(&dir, |tree| drop(tree.insert(key::marks(), b"rubbish").unwrap()));
    let (store, contents) = open(&dir);
    assert_eq!(contents.marks.next_device, 7);
    assert_eq!(store.stats().corrupt_values, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_gives_an_error_or_a_store_but_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    for n in 0..200 {
        put(&store, vec![reading(1, Channel::Led, n, 1), line(1, n, "x")]).await;
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
    let file = dir.path().join("sled/db");
    let good = fs::read(&file).unwrap();
    let used = good.iter().rposition(|&byte| byte != 0).unwrap();
    for snapshot in [true, false] {
        for n in 0..8 {
            let mut bytes = good.clone();
            let at = used / 8 * n + 11;
            bytes[at..at + 64].fill(0xA5);
            let copy = tempfile::tempdir().unwrap();
            copy_store(dir.path(), copy.path(), snapshot);
            fs::write(copy.path().join("sled/db"), bytes).unwrap();
            match Store::open(copy.path(), &never()) {
                Ok((store, _)) => {
                    let _ = store.readings(DeviceId(1), Channel::Led, ALL.0, ALL.1, 1000).await;
                    let _ = store.log(DeviceId(1), None, 1000).await;
                    let _ = store.close().await;
                }
                Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
            }
        }
    }
}

fn copy_store(from: &Path, to: &Path, snapshot: bool) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_store(&entry.path(), &target, snapshot);
        } else if snapshot || !entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Reading(u32, usize, i64, u8),
    Line(u32, i64),
    Device(u32),
    Remove(u32),
    Flush,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..4u32, 0..3usize, 0..200i64, any::<u8>()).prop_map(|(d, c, t, v)| Step::Reading(d, c, t, v)),
        6 => (0..4u32, 0..50i64).prop_map(|(d, t)| Step::Line(d, t)),
        3 => (0..4u32).prop_map(Step::Device),
        1 => (0..4u32).prop_map(Step::Remove),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Against a model that is a few vectors.
    #[test]
    fn the_store_answers_as_a_list_would(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare_with_model(steps));
    }
}

async fn compare_with_model(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&dir);
    let mut readings: Vec<(u32, Channel, i64, u8)> = Vec::new();
    let mut lines: Vec<(u32, i64, String)> = Vec::new();
    let mut devices = std::collections::BTreeSet::new();
    let mut removed = std::collections::BTreeSet::new();
    let mut gone = std::collections::BTreeSet::new();
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            // Nobody uses their numbers again, and their tombstones may have gone.
            Step::Reading(device, ..)
            | Step::Line(device, _)
            | Step::Device(device)
            | Step::Remove(device)
                if gone.contains(&device) => {}
            Step::Reading(device, channel, millis, value) => {
                let channel = Channel::ALL[channel];
                put(&store, vec![reading(device, channel, millis, value)]).await;
                if !removed.contains(&device) {
                    readings.push((device, channel, millis, value));
                }
            }
            Step::Line(device, millis) => {
                put(&store, vec![line(device, millis, &n.to_string())]).await;
                if !removed.contains(&device) {
                    lines.push((device, millis, n.to_string()));
                }
            }
            Step::Device(device) => {
                put(&store, vec![Change::PutDevice(Box::new(record(device)))]).await;
                if !removed.contains(&device) {
                    devices.insert(device);
                }
            }
            Step::Remove(device) => {
                put(&store, vec![Change::RemoveDevice(DeviceId(device))]).await;
                removed.insert(device);
                devices.remove(&device);
                readings.retain(|reading| reading.0 != device);
                lines.retain(|line| line.0 != device);
            }
            Step::Flush => store.flush().await.unwrap(),
            Step::Reopen => {
                store.close().await.unwrap();
                let contents;
                (store, contents) = open(&dir);
                gone.clone_from(&removed);
                let found: Vec<_> = contents.devices.iter().map(|record| record.id.0).collect();
                assert_eq!(found, devices.iter().copied().collect::<Vec<_>>());
                assert_eq!(store.stats().stored_readings, readings.len() as u64);
                for (device, channel, state) in contents.last {
                    let mut expected = None;
                    for &(d, c, millis, value) in &readings {
                        if (d, c) == (device.0, channel) {
                            expected = Some(ChannelState::updated(expected, value, at(millis)));
                        }
                    }
                    assert_eq!(Some(state), expected);
                }
            }
        }
    }
    for device in 0..4 {
        for channel in Channel::ALL {
            let mut expected: Vec<_> = readings
                .iter()
                .filter(|reading| (reading.0, reading.1) == (device, channel))
                .map(|reading| (reading.2, reading.3))
                .collect();
            expected.sort_by_key(|reading| reading.0);
            assert_eq!(all(&store, device, channel).await, expected);
        }
        let mut expected: Vec<_> = lines.iter().filter(|line| line.0 == device).collect();
        expected.sort_by_key(|line| line.1);
        let expected: Vec<_> = expected.into_iter().rev().map(|line| line.2.clone()).collect();
        assert_eq!(whole_log(&store, device).await, expected);
    }
    store.close().await.unwrap();
}
