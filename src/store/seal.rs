//! Sealing a head: its readings become chunks and buckets of minutes.

use super::{
    chunk,
    engine::Change,
    envelope,
    error::StoreError,
    key,
    record::{self, SeriesRecord},
    rollup,
    series::Series,
};
use crate::model::{Bucket, ChannelState, Timestamp, Width};

/// A sealed head, for the batch of a commit.
#[derive(Debug)]
pub(super) struct Seal {
    /// What the series' record is from now on.
    pub(super) record: SeriesRecord,
    /// What changes in the tree, the record included.
    pub(super) changes: Vec<Change>,
}

/// Seals readings, given in the order of their arrival: all of the series up to frame `through`
/// that its chunks don't have yet.
pub(super) fn seal(
    series: Series,
    record: &SeriesRecord,
    mut readings: Vec<(i64, u8)>,
    through: u64,
) -> Result<Seal, StoreError> {
    let (after, mut record) = (record.sealed, *record);
    let mut changes = Vec::new();
    for &(at, value) in &readings {
        let at = Timestamp::from_millis(at);
        record.last = Some(ChannelState::updated(record.last, value, at));
    }
    // Stable: readings of the same millisecond keep their order.
    readings.sort_by_key(|&(at, _)| at);
    for (part, piece) in (0..).zip(chunk::encode(&readings, after)) {
        let key = key::chunk(key::Chunk { series, first: piece.first, through, part });
        let value = envelope::seal(&key, chunk::VERSION, &piece.body, "a chunk")?;
        record.span_max = record.span_max.max(span(&piece));
        record.readings += u64::from(piece.count);
        record.raw_bytes += size(&key, &value);
        changes.push((key, Some(value)));
    }
    let minutes = rollup::summarise(Width::Minute, readings);
    for buckets in minutes.chunk_by(|a, b| block_start(a) == block_start(b)) {
        let Some(start) = buckets.first().map(block_start) else { continue };
        let block = rollup::Block { through, buckets: buckets.to_vec() };
        let key = key::fresh(series, start, through);
        let body = rollup::encode(Width::Minute, start, &block);
        let value = envelope::seal(&key, rollup::VERSION, &body, "buckets of minutes")?;
        record.minute_bytes += size(&key, &value);
        changes.push((key, Some(value)));
    }
    record.sealed = through;
    let (key, value) = record::series(series, &record)?;
    changes.push((key, Some(value)));
    Ok(Seal { record, changes })
}

/// What a key and a value take, as budgets count it.
pub(super) fn size(key: &[u8], value: &[u8]) -> u64 {
    u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX)
}

fn block_start(bucket: &Bucket) -> i64 {
    rollup::block_start(Width::Minute, bucket.start.millis())
}

fn span(piece: &chunk::Piece) -> u32 {
    u32::try_from(piece.last - piece.first).unwrap_or(u32::MAX)
}
