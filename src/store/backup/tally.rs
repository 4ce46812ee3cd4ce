//! What the values of a backup hold, counted as they go by.

use crate::{
    model::{DeviceId, Timestamp},
    store::{
        chunk, envelope,
        error::Corrupt,
        frame, key,
        record::{self, SeriesRecord},
        series::Series,
    },
};
use std::collections::{HashMap, HashSet};

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// Devices.
    pub devices: u64,
    /// Lines of the devices' logs.
    pub log_lines: u64,
    /// Single readings.
    pub readings: u64,
    /// The times of the earliest and the latest reading.
    pub span: Option<(Timestamp, Timestamp)>,
}

/// Counts what goes by: the records of series have to come before their readings. Its memory grows
/// with the devices, not with their readings.
#[derive(Debug, Default)]
pub(super) struct Tally {
    devices: u64,
    log_lines: u64,
    removed: HashSet<DeviceId>,
    /// The last frame of each series whose readings are in chunks.
    sealed: HashMap<Series, u64>,
    readings: HashMap<DeviceId, Readings>,
}

/// The readings of one device.
#[derive(Debug, Clone, Copy)]
struct Readings {
    count: u64,
    earliest: i64,
    latest: i64,
}

impl Tally {
    /// Counts a value.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        match key.first() {
            Some(&key::DEVICE) => self.devices += 1,
            Some(&key::LOG) => self.log_lines += 1,
            Some(&key::REMOVED) => self.removed.extend(key::device_of(key)),
            Some(&key::SERIES) => {
                let record: SeriesRecord = record::open(key, value)?;
                let series = key::series_of(key).ok_or(Corrupt::Key)?;
                self.sealed.insert(series, record.sealed);
            }
            Some(&key::FRAME) => {
                let sequence = key::sequence_of(key).ok_or(Corrupt::Key)?;
                let body = envelope::open_version(key, frame::VERSION, value)?;
                let (head, rest) = frame::head(body)?;
                for (series, at, _) in frame::decode(&head, rest)? {
                    if sequence > self.sealed.get(&series).copied().unwrap_or(0) {
                        self.add(series, 1, at, at);
                    }
                }
            }
            Some(&key::CHUNK) => {
                let series = key::chunk_of(key).ok_or(Corrupt::Key)?.series;
                let body = envelope::open_version(key, chunk::VERSION, value)?;
                let (head, _) = chunk::head(body)?;
                self.add(series, head.count.into(), head.first, head.last);
            }
            _ => {}
        }
        Ok(())
    }

    /// What went by, without the readings of removed devices.
    pub(super) fn holding(&self) -> Holding {
        let mut holding =
            Holding { devices: self.devices, log_lines: self.log_lines, readings: 0, span: None };
        for (device, readings) in &self.readings {
            if self.removed.contains(device) {
                continue;
            }
            holding.readings += readings.count;
            let [first, last] = [readings.earliest, readings.latest].map(Timestamp::from_millis);
            let (earliest, latest) = holding.span.unwrap_or((first, last));
            holding.span = Some((earliest.min(first), latest.max(last)));
        }
        holding
    }

    fn add(&mut self, series: Series, count: u64, earliest: i64, latest: i64) {
        let Some((device, _)) = series.split() else { return };
        let none = Readings { count: 0, earliest, latest };
        let readings = self.readings.entry(device).or_insert(none);
        readings.count += count;
        readings.earliest = readings.earliest.min(earliest);
        readings.latest = readings.latest.max(latest);
    }
}
