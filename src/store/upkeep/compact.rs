//! Compaction: buckets of half a day that is over become one value, and so do small chunks that
//! follow one another.
//!
//! Readings that come late for such a half day make fresh buckets once more, which the next pass
//! adds to what is there.

use super::Turn;
use crate::{
    model::{Bucket, Width},
    store::{
        chunk,
        engine::{Change, Medium},
        envelope,
        error::{Corrupt, StoreError},
        heads::Heads,
        key::{self, Chunk},
        record::SeriesRecord,
        rollup::{self, Block},
        seal::size,
        series::Series,
    },
};
use std::collections::HashMap;

/// So long after its end a half day is compacted: the heads of then are sealed by now, mostly.
const GRACE: i64 = 3_600_000;
/// How many series one step looks at where there is nothing to do.
const LOOK_MAX: usize = 64;
/// A half day with more readings than this has chunks that are large enough.
const SMALL: u64 = 2 * chunk::READINGS_MAX as u64;

/// A walk over all series.
#[derive(Debug)]
pub(super) struct Pass {
    left: Vec<Series>,
}

/// A chunk that may be merged with others.
struct Small {
    key: Chunk,
    head: chunk::Head,
    readings: Vec<(i64, u8)>,
    size: u64,
}

impl Pass {
    pub(super) fn new(heads: &Heads) -> Self {
        let left = heads.iter().filter(|(_, entry)| entry.record().sealed > 0);
        Self { left: left.map(|(series, _)| series).collect() }
    }

    /// Compacts a half day of a series, or looks for one; says whether there may be more.
    pub(super) fn step<M: Medium>(
        &mut self,
        now: i64,
        turn: &Turn<'_, M>,
    ) -> Result<bool, StoreError> {
        for _ in 0..LOOK_MAX {
            let Some(&series) = self.left.last() else { return Ok(false) };
            // A device may have been removed meanwhile.
            let record = turn.heads().get(series).map(|entry| *entry.record());
            let due = match record {
                Some(_) => first_fresh(series, now, turn)?,
                None => None,
            };
            if let (Some(start), Some(record)) = (due, record) {
                compact(series, start, record, turn)?;
                return Ok(true);
            }
            self.left.pop();
        }
        Ok(true)
    }
}

/// The start of the first half day of a series that is over and not compacted.
fn first_fresh<M: Medium>(
    series: Series,
    now: i64,
    turn: &Turn<'_, M>,
) -> Result<Option<i64>, StoreError> {
    let over = now.saturating_sub(rollup::HALF_DAY + GRACE);
    let from = key::fresh(series, i64::MIN, 0);
    let keys = turn.engine.keys(&from, &key::fresh(series, over, 0), 1)?;
    Ok(keys.first().and_then(|key| key::fresh_of(key)).map(|(_, start, _)| start))
}

fn compact<M: Medium>(
    series: Series,
    start: i64,
    mut record: SeriesRecord,
    turn: &Turn<'_, M>,
) -> Result<(), StoreError> {
    let mut changes = Vec::new();
    let mut fresh = Block { through: 0, buckets: Vec::new() };
    let from = key::fresh(series, start, 0);
    turn.engine.scan(&from, &key::fresh(series, start + 1, 0), |key, value| {
        match open(Width::Minute, start, key, value) {
            Ok(block) => {
                fresh.through = fresh.through.max(block.through);
                fresh.buckets = rollup::merge(std::mem::take(&mut fresh.buckets), &block.buckets);
            }
            Err(why) => turn.counters.corrupt(key, why),
        }
        record.minute_bytes = record.minute_bytes.saturating_sub(size(key, value));
        changes.push((key.to_vec(), None));
        true
    })?;
    let hours = rollup::widen(&fresh.buckets);
    let readings: u64 = fresh.buckets.iter().map(|bucket| bucket.count).sum();
    for (width, buckets) in [(Width::Minute, fresh.buckets), (Width::Hour, hours)] {
        let start = rollup::block_start(width, start);
        let (before, after) =
            add((width, series, start), fresh.through, &buckets, turn, &mut changes)?;
        let bytes = match width {
            Width::Minute => &mut record.minute_bytes,
            Width::Hour => &mut record.hour_bytes,
        };
        *bytes = bytes.saturating_sub(before) + after;
    }
    if readings <= SMALL {
        merge_chunks(series, start, &mut record, turn, &mut changes)?;
    }
    turn.apply(changes, HashMap::from([(series, record)]))
}

