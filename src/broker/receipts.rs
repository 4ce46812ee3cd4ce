//! What a client has published and waits for: acknowledgements and QoS 2 packet ids (section 4.3).

use super::{
    Ack, ConnectionId,
    packet::{Reason, Reply, Version},
};
use std::collections::{HashMap, VecDeque};

/// How many QoS 1 and 2 publishes of a client may be without their end: our Receive Maximum
/// (section 3.2.2.3.3). A 3.1.1 client, which can't be told, is not read while so many wait.
pub(crate) const RECEIVE_MAXIMUM: u16 = 64;

/// How many QoS 2 ids a 3.1.1 client may leave unreleased; one that leaves more is broken.
const UNRELEASED_MAX: usize = 1024;

/// The receiving half of a session.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// What this connection published and has no PUBACK or PUBREC for, in that order: they leave
    /// in the order of the publishes ([MQTT-4.6.0-2], [MQTT-4.6.0-3]).
    pending: VecDeque<Pending>,
    /// QoS 2 ids between PUBLISH and PUBREL. They belong to the session, so that a repetition is
    /// known as one on the next connection too.
    unreleased: HashMap<u16, Receipt>,
    /// Whether an acknowledgement was withheld on this connection.
    withheld: bool,
}

#[derive(Debug)]
struct Pending {
    id: u16,
    reply: Reply,
    /// Whose settlement is awaited, or the reason to tell.
    state: Result<Reason, Ack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receipt {
    /// Published, and not settled yet.
    Unsettled(Ack),
    /// Settled: a repetition is answered at once.
    Recorded,
}

/// What a publish at QoS 1 or 2 turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// To be routed.
    New,
    /// A repetition at QoS 2: not to be routed again.
    Repeated,
    /// More than may be under way.
    TooMany,
}

impl Receipts {
    /// Takes note of a publish whose acknowledgement awaits `state`.
    pub(crate) fn publish(
        &mut self,
        version: Version,
        id: u16,
        qos: u8,
        state: Result<Reason, Ack>,
    ) -> Arrival {
        let reply = if qos == 1 { Reply::PubAck } else { Reply::PubRec };
        if qos == 2
            && let Some(receipt) = self.unreleased.get(&id)
        {
            let known = match *receipt {
                Receipt::Recorded => Ok(Reason::SUCCESS),
                Receipt::Unsettled(ack) => Err(ack),
            };
            if !self.pending.iter().any(|one| one.id == id && one.reply == reply) {
                self.pending.push_back(Pending { id, reply, state: known });
            }
            return Arrival::Repeated;
        }
        let too_many = match version {
            Version::V5 => self.under_way() >= usize::from(RECEIVE_MAXIMUM),
            Version::V3 => self.unreleased.len() >= UNRELEASED_MAX,
        };
        if too_many {
            return Arrival::TooMany;
        }
        if qos == 2 {
            match state {
                Ok(reason) if reason.is_error() && version == Version::V5 => {}
                Ok(_) => {
                    self.unreleased.insert(id, Receipt::Recorded);
                }
                Err(ack) => {
                    self.unreleased.insert(id, Receipt::Unsettled(ack));
                }
            }
        }
        self.pending.push_back(Pending { id, reply, state });
        Arrival::New
    }

    /// Publishes of this connection that have not come to their end, as Receive Maximum counts.
    fn under_way(&self) -> usize {
        let qos_1 = self.pending.iter().filter(|one| one.reply == Reply::PubAck).count();
        let refused = self
            .pending
            .iter()
            .filter(|one| one.reply == Reply::PubRec && !self.unreleased.contains_key(&one.id));
        qos_1 + refused.count() + self.unreleased.len()
    }

    /// Whether so many acknowledgements are awaited that the client should not be read.
    pub(crate) fn is_congested(&self) -> bool {
        self.pending.len() >= usize::from(RECEIVE_MAXIMUM)
    }

    /// What the publisher is told about a message is known. False if nothing here awaits it.
    pub(crate) fn settle(&mut self, ack: Ack, reason: Reason) -> bool {
        let mut awaited = false;
        for one in self.pending.iter_mut().filter(|one| one.state == Err(ack)) {
            one.state = Ok(reason);
            awaited = true;
        }
        if awaited {
            if reason == Reason::QUOTA_EXCEEDED {
                // It may come again, and there may be room then.
                self.unreleased.retain(|_, receipt| *receipt != Receipt::Unsettled(ack));
            }
            for receipt in self.unreleased.values_mut() {
                if *receipt == Receipt::Unsettled(ack) {
                    *receipt = Receipt::Recorded;
                }
            }
            return true;
        }
        // The connection that published has ended: a refused message will be refused again.
        let unsettled = self.unreleased.len();
        if reason.is_error() {
            self.unreleased.retain(|_, receipt| *receipt != Receipt::Unsettled(ack));
            return self.unreleased.len() < unsettled;
        }
        for receipt in self.unreleased.values_mut() {
            if *receipt == Receipt::Unsettled(ack) {
                *receipt = Receipt::Recorded;
                awaited = true;
            }
        }
        awaited
    }

