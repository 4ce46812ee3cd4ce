//! Which connection has which identity, so that a message to one device reaches that one.

use super::{Ack, ConnectionId, Identity, packet::Reason, session::Session};
use capteur_protocol::{HubMessage, Mac, Pair, Topic};
use std::{collections::HashMap, sync::Arc};

/// All connections, and the addresses that were bound to them.
#[derive(Debug, Default)]
pub(crate) struct Addressing {
    connections: HashMap<ConnectionId, Entry>,
    by_mac: HashMap<Mac, ConnectionId>,
    by_pair: HashMap<Pair, ConnectionId>,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    identity: Option<Box<Identity>>,
    /// The connection has ended, but messages that it published are not settled yet.
    ended: bool,
}

impl Addressing {
    pub(crate) fn add(&mut self, connection: ConnectionId, session: Arc<Session>) {
        self.connections.insert(connection, Entry { session, identity: None, ended: false });
    }

    /// Says who a connection is; ignored once it has ended.
    pub(crate) fn bind(&mut self, connection: ConnectionId, identity: Identity) {
        let Some(entry) = self.connections.get_mut(&connection).filter(|entry| !entry.ended) else {
            return;
        };
        if let Some(old) = entry.identity.replace(Box::new(identity.clone())) {
            self.unbind(connection, &old);
        }
        self.by_mac.insert(identity.mac, connection);
        if let Some(pair) = identity.pair {
            self.by_pair.insert(pair, connection);
        }
    }

    /// A connection has ended; gives the pair that was still its own.
    pub(crate) fn remove(&mut self, connection: ConnectionId) -> Option<Pair> {
        let mut entry = self.connections.remove(&connection)?;
        let identity = entry.identity.take();
        if entry.session.state().receipts.awaits(connection) {
            entry.ended = true;
            self.connections.insert(connection, entry);
        }
        let identity = *identity?;
        let own =
            identity.pair.as_ref().and_then(|pair| self.by_pair.get(pair)) == Some(&connection);
        self.unbind(connection, &identity);
        identity.pair.filter(|_| own)
    }

    /// Tells a publisher what became of its message.
    pub(crate) fn settle(&mut self, ack: Ack, reason: Reason) {
        let Some(entry) = self.connections.get(&ack.connection) else {
            return;
        };
        if !entry.session.settle(ack, reason) && entry.ended {
            self.connections.remove(&ack.connection);
        }
    }

    /// Whom a message of the hub names.
    pub(crate) fn addressee(&self, topic: Topic, payload: &[u8]) -> Option<Arc<Session>> {
        let connection = match HubMessage::parse(topic, payload).ok()? {
            HubMessage::NameAssign(mac, _) => self.by_mac.get(&mac.mac()),
            HubMessage::LedCommand(pair, _) => self.by_pair.get(&pair),
        }?;
        self.connections.get(connection).map(|entry| Arc::clone(&entry.session))
    }

    fn unbind(&mut self, connection: ConnectionId, identity: &Identity) {
        if self.by_mac.get(&identity.mac) == Some(&connection) {
            self.by_mac.remove(&identity.mac);
        }
        if let Some(pair) = &identity.pair
            && self.by_pair.get(pair) == Some(&connection)
        {
            self.by_pair.remove(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{access::Role, packet::Version};

    const MAC: Mac = Mac([1, 2, 3, 4, 5, 6]);
    const PAIR: &str = "capteur01;1743946777.603371";

    fn session(serial: u64) -> Arc<Session> {
        Arc::new(Session::new(serial, "a".into(), Role::Device(None)))
    }

    fn identity(pair: Option<&str>) -> Identity {
        Identity { mac: MAC, pair: pair.map(|pair| pair.parse().unwrap()) }
    }

    fn named(addressing: &Addressing) -> Option<Arc<Session>> {
        let payload = format!("{MAC};{PAIR}");
        addressing.addressee(Topic::NameAssign, payload.as_bytes())
    }

    fn commanded(addressing: &Addressing) -> Option<Arc<Session>> {
        addressing.addressee(Topic::LedCommand, format!("{PAIR};1").as_bytes())
    }

    #[test]
    fn a_message_goes_to_the_connection_that_it_names() {
        let mut addressing = Addressing::default();
        addressing.add(ConnectionId(1), session(1));
        assert_eq!(named(&addressing), None);
        addressing.bind(ConnectionId(1), identity(None));
        assert_eq!(named(&addressing), Some(session(1)));
        assert_eq!(commanded(&addressing), None);
        addressing.bind(ConnectionId(1), identity(Some(PAIR)));
        assert_eq!(commanded(&addressing), Some(session(1)));
        assert_eq!(addressing.remove(ConnectionId(1)), Some(PAIR.parse().unwrap()));
        assert_eq!((named(&addressing), commanded(&addressing)), (None, None));
        assert!(addressing.connections.is_empty());
    }

    #[test]
    fn an_address_moves_from_the_connection_that_had_it() {
        let mut addressing = Addressing::default();
        for number in 1..=2 {
            addressing.add(ConnectionId(number), session(number));
            addressing.bind(ConnectionId(number), identity(Some(PAIR)));
        }
        assert_eq!(commanded(&addressing), Some(session(2)));
        assert_eq!(addressing.remove(ConnectionId(1)), None);
        assert_eq!(commanded(&addressing), Some(session(2)));
        assert_eq!(named(&addressing), Some(session(2)));
    }

    #[test]
    fn a_bind_replaces_what_the_connection_was_and_comes_too_late_after_its_end() {
        let mut addressing = Addressing::default();
        addressing.add(ConnectionId(1), session(1));
        addressing.bind(ConnectionId(1), identity(Some(PAIR)));
        addressing.bind(ConnectionId(1), Identity { mac: Mac([0; 6]), pair: None });
        assert_eq!((named(&addressing), commanded(&addressing)), (None, None));
        addressing.remove(ConnectionId(1));
        addressing.bind(ConnectionId(1), identity(Some(PAIR)));
        assert!(addressing.by_mac.is_empty() && addressing.by_pair.is_empty());
    }

    #[test]
    fn a_settlement_after_the_end_reaches_the_session() {
        let mut addressing = Addressing::default();
        let session = session(1);
        addressing.add(ConnectionId(1), Arc::clone(&session));
        let ack = Ack { connection: ConnectionId(1), number: 1 };
        session.state().receipts.publish(Version::V3, 7, 2, Err(ack));
        addressing.remove(ConnectionId(1));
        addressing.settle(ack, Reason::SUCCESS);
        assert!(!session.state().receipts.awaits(ConnectionId(1)));
        assert!(addressing.connections.is_empty());
    }
}
