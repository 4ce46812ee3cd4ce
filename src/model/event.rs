//! What the live stream tells.

use super::{Channel, Command, Device, Storage, Timestamp};
use capteur_protocol::{Mac, Name};
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// One change, as the live stream tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A device's state, name or record has changed.
    Device(Device),
    /// A reading came.
    Reading {
        /// Whose.
        mac: Mac,
        /// The device's name.
        name: Name,
        /// Which channel.
        channel: Channel,
        /// 0 or 1 for the switches, 0 to 100 percent for the light.
        value: u8,
        /// When.
        at: Timestamp,
    },
    /// A device was forgotten.
    Removed {
        /// Which.
        mac: Mac,
    },
    /// A command was given, or came to its end.
    Command(Command),
    /// The store records again or no longer, or the time of day is certain or no longer.
    Storage(Box<Storage>),
}

impl Event {
    /// The event's name on the wire (the SSE field `event`).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Device(_) => "device",
            Self::Reading { .. } => "reading",
            Self::Removed { .. } => "removed",
            Self::Command(_) => "command",
            Self::Storage(_) => "storage",
        }
    }
}

/// The event's data, without its name.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Device(device) => device.serialize(serializer),
            Self::Command(command) => command.serialize(serializer),
            Self::Storage(storage) => storage.serialize(serializer),
            Self::Removed { mac } => {
                let mut data = serializer.serialize_struct("Removed", 1)?;
                data.serialize_field("mac", mac)?;
                data.end()
            }
            Self::Reading { mac, name, channel, value, at } => {
                let mut data = serializer.serialize_struct("Reading", 5)?;
                data.serialize_field("mac", mac)?;
                data.serialize_field("name", name)?;
                data.serialize_field("channel", channel)?;
                data.serialize_field("value", &channel.json(*value))?;
                data.serialize_field("at", at)?;
                data.end()
            }
        }
    }
}
