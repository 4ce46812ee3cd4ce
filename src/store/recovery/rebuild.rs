//! Writes what was found into a new database, so that nothing counts twice.
//!
//! What can be in several values at once is told apart by the frames that each covers (see
//! [`cover`](super::cover)). The new database has no frames: readings that are in frames only
//! become chunks of their own. Its frames begin far behind any number that the damaged one may
//! have given out, so that a later recovery can't take two commits for one.

use super::{
    carve::Sources,
    cover::{Cover, Frames, Home, Node, union},
    inventory::{Chunk, Found, Inventory},
    report::Findings,
    sums::Sums,
};
use crate::{
    model::{ChannelState, DeviceId, DeviceRecord, Timestamp},
    store::{
        builder::Builder,
        chunk, envelope,
        error::StoreError,
        frame, key,
        record::{self, LogUsage, SeriesRecord},
        series::Series,
    },
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How far the frames of the new database are behind the highest number that was found. What was
/// not found is less than that, at any rate of commits.
const FRAMES_APART: u64 = 1 << 32;

/// Time and value of readings.
type Readings = Vec<(i64, u8)>;

/// Readings that are in frames only: by series.
type Loose = HashMap<Series, Unsealed>;

/// A series on its way.
#[derive(Debug, Default)]
struct Unsealed {
    cover: Cover,
    /// Readings that no chunk covers: frame, time, value; by the node that they are before.
    between: BTreeMap<usize, Vec<(u64, i64, u8)>>,
}

/// Writes the new database's values. What is known of it is added to `findings`.
///
/// # Errors
///
/// [`StoreError::Io`] where the system refuses.
pub(super) fn write(
    mut inventory: Inventory,
    sources: &Sources,
    builder: &mut Builder<'_>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    inventory.drop_removed();
    let sealed = inventory.last_frame().saturating_add(FRAMES_APART);
    let mut loose = read_frames(&mut inventory, sources, findings);
    findings.unknown_devices = inventory.unknown_devices();
    write_devices(&mut inventory, sources, builder, findings)?;
    write_logs(&inventory, sources, builder, findings)?;
    let sequences = inventory.frames.keys().map(|&(sequence, _)| sequence).collect();
    let mut rebuild = Rebuild { sources, builder, findings, sealed, sequences };
    for (&series, found) in &inventory.series {
        rebuild.series(series, found, loose.remove(&series).unwrap_or_default())?;
    }
    if let Some(number) = inventory.lineage {
        let (key, value) = record::lineage(number)?;
        builder.push(&key, &value)?;
    }
    let mut single = vec![record::marks(&inventory.marks)?, record::wear(inventory.written)?];
    single.extend(inventory.clock.as_ref().map(record::clock).transpose()?);
    for span in inventory.spans.values() {
        single.push(record::uncertain(span)?);
    }
    single.into_iter().try_for_each(|(key, value)| builder.push(&key, &value))
}

/// Distributes the readings of frames among their series.
fn read_frames(inventory: &mut Inventory, sources: &Sources, findings: &mut Findings) -> Loose {
    let sets = |found: &Found| {
        Cover::new(found.chunks.iter().map(|(&frames, set)| (frames, set.is_complete())))
    };
    let unsealed = |found| Unsealed { cover: sets(found), between: BTreeMap::new() };
    let mut loose: Loose =
        inventory.series.iter().map(|(&series, found)| (series, unsealed(found))).collect();
    // All frames behind the last seal of all were still in use.
    let mut before = inventory.last_seal();
    let mut latest = None;
    for (&(sequence, part), &place) in &inventory.frames {
        let Some(value) = sources.read(place) else { continue };
        let body = envelope::open_version(&key::frame(sequence, part), frame::VERSION, &value);
        let Ok((head, rest)) = body.and_then(frame::head) else { continue };
        if sequence > before {
            if sequence - before > 1 {
                findings.missing.insert((before, sequence - 1));
                findings.hole(latest.unwrap_or(head.earliest), head.earliest);
            }
            before = sequence;
        }
        latest = Some(head.latest);
        for (series, at, value) in frame::decode(&head, rest).unwrap_or_default() {
            if !inventory.keeps(series) {
                continue;
            }
            let unsealed = loose.entry(series).or_default();
            match unsealed.cover.home(sequence) {
                Home::Known => {}
                Home::Loose(readings) => readings.push((at, value)),
                Home::Between(node) => {
                    unsealed.between.entry(node).or_default().push((sequence, at, value));
                }
            }
        }
    }
    for &series in loose.keys() {
        inventory.series.entry(series).or_default();
    }
    loose
}

fn write_devices(
    inventory: &mut Inventory,
    sources: &Sources,
    builder: &mut Builder<'_>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    for (&id, device) in &inventory.devices {
        let Some(value) = sources.read(device.place) else { continue };
        let key = key::device(id);
        builder.push(&key, &value)?;
        findings.devices += 1;
        if !inventory.has_marks()
            && let Ok(record) = record::open::<DeviceRecord>(&key, &value)
        {
            let name = record.name.to_string();
            let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            let number = digits.parse().unwrap_or(0);
            inventory.marks.highest_name = inventory.marks.highest_name.max(number);
        }
    }
    for (&id, &tombstone) in &inventory.removed {
        let (key, value) = record::tombstone(id, tombstone)?;
        builder.push(&key, &value)?;
    }
    Ok(())
}

