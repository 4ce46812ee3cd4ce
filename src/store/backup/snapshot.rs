//! The copy of a store that goes on committing.
//!
//! What a backup holds is the store as of one frame, and never less than that:
//!
//! - What is known of the series is taken first, under one lock and with the last frame. What was
//!   sealed later is left out: the frames that it was sealed from are there, since upkeep, which
//!   would drop them, stands still.
//! - Readings are those of that frame and the ones before.
//! - Device records and log lines are as they are when the copy comes to them, so that they may be
//!   a moment newer. A record without readings does no harm; readings without a record would.
//! - Tombstones come behind all that: what is removed while the copy goes on is removed in it.
//! - The counters come last, since none of them may be older than what was counted.
//!
//! A damaged value is left out, counted and logged, as a query does it.

use super::{layout::Header, tally::Tally, writer::Writer};
use crate::{
    model::DeviceId,
    store::{
        envelope,
        error::StoreError,
        key,
        reader::Reader,
        record::{self, LogUsage, SeriesRecord},
        seal::size,
        series::Series,
    },
};
use std::{
    collections::HashMap,
    io::{self, Write},
    sync::PoisonError,
};

/// Why a copy ended before its end.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// The store can't be read.
    Store(StoreError),
    /// Whoever takes it does so no longer.
    Taker(io::Error),
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Taker(error)
    }
}

/// Writes a backup of the store to `out`. Blocks.
pub(super) fn write<W: Write>(reader: &Reader, header: &Header, out: W) -> Result<(), Interrupted> {
    let _layout = reader.layout.blocking_read();
    let (series, frame) = {
        let heads = reader.heads.read().unwrap_or_else(PoisonError::into_inner);
        let records = heads.iter().map(|(series, entry)| (series, *entry.record()));
        (records.collect(), heads.frame())
    };
    let writer = Writer::new(out, header)?;
    let mut copy = Copy { reader, writer, series, tally: Tally::default(), logs: HashMap::new() };
    copy.series()?;
    copy.table(key::DEVICE)?;
    copy.table(key::LOG)?;
    copy.log_usage()?;
    copy.range(&key::frame(0, 0), &key::frame(frame.saturating_add(1), 0))?;
    for table in [key::CHUNK, key::BLOCK, key::FRESH, key::REMOVED, key::META] {
        copy.table(table)?;
    }
    let readings = copy.tally.holding().readings;
    copy.writer.finish(readings)?;
    Ok(())
}

/// A copy under way.
struct Copy<'a, W> {
    reader: &'a Reader,
    writer: Writer<W>,
    /// Every series as of the beginning.
    series: HashMap<Series, SeriesRecord>,
    tally: Tally,
    /// What the lines of log take that were copied.
    logs: HashMap<DeviceId, LogUsage>,
}

impl<W: Write> Copy<'_, W> {
    /// Writes what is known of the series. Those that were never sealed have no record.
    fn series(&mut self) -> Result<(), Interrupted> {
        let sealed = self.series.iter().filter(|(_, record)| record.sealed > 0);
        let mut sealed: Vec<_> = sealed.map(|(series, record)| (*series, *record)).collect();
        sealed.sort_unstable_by_key(|(series, _)| *series);
        for (series, record) in sealed {
            let (key, value) = record::series(series, &record)?;
            self.put(&key, &value)?;
        }
        Ok(())
    }

    /// Writes what the logs take as they were copied: what is stored of it may be newer.
    fn log_usage(&mut self) -> Result<(), Interrupted> {
        for (device, usage) in std::mem::take(&mut self.logs) {
            let (key, value) = record::log_usage(device, &usage)?;
            self.put(&key, &value)?;
        }
        Ok(())
    }

    fn table(&mut self, table: u8) -> Result<(), Interrupted> {
        self.range(&[table], &[table + 1])
    }

    /// Copies the values of `from..to` that are whole and as old as the copy.
    fn range(&mut self, from: &[u8], to: &[u8]) -> Result<(), Interrupted> {
        let mut result = Ok(());
        self.reader.engine.scan(from, to, |key, value| {
            if self.is_of_then(key) {
                result = self.put(key, value);
            }
            result.is_ok()
        })?;
        result
    }

    /// Whether a value was there when the copy began. Those of removed devices, whose series are
    /// no longer known, were on their way out.
    fn is_of_then(&self, key: &[u8]) -> bool {
        let sealed = |series| self.series.get(&series).map_or(0, |record| record.sealed);
        let known = match key.first() {
            Some(&key::CHUNK) => key::chunk_of(key).map(|c| c.through <= sealed(c.series)),
            Some(&key::FRESH) => key::fresh_of(key).map(|(s, _, through)| through <= sealed(s)),
            Some(&key::BLOCK) => key::block_of(key).map(|(_, s, _)| self.series.contains_key(&s)),
            _ => Some(true),
        };
        // A key that makes no sense is the value's own fault.
        known.unwrap_or(true)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Interrupted> {
        if let Err(why) = envelope::open(key, value) {
            self.reader.counters.corrupt(key, why);
            return Ok(());
        }
        // What is whole and can't be decoded goes in: a newer version may know it.
        let _ = self.tally.take(key, value);
        if let Some(device) = key::log_device_of(key) {
            let usage = self.logs.entry(device).or_default();
            usage.lines += 1;
            usage.bytes += size(key, value);
        }
        Ok(self.writer.put(value)?)
    }
}
