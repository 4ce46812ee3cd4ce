//! Who is who, and the steps that all inputs share.

use super::{
    commands::Commands,
    effect::{Turn, When},
    entry::Entry,
    error::DeviceError,
    issuer::Issuer,
    roster::Roster,
    stats::Stats,
};
use crate::{
    config::{self, Adoption},
    model::{
        Command, CommandId, Device, DeviceId, DeviceKey, DeviceState, Event, LogEntry, LogKind,
    },
    store::{Change, Condition, Contents, Urgency},
};
use capteur_protocol::{HubMessage, Pair, SessionId};
use std::{collections::BTreeMap, time::Duration};

/// Who is who.
#[derive(Debug)]
pub(super) struct State {
    pub(super) adoption: Adoption,
    /// Whether a connection is one device's alone (ruling 10).
    pub(super) confined: bool,
    /// Whether a device's connection has to have proven its MAC.
    pub(super) keyed: bool,
    /// Whether the store records readings, and whether the time of day is a guess.
    pub(super) condition: Condition,
    pub(super) issuer: Issuer,
    pub(super) roster: Roster,
    pub(super) commands: Commands,
    pub(super) stats: Stats,
}

impl State {
    /// Takes up what the store holds. Every device is offline, its sessions still count (ruling 9).
    pub(super) fn new(
        contents: Contents,
        devices: &config::Devices,
        commands: &config::Commands,
    ) -> Self {
        let mut marks = contents.marks;
        for record in &contents.devices {
            // A store that was repaired may have lost the newest counters, never a used number.
            marks.next_device = marks.next_device.max(record.id.0.saturating_add(1));
            let sessions = record.session.iter().chain(&record.offered).map(|pair| pair.session);
            marks.last_session = marks.last_session.max(sessions.max());
        }
        let roster = Roster::new(contents.devices, contents.last);
        Self {
            adoption: devices.adoption,
            confined: true,
            keyed: false,
            condition: Condition::default(),
            issuer: Issuer::new(marks, &devices.name_prefix),
            roster,
            commands: Commands::new(
                marks.boots,
                Duration::from_millis(commands.confirm_timeout_ms),
            ),
            stats: Stats::default(),
        }
    }

    /// Every device, by name.
    pub(super) fn devices(&self) -> Vec<Device> {
        let mut devices: Vec<_> = self.roster.iter().map(Entry::device).collect();
        devices.sort_by_cached_key(|device| device.name.folded().collect::<String>());
        devices
    }

    /// One device.
    pub(super) fn device(&self, key: &DeviceKey) -> Result<Device, DeviceError> {
        self.entry(key).map(|(_, entry)| entry.device())
    }

    /// A device's number in the store.
    pub(super) fn device_id(&self, key: &DeviceKey) -> Result<DeviceId, DeviceError> {
        self.entry(key).map(|(id, _)| id)
    }

    /// A command, as long as it is remembered.
    pub(super) fn command(&self, id: CommandId) -> Option<Command> {
        self.commands.get(id).cloned()
    }

    /// What was counted.
    pub(super) fn stats(&self) -> Stats {
        let mut devices = BTreeMap::from(DeviceState::ALL.map(|state| (state.as_str(), 0)));
        for entry in self.roster.iter() {
            *devices.entry(entry.state.as_str()).or_default() += 1;
        }
        Stats { devices, ..self.stats.clone() }
    }

    /// When the next command times out, as uptime.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.commands.deadline()
    }

    /// Issues a session id.
    pub(super) fn session(&mut self, turn: &mut Turn<'_>) -> Option<SessionId> {
        self.issuer.session(turn.now.wall, (turn.entropy)())
    }

    /// Offers a session under the device's name, and tells the device once it is on the medium.
    pub(super) fn offer(&mut self, id: DeviceId, session: SessionId, turn: &mut Turn<'_>) {
        let Some(entry) = self.roster.get(id) else { return };
        let pair = Pair { name: entry.record.name.clone(), session };
        let message = HubMessage::NameAssign(entry.spelling, pair.clone());
        self.roster.offer(id, pair);
        self.put(id, Urgency::Now, turn);
        turn.store(Change::PutMarks(self.issuer.marks()), Urgency::Now);
        turn.publish(message, When::Committed);
    }

    /// Stores a device's record as it is now.
    pub(super) fn put(&mut self, id: DeviceId, urgency: Urgency, turn: &mut Turn<'_>) {
        if let Some(entry) = self.roster.get_mut(id) {
            entry.record.revision = entry.record.revision.saturating_add(1);
            turn.store(Change::PutDevice(Box::new(entry.record.clone())), urgency);
        }
    }

    /// Tells the live stream about a device.
    pub(super) fn announce(&self, id: DeviceId, turn: &mut Turn<'_>) {
        if let Some(entry) = self.roster.get(id) {
            turn.event(Event::Device(entry.device()));
        }
    }

    pub(super) fn entry(&self, key: &DeviceKey) -> Result<(DeviceId, &Entry), DeviceError> {
        self.roster
            .by_key(key)
            .and_then(|id| Some((id, self.roster.get(id)?)))
            .ok_or_else(|| DeviceError::Unknown(key.clone()))
    }
}

#[cfg(test)]
impl State {
    /// Panics where the state contradicts itself.
    pub(super) fn check(&self) {
        self.roster.check();
    }

    /// The last value of each channel as the device's readings have it.
    pub(super) fn recorded(&self, id: DeviceId) -> Option<crate::model::Channels> {
        self.roster.get(id).map(Entry::recorded)
    }
}

/// Adds a line to a device's log.
pub(super) fn log(id: DeviceId, kind: LogKind, urgency: Urgency, turn: &mut Turn<'_>) {
    let entry = LogEntry { at: turn.now.wall, kind };
    turn.store(Change::Log(id, entry), urgency);
}
