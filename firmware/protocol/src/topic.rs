//! The channels of the protocol, and who may publish on them.
//!
//! Seven are the customer's. Two are additions that no firmware has to make use of:
//! `photoresistor/backlog` and `state/info`.

use crate::error::ParseError;
use core::{fmt, str::FromStr};

/// A channel of the protocol (an MQTT topic).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `led/command`: the hub switches a board's LED. QoS 1.
    LedCommand,
    /// `led/status`: a board's LED has changed. QoS 1.
    LedStatus,
    /// `button/status`: a board's button was pushed or released. QoS 0.
    ButtonStatus,
    /// `photoresistor/status`: a light level in percent. QoS 0.
    PhotoresistorStatus,
    /// `photoresistor/backlog`: light levels of the time when the hub was away. QoS 1.
    PhotoresistorBacklog,
    /// `state/info`: a board tells about itself. QoS 0.
    Info,
    /// `state/join`: a board asks for a session, or starts one. QoS 2.
    Join,
    /// `state/leave`: a board leaves, by itself or by its will. QoS 2.
    Leave,
    /// `state/nameAssign`: the hub gives a name and a session. QoS 2.
    NameAssign,
}

impl Topic {
    /// All of them: the customer's in the order of the protocol's text, then the additions.
    pub const ALL: [Self; 9] = [
        Self::LedCommand,
        Self::LedStatus,
        Self::ButtonStatus,
        Self::PhotoresistorStatus,
        Self::Join,
        Self::Leave,
        Self::NameAssign,
        Self::PhotoresistorBacklog,
        Self::Info,
    ];

    /// The MQTT topic name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LedCommand => "led/command",
            Self::LedStatus => "led/status",
            Self::ButtonStatus => "button/status",
            Self::PhotoresistorStatus => "photoresistor/status",
            Self::PhotoresistorBacklog => "photoresistor/backlog",
            Self::Info => "state/info",
            Self::Join => "state/join",
            Self::Leave => "state/leave",
            Self::NameAssign => "state/nameAssign",
        }
    }

    /// The quality of service that the protocol recommends: 0, 1 or 2.
    pub const fn qos(self) -> u8 {
        match self {
            Self::ButtonStatus | Self::PhotoresistorStatus | Self::Info => 0,
            Self::LedCommand | Self::LedStatus | Self::PhotoresistorBacklog => 1,
            Self::Join | Self::Leave | Self::NameAssign => 2,
        }
    }

    /// Whether boards publish here; on the other topics the hub does.
    pub const fn is_from_device(self) -> bool {
        !matches!(self, Self::LedCommand | Self::NameAssign)
    }
}

impl FromStr for Topic {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == text).ok_or(ParseError::Topic)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
