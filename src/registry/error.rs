//! Why a call on a device failed.

use crate::model::DeviceKey;
use capteur_protocol::Name;

/// Why a call on a device failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No device has this name or MAC.
    #[error("there is no device {0}")]
    Unknown(DeviceKey),
    /// Another device has this name.
    #[error("the name {0} is taken")]
    NameTaken(Name),
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
