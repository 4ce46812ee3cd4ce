//! What devices say: the rules of the session protocol.
//!
//! "Ruling" refers to the numbered rulings on the device protocol in the project's contract.
//!
//! Three sets of pairs decide what a message may do. The *started* pair is the session that the
//! device has put to use; *offered* pairs were issued since and may still be started, all of them,
//! since a board that repeats its MAC may act on any answer; every other pair is *stale* and
//! changes nothing. To start an offered pair ends all others.

use super::{
    effect::{Turn, When},
    state::{State, log},
    stats::Discard,
};
use crate::{
    broker::{Ack, Identity, Origin, Verdict},
    config::Adoption,
    model::{
        Channel, Channels, CommandState, DeviceId, DeviceRecord, DeviceState, Event, Info,
        LateReadings, LogKind, Reading, Timestamp, Wish,
    },
    store::{Change, Urgency},
};
use capteur_protocol::{Backlog, DeviceMessage, Mac, MacText, Name, Pair, ParseError};
use std::time::Duration;

/// The most devices: what bounds the memory that strangers can make the hub use.
const DEVICES_MAX: usize = 65_536;

/// The most connections that are remembered for a device beside the one that it is online on.
const FORMER_MAX: usize = 3;

/// The greatest age of a reading of a backlog: 31 days, twice what our firmware keeps at its slowest.
/// An older one is a board's mistake.
const AGE_MAX_MS: u32 = 31 * 86_400_000;

/// How long after its start a hub that does not know the time puts backlogs off that it can't date.
/// One that has not heard the time by then has nobody to tell it.
const TIME_AWAITED: Duration = Duration::from_mins(10);

/// What put a device online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// `state/join` with the pair.
    Start,
    /// A reading under the pair: ruling 7.
    Reading,
}

