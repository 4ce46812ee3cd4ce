//! The rules of the session protocol, without I/O.
//!
//! "Ruling" refers to the numbered rulings on the device protocol in the project's contract.
//!
//! Three sets of pairs decide what a message may do. The *started* pair is the session that the
//! device has put to use; *offered* pairs were issued since and may still be started, all of them,
//! since a board that repeats its MAC may act on any answer; every other pair is *stale* and
//! changes nothing. To start an offered pair ends all others.

use super::{
    commands::Commands,
    effect::{Turn, When},
    error::DeviceError,
    issuer::Issuer,
    roster::{Entry, Roster},
    stats::{Discard, Stats},
};
use crate::{
    broker::{Ack, Identity, Origin, Verdict},
    config::{self, Adoption},
    model::{
        Channel, Command, CommandId, CommandState, Device, DeviceId, DeviceKey, DeviceRecord,
        DeviceState, Event, LogEntry, LogKind, Reading,
    },
    store::{Change, Contents, Urgency},
};
use capteur_protocol::{
    DeviceMessage, HubMessage, Mac, MacText, Name, Pair, ParseError, SessionId,
};
use std::{collections::BTreeMap, time::Duration};

/// The most devices: what bounds the memory that strangers can make the hub use.
const DEVICES_MAX: usize = 65_536;

/// What put a device online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// `state/join` with the pair.
    Start,
    /// A reading under the pair: ruling 7.
    Reading,
}

/// Who is who.
#[derive(Debug)]
pub(super) struct State {
    adoption: Adoption,
    issuer: Issuer,
    roster: Roster,
    commands: Commands,
    stats: Stats,
}

