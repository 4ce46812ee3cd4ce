//! Readings as a table that other programs read: CSV, JSON, or JSON by the line.
//!
//! Every single reading is a row: `time`, `mac`, `name`, `channel` and `value`; by the devices'
//! names, then by channel, then by time. The hub and the command line say the same bytes.
//!
//! # Layout
//!
//! - [`mod@format`]: how a row looks
//! - [`pages`]: readings of any number, some thousands at a time

pub mod format;
pub mod pages;

pub use format::Format;
pub use pages::Export;

use crate::model::{Channel, DeviceId, DeviceKey, DeviceRecord, Timestamp};
use capteur_protocol::{Mac, Name};

/// Which readings are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// The earliest time.
    pub from: Timestamp,
    /// The time before which readings are.
    pub to: Timestamp,
    /// The only channel; `None` for all three.
    pub channel: Option<Channel>,
    /// How they look.
    pub format: Format,
}

/// A device whose readings are exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its number in the store.
    pub id: DeviceId,
    /// Its MAC address.
    pub mac: Mac,
    /// Its name now.
    pub name: Name,
}

impl Subject {
    /// Whether a caller who says `key` means this device.
    pub fn is(&self, key: &DeviceKey) -> bool {
        match key {
            DeviceKey::Mac(mac) => self.mac == *mac,
            DeviceKey::Name(name) => {
                name.parse().is_ok_and(|name: Name| name.folded().eq(self.name.folded()))
            }
        }
    }
}

impl From<&DeviceRecord> for Subject {
    fn from(record: &DeviceRecord) -> Self {
        Self { id: record.id, mac: record.mac, name: record.name.clone() }
    }
}
