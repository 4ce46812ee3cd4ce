//! Every device, and the ways to find it.

use super::entry::{Absorbed, Board, Entry};
use crate::{
    broker::ConnectionId,
    model::{
        Channel, ChannelState, Channels, DeviceId, DeviceKey, DeviceRecord, SESSIONS_OPEN_MAX,
        Timestamp,
    },
};
use capteur_protocol::{Mac, Name, Pair, SessionId};
use std::{
    collections::{HashMap, HashSet},
    mem,
};

/// How many of a device's latest connections stay bound to it. A board needs two to join.
///
/// The front does not tell when a connection without a pair ends, so older ones are let go. A
/// connection that was let go counts as new: it may be bound again.
const CONNECTIONS_MAX: usize = 4;

/// How many sessions of all devices together may be open before each device keeps its latest few
/// only: what bounds the memory that strangers can make the hub use, a few tens of megabytes.
const SESSIONS_OPEN_TOTAL: usize = 262_144;

/// How many offered sessions a device keeps then.
const SESSIONS_OPEN_FEW: usize = 4;

/// Every device. Keeps the indexes true to the records.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: HashMap<DeviceId, Box<Entry>>,
    by_mac: HashMap<Mac, DeviceId>,
    /// By [`Name::folded`].
    by_name: HashMap<Box<str>, DeviceId>,
    /// By every session that was started or may be.
    by_session: HashMap<SessionId, DeviceId>,
    by_connection: HashMap<ConnectionId, DeviceId>,
}

