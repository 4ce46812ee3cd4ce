//! What the API may ask of the registry.

use super::{
    client::{Request, Shared},
    error::DeviceError,
    stats::Stats,
};
use crate::{
    events::Cursor,
    model::{Command, CommandId, Device, DeviceId, DeviceKey},
};
use capteur_protocol::{Mac, Name};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

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
pub struct Registry {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

impl Registry {
    pub(super) const fn new(shared: Arc<Shared>, requests: mpsc::Sender<Request>) -> Self {
        Self { shared, requests }
    }

    /// Every device, by name, and the place in the event stream that this state has.
    pub fn snapshot(&self) -> (Vec<Device>, Cursor) {
        self.shared.snapshot()
    }

    /// One device.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Unknown`].
    pub fn device(&self, key: &DeviceKey) -> Result<Device, DeviceError> {
        self.shared.state().device(key)
    }

    /// A device's number in the store.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Unknown`].
    pub fn device_id(&self, key: &DeviceKey) -> Result<DeviceId, DeviceError> {
        self.shared.state().device_id(key)
    }

    /// A command, as long as it is remembered: while it waits, and then until 1,024 others have
    /// come to their end.
    pub fn command(&self, id: CommandId) -> Option<Command> {
        self.shared.state().command(id)
    }

    /// What was counted since the hub started.
    pub fn stats(&self) -> Stats {
        self.shared.state().stats()
    }

    /// Renames a device; on the medium when it returns.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Unknown`], [`DeviceError::NameTaken`] or [`DeviceError::Unavailable`].
    pub async fn rename(
        &self,
        key: &DeviceKey,
        name: Name,
        by: &str,
    ) -> Result<Device, DeviceError> {
        let (key, by) = (key.clone(), by.to_owned());
        self.ask(|answer| Request::Rename { key, name, by, answer }).await?
    }

    /// Forgets a device that is not online, with its readings; on the medium when it returns.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Unknown`], [`DeviceError::Online`] or [`DeviceError::Unavailable`].
    pub async fn forget(&self, key: &DeviceKey, by: &str) -> Result<(), DeviceError> {
        let (key, by) = (key.clone(), by.to_owned());
        self.ask(|answer| Request::Forget { key, by, answer }).await?
    }

    /// Gives a device that is not online another board; on the medium when it returns.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Unknown`], [`DeviceError::Online`], [`DeviceError::SameBoard`],
    /// [`DeviceError::Replaced`] or [`DeviceError::Unavailable`].
    pub async fn replace(
        &self,
        key: &DeviceKey,
        mac: Mac,
        by: &str,
    ) -> Result<Device, DeviceError> {
        let (key, by) = (key.clone(), by.to_owned());
        self.ask(|answer| Request::Replace { key, mac, by, answer }).await?
    }

    /// Gives a device that is not online its replaced board back; on the medium when it returns.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Unknown`], [`DeviceError::NotReplaced`], [`DeviceError::Online`],
    /// [`DeviceError::MacTaken`], [`DeviceError::FormerNameTaken`] or
    /// [`DeviceError::Unavailable`].
    pub async fn undo_replacement(&self, key: &DeviceKey, by: &str) -> Result<Device, DeviceError> {
        let (key, by) = (key.clone(), by.to_owned());
        self.ask(|answer| Request::UndoReplacement { key, by, answer }).await?
    }

    /// Publishes an LED command.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Unknown`], [`DeviceError::NotOnline`], [`DeviceError::Busy`] or
    /// [`DeviceError::Unavailable`].
    pub async fn switch_led(
        &self,
        key: &DeviceKey,
        on: bool,
        by: &str,
    ) -> Result<Issued, DeviceError> {
        let (key, by) = (key.clone(), by.to_owned());
        self.ask(|answer| Request::SwitchLed { key, on, by, answer }).await?
    }

    /// Returns once the registry's task has answered: proof that it makes progress.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Unavailable`] when the task has ended.
    pub async fn probe(&self) -> Result<(), DeviceError> {
        self.ask(|answer| Request::Probe { answer }).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, DeviceError> {
        let stopping = || DeviceError::Unavailable("it is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }
}
