//! What people ask for: renames, LED commands and their end.

use super::{
    effect::{Turn, When},
    entry::Entry,
    error::DeviceError,
    state::{State, log},
};
use crate::{
    model::{
        Command, CommandState, Device, DeviceId, DeviceKey, DeviceRecord, DeviceState, Event,
        LogKind,
    },
    store::{Change, Urgency},
};
use capteur_protocol::{HubMessage, Name};

impl State {
    /// Gives a device another name, and offers it a session under that name (ruling 8).
    pub(super) fn rename(
        &mut self,
        key: &DeviceKey,
        name: &Name,
        by: &str,
        turn: &mut Turn<'_>,
    ) -> Result<Device, DeviceError> {
        let (id, _) = self.entry(key)?;
        self.give_name(id, name, by, turn)?;
        self.roster.get(id).map(Entry::device).ok_or_else(|| DeviceError::Unknown(key.clone()))
    }

    /// Gives a device a name; says whether it had another before. Its record is put either way.
    pub(super) fn give_name(
        &mut self,
        id: DeviceId,
        name: &Name,
        by: &str,
        turn: &mut Turn<'_>,
    ) -> Result<bool, DeviceError> {
        if self.roster.by_name(name).is_some_and(|holder| holder != id) {
            return Err(DeviceError::NameTaken(name.clone()));
        }
        let Some(from) = self.roster.get(id).map(|entry| entry.record.name.clone()) else {
            return Ok(false);
        };
        if from == *name {
            // Also where a rename is repeated: the first may not be on the medium yet.
            self.put(id, Urgency::Now, turn);
            return Ok(false);
        }
        let session = self
            .session(turn)
            .ok_or_else(|| DeviceError::Unavailable("there are no session ids left".to_owned()))?;
        tracing::info!(%from, to = %name, by, "renamed");
        self.roster.rename(id, name.clone());
        let kind = LogKind::Renamed { from, to: name.clone(), by: by.to_owned() };
        log(id, kind, Urgency::Now, turn);
        self.offer(id, session, turn);
        self.announce(id, turn);
        Ok(true)
    }

    /// Forgets a device that is not online, and with it the one that it has taken in.
    pub(super) fn forget(
        &mut self,
        key: &DeviceKey,
        by: &str,
        turn: &mut Turn<'_>,
    ) -> Result<(), DeviceError> {
        let (id, entry) = self.entry(key)?;
        let DeviceRecord { mac, ref name, replaced, .. } = entry.record;
        if entry.state == DeviceState::Online {
            return Err(DeviceError::Online(name.clone()));
        }
        tracing::info!(%mac, %name, by, "forgotten");
        self.end_command(id, CommandState::TimedOut, turn);
        self.roster.remove(id);
        // Last, so that nothing of the device comes after it.
        turn.store(Change::RemoveDevice(id), Urgency::Now);
        if let Some(absorbed) = replaced.and_then(|replaced| replaced.absorbed) {
            turn.store(Change::RemoveDevice(absorbed), Urgency::Now);
        }
        turn.event(Event::Removed { mac });
        Ok(())
    }

    /// Orders a device to switch its LED (ruling 11). The order takes the place of an earlier one.
    pub(super) fn switch_led(
        &mut self,
        key: &DeviceKey,
        on: bool,
        by: &str,
        turn: &mut Turn<'_>,
    ) -> Result<Command, DeviceError> {
        let (id, entry) = self.entry(key)?;
        let DeviceRecord { mac, ref name, ref session, .. } = entry.record;
        let (DeviceState::Online, Some(pair)) = (entry.state, session.clone()) else {
            return Err(DeviceError::NotOnline(name.clone()));
        };
        if self.commands.is_full_for(id) {
            return Err(DeviceError::Busy);
        }
        self.end_command(id, CommandState::Superseded, turn);
        let command = self.commands.issue((id, mac), on, by, turn.now);
        self.stats.commands_issued += 1;
        turn.publish(HubMessage::LedCommand(pair, on), When::AtOnce);
        turn.event(Event::Command(command.clone()));
        Ok(command)
    }

    /// Ends the commands that have waited too long. A device that goes offline keeps the order that
    /// it was given: it may be back, and obey, in time.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        for id in self.commands.overdue(turn.now) {
            self.end_command(id, CommandState::TimedOut, turn);
        }
    }

    /// Ends the command that waits for a device, if one does.
    pub(super) fn end_command(&mut self, id: DeviceId, outcome: CommandState, turn: &mut Turn<'_>) {
        let Some((command, took)) = self.commands.end(id, outcome, turn.now) else { return };
        self.stats.command_ended(outcome, took);
        let kind = LogKind::Command {
            id: command.id.to_string(),
            channel: command.channel,
            value: command.value,
            outcome,
            by: command.issued_by.clone(),
        };
        log(id, kind, Urgency::Interval, turn);
        turn.event(Event::Command(command.clone()));
        turn.resolve(command);
    }
}
