//! What was found in the files of a damaged store: of every value the newest version, and where it
//! is. Memory grows with the number of values, not with their length.

use super::carve::Place;
use crate::{
    model::{ClockMark, DeviceId, DeviceRecord, Marks, TimeSpan, Timestamp, Width},
    store::{
        chunk, envelope,
        error::Corrupt,
        key,
        record::{self, SeriesRecord, Tombstone},
        rollup,
        series::Series,
        wear::Written,
    },
};
use capteur_protocol::{Mac, SessionId};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// The number of the store; of the source that was searched first.
    pub(super) lineage: Option<u128>,
    /// The counters: of each the highest of all versions and of what their being used implies.
    pub(super) marks: Marks,
    /// The latest time that was certain.
    pub(super) clock: Option<ClockMark>,
    /// The most that was ever written to the card.
    pub(super) written: Written,
    /// Spans of uncertain time, by their begin; of each the longest version.
    pub(super) spans: BTreeMap<Timestamp, TimeSpan>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) removed: BTreeMap<DeviceId, Tombstone>,
    /// Log lines by device, time and order.
    pub(super) logs: BTreeMap<(DeviceId, i64, u64), Place>,
    /// Parts of frames.
    pub(super) frames: BTreeMap<(u64, u8), Place>,
    pub(super) series: BTreeMap<Series, Found>,
    has_marks: bool,
    /// Devices that were removed.
    gone: BTreeSet<DeviceId>,
}

/// The newest version of a device's record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device {
    pub(super) place: Place,
    pub(super) mac: Mac,
    seen: (Timestamp, Option<SessionId>),
    revision: u32,
    /// The device that this one has absorbed, which has the same MAC.
    absorbed: Option<DeviceId>,
}

/// What was found of a series.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its newest record.
    pub(super) record: Option<SeriesRecord>,
    /// Its chunks, by the frames that they cover: after the first, through the second number.
    pub(super) chunks: BTreeMap<(u64, u64), ChunkSet>,
    /// Compacted buckets by width in ms and start.
    pub(super) blocks: BTreeMap<(i64, i64), Block>,
    /// Buckets that were not compacted, by start and last frame.
    pub(super) fresh: BTreeMap<(i64, u64), Place>,
}

/// The chunks that cover the same frames.
#[derive(Debug, Default)]
pub(super) struct ChunkSet {
    /// How many there were.
    parts: u16,
    /// Those that were found, by number.
    pub(super) found: BTreeMap<u16, Chunk>,
}

/// A chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) place: Place,
    pub(super) first: i64,
}

/// The newest version of a compacted block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) place: Place,
    pub(super) through: u64,
    count: u64,
}

impl ChunkSet {
    /// Whether all of its chunks were found.
    pub(super) fn is_complete(&self) -> bool {
        self.found.len() >= usize::from(self.parts)
    }
}

impl Inventory {
    /// Takes in a value that was found.
    pub(super) fn add(&mut self, place: Place, value: &[u8]) {
        // A body that this version doesn't know is of no use to it.
        let _ = self.take(place, value);
    }