impl Roster {
    /// Takes up what the store holds: records, and the last reading of each channel.
    pub(super) fn new(
        records: Vec<DeviceRecord>,
        last: Vec<(DeviceId, Channel, ChannelState)>,
    ) -> Self {
        let mut channels: HashMap<DeviceId, Channels> = HashMap::new();
        for (id, channel, last) in last {
            channels.entry(id).or_default().set(channel, last);
        }
        let mut channels = |id| channels.remove(&id).unwrap_or_default();
        let absorbed: HashSet<_> =
            records.iter().filter_map(|record| record.replaced?.absorbed).collect();
        let (absorbed, shown): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| absorbed.contains(&record.id));
        let mut absorbed: HashMap<_, _> = absorbed
            .into_iter()
            .map(|record| (record.id, Absorbed { channels: channels(record.id), record }))
            .collect();
        let mut roster = Self::default();
        for mut record in shown {
            let (id, replaced, channels) = (record.id, record.replaced, channels(record.id));
            record.last_seen = record.last_seen.max(channels.last().unwrap_or(Timestamp::MIN));
            roster.insert(record, channels);
            if let (Some(replaced), Some(entry)) = (replaced, roster.get_mut(id)) {
                let absorbed = replaced.absorbed.and_then(|id| absorbed.remove(&id));
                entry.set_aside_again(replaced.at, absorbed);
            }
        }
        roster
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(AsRef::as_ref)
    }

    pub(super) fn get(&self, id: DeviceId) -> Option<&Entry> {
        self.entries.get(&id).map(AsRef::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: DeviceId) -> Option<&mut Entry> {
        self.entries.get_mut(&id).map(AsMut::as_mut)
    }

    pub(super) fn by_mac(&self, mac: Mac) -> Option<DeviceId> {
        self.by_mac.get(&mac).copied()
    }

    /// The device with this name now, without regard to case.
    pub(super) fn by_name(&self, name: &Name) -> Option<DeviceId> {
        self.by_name.get(folded(name.folded()).as_ref()).copied()
    }

    pub(super) fn by_key(&self, key: &DeviceKey) -> Option<DeviceId> {
        match key {
            DeviceKey::Mac(mac) => self.by_mac(*mac),
            // Folded in the way of `Name::folded`.
            DeviceKey::Name(text) => {
                let folded = folded(text.chars().flat_map(char::to_lowercase));
                self.by_name.get(folded.as_ref()).copied()
            }
        }
    }

    /// The device that speaks under this pair, where the pair is of a session that counts.
    pub(super) fn by_pair(&self, pair: &Pair) -> Option<DeviceId> {
        let id = *self.by_session.get(&pair.session)?;
        self.get(id)?.accepts(pair).then_some(id)
    }

    /// The device that a connection is bound to.
    pub(super) fn by_connection(&self, connection: ConnectionId) -> Option<DeviceId> {
        self.by_connection.get(&connection).copied()
    }

    /// Adds a device that is offline. Its MAC and its name have to be free.
    pub(super) fn insert(&mut self, record: DeviceRecord, channels: Channels) {
        let id = record.id;
        self.by_mac.insert(record.mac, id);
        self.by_name.insert(folded(record.name.folded()), id);
        for pair in record.session.iter().chain(&record.offered) {
            self.by_session.insert(pair.session, id);
        }
        self.entries.insert(id, Box::new(Entry::new(record, channels)));
    }

    /// Takes a device out, and returns it without its board.
    pub(super) fn remove(&mut self, id: DeviceId) -> Option<Box<Entry>> {
        self.unplug(id);
        let entry = self.entries.remove(&id)?;
        self.by_mac.remove(&entry.record.mac);
        self.by_name.remove(folded(entry.record.name.folded()).as_ref());
        Some(entry)
    }

    /// Gives a device the board `mac` in the place of its own, whose sessions end. The device that
    /// the new board was until now is absorbed; its sessions, its wish and its presence go over.
    pub(super) fn replace(&mut self, id: DeviceId, mac: Mac) {
        let newcomer = self.by_mac(mac).filter(|newcomer| *newcomer != id);
        let board = newcomer.and_then(|newcomer| self.unplug(newcomer));
        let absorbed = newcomer.and_then(|newcomer| self.remove(newcomer)).map(|entry| {
            let Entry { mut record, channels, .. } = *entry;
            // It is going to be stored without its board.
            record.revision = record.revision.saturating_add(1);
            Absorbed { record, channels }
        });
        let former = self.unplug(id);
        self.plug(id, mac, board.unwrap_or_else(|| Board::unseen(mac)).settled());
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.record.former_wish = former.map(|board| board.wish).unwrap_or_default();
            entry.set_aside(absorbed);
        }
    }

    /// Gives a device its old board `mac` back, which has to be free; its sessions have ended. The
    /// device that had been absorbed gets its own back, with its sessions, its wish and its presence.
    /// Where there was none, the sessions of the new board end.
    pub(super) fn restore(&mut self, id: DeviceId, mac: Mac) {
        let Some(board) = self.unplug(id) else { return };
        let wish = self.entries.get_mut(&id).map(|entry| mem::take(&mut entry.record.former_wish));
        self.plug(id, mac, Board { wish: wish.unwrap_or_default(), ..Board::unseen(mac) });
        let absorbed = self.entries.get_mut(&id).and_then(|entry| entry.take_back());
        if let Some(Absorbed { record, channels }) = absorbed {
            let (absorbed, mac) = (record.id, record.mac);
            self.insert(record, channels);
            self.plug(absorbed, mac, board);
        }
    }

    /// Takes a device's board from it: it has no sessions then, and is offline.
    fn unplug(&mut self, id: DeviceId) -> Option<Board> {
        let entry = self.entries.get_mut(&id)?;
        let unseen = Board::unseen(entry.record.mac);
        let board = Board {
            session: entry.record.session.take(),
            offered: mem::take(&mut entry.record.offered),
            state: mem::replace(&mut entry.state, unseen.state),
            owner: entry.owner.take(),
            former: mem::take(&mut entry.former),
            spelling: mem::replace(&mut entry.spelling, unseen.spelling),
            connections: mem::take(&mut entry.connections),
            info: entry.info.take(),
            wish: mem::take(&mut entry.record.wish),
            wished_in: entry.wished_in.take(),
        };
        for pair in board.session.iter().chain(&board.offered) {
            self.by_session.remove(&pair.session);
        }
        for connection in &board.connections {
            self.by_connection.remove(connection);
        }
        Some(board)
    }

    /// Gives a device that has no board the board `mac`, which has to be free.
    fn plug(&mut self, id: DeviceId, mac: Mac, board: Board) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.by_mac.remove(&entry.record.mac);
        self.by_mac.insert(mac, id);
        for pair in board.session.iter().chain(&board.offered) {
            self.by_session.insert(pair.session, id);
        }
        for connection in &board.connections {
            self.by_connection.insert(*connection, id);
        }
        let Board {
            session,
            offered,
            state,
            owner,
            former,
            spelling,
            connections,
            info,
            wish,
            wished_in,
        } = board;
        entry.record.mac = mac;
        entry.record.session = session;
        entry.record.offered = offered;
        entry.state = state;
        entry.owner = owner;
        entry.former = former;
        entry.spelling = spelling;
        entry.connections = connections;
        entry.info = info;
        entry.record.wish = wish;
        entry.wished_in = wished_in;
    }

    /// Gives a device another name, which has to be free. Its pairs keep theirs.
    pub(super) fn rename(&mut self, id: DeviceId, name: Name) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.by_name.remove(folded(entry.record.name.folded()).as_ref());
        self.by_name.insert(folded(name.folded()), id);
        entry.record.name = name;
    }

    /// Adds a session that the device may start; beyond [`SESSIONS_OPEN_MAX`], or fewer where all
    /// devices together have very many, the oldest go.
    pub(super) fn offer(&mut self, id: DeviceId, pair: Pair) {
        let max = self.offered_max();
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let offered = &mut entry.record.offered;
        if offered.len() >= max {
            for ended in offered.drain(..=offered.len() - max) {
                self.by_session.remove(&ended.session);
            }
            offered.shrink_to(max);
        }
        self.by_session.insert(pair.session, id);
        offered.push(pair);
    }

    fn offered_max(&self) -> usize {
        if self.by_session.len() < SESSIONS_OPEN_TOTAL {
            SESSIONS_OPEN_MAX
        } else {
            SESSIONS_OPEN_FEW
        }
    }

    /// Makes an offered session the started one; the started one and the other offers end.
    pub(super) fn start(&mut self, id: DeviceId, pair: &Pair) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let offered = mem::take(&mut entry.record.offered);
        let started = entry.record.session.replace(pair.clone());
        for ended in started.iter().chain(&offered) {
            self.by_session.remove(&ended.session);
        }
        self.by_session.insert(pair.session, id);
    }

    /// Ends the started session; what is offered stays.
    pub(super) fn end_session(&mut self, id: DeviceId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(pair) = entry.record.session.take() {
            self.by_session.remove(&pair.session);
        }
    }

    /// Binds a connection that is not bound to another device.
    pub(super) fn bind(&mut self, connection: ConnectionId, id: DeviceId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if self.by_connection.insert(connection, id).is_some() {
            return;
        }
        if entry.connections.len() >= CONNECTIONS_MAX {
            // Not the one that the device is online on: its end has to be told under this identity.
            let owner = entry.owner.as_ref().map(|owner| owner.connection);
            let oldest = entry.connections.iter().position(|bound| Some(*bound) != owner);
            let oldest = entry.connections.remove(oldest.unwrap_or_default());
            self.by_connection.remove(&oldest);
        }
        entry.connections.push(connection);
    }
}

