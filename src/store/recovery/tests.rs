//! Recovery of histories of which only some values are left.

use super::*;
use crate::{
    model::{Bucket, Channel, ChannelState, DeviceId, DeviceRecord, Replaced, Width, Wish},
    store::{
        chunk, frame,
        record::{Pair, SeriesRecord},
        rollup::{self, Block},
        series::Series,
    },
};
use capteur_protocol::Mac;
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, HashSet};

const NEVER: Duration = Duration::from_hours(1);
const NOW: Timestamp = Timestamp::MAX;

/// What a store did in its life.
#[derive(Debug, Clone)]
enum Step {
    /// A commit: series, time and value of each reading.
    Commit(Vec<(u64, i64, u8)>),
    Seal(u64),
    Merge(u64),
    Compact(u64),
}

/// A value, and the readings in it: series, time, value.
type Written = (Pair, Vec<(u64, i64, u8)>);
/// Readings that were sealed together, and the frames that they are of.
type Set = ((u64, u64), Vec<(i64, u8)>);

/// A history as it goes on: all values that were ever written, each with the readings in it.
#[derive(Debug, Default)]
struct History {
    frame: u64,
    values: Vec<Written>,
    /// All readings by series, in the order of their arrival.
    readings: BTreeMap<u64, Vec<(i64, u8)>>,
    /// What is not sealed.
    heads: BTreeMap<u64, Vec<(i64, u8)>>,
    records: BTreeMap<u64, SeriesRecord>,
    sets: BTreeMap<u64, Vec<Set>>,
    fresh: BTreeMap<(u64, i64), Block>,
    blocks: BTreeMap<(Width, u64, i64), Block>,
}

fn series(number: u64) -> Series {
    Series::new(
        DeviceId(u32::try_from(number / 3).unwrap()),
        Channel::ALL[usize::try_from(number % 3).unwrap()],
    )
}