fn write_logs(
    inventory: &Inventory,
    sources: &Sources,
    builder: &mut Builder<'_>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut usage: BTreeMap<DeviceId, LogUsage> = BTreeMap::new();
    for (&(device, at, order), &place) in &inventory.logs {
        let Some(value) = sources.read(place) else { continue };
        let key = key::log(device, Timestamp::from_millis(at), order);
        builder.push(&key, &value)?;
        findings.log_lines += 1;
        let usage = usage.entry(device).or_default();
        usage.lines += 1;
        usage.bytes += size(&key, &value);
    }
    for (device, usage) in usage {
        let (key, value) = record::log_usage(device, &usage)?;
        builder.push(&key, &value)?;
    }
    Ok(())
}

struct Rebuild<'a, 'f> {
    sources: &'a Sources,
    builder: &'a mut Builder<'f>,
    findings: &'a mut Findings,
    /// The last frame that there can have been.
    sealed: u64,
    /// All frames that were found.
    sequences: BTreeSet<u64>,
}

/// A series as it is written.
struct Writing {
    series: Series,
    /// What was known of it.
    old: SeriesRecord,
    new: SeriesRecord,
    last: Option<ChannelState>,
    sums: Sums,
    /// Readings that were in chunks already when the old record was written.
    sealed_then: u64,
}

impl Rebuild<'_, '_> {
    fn series(
        &mut self,
        series: Series,
        found: &Found,
        unsealed: Unsealed,
    ) -> Result<(), StoreError> {
        let old = found.record.unwrap_or_default();
        let mut writing = Writing {
            series,
            old,
            new: SeriesRecord { sealed: self.sealed, ..SeriesRecord::default() },
            last: old.last,
            sums: Sums::default(),
            sealed_then: 0,
        };
        let Unsealed { cover, mut between } = unsealed;
        let last = self.sealed - FRAMES_APART;
        let gaps: Vec<_> = (0..=cover.nodes.len()).map(|at| cover.between(at, last)).collect();
        let mut nodes = cover.nodes.into_iter().peekable();
        let mut holes = Holes::default();
        for (at, gap) in gaps.into_iter().enumerate() {
            let loose = between.remove(&at).unwrap_or_default();
            // Seals follow one another without a gap: what is between two that were found was
            // sealed, unless that is where a recovery began anew. In front of the first and behind
            // the last the frames up to the first with readings may have been dropped for good.
            let sealed = at > 0 && nodes.peek().is_some() && gap.1 - gap.0 < FRAMES_APART / 2;
            let first = loose.first().map(|&(sequence, ..)| sequence);
            if let Some(from) = sealed.then_some(gap.0).or(first) {
                let to = if nodes.peek().is_some() { gap.1 } else { self.newest_frame() };
                holes.open |= self.findings.missing_frames(&self.sequences, (from, to));
            }
            holes.pass(loose.iter().map(|&(_, at, _)| at));
            self.gap(&mut writing, gap, loose)?;
            if let Some(node) = nodes.next() {
                let (complete, frames) = (node.complete, node.frames);
                let readings = self.node(&mut writing, node, found)?;
                if !complete {
                    holes.open |= self.findings.missing_frames(&self.sequences, frames);
                }
                holes.pass(readings.into_iter());
            }
        }
        self.findings.readings += writing.new.readings;
        self.findings.lost_readings += old.readings.saturating_sub(writing.sealed_then);
        for (from, to) in holes.spans {
            self.findings.hole(from, to);
        }
        self.finish(writing, found)
    }

    fn newest_frame(&self) -> u64 {
        self.sequences.last().copied().unwrap_or(0)
    }

    /// Readings of frames that no chunk covers become chunks.
    fn gap(
        &mut self,
        writing: &mut Writing,
        frames: Frames,
        loose: Vec<(u64, i64, u8)>,
    ) -> Result<(), StoreError> {
        for &(sequence, at, value) in &loose {
            if sequence > writing.old.sealed {
                writing.update(at, value);
            } else {
                writing.sealed_then += 1;
            }
        }
        let mut readings: Vec<_> = loose.into_iter().map(|(_, at, value)| (at, value)).collect();
        readings.sort_by_key(|&(at, _)| at);
        self.seal(writing, frames, &readings)
    }