    /// The next acknowledgement that may leave.
    pub(crate) fn next_settled(&mut self, version: Version) -> Option<(Reply, u16, Reason)> {
        let (id, reply, reason) = loop {
            let reason = self.pending.front()?.state.ok()?;
            let Pending { id, reply, .. } = self.pending.pop_front()?;
            if version == Version::V5 || reason != Reason::QUOTA_EXCEEDED {
                break (id, reply, reason);
            }
            // Any word on it would say that it is stored. Those behind it may leave: their order
            // stays what it is.
            self.withheld = true;
        };
        if reply == Reply::PubRec && reason.is_error() && version == Version::V5 {
            // Such a PUBREC ends the exchange (section 4.3.3).
            self.unreleased.remove(&id);
        }
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
        Some((reply, id, reason))
    }

    /// Whether a 3.1.1 client waits for an acknowledgement that will not come on this connection.
    pub(crate) const fn has_withheld(&self) -> bool {
        self.withheld
    }

    /// PUBREL. False if the id is not known.
    pub(crate) fn release(&mut self, id: u16) -> bool {
        let known = self.unreleased.remove(&id).is_some();
        if self.unreleased.is_empty() {
            self.unreleased = HashMap::new();
        }
        known
    }

    /// The connection has ended: whoever waited will ask again.
    pub(crate) fn disconnect(&mut self) {
        self.pending = VecDeque::new();
        self.withheld = false;
    }

