//! The store on a card that fails: copies of a store are damaged in every way that is documented
//! (see `src/store/recovery/mod.rs`), and each has to open with what was whole, or to be refused
//! with nothing touched.
//!
//! Every reading has a time of its own, so that it can be told from all others: what a damaged store
//! answers must be a part of what was written, in order, nothing twice; and where something is
//! missing, the store has to say that it was recovered, and to keep what it was.
//!
//! `CAPTEUR_DAMAGE_ROUNDS` sets how many copies are damaged in each random way (8).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use capteur::{
    model::{
        Bucket, Channel, Clock, DeviceId, DeviceRecord, LogEntry, LogKind, Marks, Reading,
        Timestamp, Width, Wish,
    },
    store::{
        Change, Contents, Options, Recovery, Store, StoreError, Urgency,
        backup::file::{check_file, save},
    },
};
use capteur_protocol::{Mac, Pair, SessionId};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tempfile::TempDir;

const DEVICES: u32 = 6;
/// Readings of each device's light, one a second; the switches have a tenth of that.
const SECONDS: i64 = 6_000;
const START: i64 = 1_763_800_000_000;
/// The first device is removed in the middle of it.
const REMOVED: u32 = 0;

/// Names the folder to the child that is on a full disk.
const CHILD: &str = "CAPTEUR_DAMAGE_CHILD";

/// A clock that stands at the end of all readings.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + SECONDS * 1000)
    }
}

fn options() -> Options {
    Options {
        commit_interval: Duration::from_millis(5),
        upkeep_interval: Duration::from_millis(5),
        clock: Arc::new(Still),
        ..Options::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

type Key = (DeviceId, Channel);

/// The readings of one second.
fn second(n: i64) -> impl Iterator<Item = Reading> {
    let at = Timestamp::from_millis(START + n * 1000 + n % 7);
    (0..DEVICES).filter(move |&id| id != REMOVED || n < SECONDS / 2).flat_map(move |id| {
        let value = u8::try_from((n / 60 + i64::from(id) * 7 + scrambled(n) % 4) % 101).unwrap();
        let reading = move |channel, value| Reading { device: DeviceId(id), channel, value, at };
        let light = reading(Channel::Photoresistor, value);
        let switch = reading(Channel::Button, value & 1);
        [Some(light), (n % 10 == 0).then_some(switch)].into_iter().flatten()
    })
}

/// All readings that were written, those of the removed device too.
static WRITTEN: LazyLock<BTreeMap<Key, Vec<(Timestamp, u8)>>> = LazyLock::new(|| {
    let mut written: BTreeMap<Key, Vec<_>> = BTreeMap::new();
    for reading in (0..SECONDS).flat_map(second) {
        let key = (reading.device, reading.channel);
        written.entry(key).or_default().push((reading.at, reading.value));
    }
    written
});

fn record(id: u32) -> DeviceRecord {
    let name: capteur_protocol::Name = format!("capteur{id:02}").parse().unwrap();
    let session = SessionId::from_micros(u64::from(id) + 1).unwrap();
    DeviceRecord {
        id: DeviceId(id),
        mac: Mac([2, 0, 0, 0, 0, u8::try_from(id).unwrap()]),
        name: name.clone(),
        first_seen: Timestamp::from_millis(START),
        last_seen: Timestamp::from_millis(START),
        joined_at: None,
        left_at: None,
        session: Some(Pair { name, session }),
        offered: Vec::new(),
        replaced: None,
        revision: 0,
        wish: Wish::Open,
        former_wish: Wish::Open,
    }
}

fn line(n: i64) -> Change {
    let at = Timestamp::from_millis(START + n * 1000);
    let id = u32::try_from(n).unwrap() % (DEVICES - 1) + 1;
    Change::Log(DeviceId(id), LogEntry { at, kind: LogKind::Joined })
}

/// A store that was closed, one that was killed, and a backup from the middle of it.
struct Originals {
    dir: TempDir,
}

static ORIGINALS: LazyLock<Originals> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("closed");
    runtime().block_on(async {
        let (mut store, _) = Store::open(&path, &options()).unwrap();
        let devices = (0..DEVICES).map(|id| Change::PutDevice(Box::new(record(id)))).collect();
        store.submit(devices, Urgency::Now, None).await.unwrap();
        for n in 0..SECONDS {
            let mut changes: Vec<_> = second(n).map(Change::Reading).collect();
            if n % 100 == 0 {
                changes.push(line(n));
            }
            if n == SECONDS / 2 {
                changes.push(Change::RemoveDevice(DeviceId(REMOVED)));
            }
            store.submit(changes, Urgency::Interval, None).await.unwrap();
            if n % 20 == 0 {
                store.flush().await.unwrap();
            }
            // Snapshots of sled come of opening.
            if n == SECONDS / 4 || n == SECONDS * 3 / 4 {
                store.close().await.unwrap();
                store = Store::open(&path, &options()).unwrap().0;
            }
            if n == SECONDS * 2 / 3 {
                let mut bytes = Vec::new();
                let mut backup = store.backup(Still.now()).await.unwrap();
                while let Some(piece) = backup.next().await {
                    bytes.extend(piece.unwrap());
                }
                save(&bytes[..], &dir.path().join("store-20251122T100000Z.capteur"), false)
                    .unwrap();
            }
        }
        let marks = Marks { next_device: DEVICES, highest_name: 5, ..Marks::default() };
        store.submit(vec![Change::PutMarks(marks)], Urgency::Now, None).await.unwrap();
        store.flush().await.unwrap();
        copy(&path, &dir.path().join("killed"));
        store.close().await.unwrap();
    });
    Originals { dir }
});

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of a store that can be damaged.
struct Copy {
    dir: TempDir,
}