impl History {
    fn put(&mut self, key: Vec<u8>, version: u8, body: &[u8], has: Vec<(u64, i64, u8)>) {
        let value = envelope::seal(&key, version, body, "a test").unwrap();
        self.values.push(((key, value), has));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit(readings) => self.commit(readings),
            Step::Seal(number) => self.seal(number),
            Step::Merge(number) => self.merge(number),
            Step::Compact(number) => self.compact(number),
        }
    }

    fn commit(&mut self, readings: Vec<(u64, i64, u8)>) {
        if readings.is_empty() {
            return;
        }
        self.frame += 1;
        let mut entries: Vec<_> =
            readings.iter().map(|&(number, at, value)| (series(number), at, value)).collect();
        entries.sort_by_key(|&(series, ..)| series);
        for (part, body) in (0..).zip(frame::encode(&entries)) {
            self.put(key::frame(self.frame, part), frame::VERSION, &body, readings.clone());
        }
        for (number, at, value) in readings {
            self.readings.entry(number).or_default().push((at, value));
            self.heads.entry(number).or_default().push((at, value));
        }
    }

    fn seal(&mut self, number: u64) {
        let mut head = self.heads.remove(&number).unwrap_or_default();
        if head.is_empty() {
            return;
        }
        let mut record = self.records.get(&number).copied().unwrap_or_default();
        for &(at, value) in &head {
            record.last =
                Some(ChannelState::updated(record.last, value, Timestamp::from_millis(at)));
        }
        head.sort_by_key(|&(at, _)| at);
        let frames = (record.sealed, self.frame);
        record.sealed = self.frame;
        record.readings += head.len() as u64;
        self.chunks(number, frames, &head);
        for buckets in rollup::summarise(Width::Minute, head.iter().copied())
            .chunk_by(|a, b| half_day(a) == half_day(b))
        {
            let start = half_day(&buckets[0]);
            let block = Block { through: self.frame, buckets: buckets.to_vec() };
            let body = rollup::encode(Width::Minute, start, &block);
            let key = key::fresh(series(number), start, self.frame);
            self.put(key, rollup::VERSION, &body, Vec::new());
            let known = self
                .fresh
                .entry((number, start))
                .or_insert(Block { through: 0, buckets: Vec::new() });
            known.through = self.frame;
            known.buckets = rollup::merge(std::mem::take(&mut known.buckets), buckets);
        }
        self.sets.entry(number).or_default().push((frames, head));
        self.record(number, record);
    }

    fn record(&mut self, number: u64, record: SeriesRecord) {
        self.records.insert(number, record);
        self.values.push((record::series(series(number), &record).unwrap(), Vec::new()));
    }

    fn chunks(&mut self, number: u64, (after, through): (u64, u64), readings: &[(i64, u8)]) {
        let mut rest = readings;
        for (part, piece) in (0..).zip(chunk::encode(readings, after)) {
            let (these, after) = rest.split_at(usize::try_from(piece.count).unwrap());
            rest = after;
            let key = key::Chunk { series: series(number), first: piece.first, through, part };
            let has = these.iter().map(|&(at, value)| (number, at, value)).collect();
            self.put(key::chunk(key), chunk::VERSION, &piece.body, has);
        }
    }

    /// Makes one set of the last two.
    fn merge(&mut self, number: u64) {
        let sets = self.sets.entry(number).or_default();
        let (Some(b), Some(a)) = (sets.pop(), sets.pop()) else { return sets.truncate(0) };
        let mut readings = [a.1, b.1].concat();
        readings.sort_by_key(|&(at, _)| at);
        let frames = (a.0.0, b.0.1);
        sets.push((frames, readings.clone()));
        self.chunks(number, frames, &readings);
    }

    /// Compacts all fresh buckets of a series.
    fn compact(&mut self, number: u64) {
        let starts: Vec<_> =
            self.fresh.keys().filter(|key| key.0 == number).map(|key| key.1).collect();
        for start in starts {
            let fresh = self.fresh.remove(&(number, start)).unwrap();
            let hours = rollup::widen(&fresh.buckets);
            for (width, buckets) in [(Width::Minute, fresh.buckets), (Width::Hour, hours)] {
                let start = rollup::block_start(width, start);
                let none = Block { through: 0, buckets: Vec::new() };
                let block = self.blocks.entry((width, number, start)).or_insert(none);
                block.through = fresh.through;
                block.buckets = rollup::merge(std::mem::take(&mut block.buckets), &buckets);
                let body = rollup::encode(width, start, block);
                self.put(
                    key::block(width, series(number), start),
                    rollup::VERSION,
                    &body,
                    Vec::new(),
                );
            }
        }
    }
}

fn half_day(bucket: &Bucket) -> i64 {
    rollup::block_start(Width::Minute, bucket.start.millis())
}

fn device(id: u32, seen: i64) -> DeviceRecord {
    DeviceRecord {
        id: DeviceId(id),
        mac: Mac([2, 0, 0, 0, 0, u8::try_from(id).unwrap()]),
        name: format!("capteur{id:02}").parse().unwrap(),
        first_seen: NOW,
        last_seen: Timestamp::from_millis(seen),
        joined_at: None,
        left_at: None,
        session: None,
        offered: Vec::new(),
        replaced: None,
        revision: 0,
        wish: Wish::Open,
        former_wish: Wish::Open,
    }
}

/// A database that sled can't read, with these values in its file.
fn ruin(path: &Path, values: &[&Pair]) {
    let database = path.join("sled");
    fs::create_dir_all(&database).unwrap();
    format::write(&database).unwrap();
    let mut bytes = b"no log of sled".repeat(60);
    for (_, value) in values {
        bytes.extend(value);
        bytes.extend(b"between");
    }
    fs::write(database.join("db"), bytes).unwrap();
    request(&database, "a test").unwrap();
}

/// Everything in the database.
fn content(engine: &Engine) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StoreError> {
    let mut content = BTreeMap::new();
    engine.scan(&[], &[0xFF], |key, value| {
        envelope::open(key, value).unwrap();
        content.insert(key.to_vec(), value.to_vec());
        true
    })?;
    Ok(content)
}

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