    fn take(&mut self, place: Place, value: &[u8]) -> Result<(), Corrupt> {
        let (key, version, body) = envelope::parse(value)?;
        if key == key::marks() {
            self.add_marks(&record::open(key, value)?);
        } else if key == key::lineage() {
            let number = record::open(key, value)?;
            self.lineage.get_or_insert(number);
        } else if key == key::clock() {
            let mark: ClockMark = record::open(key, value)?;
            self.clock = [self.clock, Some(mark)].into_iter().flatten().max_by_key(|mark| mark.at);
        } else if key == key::wear() {
            let written: Written = record::open(key, value)?;
            self.written.bytes = self.written.bytes.max(written.bytes);
        } else if key::is_uncertain(key) {
            let span: TimeSpan = record::open(key, value)?;
            let known = self.spans.entry(span.from).or_insert(span);
            known.to = known.to.max(span.to);
        } else if let Some((device, at, order)) = key::log_of(key) {
            record::open_log(key, value)?;
            self.given_out(device);
            // The upper half of the order is the run that wrote the line.
            self.marks.boots = self.marks.boots.max(order >> 32);
            self.logs.insert((device, at, order), place);
        } else if let Some(sequence) = key::sequence_of(key) {
            let part = key.last().copied().unwrap_or_default();
            self.frames.insert((sequence, part), place);
        } else if let Some(chunk) = key::chunk_of(key) {
            if version == chunk::VERSION {
                self.add_chunk(place, chunk, &chunk::head(body)?.0);
            }
        } else if let Some(series) = key::series_of(key) {
            self.add_series(series, record::open(key, value)?);
        } else if let Some((width, series, start)) = key::block_of(key) {
            if version == rollup::VERSION {
                self.add_block(place, series, width, start, body)?;
            }
        } else if let Some((series, start, through)) = key::fresh_of(key) {
            if version == rollup::VERSION {
                self.found(series).fresh.insert((start, through), place);
            }
        } else if key.first() == Some(&key::DEVICE) {
            self.add_device(place, &record::open(key, value)?);
        } else if key.first() == Some(&key::REMOVED)
            && let Some(device) = key::device_of(key)
        {
            self.given_out(device);
            let tombstone: Tombstone = record::open(key, value)?;
            let known = self.removed.entry(device).or_insert(tombstone);
            known.last_frame = known.last_frame.max(tombstone.last_frame);
        }
        Ok(())
    }

    fn add_marks(&mut self, marks: &Marks) {
        self.has_marks = true;
        let known = &mut self.marks;
        known.next_device = known.next_device.max(marks.next_device);
        known.highest_name = known.highest_name.max(marks.highest_name);
        known.last_session = known.last_session.max(marks.last_session);
        known.boots = known.boots.max(marks.boots);
    }

    fn add_device(&mut self, place: Place, record: &DeviceRecord) {
        self.given_out(record.id);
        let sessions = record.session.iter().chain(&record.offered).map(|pair| pair.session);
        let session = sessions.max();
        self.marks.last_session = self.marks.last_session.max(session);
        let device = Device {
            place,
            mac: record.mac,
            seen: (record.last_seen, session),
            revision: record.revision,
            absorbed: record.replaced.and_then(|replaced| replaced.absorbed),
        };
        let known = self.devices.entry(record.id).or_insert(device);
        // Records of earlier versions have no revision.
        if (known.revision, known.seen) <= (device.revision, device.seen) {
            *known = device;
        }
    }

    fn add_chunk(&mut self, place: Place, key: key::Chunk, head: &chunk::Head) {
        let set = self.found(key.series).chunks.entry((head.after, key.through)).or_default();
        set.parts = set.parts.max(head.parts);
        set.found.insert(key.part, Chunk { place, first: head.first });
    }

    fn add_series(&mut self, series: Series, record: SeriesRecord) {
        let known = &mut self.found(series).record;
        // After a seal the number of readings only falls.
        let age = |record: &SeriesRecord| (record.sealed, Reverse(record.readings));
        if known.as_ref().is_none_or(|known| age(known) < age(&record)) {
            *known = Some(record);
        }
    }

    fn add_block(
        &mut self,
        place: Place,
        series: Series,
        width: Width,
        start: i64,
        body: &[u8],
    ) -> Result<(), Corrupt> {
        let rollup::Block { through, buckets } = rollup::decode(width, start, body)?;
        let count = buckets.iter().map(|bucket| bucket.count).sum();
        let block = Block { place, through, count };
        let known = self.found(series).blocks.entry((width.millis(), start)).or_insert(block);
        // What is compacted only grows.
        if (known.count, known.through) <= (count, through) {
            *known = block;
        }
        Ok(())
    }

