//! The three channels of a board and their readings.

use super::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// One of a board's three channels.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// The LED: 1 is on, 0 is off.
    Led,
    /// The button: 1 is pushed, 0 is released.
    Button,
    /// The photoresistor: 0 (dark) to 100 (bright), in percent.
    Photoresistor,
}

impl Channel {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Led, Self::Button, Self::Photoresistor];

    /// The channel's name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Led => "led",
            Self::Button => "button",
            Self::Photoresistor => "photoresistor",
        }
    }

    /// The channel's number in the store; never changes its meaning.
    pub const fn index(self) -> u8 {
        match self {
            Self::Led => 0,
            Self::Button => 1,
            Self::Photoresistor => 2,
        }
    }

    /// The channel with this number in the store.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.index() == index)
    }

    /// A raw value as JSON shows it: `true` and `false` for the switches, a number for the light.
    pub fn json(self, value: u8) -> serde_json::Value {
        match self {
            Self::Led | Self::Button => (value != 0).into(),
            Self::Photoresistor => value.into(),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a channel: led, button or photoresistor")]
pub struct ChannelError(String);

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, ChannelError> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == text)
            .ok_or_else(|| ChannelError(text.to_owned()))
    }
}

/// One value of one channel of one device, as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Whose reading it is.
    pub device: DeviceId,
    /// Which of its channels.
    pub channel: Channel,
    /// 0 or 1 for the switches, 0 to 100 percent for the light.
    pub value: u8,
    /// When the hub received it.
    pub at: Timestamp,
}

/// Readings of one channel of one device that come late: they were taken while the hub was away,
/// and the hub has dated them from their age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateReadings {
    /// Whose readings they are.
    pub device: DeviceId,
    /// Which of its channels.
    pub channel: Channel,
    /// When each was taken, and its value.
    pub readings: Vec<(Timestamp, u8)>,
}

/// The last value of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    /// 0 or 1 for the switches, 0 to 100 percent for the light.
    pub value: u8,
    /// When the last reading came.
    pub at: Timestamp,
    /// When the value last became another.
    pub changed_at: Timestamp,
}

impl ChannelState {
    /// The state after one more reading; `state` is `None` before the first.
    pub fn updated(state: Option<Self>, value: u8, at: Timestamp) -> Self {
        match state {
            Some(state) if state.value == value => Self { at, ..state },
            _ => Self { value, at, changed_at: at },
        }
    }
}
