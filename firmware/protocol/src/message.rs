//! Whole payloads, parsed and printed.

use crate::{
    backlog::{BACKLOG_MAX, Backlog},
    error::ParseError,
    info::{INFO_MAX, Info},
    mac::{MAC_LEN, MacText},
    pair::{PAIR_MAX, Pair},
    topic::Topic,
};
use core::{
    fmt::{self, Write},
    str::FromStr,
};
use heapless::String;

/// The longest payload that the hub sends, in bytes: `MAC;name;session_id`.
pub const ASSIGNMENT_MAX: usize = MAC_LEN + 1 + PAIR_MAX;

/// The longest payload of the protocol, in bytes: one of `state/info`.
pub const PAYLOAD_MAX: usize = INFO_MAX;

const _: () = assert!(ASSIGNMENT_MAX <= PAYLOAD_MAX && BACKLOG_MAX <= PAYLOAD_MAX);

/// A payload, printed.
pub type Payload = String<PAYLOAD_MAX>;

/// A light level: 0 (dark) to 100 (bright), in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// As bright as it gets.
    pub const MAX: Self = Self(100);

    /// The level, or `None` above 100.
    pub const fn new(value: u8) -> Option<Self> {
        if value <= 100 { Some(Self(value)) } else { None }
    }

    /// The level as a number from 0 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = ParseError;

    /// Reads one to three digits.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        // Checked first, since `u8::from_str` would take a leading `+`.
        if text.len() > 3 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseError::Value);
        }
        text.parse().ok().and_then(Self::new).ok_or(ParseError::Value)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a board says to the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceMessage {
    /// `state/join` with a MAC: open a new session for me.
    Join(MacText),
    /// `state/join` with a pair: I start the session that you gave me.
    Start(Pair),
    /// `state/leave`: I am going, or have gone.
    Leave(Pair),
    /// `led/status`: my LED is now on or off.
    Led(Pair, bool),
    /// `button/status`: my button was pushed (`true`) or released.
    Button(Pair, bool),
    /// `photoresistor/status`: this much light.
    Photoresistor(Pair, Percent),
    /// `photoresistor/backlog`: this much light, so long ago.
    Backlog(Pair, Backlog),
    /// `state/info`: this is what I am, and how I do.
    Info(Pair, Info),
}

impl DeviceMessage {
    /// Reads a payload that came in on `topic`.
    ///
    /// # Errors
    ///
    /// The first fault of the payload; [`ParseError::Topic`] on a topic where boards say nothing.
    pub fn parse(topic: Topic, payload: &[u8]) -> Result<Self, ParseError> {
        let text = text(payload)?;
        match topic {
            Topic::Join if text.contains(';') => text.parse().map(Self::Start),
            Topic::Join => text.parse().map(Self::Join),
            Topic::Leave => text.parse().map(Self::Leave),
            Topic::LedStatus => pair_and_switch(text).map(|(pair, on)| Self::Led(pair, on)),
            Topic::ButtonStatus => {
                pair_and_switch(text).map(|(pair, pushed)| Self::Button(pair, pushed))
            }
            Topic::PhotoresistorStatus => {
                let [name, session, value] = fields(text)?;
                Ok(Self::Photoresistor(Pair::from_fields(name, session)?, value.parse()?))
            }
            Topic::PhotoresistorBacklog => {
                let (pair, readings) = pair_and_rest(text)?;
                if text.len() > BACKLOG_MAX {
                    return Err(ParseError::Length);
                }
                Ok(Self::Backlog(pair, readings.parse()?))
            }
            Topic::Info => {
                let (pair, facts) = pair_and_rest(text)?;
                Ok(Self::Info(pair, facts.parse()?))
            }
            Topic::LedCommand | Topic::NameAssign => Err(ParseError::Topic),
        }
    }

