//! What the store holds, read when it is opened.

use super::{
    condition::Spans,
    engine::Engine,
    envelope,
    error::{Corrupt, StoreError},
    frame,
    heads::Heads,
    key,
    logs::Logs,
    record::{self, SeriesRecord, Tombstone},
    recovery::Recovery,
    series::Series,
    stats::Counters,
    wear::Written,
};
use crate::model::{
    Channel, ChannelState, ClockMark, DeviceId, DeviceRecord, Marks, TimeSpan, Timestamp,
};
use std::collections::HashMap;

/// What the store held when it was opened.
#[derive(Debug, Default)]
pub struct Contents {
    /// Every device, by number.
    pub devices: Vec<DeviceRecord>,
    /// The hub's counters, with `boots` already counted up and on the medium.
    pub marks: Marks,
    /// Each channel's last reading and the time of its last change, in no order. A device whose
    /// record is lost may still have some.
    pub last: Vec<(DeviceId, Channel, ChannelState)>,
    /// The latest recovery of the store, as long as the damaged database is kept.
    pub recovery: Option<Box<Recovery>>,
    /// Whether that recovery was now.
    pub recovered: bool,
}

/// All that opening finds out.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) devices: Vec<DeviceRecord>,
    pub(super) marks: Marks,
    pub(super) last: HashMap<Series, ChannelState>,
    /// Removed devices, each with the last frame that may have readings of it.
    pub(super) removed: HashMap<DeviceId, u64>,
    pub(super) heads: Heads,
    pub(super) logs: Logs,
    pub(super) clock: Option<ClockMark>,
    pub(super) written: Written,
    pub(super) spans: Spans,
    /// The first frame, whether or not it can be read; the last where there is none.
    pub(super) first_frame: u64,
    /// The last frame that ever was.
    pub(super) last_frame: u64,
}

impl Contents {
    /// The newest time that anything in it has.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        let readings = self.last.iter().map(|(_, _, last)| last.at);
        let devices = self.devices.iter().map(|device| device.last_seen);
        readings.chain(devices).max()
    }
}

impl Replay {
    /// Reads what has to be known from the beginning: all but what is sealed, and the logs' lines.
    /// Damaged values are counted and skipped.
    pub(super) fn read(engine: &Engine, counters: &Counters) -> Result<Self, StoreError> {
        let mut replay = Self::default();
        replay.read_marks(engine, counters)?;
        replay.read_removed(engine, counters)?;
        replay.read_devices(engine, counters)?;
        replay.read_logs(engine, counters)?;
        replay.read_series(engine, counters)?;
        replay.read_frames(engine, counters)?;
        Ok(replay)
    }

    fn read_marks(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        self.marks = read_one(&key::marks(), engine, counters)?.unwrap_or_default();
        self.clock = read_one(&key::clock(), engine, counters)?;
        self.written = read_one(&key::wear(), engine, counters)?.unwrap_or_default();
        let [from, to] = key::uncertain_all();
        engine.scan(&from, &to, |key, value| {
            match record::open::<TimeSpan>(key, value) {
                // There are never too many: each that came deleted one that was.
                Ok(span) => drop(self.spans.put(span)),
                Err(why) => counters.corrupt(key, why),
            }
            true
        })
    }

    fn read_removed(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        engine.scan(&[key::REMOVED], &[key::REMOVED + 1], |key, value| {
            // Its being there says it all; what it holds says how long it has to stay.
            let last_frame = match record::open::<Tombstone>(key, value) {
                Ok(tombstone) => tombstone.last_frame,
                Err(why) => {
                    counters.corrupt(key, why);
                    u64::MAX
                }
            };
            self.removed.extend(key::device_of(key).map(|device| (device, last_frame)));
            true
        })?;
        let highest = self.removed.keys().max().copied();
        self.given_out(highest);
        Ok(())
    }

    fn read_devices(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        engine.scan(&[key::DEVICE], &[key::DEVICE + 1], |key, value| {
            self.given_out(key::device_of(key));
            match record::open::<DeviceRecord>(key, value) {
                Ok(record) => {
                    let sessions = record.session.iter().chain(&record.offered);
                    self.marks.last_session = sessions
                        .map(|pair| Some(pair.session))
                        .fold(self.marks.last_session, Ord::max);
                    self.devices.push(record);
                }
                Err(why) => counters.corrupt(key, why),
            }
            true
        })
    }