/// Adds buckets to a compacted block; returns what it took before and what it takes now.
fn add<M: Medium>(
    (width, series, start): (Width, Series, i64),
    through: u64,
    buckets: &[Bucket],
    turn: &Turn<'_, M>,
    changes: &mut Vec<Change>,
) -> Result<(u64, u64), StoreError> {
    let key = key::block(width, series, start);
    let (mut block, mut before) = (Block { through, buckets: Vec::new() }, 0);
    if let Some(value) = turn.engine.get(&key)? {
        before = size(&key, &value);
        match open(width, start, &key, &value) {
            Ok(found) => block.buckets = found.buckets,
            Err(why) => turn.counters.corrupt(&key, why),
        }
    }
    block.buckets = rollup::merge(block.buckets, buckets);
    let body = rollup::encode(width, start, &block);
    let value = envelope::seal(&key, rollup::VERSION, &body, "compacted buckets")?;
    let after = size(&key, &value);
    changes.push((key, Some(value)));
    Ok((before, after))
}

fn open(width: Width, start: i64, key: &[u8], value: &[u8]) -> Result<Block, Corrupt> {
    rollup::decode(width, start, envelope::open_version(key, rollup::VERSION, value)?)
}

/// Merges chunks that are small together, up to the end of a half day. Only whole seals that
/// follow one another are merged, so that it stays told which frames are in which chunk.
fn merge_chunks<M: Medium>(
    series: Series,
    start: i64,
    record: &mut SeriesRecord,
    turn: &Turn<'_, M>,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let from = start.saturating_sub(chunk::SPAN_MAX);
    let key = |first| key::chunk(Chunk { series, first, through: 0, part: 0 });
    let (mut run, mut runs) = (Vec::<Small>::new(), Vec::new());
    turn.engine.scan(&key(from), &key(start + rollup::HALF_DAY), |key, value| {
        match small(key, value) {
            Ok(Some(next)) if follows(&run, &next) => run.push(next),
            Ok(next) => runs.push(std::mem::replace(&mut run, next.into_iter().collect())),
            Err(why) => turn.counters.corrupt(key, why),
        }
        true
    })?;
    runs.push(run);
    for run in runs {
        let [first, .., last] = &run[..] else { continue };
        let (after, through) = (first.head.after, last.key.through);
        let mut readings: Vec<_> = run.iter().flat_map(|small| small.readings.clone()).collect();
        readings.sort_by_key(|&(at, _)| at);
        let pieces = chunk::encode(&readings, after);
        let [piece] = &pieces[..] else { continue };
        for small in &run {
            record.raw_bytes = record.raw_bytes.saturating_sub(small.size);
            changes.push((key::chunk(small.key), None));
        }
        let key = key::chunk(Chunk { series, first: piece.first, through, part: 0 });
        let value = envelope::seal(&key, chunk::VERSION, &piece.body, "a chunk")?;
        let span = u32::try_from(piece.last - piece.first).unwrap_or(u32::MAX);
        record.span_max = record.span_max.max(span);
        record.raw_bytes += size(&key, &value);
        changes.push((key, Some(value)));
    }
    Ok(())
}

/// Reads a chunk if it is small and its seal has no other.
fn small(key: &[u8], value: &[u8]) -> Result<Option<Small>, Corrupt> {
    let body = envelope::open_version(key, chunk::VERSION, value)?;
    let (head, rest) = chunk::head(body)?;
    let key_found = key::chunk_of(key).ok_or(Corrupt::Key)?;
    let is_small = usize::try_from(head.count).is_ok_and(|count| count < chunk::READINGS_MAX / 2);
    if head.parts != 1 || !is_small {
        return Ok(None);
    }
    let readings = chunk::decode(&head, rest)?;
    Ok(Some(Small { key: key_found, head, readings, size: size(key, value) }))
}

fn follows(run: &[Small], next: &Small) -> bool {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return true };
    let readings: usize = run.iter().map(|small| small.readings.len()).sum();
    next.head.after == last.key.through
        && next.head.first >= first.head.first
        && next.head.last.saturating_sub(first.head.first) <= chunk::SPAN_MAX
        && readings + next.readings.len() <= chunk::READINGS_MAX
}