impl State {
    /// Takes up what the store holds. Every device is offline, its sessions still count (ruling 9).
    pub(super) fn new(
        contents: Contents,
        devices: &config::Devices,
        commands: &config::Commands,
    ) -> Self {
        let mut roster = Roster::default();
        let mut marks = contents.marks;
        for record in contents.devices {
            // A store that was repaired may have lost the newest counters, never a used number.
            marks.next_device = marks.next_device.max(record.id.0.saturating_add(1));
            let sessions = record.session.iter().chain(&record.offered).map(|pair| pair.session);
            marks.last_session = marks.last_session.max(sessions.max());
            roster.insert(record);
        }
        for (id, channel, last) in contents.last {
            if let Some(entry) = roster.get_mut(id) {
                // Two updates make what the readings since the last change have made.
                entry.channels.update(channel, last.value, last.changed_at);
                entry.channels.update(channel, last.value, last.at);
                entry.record.last_seen = entry.record.last_seen.max(last.at);
            }
        }
        Self {
            adoption: devices.adoption,
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

    /// Takes in a message of a device.
    pub(super) fn message(
        &mut self,
        message: &DeviceMessage,
        origin: &Origin,
        ack: Option<Ack>,
        turn: &mut Turn<'_>,
    ) {
        // A publisher that waits shall not wait for the commit interval.
        let urgency = if ack.is_some() { Urgency::Now } else { Urgency::Interval };
        let handled = match message {
            DeviceMessage::Join(mac) => self.join(*mac, origin, turn),
            DeviceMessage::Start(pair) => self.start(pair, origin, turn),
            DeviceMessage::Leave(pair) => self.leave(pair, origin, urgency, turn),
            DeviceMessage::Led(pair, on) => {
                self.reading(pair, (Channel::Led, u8::from(*on)), origin, urgency, turn)
            }
            DeviceMessage::Button(pair, pushed) => {
                self.reading(pair, (Channel::Button, u8::from(*pushed)), origin, urgency, turn)
            }
            DeviceMessage::Photoresistor(pair, level) => {
                self.reading(pair, (Channel::Photoresistor, level.get()), origin, urgency, turn)
            }
        };
        match handled {
            // What is taken has always been stored: also a repeat, since what it repeats may not be
            // on the medium yet.
            Ok(()) => {
                self.stats.accept(message.topic());
                turn.settle(ack, Verdict::Accepted, When::Committed);
            }
            Err(discard) => {
                tracing::debug!(
                    topic = message.topic().as_str(),
                    client_id = &*origin.client_id,
                    address = %origin.address,
                    reason = discard.reason(),
                    "message discarded"
                );
                self.stats.discard(discard);
                turn.settle(ack, discard.verdict(), When::AtOnce);
            }
        }
    }

    /// Counts a payload that is none (ruling 9).
    pub(super) fn malformed(&mut self, error: ParseError, ack: Option<Ack>, turn: &mut Turn<'_>) {
        self.stats.malformed(error);
        turn.settle(ack, Verdict::PayloadFormatInvalid, When::AtOnce);
    }

    /// `state/join` with a MAC: opens a session (ruling 4).
    fn join(
        &mut self,
        spelling: MacText,
        origin: &Origin,
        turn: &mut Turn<'_>,
    ) -> Result<(), Discard> {
        let mac = spelling.mac();
        let known = self.roster.by_mac(mac);
        if self.roster.by_connection(origin.connection).is_some_and(|bound| known != Some(bound)) {
            return Err(Discard::ForeignIdentity);
        }
        let held = known
            .and_then(|id| self.roster.get(id))
            .is_some_and(|entry| entry.is_held_against(origin));
        if held {
            return Err(Discard::MacInUse);
        }
        if known.is_none() {
            self.admit()?;
        }
        let session = self.session(turn).ok_or(Discard::Exhausted)?;
        let id = known.map_or_else(|| self.discover(mac, turn), Ok)?;
        self.roster.end_session(id);
        let Some(entry) = self.roster.get_mut(id) else { return Err(Discard::Exhausted) };
        if entry.state == DeviceState::Online {
            entry.record.left_at = Some(turn.now.wall);
            log(id, LogKind::Left, Urgency::Now, turn);
            self.stats.leaves += 1;
        }
        entry.state = DeviceState::Joining;
        entry.owner = None;
        entry.spelling = spelling;
        entry.record.last_seen = turn.now.wall;
        self.stats.sessions_opened += 1;
        self.roster.bind(origin.connection, id);
        turn.bind(origin.connection, Identity { mac, pair: None });
        self.offer(id, session, turn);
        if known.is_none() {
            log(id, LogKind::Discovered, Urgency::Now, turn);
        }
        self.announce(id, turn);
        Ok(())
    }

    /// Whether a newcomer is let in.
    ///
    /// Nobody can accept one yet, so one that would have to wait is ignored like one that is not
    /// let in.
    fn admit(&self) -> Result<(), Discard> {
        if self.adoption != Adoption::Open {
            return Err(Discard::UnknownMac);
        }
        if self.roster.len() >= DEVICES_MAX {
            return Err(Discard::Exhausted);
        }
        Ok(())
    }

    /// A device that the hub has never heard of: it gets a number and a name (ruling 2).
    fn discover(&mut self, mac: Mac, turn: &Turn<'_>) -> Result<DeviceId, Discard> {
        let id = self.issuer.device().ok_or(Discard::Exhausted)?;
        let taken = |name: &Name| self.roster.by_name(name).is_some();
        let name = self.issuer.name(taken).ok_or(Discard::Exhausted)?;
        tracing::info!(%mac, %name, "discovered");
        self.roster.insert(DeviceRecord {
            id,
            mac,
            name,
            first_seen: turn.now.wall,
            last_seen: turn.now.wall,
            joined_at: None,
            left_at: None,
            session: None,
            offered: Vec::new(),
        });
        Ok(id)
    }

    /// `state/join` with a pair: starts the session (rulings 4 and 5).
    ///
    /// A repeated start changes nothing, but the device is from now on where the repeat came from.
    fn start(&mut self, pair: &Pair, origin: &Origin, turn: &mut Turn<'_>) -> Result<(), Discard> {
        let id = self.speaker(pair, origin)?;
        self.go_online(id, pair, origin, Sign::Start, Urgency::Now, turn);
        // The device was renamed and does not know, or has missed it: ruling 8 once more.
        let renamed = self.roster.get(id).is_some_and(|entry| entry.record.name != pair.name);
        if renamed && let Some(session) = self.session(turn) {
            self.offer(id, session, turn);
        }
        Ok(())
    }

    /// `state/leave`, of the device itself or on behalf of its connection (ruling 6).
    ///
    /// It never binds a connection, which may have ended. It is no sign of life either: `last_seen`
    /// stays.
    fn leave(
        &mut self,
        pair: &Pair,
        origin: &Origin,
        urgency: Urgency,
        turn: &mut Turn<'_>,
    ) -> Result<(), Discard> {
        let id = self.speaker(pair, origin)?;
        let Some(entry) = self.roster.get_mut(id) else { return Err(Discard::Stale) };
        let was = entry.state;
        entry.state = DeviceState::Offline;
        entry.owner = None;
        if was == DeviceState::Online {
            entry.record.left_at = Some(turn.now.wall);
            tracing::info!(name = %entry.record.name, "left");
            log(id, LogKind::Left, urgency, turn);
            self.stats.leaves += 1;
        }
        self.put(id, urgency, turn);
        if was != DeviceState::Offline {
            self.announce(id, turn);
        }
        Ok(())
    }

    /// A reading (ruling 7): recorded whatever the device's state. One of a device that counts as
    /// offline means that it is alive.
    fn reading(
        &mut self,
        pair: &Pair,
        (channel, value): (Channel, u8),
        origin: &Origin,
        urgency: Urgency,
        turn: &mut Turn<'_>,
    ) -> Result<(), Discard> {
        let id = self.speaker(pair, origin)?;
        let Some(entry) = self.roster.get_mut(id) else { return Err(Discard::Stale) };
        let at = turn.now.wall;
        entry.channels.update(channel, value, at);
        entry.record.last_seen = at;
        let (mac, name) = (entry.record.mac, entry.record.name.clone());
        let moved = entry.has_started(pair)
            && entry.owner.as_ref().is_none_or(|owner| owner.connection != origin.connection);
        let offline = entry.state == DeviceState::Offline;
        turn.store(Change::Reading(Reading { device: id, channel, value, at }), urgency);
        turn.event(Event::Reading { mac, name, channel, value, at });
        if offline || moved {
            self.go_online(id, pair, origin, Sign::Reading, urgency, turn);
        } else if self.roster.by_connection(origin.connection).is_none() {
            self.roster.bind(origin.connection, id);
            turn.bind(origin.connection, Identity { mac, pair: Some(pair.clone()) });
        }
        if channel == Channel::Led && self.commands.awaited(id) == Some(value != 0) {
            self.end_command(id, CommandState::Confirmed, turn);
        }
        Ok(())
    }

    /// Gives a device another name, and offers it a session under that name (ruling 8).
    pub(super) fn rename(
        &mut self,
        key: &DeviceKey,
        name: &Name,
        by: &str,
        turn: &mut Turn<'_>,
    ) -> Result<Device, DeviceError> {
        let (id, entry) = self.entry(key)?;
        if self.roster.by_name(name).is_some_and(|holder| holder != id) {
            return Err(DeviceError::NameTaken(name.clone()));
        }
        let from = entry.record.name.clone();
        if from == *name {
            // Put again: the rename that this repeats may not be on the medium yet.
            self.put(id, Urgency::Now, turn);
            return self.device(key);
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
        self.roster.get(id).map(Entry::device).ok_or_else(|| DeviceError::Unknown(key.clone()))
    }

    /// Forgets a device that is not online.
    pub(super) fn forget(
        &mut self,
        key: &DeviceKey,
        by: &str,
        turn: &mut Turn<'_>,
    ) -> Result<(), DeviceError> {
        let (id, entry) = self.entry(key)?;
        let DeviceRecord { mac, ref name, .. } = entry.record;
        if entry.state == DeviceState::Online {
            return Err(DeviceError::Online(name.clone()));
        }
        tracing::info!(%mac, %name, by, "forgotten");
        self.end_command(id, CommandState::TimedOut, turn);
        self.roster.remove(id);
        // Last, so that nothing of the device comes after it.
        turn.store(Change::RemoveDevice(id), Urgency::Now);
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
        while let Some(id) = self.commands.overdue(turn.now) {
            self.end_command(id, CommandState::TimedOut, turn);
        }
    }

    /// Whose pair it is: one that counts, and on a connection that is not another device's
    /// (ruling 10).
    fn speaker(&self, pair: &Pair, origin: &Origin) -> Result<DeviceId, Discard> {
        let bound = self.roster.by_connection(origin.connection);
        let counts = self.roster.by_pair(pair);
        let named = counts.or_else(|| self.roster.by_name(&pair.name));
        match (bound, named) {
            (Some(bound), Some(named)) if bound != named => Err(Discard::ForeignIdentity),
            _ => counts.ok_or(Discard::Stale),
        }
    }

    /// Puts a device online on the connection of `origin`, under a pair that counts.
    fn go_online(
        &mut self,
        id: DeviceId,
        pair: &Pair,
        origin: &Origin,
        sign: Sign,
        urgency: Urgency,
        turn: &mut Turn<'_>,
    ) {
        let Some(entry) = self.roster.get_mut(id) else { return };
        let opened = !entry.has_started(pair);
        let came = entry.state != DeviceState::Online;
        entry.state = DeviceState::Online;
        entry.owner = Some(origin.clone());
        entry.record.last_seen = turn.now.wall;
        entry.record.left_at = None;
        if opened || (came && sign == Sign::Start) {
            entry.record.joined_at = Some(turn.now.wall);
        }
        let mac = entry.record.mac;
        if opened || came {
            tracing::info!(name = %entry.record.name, address = %origin.address, ?sign, "joined");
        }
        if opened {
            self.roster.start(id, pair);
        }
        self.roster.bind(origin.connection, id);
        turn.bind(origin.connection, Identity { mac, pair: Some(pair.clone()) });
        self.put(id, urgency, turn);
        if opened || came {
            self.stats.joins += u64::from(came);
            log(id, LogKind::Joined, urgency, turn);
            self.announce(id, turn);
        }
    }

    /// Issues a session id.
    fn session(&mut self, turn: &mut Turn<'_>) -> Option<SessionId> {
        self.issuer.session(turn.now.wall, (turn.entropy)())
    }

    /// Offers a session under the device's name, and tells the device once it is on the medium.
    fn offer(&mut self, id: DeviceId, session: SessionId, turn: &mut Turn<'_>) {
        let Some(entry) = self.roster.get(id) else { return };
        let pair = Pair { name: entry.record.name.clone(), session };
        let message = HubMessage::NameAssign(entry.spelling, pair.clone());
        self.roster.offer(id, pair);
        self.put(id, Urgency::Now, turn);
        turn.store(Change::PutMarks(self.issuer.marks()), Urgency::Now);
        turn.publish(message, When::Committed);
    }

    /// Ends the command that waits for a device, if one does.
    fn end_command(&mut self, id: DeviceId, outcome: CommandState, turn: &mut Turn<'_>) {
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

    /// Stores a device's record as it is now.
    fn put(&self, id: DeviceId, urgency: Urgency, turn: &mut Turn<'_>) {
        if let Some(entry) = self.roster.get(id) {
            turn.store(Change::PutDevice(Box::new(entry.record.clone())), urgency);
        }
    }

    /// Tells the live stream about a device.
    fn announce(&self, id: DeviceId, turn: &mut Turn<'_>) {
        if let Some(entry) = self.roster.get(id) {
            turn.event(Event::Device(entry.device()));
        }
    }

    fn entry(&self, key: &DeviceKey) -> Result<(DeviceId, &Entry), DeviceError> {
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
}

/// Adds a line to a device's log.
fn log(id: DeviceId, kind: LogKind, urgency: Urgency, turn: &mut Turn<'_>) {
    let entry = LogEntry { at: turn.now.wall, kind };
    turn.store(Change::Log(id, entry), urgency);
}