    fn found(&mut self, series: Series) -> &mut Found {
        if let Some((device, _)) = series.split() {
            self.given_out(device);
        }
        self.series.entry(series).or_default()
    }

    /// A number that is in use is never given out again.
    pub(super) fn given_out(&mut self, device: DeviceId) {
        self.marks.next_device = self.marks.next_device.max(device.0.saturating_add(1));
    }

    /// Whether any version of the counters was found.
    pub(super) fn has_marks(&self) -> bool {
        self.has_marks
    }

    /// How many bytes all of it takes.
    pub(super) fn bytes(&self) -> u64 {
        let devices = self.devices.values().map(|device| device.place);
        let lines = self.logs.values().chain(self.frames.values()).copied();
        let series = self.series.values().flat_map(|found| {
            let chunks = found.chunks.values().flat_map(|set| set.found.values());
            let blocks = found.blocks.values().map(|block| block.place);
            chunks.map(|chunk| chunk.place).chain(blocks).chain(found.fresh.values().copied())
        });
        devices.chain(lines).chain(series).map(Place::len).sum()
    }

    /// The last frame up to which any series is known to be sealed.
    pub(super) fn last_seal(&self) -> u64 {
        let series = self.series.values().flat_map(|found| {
            let sealed = found.record.iter().map(|record| record.sealed);
            sealed.chain(found.chunks.keys().map(|&(_, through)| through))
        });
        series.max().unwrap_or(0)
    }

    /// The highest number of a frame that anything speaks of.
    pub(super) fn last_frame(&self) -> u64 {
        let series = self.series.values().flat_map(|found| {
            let sealed = found.record.iter().map(|record| record.sealed);
            let chunks = found.chunks.keys().map(|&(_, through)| through);
            let blocks = found.blocks.values().map(|block| block.through);
            let fresh = found.fresh.keys().map(|&(_, through)| through);
            sealed.chain(chunks).chain(blocks).chain(fresh)
        });
        let frames = self.frames.keys().map(|&(sequence, _)| sequence);
        let removed = self.removed.values().map(|tombstone| tombstone.last_frame);
        series.chain(frames).chain(removed).max().unwrap_or(0)
    }

    /// Drops what is of removed devices. Of two with the same MAC the one that was heard of earlier
    /// is one: it was removed, or another took its place. Not so one that the other has absorbed.
    pub(super) fn drop_removed(&mut self) {
        self.gone = self.removed.keys().copied().collect();
        let by_age = |(&id, device): (&DeviceId, &Device)| (device.seen, id, device.mac);
        let mut by_age: Vec<_> = self.devices.iter().map(by_age).collect();
        by_age.sort();
        let mut macs: BTreeMap<Mac, DeviceId> = BTreeMap::new();
        for (_, id, mac) in by_age.into_iter().rev() {
            let newest = *macs.entry(mac).or_insert(id);
            let absorbed = self.devices.get(&newest).and_then(|device| device.absorbed);
            if newest != id && absorbed != Some(id) {
                self.gone.insert(id);
            }
        }
        let gone = &self.gone;
        self.devices.retain(|id, _| !gone.contains(id));
        self.logs.retain(|(id, ..), _| !gone.contains(id));
        self.series.retain(|series, _| series.split().is_some_and(|(id, _)| !gone.contains(&id)));
    }

    /// Whether the readings of a series are to be kept: also those of a device whose record is lost.
    pub(super) fn keeps(&self, series: Series) -> bool {
        series.split().is_some_and(|(id, _)| !self.gone.contains(&id))
    }

    /// How many devices have readings or lines and no record.
    pub(super) fn unknown_devices(&self) -> u64 {
        let series = self.series.keys().filter_map(|series| Some(series.split()?.0));
        let lines = self.logs.keys().map(|&(device, ..)| device);
        let all: BTreeSet<_> = series.chain(lines).collect();
        all.iter().filter(|id| !self.devices.contains_key(id)).count() as u64
    }
}