    /// Copies the chunks of a complete set, or makes new ones of what there is of another; returns
    /// the times of the first and the last reading.
    fn node(
        &mut self,
        writing: &mut Writing,
        node: Node,
        found: &Found,
    ) -> Result<Vec<i64>, StoreError> {
        let frames = node.frames;
        let readings = if node.complete {
            let mut readings = Vec::new();
            for (value, decoded) in self.chunks(writing.series, frames, found) {
                let (key, ..) = envelope::parse(&value).unwrap_or_default();
                self.put_chunk(writing, key, &value, &decoded)?;
                readings.extend(decoded);
            }
            readings.sort_by_key(|&(at, _)| at);
            readings
        } else {
            let readings = self.salvage(writing.series, node, found);
            self.seal(writing, frames, &readings)?;
            readings
        };
        if frames.1 <= writing.old.sealed {
            writing.sealed_then += u64::try_from(readings.len()).unwrap_or(u64::MAX);
        } else {
            for &(at, value) in &readings {
                writing.update(at, value);
            }
        }
        let ends = [readings.first(), readings.last()];
        Ok(ends.into_iter().flatten().map(|&(at, _)| at).collect())
    }

    /// The readings of a set, as far as they can be had, sorted by time.
    fn salvage(&self, series: Series, node: Node, found: &Found) -> Vec<(i64, u8)> {
        let Node { frames, complete, inside, loose } = node;
        let mut present: Vec<_> = self
            .chunks(series, frames, found)
            .into_iter()
            .flat_map(|(_, readings)| readings)
            .collect();
        present.sort_by_key(|&(at, _)| at);
        if complete {
            return present;
        }
        let mut parts: Vec<_> =
            inside.into_iter().flat_map(|node| self.salvage(series, node, found)).collect();
        parts.extend(loose);
        parts.sort_by_key(|&(at, _)| at);
        union(&parts, &present)
    }

    /// The chunks of a set that can be read, with their readings.
    fn chunks(&self, series: Series, frames: Frames, found: &Found) -> Vec<(Vec<u8>, Readings)> {
        let through = frames.1;
        let chunk = |(&part, chunk): (&u16, &Chunk)| {
            let value = self.sources.read(chunk.place)?;
            let key = key::chunk(key::Chunk { series, first: chunk.first, through, part });
            let body = envelope::open_version(&key, chunk::VERSION, &value);
            let readings = body
                .and_then(chunk::head)
                .and_then(|(head, rest)| chunk::decode(&head, rest))
                .ok()?;
            Some((value, readings))
        };
        let set = found.chunks.get(&frames);
        set.into_iter().flat_map(|set| set.found.iter()).filter_map(chunk).collect()
    }

    /// Writes readings, sorted by time, as the chunks of these frames.
    fn seal(
        &mut self,
        writing: &mut Writing,
        (after, through): Frames,
        readings: &[(i64, u8)],
    ) -> Result<(), StoreError> {
        let mut rest = readings;
        for (part, piece) in (0..).zip(chunk::encode(readings, after)) {
            let first = piece.first;
            let key = key::chunk(key::Chunk { series: writing.series, first, through, part });
            let value = envelope::seal(&key, chunk::VERSION, &piece.body, "a chunk")?;
            let count = usize::try_from(piece.count).unwrap_or(usize::MAX).min(rest.len());
            let (these, after) = rest.split_at(count);
            self.put_chunk(writing, &key, &value, these)?;
            rest = after;
        }
        Ok(())
    }

    fn put_chunk(
        &mut self,
        writing: &mut Writing,
        key: &[u8],
        value: &[u8],
        readings: &[(i64, u8)],
    ) -> Result<(), StoreError> {
        self.builder.push(key, value)?;
        let (Some(first), Some(last)) = (readings.first(), readings.last()) else { return Ok(()) };
        let record = &mut writing.new;
        let span = u32::try_from(last.0 - first.0).unwrap_or(u32::MAX);
        record.span_max = record.span_max.max(span);
        record.readings += u64::try_from(readings.len()).unwrap_or(u64::MAX);
        record.raw_bytes += size(key, value);
        writing.sums.add(readings);
        self.findings.newest(last.0);
        Ok(())
    }

    /// Writes the buckets and the record.
    fn finish(&mut self, writing: Writing, found: &Found) -> Result<(), StoreError> {
        let Writing { series, mut new, last, sums, .. } = writing;
        let (minutes, hours) =
            sums.write(series, found, self.sources, self.sealed, self.builder)?;
        (new.minute_bytes, new.hour_bytes) = (minutes, hours);
        new.last = last;
        let (key, value) = record::series(series, &new)?;
        self.builder.push(&key, &value)
    }
}

impl Writing {
    /// Takes in a reading that came later than those that the old record knew.
    fn update(&mut self, at: i64, value: u8) {
        self.last = Some(ChannelState::updated(self.last, value, Timestamp::from_millis(at)));
    }
}

/// Spans of time in which readings of a series are missing.
#[derive(Debug, Default)]
struct Holes {
    latest: Option<i64>,
    /// Whether some are missing since then.
    open: bool,
    spans: Vec<(i64, i64)>,
}

impl Holes {
    /// Goes on behind readings of these times; where some were missing before them, some may be
    /// between them as well.
    fn pass(&mut self, times: impl Iterator<Item = i64> + Clone) {
        let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return };
        if std::mem::take(&mut self.open) {
            self.spans.push((self.latest.unwrap_or(first), last));
        }
        self.latest = self.latest.max(Some(last));
    }
}

/// What a key and a value take, as budgets count it.
pub(super) fn size(key: &[u8], value: &[u8]) -> u64 {
    u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX)
}