fn recovered(path: &Path) -> (Content, Recovery) {
    let opened = open(path, NEVER, NOW, |engine| content(engine)).unwrap();
    assert!(opened.recovered);
    (opened.content, opened.recovery.unwrap())
}

/// Whether the values of a series are in line with one another; its readings, by time.
fn readings(content: &Content, number: u64) -> (Vec<(i64, u8)>, Option<SeriesRecord>) {
    let series = series(number);
    let mut all = Vec::new();
    let mut covered = BTreeMap::new();
    let mut bytes = 0;
    for (key, value) in content {
        assert_eq!(key::sequence_of(key), None);
        let Some(chunk) = key::chunk_of(key).filter(|chunk| chunk.series == series) else {
            continue;
        };
        let (head, rest) =
            chunk::head(envelope::open_version(key, chunk::VERSION, value).unwrap()).unwrap();
        assert!(head.after < chunk.through);
        let parts = covered.entry((head.after, chunk.through)).or_insert((head.parts, 0));
        parts.1 += 1;
        assert_eq!(parts.0, head.parts);
        all.extend(chunk::decode(&head, rest).unwrap());
        bytes += (key.len() + value.len()) as u64;
    }
    let frames: Vec<_> = covered.keys().collect();
    assert!(frames.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{frames:?}");
    assert!(covered.values().all(|(parts, found)| parts == found));
    all.sort_by_key(|&(at, _)| at);
    let record: Option<SeriesRecord> = content
        .get(&key::series(series))
        .map(|value| record::open(&key::series(series), value).unwrap());
    if let Some(record) = record {
        assert!(frames.iter().all(|frames| frames.1 <= record.sealed));
        assert_eq!(record.readings, all.len() as u64);
        assert_eq!(record.raw_bytes, bytes);
    } else {
        assert_eq!(all, []);
    }
    (all, record)
}

/// All buckets of a series of this width, as a query counts them.
fn buckets(content: &Content, width: Width, number: u64) -> Vec<Bucket> {
    let mut blocks: BTreeMap<i64, Block> = BTreeMap::new();
    let mut all = Vec::new();
    let body = |key: &[u8], value| {
        rollup::decode(
            if key[0] == key::BLOCK { key::block_of(key).unwrap().0 } else { Width::Minute },
            key::block_of(key).map_or_else(|| key::fresh_of(key).unwrap().1, |block| block.2),
            envelope::open_version(key, rollup::VERSION, value).unwrap(),
        )
        .unwrap()
    };
    for (key, value) in content {
        if let Some((found, of, start)) = key::block_of(key)
            && (found, of) == (width, series(number))
        {
            blocks.insert(start, body(key, value));
        }
        if let Some((of, start, through)) = key::fresh_of(key)
            && of == series(number)
        {
            let block = content
                .get(&key::block(Width::Minute, of, start))
                .map_or(0, |value| body(&key::block(Width::Minute, of, start), value).through);
            assert!(through > block);
            let minutes = body(key, value).buckets;
            let buckets = if width == Width::Minute { minutes } else { rollup::widen(&minutes) };
            all = rollup::merge(all, &buckets);
        }
    }
    blocks.into_values().fold(all, |all, block| rollup::merge(all, &block.buckets))
}

fn step() -> impl Strategy<Value = Step> {
    // Times of half an hour or of a month: some sets have several chunks.
    let reading = (0..6u64, prop_oneof![0..1_800_000i64, 0..2_600_000_000i64], 0..3u8);
    prop_oneof![
        8 => vec(reading, 1..6).prop_map(Step::Commit),
        3 => (0..6u64).prop_map(Step::Seal),
        1 => (0..6u64).prop_map(Step::Merge),
        1 => (0..6u64).prop_map(Step::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_left_of_a_store_nothing_of_it_is_lost_and_nothing_counts_twice(
        steps in vec(step(), 1..80),
        kept in prop_oneof![Just(1.0), 0.0..1.0],
        chances in vec(0.0..1.0, 0..400),
    ) {
        let mut history = History::default();
        for step in steps {
            history.step(step);
        }
        let devices: Vec<_> = (0..2).map(|id| record::device(&device(id, 0)).unwrap()).collect();
        let mut chances = chances.into_iter().chain(std::iter::repeat(0.0));
        let (left, lost): (Vec<_>, Vec<_>) =
            history.values.iter().partition(|_| chances.next().unwrap() <= kept);
        let dir = tempfile::tempdir().unwrap();
        ruin(dir.path(), &devices.iter().chain(left.iter().map(|(pair, _)| pair)).collect::<Vec<_>>());
        let (content, report) = recovered(dir.path());
        let mut count = 0;
        for number in 0..6 {
            let mut truth = history.readings.remove(&number).unwrap_or_default();
            let last = truth.iter().fold(None, |last, &(at, value)| {
                Some(ChannelState::updated(last, value, Timestamp::from_millis(at)))
            });
            truth.sort_by_key(|&(at, _)| at);
            let (found, record) = readings(&content, number);
            count += found.len() as u64;
            // Nothing that was never written, nothing more often than it was.
            let mut rest = truth.clone();
            for reading in &found {
                let at = rest.iter().position(|other| other == reading);
                prop_assert!(at.is_some(), "{reading:?} of series {number}");
                rest.remove(at.unwrap());
            }
            // All that is in any value that is left.
            let found_set: HashSet<_> = found.iter().copied().collect();
            for &(of, at, value) in left.iter().flat_map(|(_, has)| has) {
                prop_assert!(of != number || found_set.contains(&(at, value)));
            }
            for width in [Width::Minute, Width::Hour] {
                let found_sums = rollup::summarise(width, found.iter().copied());
                let truth_sums = rollup::summarise(width, truth.iter().copied());
                let buckets = buckets(&content, width, number);
                let sums = |buckets: &[Bucket]| -> BTreeMap<_, _> {
                    buckets.iter().map(|bucket| (bucket.start, bucket.count)).collect()
                };
                let (buckets, least, most) = (sums(&buckets), sums(&found_sums), sums(&truth_sums));
                for (start, count) in &buckets {
                    prop_assert!(count <= most.get(start).unwrap_or(&0), "{width:?} at {start}");
                }
                for (start, count) in &least {
                    prop_assert!(count <= buckets.get(start).unwrap_or(&0), "{width:?} at {start}");
                }
            }
            if lost.is_empty() {
                // Stable: also in the order of their arrival within a ms.
                prop_assert_eq!(&found, &truth);
                prop_assert_eq!(record.and_then(|record| record.last), last);
            }
        }
        prop_assert_eq!(report.readings, count);
        prop_assert_eq!(report.devices, 2);
        if lost.is_empty() {
            prop_assert_eq!((report.lost_readings, report.lost_commits), (0, 0));
        }
    }
}

#[test]
fn a_device_is_as_it_was_written_last_and_what_it_has_absorbed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let record = |id, revision, last: u8, seen, absorbed: Option<u32>| DeviceRecord {
        mac: Mac([2, 0, 0, 0, 0, last]),
        revision,
        replaced: absorbed.map(|id| Replaced {
            mac: Mac([2, 0, 0, 0, 0, 9]),
            at: NOW,
            absorbed: Some(DeviceId(id)),
        }),
        ..device(id, seen)
    };
    let last = [
        record(1, 3, 2, 5, Some(2)),
        record(2, 2, 2, 4, None),
        // An undone one: its older record says that it had absorbed the other.
        record(3, 8, 3, 5, None),
        record(4, 7, 4, 5, None),
    ];
    let older = [record(1, 2, 1, 5, None), record(2, 1, 2, 4, None), record(3, 7, 4, 5, Some(4))];
    let values: Vec<_> =
        last.iter().chain(&older).map(|device| record::device(device).unwrap()).collect();
    ruin(dir.path(), &values.iter().collect::<Vec<_>>());
    let (content, report) = recovered(dir.path());
    assert_eq!((report.devices, report.lost_devices), (4, 0));
    for device in last {
        let key = key::device(device.id);
        assert_eq!(record::open(&key, &content[&key]), Ok(device));
    }
}
