//! Why a call on a device failed.

use crate::model::DeviceKey;
use capteur_protocol::{Mac, Name};

/// Why a call on a device failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No device has this name or MAC.
    #[error("there is no device {0}")]
    Unknown(DeviceKey),
    /// Another device has this name.
    #[error("the name {0} is taken")]
    NameTaken(Name),
    /// Another device has this MAC.
    #[error("{mac} is the board of {holder} by now")]
    MacTaken {
        /// The MAC.
        mac: Mac,
        /// Who has it.
        holder: Name,
    },
    /// Another device has the name that a board had before it replaced another.
    #[error("the name {name}, which {mac} had before, is taken")]
    FormerNameTaken {
        /// The name.
        name: Name,
        /// The board.
        mac: Mac,
    },
    /// The board is the device's own already.
    #[error("{mac} is the board of {name} already")]
    SameBoard {
        /// The device.
        name: Name,
        /// Its MAC.
        mac: Mac,
    },
    /// The device's board has been replaced: that has to be undone before.
    #[error("the board of {0} has been replaced already: undo that first")]
    Replaced(Name),
    /// The device's board has not been replaced, so nothing can be undone.
    #[error("the board of {0} has not been replaced")]
    NotReplaced(Name),
    /// The device has to be offline for this.
    #[error("{0} is online")]
    Online(Name),
    /// The device has to be online for this.
    #[error("{0} is not online")]
    NotOnline(Name),
    /// Too many commands wait for their confirmation.
    #[error("too many commands wait for their confirmation")]
    Busy,
    /// The store failed, or the hub is stopping.
    #[error("the hub can't do this now: {0}")]
    Unavailable(String),
}
