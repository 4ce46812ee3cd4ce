//! sled behind one door. (Stub: replaced by the store room.)

use crate::model::{Channel, DeviceId, DeviceRecord, LogEntry, Marks, Reading, Timestamp};
use std::{path::Path, time::Duration};

/// The store could not be opened, written or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);

/// What the store held when it was opened.
#[derive(Debug, Default)]
pub struct Contents {
    /// Every device.
    pub devices: Vec<DeviceRecord>,
    /// The hub's counters, with `boots` already counted up and on the medium.
    pub marks: Marks,
    /// Each channel's last reading and the time of its last change, in no order.
    pub last: Vec<(DeviceId, Channel, crate::model::ChannelState)>,
}

/// One change to what is stored.
#[derive(Debug, Clone)]
pub enum Change {
    /// Keep this record in the place of the device's older one.
    PutDevice(Box<DeviceRecord>),
    /// Forget the device, its readings and its log.
    RemoveDevice(DeviceId),
    /// Keep these counters.
    PutMarks(Marks),
    /// Keep a reading.
    Reading(Reading),
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

/// Called on the writer's thread once the changes are on the medium, or have failed to get there.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest time that a change with [`Urgency::Interval`] waits.
    pub commit_interval: Duration,
}

/// The store: cheap to clone; the writer's thread ends when the last handle is closed.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// Opens or creates the store in `path`, and starts its writer. Blocks.
    pub fn open(path: &Path, options: &Options) -> Result<(Self, Contents), StoreError> {
        let _ = (path, options);
        Err(StoreError("stub".into()))
    }

    /// Hands the changes to the writer: one atomic batch per call, in the order of the calls. Waits only while the writer's
    /// queue is full.
    pub async fn submit(
        &self,
        changes: Vec<Change>,
        urgency: Urgency,
        done: Option<Done>,
    ) -> Result<(), StoreError> {
        let _ = (changes, urgency, done);
        Ok(())
    }

    /// Waits until all that was submitted before is on the medium: also the proof that the writer makes progress.
    pub async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Flushes, ends the writer and closes the files. Later calls fail.
    pub async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Readings of one channel with `from <= at < to`, oldest first, at most `limit` of the oldest; includes what is not committed yet.
    pub async fn readings(
        &self,
        device: DeviceId,
        channel: Channel,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, u8)>, StoreError> {
        let _ = (device, channel, from, to, limit);
        Ok(Vec::new())
    }

    /// The newest lines of a device's log before `before`, newest first.
    pub async fn log(
        &self,
        device: DeviceId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let _ = (device, before, limit);
        Ok(Vec::new())
    }
}