impl State {
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
            DeviceMessage::Backlog(pair, backlog) => {
                self.backlog(pair, backlog, origin, urgency, turn)
            }
            DeviceMessage::Info(pair, info) => self.info(pair, info, origin, urgency, turn),
        };
        match handled {
            // Shown to people and not recorded: an acknowledgement would be a lie.
            Ok(()) if is_reading(message) && !self.condition.recording.is_on() => {
                self.stats.accept(message.topic());
                self.stats.not_recorded += 1;
                turn.settle(ack, Verdict::QuotaExceeded, When::AtOnce);
            }
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
                // What is acknowledged is forgotten: a board shall keep its backlog for a session
                // that counts.
                let verdict = match (message, discard.verdict()) {
                    (DeviceMessage::Backlog(..), Verdict::Accepted) => Verdict::NotAuthorized,
                    (_, verdict) => verdict,
                };
                turn.settle(ack, verdict, When::AtOnce);
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
        if !self.may_be(mac, origin) {
            return Err(Discard::ForeignIdentity);
        }
        let known = self.roster.by_mac(mac);
        let bound = self.roster.by_connection(origin.connection);
        if self.confined && bound.is_some_and(|bound| known != Some(bound)) {
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
        entry.former.clear();
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
        let record = DeviceRecord {
            id,
            mac,
            name,
            first_seen: turn.now.wall,
            last_seen: turn.now.wall,
            joined_at: None,
            left_at: None,
            session: None,
            offered: Vec::new(),
            replaced: None,
            revision: 0,
            wish: Wish::Open,
            former_wish: Wish::Open,
        };
        self.roster.insert(record, Channels::default());
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
        entry.former.clear();
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

    /// A connection has ended on which was spoken under this pair, and nobody left: the device is
    /// offline (ruling 6), unless it lives on another connection in the same session, as a board
    /// does that connects again and does not join again.
    pub(super) fn connection_ended(&mut self, pair: &Pair, origin: &Origin, turn: &mut Turn<'_>) {
        let ended = |owner: &Origin| owner.connection == origin.connection;
        if let Ok(id) = self.speaker(pair, origin)
            && let Some(entry) = self.roster.get_mut(id)
            && entry.state == DeviceState::Online
        {
            entry.former.retain(|former| !ended(former));
            if !entry.owner.as_ref().is_some_and(ended) {
                return;
            }
            if let Some(former) = entry.former.pop() {
                let mac = entry.record.mac;
                turn.bind(former.connection, Identity { mac, pair: entry.record.session.clone() });
                entry.owner = Some(former);
                return;
            }
        }
        self.message(&DeviceMessage::Leave(pair.clone()), origin, None, turn);
    }

    /// A reading (ruling 7): recorded whatever the device's state, as long as there is room for
    /// readings. One of a device that counts as offline means that it is alive.
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
        entry.update(channel, value, at);
        let (mac, name) = (entry.record.mac, entry.record.name.clone());
        if self.condition.recording.is_on() {
            turn.store(Change::Reading(Reading { device: id, channel, value, at }), urgency);
        }
        turn.event(Event::Reading { mac, name, channel, value, at });
        self.is_alive(id, pair, origin, urgency, turn);
        if channel == Channel::Led && self.commands.awaited(id) == Some(value != 0) {
            self.end_command(id, CommandState::Confirmed, turn);
        }
        Ok(())
    }

    /// `photoresistor/backlog`: readings of the time when the hub was away. They are dated by their
    /// age and recorded where they belong; what is shown as the last value stays, and the live
    /// stream does not tell of them.
    ///
    /// A guess of the time goes on from the newest that the store knows. What is older than the run of
    /// the hub would be dated by it into the time before the hub was off, among what was recorded
    /// then. So it is put off until the time is known.
    fn backlog(
        &mut self,
        pair: &Pair,
        backlog: &Backlog,
        origin: &Origin,
        urgency: Urgency,
        turn: &mut Turn<'_>,
    ) -> Result<(), Discard> {
        let id = self.speaker(pair, origin)?;
        let oldest_ms = backlog.readings().iter().map(|reading| reading.age_ms).max();
        let oldest = Duration::from_millis(oldest_ms.unwrap_or(0).into());
        if self.condition.time_uncertain && turn.now.uptime < TIME_AWAITED.min(oldest) {
            self.is_alive(id, pair, origin, urgency, turn);
            return Err(Discard::Undated);
        }
        let now = turn.now.wall;
        let mut readings = Vec::with_capacity(backlog.readings().len());
        for reading in backlog.readings() {
            if reading.age_ms > AGE_MAX_MS {
                self.stats.discard(Discard::TooOld);
                continue;
            }
            let at = Timestamp::from_millis(now.millis() - i64::from(reading.age_ms));
            readings.push((at, reading.level.get()));
        }
        if self.condition.recording.is_on() {
            let late = LateReadings { device: id, channel: Channel::Photoresistor, readings };
            turn.store(Change::Late(late), urgency);
        }
        self.is_alive(id, pair, origin, urgency, turn);
        Ok(())
    }

    /// `state/info`: what a board tells about itself. It is kept in memory, since boards repeat it,
    /// and people are told when there is news in it. A name that it wishes for is not shown, but
    /// heeded.
    fn info(
        &mut self,
        pair: &Pair,
        info: &capteur_protocol::Info,
        origin: &Origin,
        urgency: Urgency,
        turn: &mut Turn<'_>,
    ) -> Result<(), Discard> {
        let id = self.speaker(pair, origin)?;
        self.is_alive(id, pair, origin, urgency, turn);
        let Some(entry) = self.roster.get_mut(id) else { return Err(Discard::Stale) };
        let told = Info::from(info);
        let news = entry.info.as_ref().is_none_or(|before| told.is_news_after(before));
        entry.info = Some(Box::new(told));
        let renamed = self.heed(id, info.wish.as_ref(), pair, urgency, turn);
        if news && !renamed {
            self.announce(id, turn);
        }
        Ok(())
    }

    /// A device has said something of its session: one that counts as offline is alive (ruling 7),
    /// and it is where this came from.
    fn is_alive(
        &mut self,
        id: DeviceId,
        pair: &Pair,
        origin: &Origin,
        urgency: Urgency,
        turn: &mut Turn<'_>,
    ) {
        let Some(entry) = self.roster.get_mut(id) else { return };
        entry.record.last_seen = turn.now.wall;
        let mac = entry.record.mac;
        let moved = entry.has_started(pair)
            && entry.owner.as_ref().is_none_or(|owner| owner.connection != origin.connection);
        if entry.state == DeviceState::Offline || moved {
            self.go_online(id, pair, origin, Sign::Reading, urgency, turn);
        } else if self.roster.by_connection(origin.connection).is_none() {
            self.roster.bind(origin.connection, id);
            turn.bind(origin.connection, Identity { mac, pair: Some(pair.clone()) });
        }
    }

    /// Whether a connection may be the device with this MAC: where boards have keys, it has proven
    /// that it is.
    fn may_be(&self, mac: Mac, origin: &Origin) -> bool {
        !self.keyed || origin.mac == Some(mac)
    }

    /// Whose pair it is: one that counts, and on a connection that is not another device's
    /// (ruling 10).
    fn speaker(&self, pair: &Pair, origin: &Origin) -> Result<DeviceId, Discard> {
        let bound = self.roster.by_connection(origin.connection);
        let counts = self.roster.by_pair(pair);
        let named = counts.or_else(|| self.roster.by_name(&pair.name));
        match (bound, named) {
            (Some(bound), Some(named)) if self.confined && bound != named => {
                Err(Discard::ForeignIdentity)
            }
            _ => {
                let id = counts.ok_or(Discard::Stale)?;
                let entry = self.roster.get(id).ok_or(Discard::Stale)?;
                if !self.may_be(entry.record.mac, origin) {
                    return Err(Discard::ForeignIdentity);
                }
                Ok(id)
            }
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
        let before = entry.owner.replace(origin.clone());
        if opened {
            entry.former.clear();
            // The board may run other firmware now.
            entry.info = None;
        }
        entry.former.retain(|former| former.connection != origin.connection);
        if let Some(before) = before
            && !opened
            && before.connection != origin.connection
        {
            if entry.former.len() >= FORMER_MAX {
                entry.former.remove(0);
            }
            entry.former.push(before);
        }
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
}

/// Whether a message reports a channel's value.
pub(super) const fn is_reading(message: &DeviceMessage) -> bool {
    match message {
        DeviceMessage::Led(..)
        | DeviceMessage::Button(..)
        | DeviceMessage::Photoresistor(..)
        | DeviceMessage::Backlog(..) => true,
        DeviceMessage::Join(_)
        | DeviceMessage::Start(_)
        | DeviceMessage::Leave(_)
        | DeviceMessage::Info(..) => false,
    }
}
