//! What the store holds, read when it is opened.

use super::{
    engine::Engine,
    envelope,
    error::StoreError,
    frame,
    index::FrameIndex,
    key,
    record::{self, Tombstone},
    series::Series,
    stats::Counters,
};
use crate::model::{Channel, ChannelState, DeviceId, DeviceRecord, Marks, Timestamp};
use std::collections::{HashMap, HashSet};

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
}

/// All that opening finds out.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) devices: Vec<DeviceRecord>,
    pub(super) marks: Marks,
    pub(super) last: HashMap<Series, ChannelState>,
    pub(super) removed: HashSet<DeviceId>,
    pub(super) index: FrameIndex,
    /// The last frame, whether or not it can be read.
    pub(super) last_frame: u64,
    /// How many readings each device has.
    pub(super) stored: HashMap<DeviceId, u64>,
}

impl Replay {
    /// Reads the whole store but the logs. Damaged values are counted and skipped.
    pub(super) fn read(engine: &Engine, counters: &Counters) -> Result<Self, StoreError> {
        let mut replay = Self::default();
        replay.read_marks(engine, counters)?;
        replay.read_removed(engine, counters)?;
        replay.read_devices(engine, counters)?;
        replay.read_frames(engine, counters)?;
        Ok(replay)
    }

    fn read_marks(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        let key = key::marks();
        if let Some(value) = engine.get(&key)? {
            match record::open(&key, &value) {
                Ok(marks) => self.marks = marks,
                Err(why) => counters.corrupt(&key, why),
            }
        }
        Ok(())
    }

    fn read_removed(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        engine.scan(&[key::REMOVED], &[key::REMOVED + 1], |key, value| {
            // Its being there says it all; what it holds is for those who drop it.
            self.removed.extend(key::device_of(key));
            if let Err(why) = record::open::<Tombstone>(key, value) {
                counters.corrupt(key, why);
            }
            true
        })?;
        let highest = self.removed.iter().max().copied();
        self.given_out(highest);
        Ok(())
    }

    fn read_devices(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        engine.scan(&[key::DEVICE], &[key::DEVICE + 1], |key, value| {
            self.given_out(key::device_of(key));
            match record::open_device(key, value) {
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

    fn read_frames(&mut self, engine: &Engine, counters: &Counters) -> Result<(), StoreError> {
        engine.scan(&[key::FRAME], &[key::FRAME + 1], |key, value| {
            self.last_frame = self.last_frame.max(key::sequence_of(key).unwrap_or(0));
            let part = envelope::open_version(key, frame::VERSION, value).and_then(|body| {
                let (head, rest) = frame::head(body)?;
                Ok((head, frame::decode(&head, rest)?))
            });
            match part {
                Ok((head, entries)) => {
                    self.index.add(self.last_frame, head.earliest, head.latest);
                    self.take_in(&entries);
                }
                Err(why) => counters.corrupt(key, why),
            }
            true
        })?;
        let highest = self.stored.keys().max().copied();
        self.given_out(highest);
        Ok(())
    }

    fn take_in(&mut self, entries: &[frame::Entry]) {
        for entries in entries.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(series, ..)) = entries.first() else { continue };
            let Some((device, _)) = series.split() else { continue };
            if self.removed.contains(&device) {
                continue;
            }
            let mut state = self.last.get(&series).copied();
            for &(_, at, value) in entries {
                state = Some(ChannelState::updated(state, value, Timestamp::from_millis(at)));
            }
            self.last.extend(state.map(|state| (series, state)));
            *self.stored.entry(device).or_default() +=
                u64::try_from(entries.len()).unwrap_or(u64::MAX);
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
                .filter_map(|(series, state)| {
                    series.split().map(|(device, channel)| (device, channel, state))
                })
                .collect(),
        }
    }
}
