//! What is sealed, summed up, compacted and retired, beside a model of what it has to be.

use super::*;
use crate::{
    model::{Bucket, Clock, Width},
    store::key,
};
use proptest::collection::vec;
use std::collections::{BTreeMap, HashMap, HashSet};

const LIGHT: Channel = Channel::Photoresistor;
const DAY: i64 = 86_400_000;

/// A clock that stands still.
struct Standing(Timestamp);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A store whose time is so many days after all readings, with upkeep all the time.
fn eager(days: i64, retention: Retention) -> Options {
    Options {
        retention,
        upkeep_interval: Duration::from_millis(1),
        clock: Arc::new(Standing(at(days * DAY))),
        ..never()
    }
}

/// One thing that happens to a store.
#[derive(Debug, Clone)]
enum Step {
    /// So many readings of a device arrive, one each `period` ms from `start` on.
    Readings {
        device: u32,
        count: i64,
        start: i64,
        period: i64,
    },
    Remove {
        device: u32,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let start = prop_oneof![Just(0), 0..DAY, -400 * DAY..DAY];
    let period = prop_oneof![Just(0), Just(1000), -50..50_i64, Just(600_000)];
    prop_oneof![
        8 => (0..3u32, 0..2500_i64, start, period).prop_map(|(device, count, start, period)| {
            Step::Readings { device, count, start, period }
        }),
        1 => (0..3u32).prop_map(|device| Step::Remove { device }),
        2 => Just(Step::Reopen),
    ]
}

/// What the store has to hold: the readings of each device in the order of their arrival.
#[derive(Debug, Default)]
struct Model {
    readings: HashMap<u32, Vec<(i64, u8)>>,
    /// Removed devices are never heard of again.
    removed: Vec<u32>,
}

impl Model {
    fn sorted(&self, device: u32) -> Vec<(i64, u8)> {
        let mut readings = self.readings.get(&device).cloned().unwrap_or_default();
        readings.sort_by_key(|&(at, _)| at);
        readings
    }

    fn buckets(&self, device: u32, width: Width) -> Vec<Bucket> {
        let mut buckets = BTreeMap::<_, Bucket>::new();
        for (millis, value) in self.sorted(device) {
            let bucket = Bucket::of(width, at(millis).millis(), value);
            buckets.entry(bucket.start).and_modify(|b| b.add(&bucket)).or_insert(bucket);
        }
        buckets.into_values().collect()
    }
}

/// As `assert_eq`, without printing thousands of values.
fn equal<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T]) {
    let same = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    assert_eq!(found.get(same), expected.get(same), "at {same} of {}", expected.len());
}

async fn compare(store: &Store, model: &Model) {
    let mut stored = 0;
    for device in 0..3 {
        let readings = model.sorted(device);
        stored += readings.len();
        equal(&all(store, device, LIGHT).await, &readings);
        for width in [Width::Minute, Width::Hour] {
            let buckets = model.buckets(device, width);
            let found = store.buckets(DeviceId(device), LIGHT, width, ALL.0, ALL.1, usize::MAX);
            equal(&found.await.unwrap(), &buckets);
            // The oldest few, and a part in the middle.
            let found = store.buckets(DeviceId(device), LIGHT, width, ALL.0, ALL.1, 7);
            equal(&found.await.unwrap(), &buckets[..buckets.len().min(7)]);
            if let [.., from, _, to] = buckets[..] {
                let found = store.buckets(DeviceId(device), LIGHT, width, from.start, to.start, 9);
                let within = |b: &&Bucket| (from.start..to.start).contains(&b.start);
                let expected: Vec<_> = buckets.iter().filter(within).copied().collect();
                equal(&found.await.unwrap(), &expected);
            }
        }
    }
    store.flush().await.unwrap();
    assert_eq!(store.stats().stored_readings, u64::try_from(stored).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn readings_and_buckets_are_what_was_submitted_whatever_is_sealed_and_compacted(
        steps in vec(step(), 1..25),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let options = eager(40, Retention::default());
            let mut store = Store::open(dir.path(), &options).unwrap().0;
            let mut model = Model::default();
            for step in steps {
                match step {
                    // The registry never uses a number again.
                    Step::Readings { device, .. } if model.removed.contains(&device) => {}
                    Step::Readings { device, count, start, period } => {
                        let values = (0..count).map(|n| (start + period * n, u8::try_from(n % 101).unwrap()));
                        let values: Vec<_> = values.collect();
                        let change = |&(at, value): &(i64, u8)| reading(device, LIGHT, at, value);
                        put(&store, values.iter().map(change).collect()).await;
                        model.readings.entry(device).or_default().extend(values);
                    }
                    Step::Remove { device } => {
                        put(&store, vec![Change::RemoveDevice(DeviceId(device))]).await;
                        model.readings.remove(&device);
                        model.removed.push(device);
                    }
                    Step::Reopen => {
                        store.close().await.unwrap();
                        let (again, contents) = Store::open(dir.path(), &options).unwrap();
                        for (device, _, last) in contents.last {
                            let expected = model.readings[&device.0].last().unwrap();
                            assert_eq!((last.at, last.value), (at(expected.0), expected.1));
                        }
                        store = again;
                    }
                }
                compare(&store, &model).await;
            }
            store.close().await.unwrap();
        });
    }
}