#[cfg(test)]
impl Roster {
    /// Panics where an index does not say what the entries say.
    pub(super) fn check(&self) {
        use crate::model::DeviceState;

        let (mut sessions, mut connections) = (0, 0);
        for (id, entry) in &self.entries {
            assert_eq!(self.by_mac.get(&entry.record.mac), Some(id));
            assert_eq!(self.by_name(&entry.record.name), Some(*id));
            for pair in entry.record.session.iter().chain(&entry.record.offered) {
                assert_eq!(self.by_session.get(&pair.session), Some(id));
                sessions += 1;
            }
            for connection in &entry.connections {
                assert_eq!(self.by_connection.get(connection), Some(id));
                connections += 1;
            }
            let owner = entry.owner.as_ref().map(|owner| owner.connection);
            assert!(owner.is_none_or(|owner| entry.connections.contains(&owner)));
            assert_eq!(owner.is_some(), entry.state == DeviceState::Online);
        }
        let indexed = [self.by_mac.len(), self.by_name.len()];
        assert_eq!(indexed, [self.entries.len(); 2]);
        assert_eq!((self.by_session.len(), self.by_connection.len()), (sessions, connections));
    }
}

fn folded(characters: impl Iterator<Item = char>) -> Box<str> {
    characters.collect::<String>().into_boxed_str()
}

#[cfg(test)]
mod tests;