    /// Whether a message of this connection has not been settled; after
    /// [`disconnect`](Self::disconnect), only QoS 2 counts.
    pub(crate) fn awaits(&self, connection: ConnectionId) -> bool {
        self.unreleased.values().any(
            |receipt| matches!(receipt, Receipt::Unsettled(ack) if ack.connection == connection),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ack(number: u64) -> Ack {
        Ack { connection: ConnectionId(1), number }
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_the_publishes() {
        let mut receipts = Receipts::default();
        for number in 1..=3 {
            receipts.publish(Version::V5, number, 1, Err(ack(u64::from(number))));
        }
        assert!(receipts.settle(ack(3), Reason::SUCCESS));
        assert_eq!(receipts.next_settled(Version::V5), None);
        receipts.settle(ack(1), Reason::NOT_AUTHORIZED);
        assert_eq!(
            receipts.next_settled(Version::V5),
            Some((Reply::PubAck, 1, Reason::NOT_AUTHORIZED))
        );
        assert_eq!(receipts.next_settled(Version::V5), None);
        receipts.settle(ack(2), Reason::SUCCESS);
        assert_eq!(receipts.next_settled(Version::V5), Some((Reply::PubAck, 2, Reason::SUCCESS)));
        assert_eq!(receipts.next_settled(Version::V5), Some((Reply::PubAck, 3, Reason::SUCCESS)));
    }

    #[test]
    fn a_repetition_at_qos_2_is_answered_but_not_routed() {
        let mut receipts = Receipts::default();
        assert_eq!(receipts.publish(Version::V3, 7, 2, Err(ack(1))), Arrival::New);
        assert_eq!(receipts.publish(Version::V3, 7, 2, Err(ack(2))), Arrival::Repeated);
        receipts.settle(ack(1), Reason::SUCCESS);
        let answer = Some((Reply::PubRec, 7, Reason::SUCCESS));
        assert_eq!(receipts.next_settled(Version::V3), answer);
        assert_eq!(receipts.next_settled(Version::V3), None);
        assert_eq!(receipts.publish(Version::V3, 7, 2, Err(ack(3))), Arrival::Repeated);
        assert_eq!(receipts.next_settled(Version::V3), answer);
        assert!(receipts.release(7));
        assert!(!receipts.release(7));
        assert_eq!(receipts.publish(Version::V3, 7, 2, Err(ack(4))), Arrival::New);
    }

    #[test]
    fn a_repetition_on_the_next_connection_waits_for_the_first_settlement() {
        let mut receipts = Receipts::default();
        receipts.publish(Version::V3, 7, 2, Err(ack(1)));
        receipts.disconnect();
        assert!(receipts.awaits(ConnectionId(1)));
        let second = Ack { connection: ConnectionId(2), number: 1 };
        assert_eq!(receipts.publish(Version::V3, 7, 2, Err(second)), Arrival::Repeated);
        assert_eq!(receipts.next_settled(Version::V3), None);
        assert!(receipts.settle(ack(1), Reason::SUCCESS));
        assert!(!receipts.awaits(ConnectionId(1)));
        assert_eq!(receipts.next_settled(Version::V3), Some((Reply::PubRec, 7, Reason::SUCCESS)));
    }

    #[test]
    fn a_settlement_between_two_connections_is_remembered() {
        let mut receipts = Receipts::default();
        receipts.publish(Version::V3, 7, 2, Err(ack(1)));
        receipts.publish(Version::V3, 8, 2, Err(ack(2)));
        receipts.disconnect();
        assert!(receipts.settle(ack(1), Reason::SUCCESS));
        assert!(receipts.settle(ack(2), Reason::NOT_AUTHORIZED));
        assert!(!receipts.settle(ack(3), Reason::SUCCESS));
        let again = Err(Ack { connection: ConnectionId(2), number: 1 });
        assert_eq!(receipts.publish(Version::V3, 7, 2, again), Arrival::Repeated);
        assert_eq!(receipts.publish(Version::V3, 8, 2, again), Arrival::New);
    }

    #[test]
    fn a_refusal_ends_the_exchange_at_level_5_and_not_at_level_4() {
        for (version, known) in [(Version::V5, false), (Version::V3, true)] {
            let mut receipts = Receipts::default();
            receipts.publish(version, 7, 2, Err(ack(1)));
            receipts.settle(ack(1), Reason::NOT_AUTHORIZED);
            assert!(receipts.next_settled(version).is_some());
            assert_eq!(receipts.release(7), known);
        }
    }

    #[test]
    fn what_there_was_no_room_for_is_refused_at_level_5_and_withheld_at_level_4() {
        for (version, refused) in
            [(Version::V5, Some((Reply::PubRec, 7, Reason::QUOTA_EXCEEDED))), (Version::V3, None)]
        {
            let mut receipts = Receipts::default();
            receipts.publish(version, 7, 2, Err(ack(1)));
            receipts.publish(version, 8, 1, Err(ack(2)));
            assert!(receipts.settle(ack(1), Reason::QUOTA_EXCEEDED));
            assert!(receipts.settle(ack(2), Reason::SUCCESS));
            if refused.is_some() {
                assert_eq!(receipts.next_settled(version), refused);
            }
            let behind = Some((Reply::PubAck, 8, Reason::SUCCESS));
            assert_eq!(receipts.next_settled(version), behind, "it need not wait");
            assert_eq!(receipts.next_settled(version), None);
            assert_eq!(receipts.has_withheld(), version == Version::V3);
            receipts.disconnect();
            assert!(!receipts.has_withheld());
            let again = receipts.publish(version, 7, 2, Err(ack(3)));
            assert_eq!(again, Arrival::New, "it is stored when it comes again");
        }
    }

    #[test]
    fn what_there_was_no_room_for_is_not_taken_for_recorded_where_the_connection_ends_first() {
        for reason in [Reason::QUOTA_EXCEEDED, Reason::SUCCESS] {
            let mut receipts = Receipts::default();
            receipts.publish(Version::V3, 7, 2, Err(ack(1)));
            receipts.settle(ack(1), reason);
            receipts.disconnect();
            let again = receipts.publish(Version::V3, 7, 2, Err(ack(2)));
            let expected = if reason.is_error() { Arrival::New } else { Arrival::Repeated };
            assert_eq!(again, expected);
        }
    }

    #[test]
    fn receive_maximum_counts_until_puback_and_pubcomp() {
        let mut receipts = Receipts::default();
        for id in 1..=RECEIVE_MAXIMUM {
            let qos = if id % 2 == 0 { 1 } else { 2 };
            let arrival = receipts.publish(Version::V5, id, qos, Ok(Reason::SUCCESS));
            assert_eq!(arrival, Arrival::New);
        }
        assert!(receipts.is_congested());
        assert_eq!(receipts.publish(Version::V5, 100, 1, Err(ack(1))), Arrival::TooMany);
        while receipts.next_settled(Version::V5).is_some() {}
        for id in 100..132 {
            let arrival = receipts.publish(Version::V5, id, 1, Ok(Reason::SUCCESS));
            assert_eq!(arrival, Arrival::New);
        }
        assert_eq!(receipts.publish(Version::V5, 200, 1, Err(ack(1))), Arrival::TooMany);
        assert!(receipts.release(1));
        assert_eq!(receipts.publish(Version::V5, 200, 1, Err(ack(1))), Arrival::New);
    }

    proptest! {
        /// Whatever a client repeats and whenever it reconnects, each exchange routes once.
        #[test]
        fn an_exchange_at_qos_2_routes_once(
            steps in proptest::collection::vec((0u8..5, 1u16..4), 0..80),
        ) {
            let mut receipts = Receipts::default();
            let mut connection = 1;
            let mut number = 0;
            let mut open: HashMap<u16, Ack> = HashMap::new();
            for (step, id) in steps {
                match step {
                    0 | 1 => {
                        number += 1;
                        let ack = Ack { connection: ConnectionId(connection), number };
                        let arrival = receipts.publish(Version::V3, id, 2, Err(ack));
                        let expected =
                            if open.contains_key(&id) { Arrival::Repeated } else { Arrival::New };
                        prop_assert_eq!(arrival, expected);
                        open.entry(id).or_insert(ack);
                    }
                    2 => {
                        if let Some(ack) = open.get(&id) {
                            receipts.settle(*ack, Reason::SUCCESS);
                        }
                    }
                    3 => prop_assert_eq!(receipts.release(id), open.remove(&id).is_some()),
                    _ => {
                        receipts.disconnect();
                        connection += 1;
                        number = 0;
                    }
                }
                while receipts.next_settled(Version::V3).is_some() {}
            }
        }
    }
}
