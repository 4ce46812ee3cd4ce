//! A device as the hub holds it in memory, and the board that it is.

use crate::{
    broker::{ConnectionId, Origin},
    model::{
        Channel, Channels, Device, DeviceRecord, DeviceState, Info, ReplacedBoard, Timestamp, Wish,
    },
};
use capteur_protocol::{Mac, MacText, Pair, SessionId};
use std::mem;

/// A device as the hub holds it in memory.
#[derive(Debug)]
pub(super) struct Entry {
    /// What is stored, with `last_seen` up to date.
    pub(super) record: DeviceRecord,
    /// Presence.
    pub(super) state: DeviceState,
    /// The last value of each channel.
    pub(super) channels: Channels,
    /// What it told about itself in its session.
    pub(super) info: Option<Box<Info>>,
    /// The last session in which a wish of its board for a name counted.
    pub(super) wished_in: Option<SessionId>,
    /// The connection that it is online on; `None` while it is not online.
    pub(super) owner: Option<Origin>,
    /// Connections that it was online on before, in the same session, and that have not ended.
    pub(super) former: Vec<Origin>,
    /// Its MAC as it last sent it.
    pub(super) spelling: MacText,
    /// The connections that are bound to it, oldest first.
    pub(super) connections: Vec<ConnectionId>,
    /// What its replacement has set aside.
    aside: Option<Box<Aside>>,
}

/// What a replacement sets aside, for its undoing.
#[derive(Debug)]
struct Aside {
    /// The last value of each channel as the device's readings have it, whichever board they are
    /// of; what is shown is the new board's alone.
    recorded: Channels,
    /// The device that the new board was, where it was known.
    absorbed: Option<Absorbed>,
}

/// A device that another one has absorbed.
#[derive(Debug)]
pub(super) struct Absorbed {
    pub(super) record: DeviceRecord,
    pub(super) channels: Channels,
}

impl Absorbed {
    /// What the board has reported since it is alive.
    fn reported(&self) -> Channels {
        let alive = self.record.joined_at.unwrap_or(Timestamp::MAX);
        self.channels.since(alive)
    }
}

/// A board apart from the device that it is: its sessions, its wish, and where it is.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) session: Option<Pair>,
    pub(super) offered: Vec<Pair>,
    pub(super) state: DeviceState,
    pub(super) owner: Option<Origin>,
    pub(super) former: Vec<Origin>,
    pub(super) spelling: MacText,
    pub(super) connections: Vec<ConnectionId>,
    pub(super) info: Option<Box<Info>>,
    pub(super) wish: Wish,
    pub(super) wished_in: Option<SessionId>,
}

impl Board {
    /// A board that nobody has seen.
    pub(super) fn unseen(mac: Mac) -> Self {
        Self {
            session: None,
            offered: Vec::new(),
            state: DeviceState::Offline,
            owner: None,
            former: Vec::new(),
            spelling: mac.into(),
            connections: Vec::new(),
            info: None,
            wish: Wish::Open,
            wished_in: None,
        }
    }

    /// The same board, once a person has said what it is called.
    pub(super) fn settled(self) -> Self {
        let wish = if self.wish == Wish::Open { Wish::Settled } else { self.wish };
        Self { wish, ..self }
    }
}

impl Entry {
    /// A device that is offline.
    pub(super) fn new(record: DeviceRecord, channels: Channels) -> Self {
        Self {
            spelling: record.mac.into(),
            record,
            state: DeviceState::Offline,
            channels,
            info: None,
            wished_in: None,
            owner: None,
            former: Vec::new(),
            connections: Vec::new(),
            aside: None,
        }
    }

    /// Takes in a reading.
    pub(super) fn update(&mut self, channel: Channel, value: u8, at: Timestamp) {
        self.channels.update(channel, value, at);
        if let Some(aside) = &mut self.aside {
            aside.recorded.update(channel, value, at);
        }
        self.record.last_seen = at;
    }

    /// The device that this one has absorbed.
    pub(super) fn absorbed(&self) -> Option<&DeviceRecord> {
        self.aside.as_ref()?.absorbed.as_ref().map(|absorbed| &absorbed.record)
    }

    /// From now on the device shows what its new board has reported: an LED that is shown on is on.
    pub(super) fn set_aside(&mut self, absorbed: Option<Absorbed>) {
        let reported = absorbed.as_ref().map(Absorbed::reported).unwrap_or_default();
        let recorded = mem::replace(&mut self.channels, reported);
        self.aside = Some(Box::new(Aside { recorded, absorbed }));
    }

    /// Sets aside what a replacement at `at` had set aside before the hub was started again.
    pub(super) fn set_aside_again(&mut self, at: Timestamp, absorbed: Option<Absorbed>) {
        let since = self.channels.since(at);
        self.set_aside(absorbed);
        self.channels = since.or(self.channels);
    }

    /// The device shows again what its readings say.
    pub(super) fn take_back(&mut self) -> Option<Absorbed> {
        self.record.replaced = None;
        let Aside { recorded, absorbed } = *self.aside.take()?;
        self.channels = recorded;
        absorbed
    }

    /// Whether `pair` is of the session that was started, not of one that may be.
    pub(super) fn has_started(&self, pair: &Pair) -> bool {
        self.record.session.as_ref() == Some(pair)
    }

    /// Whether the hub takes what is said under this pair.
    pub(super) fn accepts(&self, pair: &Pair) -> bool {
        self.has_started(pair) || self.record.offered.contains(pair)
    }

    /// Whether the device is online on another's connection, as far as can be told: ruling 12.
    pub(super) fn is_held_against(&self, origin: &Origin) -> bool {
        self.owner.as_ref().is_some_and(|owner| {
            owner.address != origin.address && owner.client_id != origin.client_id
        })
    }

    /// The device as people see it.
    pub(super) fn device(&self) -> Device {
        let DeviceRecord {
            mac, ref name, first_seen, last_seen, joined_at, left_at, replaced, ..
        } = self.record;
        let (state, channels) = (self.state, self.channels);
        Device {
            mac,
            name: name.clone(),
            state,
            first_seen,
            last_seen,
            joined_at,
            left_at,
            channels,
            info: self.info.clone(),
            replaced: replaced.map(|replaced| ReplacedBoard { mac: replaced.mac, at: replaced.at }),
        }
    }
}

#[cfg(test)]
impl Entry {
    pub(super) fn recorded(&self) -> Channels {
        self.aside.as_ref().map_or(self.channels, |aside| aside.recorded)
    }
}
