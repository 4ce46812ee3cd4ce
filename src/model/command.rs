//! An order to an LED and what became of it.

use super::{Channel, Timestamp};
use capteur_protocol::Mac;
use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// A command's number: unique over the life of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId {
    /// The run of the hub that gave it out.
    pub boot: u64,
    /// Its number within that run.
    pub number: u64,
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.boot, self.number)
    }
}

/// A text that is not a command's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a command's id has the form 1-42")]
pub struct CommandIdError;

impl FromStr for CommandId {
    type Err = CommandIdError;

    fn from_str(text: &str) -> Result<Self, CommandIdError> {
        let (boot, number) = text.split_once('-').ok_or(CommandIdError)?;
        let parse = |digits: &str| digits.parse().map_err(|_| CommandIdError);
        Ok(Self { boot: parse(boot)?, number: parse(number)? })
    }
}

impl Serialize for CommandId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// Published; the device has not answered yet.
    Sent,
    /// The device has reported the ordered value.
    Confirmed,
    /// The device has not reported it in time.
    TimedOut,
    /// A newer command to the same device took its place.
    Superseded,
}

/// An order to a device's LED.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Command {
    /// Its number.
    #[schema(value_type = String, example = "1-42")]
    pub id: CommandId,
    /// The device's MAC address.
    #[schema(value_type = String, example = "61:EC:ED:3B:25:B1")]
    pub device: Mac,
    /// Always the LED.
    pub channel: Channel,
    /// On or off.
    pub value: bool,
    /// What became of it.
    pub state: CommandState,
    /// When it was given.
    #[schema(value_type = String, format = DateTime)]
    pub issued_at: Timestamp,
    /// When the device confirmed it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirmed_at: Option<Timestamp>,
    /// Who gave it.
    pub issued_by: String,
}