impl Copy {
    fn of(which: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&ORIGINALS.dir.path().join(which), dir.path());
        Self { dir }
    }

    fn with_backup(self) -> Self {
        let name = "store-20251122T100000Z.capteur";
        fs::create_dir(self.path().join("backups")).unwrap();
        fs::copy(ORIGINALS.dir.path().join(name), self.path().join("backups").join(name)).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn database(&self) -> PathBuf {
        self.path().join("sled")
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.database().join(file);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    fn snapshots(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.database()).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap."))
            .collect()
    }
}

/// What a store was found to hold.
#[derive(Debug)]
struct Outcome {
    recovery: Option<Box<Recovery>>,
    devices: Vec<DeviceRecord>,
    readings: usize,
    /// Of what was written.
    missing: usize,
    /// How many of these came before the newest that is there.
    missing_before: usize,
    lines: usize,
}

/// Opens a damaged store and looks at all of it: once more where a query finds the damage.
fn examine(path: &Path, what: &str) -> Outcome {
    for _ in 0..2 {
        let (store, contents) =
            Store::open(path, &options()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let recovery = contents.recovery.clone();
        let runtime = runtime();
        let outcome = runtime.block_on(look(&store, contents, what));
        let closed = runtime.block_on(store.close());
        match outcome {
            Ok(outcome) => {
                closed.unwrap();
                check_report(path, &outcome, what);
                return outcome;
            }
            Err(error) => {
                assert!(recovery.is_none(), "{what}: {error} after {recovery:?}");
                assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
            }
        }
    }
    panic!("{what}: a query failed again");
}

async fn look(store: &Store, contents: Contents, what: &str) -> Result<Outcome, StoreError> {
    let mut outcome = Outcome {
        recovery: contents.recovery,
        devices: contents.devices,
        readings: 0,
        missing: 0,
        missing_before: 0,
        lines: 0,
    };
    let all = (Timestamp::MIN, Timestamp::MAX);
    let mut missing = Vec::new();
    let mut newest = Timestamp::MIN;
    for (&(device, channel), written) in &*WRITTEN {
        let found = store.readings(device, channel, all.0, all.1, usize::MAX).await?;
        assert!(
            found.is_sorted_by(|a, b| a.0 < b.0),
            "{what}: {device:?} {channel} is out of order, or has something twice"
        );
        // Where the end of the log is lost, so may the removal be.
        if device.0 != REMOVED {
            let absent = written.iter().filter(|reading| found.binary_search(reading).is_err());
            missing.extend(absent.map(|reading| reading.0));
        }
        newest = newest.max(found.last().map_or(newest, |reading| reading.0));
        let strangers = found.iter().filter(|reading| written.binary_search(reading).is_err());
        assert_eq!(strangers.count(), 0, "{what}: some of {device:?} {channel} were never written");
        outcome.readings += found.len();
        for width in [Width::Minute, Width::Hour] {
            let buckets = store.buckets(device, channel, width, all.0, all.1, usize::MAX).await?;
            let (least, most) = (sums(width, &found), sums(width, written));
            let count = |buckets: &BTreeMap<Timestamp, u64>, at| *buckets.get(&at).unwrap_or(&0);
            for Bucket { start, count: found, .. } in buckets {
                let possible = count(&least, start)..=count(&most, start);
                assert!(possible.contains(&found), "{what}: {found} at {start}, not {possible:?}");
            }
        }
    }
    outcome.missing = missing.len();
    outcome.missing_before = missing.iter().filter(|&&at| at <= newest).count();
    for id in 1..DEVICES {
        outcome.lines += store.log(DeviceId(id), None, usize::MAX).await?.len();
    }
    Ok(outcome)
}

fn sums(width: Width, readings: &[(Timestamp, u8)]) -> BTreeMap<Timestamp, u64> {
    let mut sums = BTreeMap::new();
    for &(at, value) in readings {
        *sums.entry(Bucket::of(width, at.millis(), value).start).or_default() += 1;
    }
    sums
}

/// What is missing is said, and what was damaged is kept.
fn check_report(path: &Path, outcome: &Outcome, what: &str) {
    let Some(recovery) = &outcome.recovery else {
        // At its very end, the log of a store that was killed is like one that a power cut has torn.
        let killed = what.ends_with("killed");
        let missing = if killed { outcome.missing_before } else { outcome.missing };
        assert_eq!(missing, 0, "{what}: readings are missing, without a word");
        let lines = usize::from(!killed) * 60;
        assert!(outcome.lines >= lines, "{what}: log lines are missing, without a word");
        return;
    };
    assert!(path.join(&recovery.set_aside).join("RECOVERY.json").is_file(), "{what}");
    assert!(!recovery.reason.is_empty());
    assert_eq!(recovery.devices, outcome.devices.len() as u64, "{what}");
    assert_eq!(recovery.readings, outcome.readings as u64, "{what}");
    assert_eq!(recovery.log_lines, outcome.lines as u64, "{what}");
    let last = WRITTEN.values().flatten().map(|reading| reading.0).max();
    let said =
        recovery.lost_readings > 0 || recovery.lost_commits > 0 || recovery.newest_reading < last;
    assert!(said || outcome.missing == 0, "{what}: {} missing, {recovery:?}", outcome.missing);
}

fn devices() -> Vec<DeviceRecord> {
    (1..DEVICES).map(record).collect()
}

fn rounds() -> u64 {
    std::env::var("CAPTEUR_DAMAGE_ROUNDS").map_or(8, |rounds| rounds.parse().unwrap())
}

/// Random numbers that come again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        usize::try_from(scrambled(self.0.cast_signed()).unsigned_abs()).unwrap() % end
    }
}