    /// The topic that this is published on.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Join(_) | Self::Start(_) => Topic::Join,
            Self::Leave(_) => Topic::Leave,
            Self::Led(..) => Topic::LedStatus,
            Self::Button(..) => Topic::ButtonStatus,
            Self::Photoresistor(..) => Topic::PhotoresistorStatus,
            Self::Backlog(..) => Topic::PhotoresistorBacklog,
            Self::Info(..) => Topic::Info,
        }
    }

    /// The pair that this is said under; a board that asks for a session has none yet.
    pub const fn pair(&self) -> Option<&Pair> {
        match self {
            Self::Join(_) => None,
            Self::Start(pair)
            | Self::Leave(pair)
            | Self::Led(pair, _)
            | Self::Button(pair, _)
            | Self::Photoresistor(pair, _)
            | Self::Backlog(pair, _)
            | Self::Info(pair, _) => Some(pair),
        }
    }

    /// Prints the payload.
    pub fn payload(&self) -> Payload {
        match self {
            Self::Join(mac) => print(format_args!("{mac}")),
            Self::Start(pair) | Self::Leave(pair) => print(format_args!("{pair}")),
            Self::Led(pair, on) | Self::Button(pair, on) => {
                print(format_args!("{pair};{}", u8::from(*on)))
            }
            Self::Photoresistor(pair, level) => print(format_args!("{pair};{level}")),
            Self::Backlog(pair, readings) => print(format_args!("{pair};{readings}")),
            Self::Info(pair, info) => print(format_args!("{pair}{info}")),
        }
    }
}

/// What the hub says to a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubMessage {
    /// `state/nameAssign`: the board with this MAC is now called so, in this session.
    NameAssign(MacText, Pair),
    /// `led/command`: switch your LED on or off.
    LedCommand(Pair, bool),
}

impl HubMessage {
    /// Reads a payload that came in on `topic`.
    ///
    /// # Errors
    ///
    /// The first fault of the payload; [`ParseError::Topic`] on a topic where the hub says nothing.
    pub fn parse(topic: Topic, payload: &[u8]) -> Result<Self, ParseError> {
        let text = text(payload)?;
        match topic {
            Topic::NameAssign => {
                let [mac, name, session] = fields(text)?;
                Ok(Self::NameAssign(mac.parse()?, Pair::from_fields(name, session)?))
            }
            Topic::LedCommand => pair_and_switch(text).map(|(pair, on)| Self::LedCommand(pair, on)),
            _ => Err(ParseError::Topic),
        }
    }

    /// The topic that this is published on.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::NameAssign(..) => Topic::NameAssign,
            Self::LedCommand(..) => Topic::LedCommand,
        }
    }

    /// Prints the payload.
    pub fn payload(&self) -> Payload {
        match self {
            Self::NameAssign(mac, pair) => print(format_args!("{mac};{pair}")),
            Self::LedCommand(pair, on) => print(format_args!("{pair};{}", u8::from(*on))),
        }
    }
}

fn text(payload: &[u8]) -> Result<&str, ParseError> {
    core::str::from_utf8(payload).map_err(|_| ParseError::NotUtf8)
}

/// Splits a payload into exactly `N` fields.
fn fields<const N: usize>(text: &str) -> Result<[&str; N], ParseError> {
    let mut fields = [""; N];
    let mut rest = text.split(';');
    for field in &mut fields {
        *field = rest.next().ok_or(ParseError::FieldCount)?;
    }
    if rest.next().is_some() { Err(ParseError::FieldCount) } else { Ok(fields) }
}

/// Splits a payload into its pair and all that follows, which may be nothing.
fn pair_and_rest(text: &str) -> Result<(Pair, &str), ParseError> {
    let (name, rest) = text.split_once(';').ok_or(ParseError::FieldCount)?;
    let (session, rest) = rest.split_once(';').unwrap_or((rest, ""));
    Ok((Pair::from_fields(name, session)?, rest))
}

fn pair_and_switch(text: &str) -> Result<(Pair, bool), ParseError> {
    let [name, session, value] = fields(text)?;
    let pair = Pair::from_fields(name, session)?;
    match value {
        "1" => Ok((pair, true)),
        "0" => Ok((pair, false)),
        _ => Err(ParseError::Value),
    }
}

fn print(arguments: fmt::Arguments<'_>) -> Payload {
    let mut payload = Payload::new();
    // Can't fail: `PAYLOAD_MAX` is the sum of what the fields' types can hold.
    let _ = payload.write_fmt(arguments);
    payload
}
