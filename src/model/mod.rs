//! What the rooms say to one another. No I/O.
//!
//! # Layout
//!
//! - [`timestamp`]: an instant in milliseconds
//! - [`clock`]: what tells the time of day, and whether it can be believed
//! - [`channel`]: the three channels of a board and their readings
//! - [`bucket`]: readings summed up by the minute or the hour
//! - [`device`]: a device as people see it
//! - [`info`]: what a board tells about itself
//! - [`record`]: a device as the store keeps it, and the hub's counters
//! - [`command`]: an order to an LED and what became of it
//! - [`log`]: what happened to a device
//! - [`master_key`]: what boards prove their MAC with, and what the hub makes that from
//! - [`storage`]: how the store is, as health, metrics and the live stream tell it
//! - [`event`]: what the live stream tells

pub mod bucket;
pub mod channel;
pub mod clock;
pub mod command;
pub mod device;
pub mod event;
pub mod info;
pub mod log;
pub mod master_key;
pub mod record;
pub mod storage;
pub mod timestamp;

pub use bucket::{Bucket, Width};
pub use channel::{Channel, ChannelState, LateReadings, Reading};
pub use clock::{Clock, ClockMark, SystemClock, TimeSpan};
pub use command::{Command, CommandId, CommandState};
pub use device::{Channels, Device, DeviceKey, DeviceState, ReplacedBoard};
pub use event::Event;
pub use info::Info;
pub use log::{LogEntry, LogKind};
pub use master_key::MasterKey;
pub use record::{DeviceId, DeviceRecord, Marks, Replaced, SESSIONS_OPEN_MAX, Wish};
pub use storage::Storage;
pub use timestamp::Timestamp;