/// Waits until the closed store, opened anew, has nothing under keys that begin so.
async fn wait_until_gone(dir: &TempDir, options: &Options, store: Store, tables: &[u8]) -> Store {
    let mut store = store;
    for _ in 0..600 {
        store.close().await.unwrap();
        let mut left = 0;
        tamper(dir, |tree| {
            left = tables.iter().map(|&table| tree.scan_prefix([table]).count()).sum();
        });
        store = Store::open(dir.path(), options).unwrap().0;
        if left == 0 {
            return store;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("tables {tables:x?} are not empty");
}

#[tokio::test]
async fn a_day_becomes_three_blocks_and_the_frames_go() {
    let dir = tempfile::tempdir().unwrap();
    let options = eager(3, Retention::default());
    let (store, _) = Store::open(dir.path(), &options).unwrap();
    for hour in 0..24 {
        let light = |second: i64| reading(1, LIGHT, hour * 3_600_000 + second * 1000, 58);
        put(&store, (0..3600).map(light).collect()).await;
        store.flush().await.unwrap();
    }
    let store = wait_until_gone(&dir, &options, store, &[key::FRESH]).await;
    let stats = store.stats();
    assert_eq!(stats.stored_readings, 86_400);
    store.close().await.unwrap();
    tamper(&dir, |tree| {
        let count = |table| tree.scan_prefix([table]).count();
        let frames = tree.scan_prefix([key::FRAME]).keys().map(|key| key.unwrap()[1..9].to_vec());
        assert_eq!(frames.collect::<HashSet<_>>().len(), 1, "the newest stays");
        // The readings begin in the middle of a half day.
        assert_eq!(count(key::BLOCK), 5, "three half days and two days");
    });
}

#[tokio::test]
async fn readings_of_a_slow_sensor_are_merged_into_few_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let options = eager(400, Retention::default());
    let (store, _) = Store::open(dir.path(), &options).unwrap();
    // A sensor that is heard of once an hour, beside one that fills frames.
    for day in 0..28 {
        let slow = (0..24).map(|hour| reading(1, LIGHT, day * DAY + hour * 3_600_000, 7));
        let fast = (0..40_000).map(|n| reading(2, LIGHT, day * DAY + n, 8));
        put(&store, slow.chain(fast).collect()).await;
        store.flush().await.unwrap();
    }
    let store = wait_until_gone(&dir, &options, store, &[key::FRESH]).await;
    let readings = all(&store, 1, LIGHT).await;
    assert_eq!(readings.len(), 28 * 24);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_too_old_goes_tier_by_tier() {
    let dir = tempfile::tempdir().unwrap();
    let age = |days: u64| Limit { age: Some(Duration::from_hours(24 * days)), bytes: None };
    let retention = Retention { raw: age(5), minute: age(20), ..Retention::default() };
    let options = eager(30, retention);
    let (store, _) = Store::open(dir.path(), &options).unwrap();
    for day in 0..30 {
        let light = |n: i64| reading(1, LIGHT, day * DAY + n * 20_000, 58);
        put(&store, (0..4320).map(light).collect()).await;
    }
    store.flush().await.unwrap();
    let count = |width| {
        let store = store.clone();
        async move {
            let id = DeviceId(1);
            let found = store.buckets(id, LIGHT, width, ALL.0, ALL.1, usize::MAX).await.unwrap();
            (found.first().unwrap().start.millis() - at(0).millis(), found.len())
        }
    };
    let (mut raw, mut minutes) = (0, 0);
    for _ in 0..600 {
        raw = all(&store, 1, LIGHT).await[0].0;
        minutes = count(Width::Minute).await.0;
        if raw > 24 * DAY && minutes > 9 * DAY {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(raw > 24 * DAY && raw <= 25 * DAY, "{raw}");
    assert!(minutes > 9 * DAY && minutes <= 10 * DAY, "{minutes}");
    let (first_hour, hours) = count(Width::Hour).await;
    assert!(first_hour <= 0 && hours >= 30 * 24, "{first_hour} {hours}");
    let readings = all(&store, 1, LIGHT).await.len();
    let readings = u64::try_from(readings).unwrap();
    assert_eq!(store.stats().stored_readings, readings);
    assert_eq!(store.stats().retired_readings, 30 * 4320 - readings);
    let coverage = store.coverage(DeviceId(1), LIGHT).await.unwrap();
    assert!(coverage.hour < coverage.minute && coverage.minute < coverage.raw, "{coverage:?}");
    let first = store.buckets(DeviceId(1), LIGHT, Width::Hour, ALL.0, ALL.1, 1).await.unwrap();
    assert_eq!(coverage.hour, Some(first[0].start));
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_over_a_budget_goes_the_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = |bytes| Limit { age: None, bytes: Some(bytes) };
    let retention = Retention { raw: bytes(60_000), log: bytes(2_000), ..Retention::default() };
    let options = eager(30, retention);
    let (store, _) = Store::open(dir.path(), &options).unwrap();
    for day in 0..30 {
        let light = |n: i64| {
            reading(
                u32::from(n % 2 == 1),
                LIGHT,
                day * DAY + n * 977 * (n % 7),
                u8::try_from(n * n % 101).unwrap(),
            )
        };
        put(&store, (0..8000).map(light).collect()).await;
        put(&store, (0..10).map(|n| line(1, day * DAY + n, &format!("{day}"))).collect()).await;
    }
    store.flush().await.unwrap();
    for _ in 0..600 {
        let stats = store.stats();
        if stats.raw_bytes <= 60_000 && stats.log_bytes <= 2_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stats = store.stats();
    assert!((30_000..=60_000).contains(&stats.raw_bytes), "{stats:?}");
    assert!((1_000..=2_000).contains(&stats.log_bytes), "{stats:?}");
    let lines = whole_log(&store, 1).await;
    assert_eq!(lines.first().map(String::as_str), Some("29"));
    assert!(lines.len() < 30, "{}", lines.len());
    // Both devices gave up what was oldest.
    for device in 0..2 {
        assert!(all(&store, device, LIGHT).await[0].0 > 10 * DAY);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_removed_device_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let options = eager(3, Retention::default());
    let (store, _) = Store::open(dir.path(), &options).unwrap();
    put(&store, (0..30_000).map(|n| reading(1, LIGHT, n * 1000, 58)).collect()).await;
    put(&store, vec![Change::PutDevice(Box::new(record(1))), line(1, 0, "x")]).await;
    put(&store, vec![Change::RemoveDevice(DeviceId(1))]).await;
    store.flush().await.unwrap();
    assert_eq!(store.stats().stored_readings, 0);
    // Another's readings push the frames out.
    for n in 0..70 {
        put(&store, (0..2500).map(|k| reading(2, LIGHT, n * 2500 + k, 58)).collect()).await;
        store.flush().await.unwrap();
    }
    let store = wait_until_gone(&dir, &options, store, &[key::REMOVED]).await;
    let stats = store.stats();
    assert_eq!(stats.stored_readings, 70 * 2500);
    assert_eq!(stats.log_bytes, 0);
    store.close().await.unwrap();
    tamper(&dir, |tree| {
        for table in [key::CHUNK, key::SERIES] {
            let series = tree.scan_prefix([table]).keys().map(|key| key.unwrap()[1..9].to_vec());
            assert!(series.into_iter().all(|number| number == (2u64 * 8 + 2).to_be_bytes()));
        }
        assert_eq!(tree.scan_prefix([key::LOG_USAGE]).count(), 0);
    });
}
