//! What can be asked of the store.

use super::{error::StoreError, record};
use crate::model::{DeviceId, DeviceRecord, LateReadings, LogEntry, Marks, Reading};

/// One change to what is stored.
#[derive(Debug, Clone)]
pub enum Change {
    /// Keep this record in the place of the device's older one.
    PutDevice(Box<DeviceRecord>),
    /// Forget the device, its readings and its log. Its number must not be used again: what is
    /// still under way for it is dropped.
    RemoveDevice(DeviceId),
    /// Keep these counters; `boots` is the store's own and stays what it is.
    PutMarks(Marks),
    /// Keep a reading.
    Reading(Reading),
    /// Keep readings that come late, but for those that are stored already. They don't count for
    /// the channel's last reading.
    Late(LateReadings),
    /// Keep a line of a device's log.
    Log(DeviceId, LogEntry),
}

/// When a group of changes has to be on the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// As soon as the writer is free; grouped with whatever waits.
    Now,
    /// Within the commit interval.
    Interval,
}

/// Called on the writer's thread once the changes are on the medium, or have failed to get there;
/// in the order of the submissions. It must be quick and must not panic.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A change as it waits for its commit: encoded where it has a value of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Queued {
    /// A reading, for the commit's frame.
    Reading(Reading),
    /// Readings that come late.
    Late(LateReadings),
    /// A value, and the device that it is of.
    Put {
        /// The device; `None` for the counters.
        device: Option<DeviceId>,
        /// The key.
        key: Vec<u8>,
        /// The value in its envelope.
        value: Vec<u8>,
    },
    /// The end of a device.
    Remove(DeviceId),
}

impl Queued {
    /// Encodes a change of run `boots`; `order` gives out the numbers that keep log lines apart.
    pub(super) fn new(
        change: Change,
        boots: u64,
        order: impl Fn() -> u64,
    ) -> Result<Self, StoreError> {
        let put = |device, (key, value)| Self::Put { device, key, value };
        Ok(match change {
            Change::PutDevice(record) => put(Some(record.id), record::device(&record)?),
            Change::RemoveDevice(device) => Self::Remove(device),
            Change::PutMarks(marks) => put(None, record::marks(&Marks { boots, ..marks })?),
            Change::Reading(reading) => Self::Reading(reading),
            Change::Late(late) => Self::Late(late),
            Change::Log(device, entry) => put(Some(device), record::log(device, &entry, order())?),
        })
    }
}
