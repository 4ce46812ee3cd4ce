//! Who is who. (Stub: replaced by the registry room.)

use crate::{
    events::Cursor,
    model::{Command, CommandId, Device, DeviceId, DeviceKey},
};
use capteur_protocol::Name;
use tokio::sync::oneshot;

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

/// A command that was published; its end can be awaited.
#[derive(Debug)]
pub struct Issued {
    /// The command as it was given.
    pub command: Command,
    /// The command at its end: confirmed, timed out or superseded.
    pub outcome: oneshot::Receiver<Command>,
}

/// What the API may ask of the registry; cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {}

impl Registry {
    /// Every device, by name, and the place in the event stream that this state has.
    pub fn snapshot(&self) -> (Vec<Device>, Cursor) {
        (Vec::new(), Cursor::default())
    }

    /// One device.
    pub fn device(&self, key: &DeviceKey) -> Result<Device, DeviceError> {
        Err(DeviceError::Unknown(key.clone()))
    }

    /// A device's number in the store.
    pub fn device_id(&self, key: &DeviceKey) -> Result<DeviceId, DeviceError> {
        Err(DeviceError::Unknown(key.clone()))
    }

    /// A command, as long as it is remembered (the last 1,024).
    pub fn command(&self, id: CommandId) -> Option<Command> {
        let _ = id;
        None
    }

    /// Renames a device; on the medium when it returns.
    pub async fn rename(
        &self,
        key: &DeviceKey,
        name: Name,
        by: &str,
    ) -> Result<Device, DeviceError> {
        let _ = (name, by);
        Err(DeviceError::Unknown(key.clone()))
    }

    /// Forgets a device that is not online, with its readings; on the medium when it returns.
    pub async fn forget(&self, key: &DeviceKey, by: &str) -> Result<(), DeviceError> {
        let _ = by;
        Err(DeviceError::Unknown(key.clone()))
    }

    /// Publishes an LED command.
    pub async fn switch_led(
        &self,
        key: &DeviceKey,
        on: bool,
        by: &str,
    ) -> Result<Issued, DeviceError> {
        let _ = (on, by);
        Err(DeviceError::Unknown(key.clone()))
    }

    /// Returns once the registry's task has answered: proof that it makes progress.
    pub async fn probe(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}