/// `SplitMix64`: a number's own, well-mixed bits.
fn scrambled(number: i64) -> i64 {
    let mut bits = number.cast_unsigned().wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (bits ^ (bits >> 31)).cast_signed() & i64::MAX
}

#[test]
fn the_undamaged_stores_have_everything() {
    for which in ["closed", "killed"] {
        let outcome = examine(Copy::of(which).path(), which);
        assert_eq!((outcome.missing, outcome.lines, &outcome.devices), (0, 60, &devices()));
        assert_eq!(outcome.recovery, None);
    }
    check_file(&ORIGINALS.dir.path().join("store-20251122T100000Z.capteur")).unwrap();
}

/// Damages the bytes of a file.
type Ruin = fn(&mut Vec<u8>, &mut Random);

#[test]
fn a_log_damaged_anywhere_is_recovered_or_whole() {
    let kinds: [(&str, Ruin); 5] = [
        ("a flipped bit", |bytes, random| {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }),
        ("flipped bits", |bytes, random| {
            for _ in 0..50 {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }),
        ("a page of zeros", |bytes, random| {
            let page = random.below(bytes.len() / 4096);
            bytes[page * 4096..][..4096].fill(0);
        }),
        ("64 KiB of rubbish", |bytes, random| {
            let at = random.below(bytes.len() - 65_536);
            bytes[at..at + 65_536].fill(0xA5);
        }),
        ("a cut", |bytes, random| bytes.truncate(random.below(bytes.len()))),
    ];
    let mut table = Vec::new();
    for (number, (kind, damage)) in (0..).zip(kinds) {
        let (mut opened, mut recovered, mut missing) = (0, 0, 0);
        for round in 0..rounds() {
            let which = if round % 2 == 0 { "killed" } else { "closed" };
            let copy = Copy::of(which);
            copy.change("db", |bytes| damage(bytes, &mut Random(number << 32 | round << 8)));
            let outcome = examine(copy.path(), &format!("{kind}, round {round}, {which}"));
            match outcome.recovery {
                Some(_) => recovered += 1,
                None => opened += 1,
            }
            missing += outcome.missing;
        }
        table.push(format!("{kind}: {opened} opened, {recovered} recovered, {missing} missing"));
    }
    eprintln!("{}", table.join("\n"));
}

#[test]
fn with_a_backup_all_devices_and_all_older_readings_come_back() {
    let backed_up = usize::try_from(SECONDS * 2 / 3).unwrap();
    for (what, damage) in [
        ("rubbish", (|copy| copy.change("db", |bytes| bytes.fill(0x5A))) as fn(&Copy)),
        ("an empty file", |copy| copy.change("db", Vec::clear)),
        ("no file", |copy| fs::remove_file(copy.database().join("db")).unwrap()),
        ("an empty folder", |copy| {
            fs::remove_dir_all(copy.database()).unwrap();
            fs::create_dir(copy.database()).unwrap();
        }),
        ("no folder", |copy| fs::remove_dir_all(copy.database()).unwrap()),
    ] {
        let copy = Copy::of("closed").with_backup();
        damage(&copy);
        let outcome = examine(copy.path(), what);
        let recovery = outcome.recovery.expect(what);
        assert_eq!(recovery.backup.as_deref(), Some("store-20251122T100000Z.capteur"));
        assert_eq!(outcome.devices, devices(), "{what}");
        let kept = WRITTEN.iter().filter(|((device, _), _)| device.0 != REMOVED);
        let all: usize = kept.map(|(_, written)| written.len()).sum();
        assert!(outcome.readings > all * backed_up / usize::try_from(SECONDS).unwrap() - 200);
        assert!(outcome.lines >= 40, "{what}");
    }
}

#[test]
fn what_is_left_of_the_log_and_the_backup_is_put_together() {
    for round in 0..rounds() {
        let copy = Copy::of("killed").with_backup();
        let mut random = Random(round << 8 | 7);
        // Half of the file, in pieces; and a little of the backup.
        copy.change("db", |bytes| {
            for page in bytes.chunks_mut(16 * 1024) {
                if random.below(2) == 0 {
                    page.fill(0);
                }
            }
        });
        if round % 2 == 1 {
            copy.change("../backups/store-20251122T100000Z.capteur", |bytes| {
                let at = random.below(bytes.len());
                bytes[at] ^= 4;
            });
        }
        let outcome = examine(copy.path(), &format!("round {round}"));
        assert!(outcome.recovery.is_some());
        assert_eq!(outcome.devices, devices());
    }
}

#[test]
fn without_a_backup_a_lost_log_makes_an_empty_store_that_says_so() {
    for (what, damage) in [
        ("rubbish", (|copy| copy.change("db", |bytes| bytes.fill(0x5A))) as fn(&Copy)),
        ("an empty file", |copy| copy.change("db", Vec::clear)),
        ("no file", |copy| fs::remove_file(copy.database().join("db")).unwrap()),
    ] {
        let copy = Copy::of("closed");
        damage(&copy);
        let outcome = examine(copy.path(), what);
        assert!(outcome.recovery.is_some(), "{what}");
        assert_eq!((outcome.devices.len(), outcome.readings), (0, 0), "{what}");
        // It goes on to be known as recovered, and to work.
        let outcome = examine(copy.path(), what);
        assert!(outcome.recovery.is_some(), "{what}");
    }
    let copy = Copy::of("closed");
    fs::remove_dir_all(copy.database()).unwrap();
    let (store, contents) = Store::open(copy.path(), &options()).unwrap();
    assert_eq!((contents.recovery, contents.devices), (None, Vec::new()));
    runtime().block_on(store.close()).unwrap();
}

/// Damages a store.
type Damage = Box<dyn Fn(&Copy)>;

#[test]
fn files_beside_the_log_can_be_lost_or_damaged_and_nothing_is_missing() {
    let snapshot = |change: fn(&mut Vec<u8>)| {
        move |copy: &Copy| {
            for path in copy.snapshots() {
                let mut bytes = fs::read(&path).unwrap();
                change(&mut bytes);
                fs::write(path, bytes).unwrap();
            }
        }
    };
    let file =
        |name: &'static str, change: fn(&mut Vec<u8>)| move |copy: &Copy| copy.change(name, change);
    // What was done, and whether it counts as damage.
    let damages: Vec<(&str, bool, Damage)> = vec![
        (
            "no snapshot",
            false,
            Box::new(|copy| {
                copy.snapshots().iter().for_each(|path| fs::remove_file(path).unwrap());
            }),
        ),
        ("half a snapshot", false, Box::new(snapshot(|bytes| bytes.truncate(bytes.len() / 2)))),
        ("an empty snapshot", false, Box::new(snapshot(Vec::clear))),
        ("a flipped snapshot", false, Box::new(snapshot(|bytes| bytes[20] ^= 1))),
        (
            "a snapshot that was not finished",
            false,
            Box::new(|copy| {
                fs::write(copy.database().join("snap.00000000FFFFFFFF.generating"), [7; 99])
                    .unwrap();
            }),
        ),
        ("no conf", false, Box::new(|copy| fs::remove_file(copy.database().join("conf")).unwrap())),
        ("half a conf", false, Box::new(file("conf", |bytes| bytes.truncate(9)))),
        ("a flipped conf", false, Box::new(file("conf", |bytes| bytes[3] ^= 1))),
        (
            "no blobs",
            false,
            Box::new(|copy| {
                let _ = fs::remove_dir_all(copy.database().join("blobs"));
            }),
        ),
        ("no lock", false, Box::new(|copy| fs::remove_file(copy.path().join("LOCK")).unwrap())),
        (
            "no format",
            true,
            Box::new(|copy| fs::remove_file(copy.database().join("FORMAT")).unwrap()),
        ),
        ("a format of rubbish", true, Box::new(file("FORMAT", |bytes| bytes.fill(0xFF)))),
        ("an empty format", true, Box::new(file("FORMAT", Vec::clear))),
        (
            "a request",
            true,
            Box::new(|copy| {
                fs::write(copy.database().join("REPAIR"), "a query has failed").unwrap();
            }),
        ),
        (
            "a database that was not finished",
            false,
            Box::new(|copy| {
                fs::create_dir(copy.path().join("sled.new")).unwrap();
                fs::write(copy.path().join("sled.new/db"), "half").unwrap();
            }),
        ),
        (
            "a swap that was not finished",
            false,
            Box::new(|copy| {
                fs::rename(copy.database(), copy.path().join("sled.new")).unwrap();
            }),
        ),
    ];
    for (what, is_damage, damage) in damages {
        for which in ["killed", "closed"] {
            let copy = Copy::of(which);
            damage(&copy);
            let outcome = examine(copy.path(), what);
            assert_eq!(outcome.recovery.is_some(), is_damage, "{what}, {which}");
            assert_eq!((outcome.missing, outcome.lines), (0, 60), "{what}, {which}");
            assert_eq!(outcome.devices, devices(), "{what}, {which}");
            assert!(!copy.path().join("sled.new").exists(), "{what}, {which}");
        }
    }
}

#[test]
fn a_recovered_store_goes_on_and_is_recovered_again() {
    let copy = Copy::of("killed").with_backup();
    let (device, channel) = (DeviceId(1), Channel::Led);
    let reading = |n: i64| {
        let at = Timestamp::from_millis(START + n);
        Change::Reading(Reading { device, channel, value: u8::from(n % 2 == 0), at })
    };
    for round in 0..3 {
        fs::write(copy.database().join("REPAIR"), "a test").unwrap();
        let (store, contents) = Store::open(copy.path(), &options()).unwrap();
        assert!(contents.recovered);
        runtime().block_on(async {
            for n in 0..3000 {
                let changes = vec![reading(round * 3000 + n)];
                store.submit(changes, Urgency::Interval, None).await.unwrap();
            }
            store.close().await.unwrap();
        });
    }
    fs::write(copy.database().join("REPAIR"), "a test").unwrap();
    let (store, contents) = Store::open(copy.path(), &options()).unwrap();
    let recovery = contents.recovery.unwrap();
    assert_eq!((recovery.lost_readings, recovery.lost_commits), (0, 0), "{recovery:?}");
    let all = (Timestamp::MIN, Timestamp::MAX);
    runtime().block_on(async {
        let found = store.readings(device, channel, all.0, all.1, usize::MAX).await.unwrap();
        let times: Vec<_> = found.iter().map(|reading| reading.0.millis() - START).collect();
        assert_eq!(times, (0..9000).collect::<Vec<_>>());
        for (&(device, channel), written) in WRITTEN.iter().filter(|(key, _)| key.0.0 != REMOVED) {
            let found = store.readings(device, channel, all.0, all.1, usize::MAX).await.unwrap();
            assert!(found == *written, "{device:?} {channel}");
        }
        store.close().await.unwrap();
    });
}

#[test]
fn what_a_recovery_can_not_help_is_refused_and_nothing_is_touched() {
    let copy = Copy::of("closed");
    copy.change("FORMAT", |bytes| {
        *bytes = b"engine: sled\nversion: 0.34.7\nschema: 99\n".to_vec();
    });
    let before = files(copy.path());
    let error = Store::open(copy.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::Format { .. }), "{error}");
    assert!(files(copy.path()) == before);

    // A second process, while a first one has it.
    let copy = Copy::of("closed");
    let (store, _) = Store::open(copy.path(), &options()).unwrap();
    fs::write(copy.database().join("REPAIR"), "never seen").unwrap();
    let error = Store::open(copy.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(copy.database().join("REPAIR").exists());
    runtime().block_on(store.close()).unwrap();
}

/// How the disk of the child below is made: the first way that the system allows. A limit of the
/// length of files stands in for a disk where no disk can be mounted.
const DISKS: [(&str, &str); 3] = [
    (
        "full",
        r#"unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=48m tmpfs "$1" && shift && exec "$@"' sh "$@""#,
    ),
    (
        "full",
        r#"mount -t tmpfs -o size=48m tmpfs "$1" && shift && "$@"; code=$?; umount "$DISK"; exit $code"#,
    ),
    ("limited", r#"shift; trap "" XFSZ; ulimit -f 16; exec "$@""#),
];

/// What the child ends with where its disk could be made.
const REACHED: i32 = 77;

#[test]
fn a_full_disk_is_refused_and_the_store_recovers_when_there_is_room() {
    on_a_disk_of_its_own(
        "a_full_disk_is_refused_and_the_store_recovers_when_there_is_room",
        full_disk,
    );
}

#[test]
fn a_read_only_folder_is_refused_and_nothing_in_it_touched() {
    on_a_disk_of_its_own("a_read_only_folder_is_refused_and_nothing_in_it_touched", read_only);
}

/// Runs this program's test of that name once more, on a small disk, where it calls `check` with the
/// folder of the originals.
fn on_a_disk_of_its_own(name: &str, check: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(CHILD) {
        check(Path::new(&folder));
        std::process::exit(REACHED);
    }
    let originals = ORIGINALS.dir.path();
    let reached = DISKS.iter().any(|(kind, script)| {
        let disk = tempfile::tempdir().unwrap();
        let output = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(disk.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "--test-threads=1", name])
            .env(CHILD, originals)
            .env("DISK", disk.path())
            .env("KIND", kind)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked"), "{kind}: {text}");
        output.status.code() == Some(REACHED)
    });
    assert!(reached, "no way to limit a disk works here");
}

fn read_only(originals: &Path) {
    let disk = PathBuf::from(std::env::var_os("DISK").unwrap());
    if std::env::var("KIND").unwrap() == "limited" {
        // Nothing can be mounted here. This is read-only for everybody.
        let error = Store::open(Path::new("/proc/capteur/store"), &options()).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        return;
    }
    let path = disk.join("store");
    copy(&originals.join("killed"), &path);
    let before = files(&path);
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", how]).arg(&disk).status().unwrap();
        assert!(status.success(), "{how}: {status}");
    };
    remount("remount,ro");
    let error = Store::open(&path, &options()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(files(&path) == before, "something was written");
    remount("remount,rw");
    let outcome = examine(&path, "writable again");
    assert_eq!((outcome.missing, outcome.recovery), (0, None));
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

fn full_disk(originals: &Path) {
    let disk = PathBuf::from(std::env::var_os("DISK").unwrap());
    let path = disk.join("store");
    if std::env::var("KIND").unwrap() == "limited" {
        // Made by the parent, which has no limit: it is only opened here.
        let dir = tempfile::tempdir().unwrap();
        let error = Store::open(&dir.path().join("new"), &options()).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        return;
    }
    // A store without damage.
    copy(&originals.join("closed"), &path);
    fill(&disk);
    match Store::open(&path, &options()) {
        Ok((store, contents)) => {
            assert_eq!(contents.recovery, None);
            let _ = runtime().block_on(store.close());
        }
        Err(error) => assert!(matches!(error, StoreError::Io { .. }), "{error}"),
    }
    fs::remove_file(disk.join("filler")).unwrap();
    let outcome = examine(&path, "with room again");
    assert_eq!((outcome.missing, outcome.recovery), (0, None));
    // One with damage.
    fs::write(path.join("sled/REPAIR"), "a test").unwrap();
    fill(&disk);
    for _ in 0..2 {
        let error = Store::open(&path, &options()).unwrap_err();
        let refused = matches!(error, StoreError::NoRoom { .. } | StoreError::Io { .. });
        assert!(refused, "{error}");
    }
    fs::remove_file(disk.join("filler")).unwrap();
    let outcome = examine(&path, "recovered with room again");
    assert_eq!(outcome.missing, 0);
    assert!(outcome.recovery.is_some());
}

/// Takes all room of a disk.
fn fill(disk: &Path) {
    let mut zeros = std::io::repeat(0).take(1 << 40);
    let mut filler = fs::File::create(disk.join("filler")).unwrap();
    let error = std::io::copy(&mut zeros, &mut filler).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}
