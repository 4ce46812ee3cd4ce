//! What happened to a device.

use super::{Channel, CommandState, Timestamp};
use capteur_protocol::{Mac, Name};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line of a device's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: LogKind,
}

/// What can happen to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LogKind {
    /// The hub heard of it for the first time.
    Discovered,
    /// It started a session, or was found alive on its current one.
    Joined,
    /// It left, or its connection ended.
    Left,
    /// A person renamed it, or its board's settings did.
    Renamed {
        /// The old name.
        #[schema(value_type = String)]
        from: Name,
        /// The new name.
        #[schema(value_type = String)]
        to: Name,
        /// Who did it.
        by: String,
    },
    /// Its board's settings wish for a name that another device has: nothing was renamed.
    WishRefused {
        /// The name.
        #[schema(value_type = String)]
        name: Name,
    },
    /// A person put another board in the place of its own.
    Replaced {
        /// The MAC address of the old board.
        #[schema(value_type = String)]
        from: Mac,
        /// The MAC address of the new board.
        #[schema(value_type = String)]
        to: Mac,
        /// Who did it.
        by: String,
    },
    /// A person gave it its old board back.
    ReplacementUndone {
        /// The MAC address of the board that had taken the place.
        #[schema(value_type = String)]
        from: Mac,
        /// The MAC address of the board that it has again.
        #[schema(value_type = String)]
        to: Mac,
        /// Who did it.
        by: String,
    },
    /// A command to it came to its end.
    Command {
        /// The command's number.
        id: String,
        /// Always the LED.
        channel: Channel,
        /// On or off.
        value: bool,
        /// What became of it.
        outcome: CommandState,
        /// Who gave it.
        by: String,
    },
}
