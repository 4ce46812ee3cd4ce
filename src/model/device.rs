//! A device as people see it.

use super::{Channel, ChannelState, Info, Timestamp};
use capteur_protocol::{Mac, Name};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::{convert::Infallible, fmt, str::FromStr};
use utoipa::ToSchema;

/// What the hub knows of a device's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// Waits for a person to accept it.
    Pending,
    /// Has been given a session and has not started it.
    Joining,
    /// Has started its session, on a connection that lives.
    Online,
    /// Has left, or its connection has ended.
    Offline,
}

impl DeviceState {
    /// Every state, for tables and metrics.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Joining, Self::Online, Self::Offline];

    /// The state's name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Joining => "joining",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// A device as the API, the page and the event stream show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Device {
    /// The MAC address of its board: who the device is, until a person replaces the board.
    #[schema(value_type = String, example = "61:EC:ED:3B:25:B1")]
    pub mac: Mac,
    /// The name that people and the hub use.
    #[schema(value_type = String, example = "capteur01")]
    pub name: Name,
    /// Presence.
    pub state: DeviceState,
    /// When the hub first heard of it.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    /// When the hub last heard from it.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// When it last started a session.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub joined_at: Option<Timestamp>,
    /// When it last left; `null` while it is online.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub left_at: Option<Timestamp>,
    /// The last value of each channel.
    #[schema(value_type = Object)]
    pub channels: Channels,
    /// What it told about itself in this session; not there where its firmware doesn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub info: Option<Box<Info>>,
    /// The board that was replaced; only there while that can be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replaced: Option<ReplacedBoard>,
}

/// A board whose place another has taken: name and history have gone over to that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplacedBoard {
    /// Its MAC address.
    #[schema(value_type = String, example = "61:EC:ED:3B:25:B1")]
    pub mac: Mac,
    /// When it was replaced.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// The last value of each channel; `None` (`null`) where no reading has come yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Channels([Option<ChannelState>; 3]);

impl Channels {
    /// The last value of `channel`.
    pub fn get(&self, channel: Channel) -> Option<ChannelState> {
        self.0[usize::from(channel.index())]
    }

    /// When the latest value came.
    pub fn last(&self) -> Option<Timestamp> {
        self.0.iter().flatten().map(|state| state.at).max()
    }

    /// Sets the last value of `channel`.
    pub fn set(&mut self, channel: Channel, state: ChannelState) {
        self.0[usize::from(channel.index())] = Some(state);
    }

    /// Only what came at `start` or later.
    #[must_use]
    pub fn since(self, start: Timestamp) -> Self {
        Self(self.0.map(|state| state.filter(|state| state.at >= start)))
    }

    /// What `other` has where this has nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut both = self.0.into_iter().zip(other.0).map(|(own, other)| own.or(other));
        Self(std::array::from_fn(|_| both.next().flatten()))
    }

    /// Takes in a reading.
    pub fn update(&mut self, channel: Channel, value: u8, at: Timestamp) {
        self.set(channel, ChannelState::updated(self.get(channel), value, at));
    }
}

impl Serialize for Channels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            value: serde_json::Value,
            #[serde(skip_serializing_if = "Option::is_none")]
            unit: Option<&'static str>,
            at: Timestamp,
            changed_at: Timestamp,
        }
        let mut map = serializer.serialize_struct("Channels", 3)?;
        for channel in Channel::ALL {
            let shown = self.get(channel).map(|state| Shown {
                value: channel.json(state.value),
                unit: (channel == Channel::Photoresistor).then_some("%"),
                at: state.at,
                changed_at: state.changed_at,
            });
            map.serialize_field(channel.as_str(), &shown)?;
        }
        map.end()
    }
}

/// How a caller names a device: by its current name, without regard to case, or by its MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceKey {
    /// By MAC address.
    Mac(Mac),
    /// By name; may name no device.
    Name(String),
}

impl FromStr for DeviceKey {
    type Err = Infallible;

    /// A text of the shape of a MAC address is one, since no name may have it.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Mac))
    }
}

impl From<Mac> for DeviceKey {
    fn from(mac: Mac) -> Self {
        Self::Mac(mac)
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}