    fn read_logs(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        engine.scan(&[key::LOG_USAGE], &[key::LOG_USAGE + 1], |key, value| {
            match (key::device_of(key), record::open(key, value)) {
                (Some(device), Ok(usage)) => self.logs.put(device, usage),
                (_, Err(why)) => counters.corrupt(key, why),
                (None, _) => counters.corrupt(key, Corrupt::Key),
            }
            true
        })
    }

    fn read_series(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        engine.scan(&[key::SERIES], &[key::SERIES + 1], |key, value| {
            match (key::series_of(key), record::open::<SeriesRecord>(key, value)) {
                (Some(series), Ok(record)) => self.take_up(series, record),
                (_, Err(why)) => counters.corrupt(key, why),
                (None, _) => counters.corrupt(key, Corrupt::Key),
            }
            true
        })
    }

    fn take_up(&mut self, series: Series, record: SeriesRecord) {
        self.last_frame = self.last_frame.max(record.sealed);
        let Some((device, _)) = series.split() else { return };
        self.given_out(Some(device));
        if !self.removed.contains_key(&device) {
            self.heads.put(series, record);
            self.last.extend(record.last.map(|last| (series, last)));
        }
    }

    fn read_frames(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        let mut first = None;
        engine.scan(&[key::FRAME], &[key::FRAME + 1], |key, value| {
            let sequence = key::sequence_of(key).unwrap_or(0);
            first.get_or_insert(sequence);
            self.last_frame = self.last_frame.max(sequence);
            let part = envelope::open_version(key, frame::VERSION, value).and_then(|body| {
                let (head, rest) = frame::head(body)?;
                frame::decode(&head, rest)
            });
            match part {
                Ok(entries) => self.take_in(sequence, &entries),
                Err(why) => counters.corrupt(key, why),
            }
            true
        })?;
        self.first_frame = first.unwrap_or(self.last_frame);
        let highest = self.heads.iter().filter_map(|(series, _)| series.split()).map(|s| s.0).max();
        self.given_out(highest);
        Ok(())
    }

    /// Takes in what is not in chunks already.
    fn take_in(&mut self, frame: u64, entries: &[frame::Entry]) {
        for entries in entries.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(series, ..)) = entries.first() else { continue };
            let Some((device, _)) = series.split() else { continue };
            let sealed = self.heads.get(series).map_or(0, |entry| entry.record().sealed);
            if frame <= sealed || self.removed.contains_key(&device) {
                continue;
            }
            let mut state = self.last.get(&series).copied();
            for &(_, at, value) in entries {
                state = Some(ChannelState::updated(state, value, Timestamp::from_millis(at)));
                self.heads.push(series, frame, at, value);
            }
            self.last.extend(state.map(|state| (series, state)));
        }
    }

    /// Sees to it that a device's number, which is in use, is not given out again: the counters
    /// may be older than what is stored, or lost.
    fn given_out(&mut self, device: Option<DeviceId>) {
        let next = device.map_or(0, |device| device.0.saturating_add(1));
        self.marks.next_device = self.marks.next_device.max(next);
    }

    /// What the hub is told.
    pub(super) fn contents(&mut self) -> Contents {
        let last = std::mem::take(&mut self.last);
        Contents {
            devices: std::mem::take(&mut self.devices),
            marks: self.marks,
            last: last
                .into_iter()
                .filter(|(series, _)| !series.is_late())
                .filter_map(|(series, state)| {
                    series.split().map(|(device, channel)| (device, channel, state))
                })
                .collect(),
            ..Contents::default()
        }
    }
}

/// A single value; `None` where it is missing or damaged.
fn read_one<T: record::Body>(
    key: &[u8],
    engine: &Engine,
    counters: &Counters,
) -> Result<Option<T>, StoreError> {
    let Some(value) = engine.get(key)? else { return Ok(None) };
    let read = record::open(key, &value);
    Ok(read.inspect_err(|&why| counters.corrupt(key, why)).ok())
}
