//! What waits for a client, and what is on its way there: the sending half of QoS 1 and 2
//! (section 4.3), with its flow control (section 4.9).

use super::{
    message::Message,
    packet::{
        Reason, Reply, Version,
        encode::{self, PublishOut},
    },
    stats::Counters,
};
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// How many messages are on their way to a client that asks for more, or is a 3.1.1 client.
const IN_FLIGHT_MAX: u16 = 64;

/// How much is encoded before it is offered to the socket, in bytes.
const BURST_BYTES: usize = 16 * 1024;

/// What the client of a connection can take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) version: Version,
    /// Its Receive Maximum.
    pub(crate) receive_maximum: u16,
    /// Its Maximum Packet Size, in bytes.
    pub(crate) maximum_packet_size: u32,
}

/// A message for one client.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Message>,
    /// The lower one of the publisher's and the subscription's.
    pub(crate) qos: u8,
    /// The retain flag as this subscriber sees it.
    pub(crate) retain: bool,
    /// Of the subscriptions that matched.
    pub(crate) identifiers: Box<[u32]>,
}

/// The messages of a session that have not been delivered.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    waiting: VecDeque<Delivery>,
    in_flight: VecDeque<InFlight>,
    last_id: u16,
}

#[derive(Debug)]
struct InFlight {
    id: u16,
    stage: Stage,
    /// Whether this connection has sent the current stage.
    sent: bool,
    /// Whether this connection's Receive Maximum counts it.
    counted: bool,
}

#[derive(Debug)]
enum Stage {
    /// PUBLISH waits for PUBACK or PUBREC.
    Published(Delivery),
    /// PUBREL waits for PUBCOMP.
    Released,
}

/// A message was dropped since too many waited.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl Outbound {
    /// Queues a message. When `max` wait already, the oldest at QoS 0 goes, or else the new one.
    pub(crate) fn push(&mut self, delivery: Delivery, max: usize) -> Result<(), QueueFull> {
        if self.waiting.len() < max {
            self.waiting.push_back(delivery);
            return Ok(());
        }
        if let Some(oldest) = self.waiting.iter().position(|waiting| waiting.qos == 0) {
            self.waiting.remove(oldest);
            self.waiting.push_back(delivery);
        }
        Err(QueueFull)
    }

    /// The connection has ended: QoS 0 is not kept, and the rest is sent again on the next one.
    pub(crate) fn disconnect(&mut self) {
        self.waiting.retain(|delivery| delivery.qos > 0);
        self.waiting.shrink_to_fit();
        for one in &mut self.in_flight {
            one.sent = false;
            one.counted = false;
        }
    }

    /// Writes what may be sent now, up to a burst. True if there may be more.
    pub(crate) fn poll(
        &mut self,
        out: &mut Vec<u8>,
        wire: Wire,
        counters: &Counters,
        now: Instant,
    ) -> bool {
        if self.is_idle() {
            return false;
        }
        let quota = usize::from(wire.receive_maximum.min(IN_FLIGHT_MAX));
        let mut used = self.in_flight.iter().filter(|one| one.counted).count();
        for one in self.in_flight.iter_mut().filter(|one| !one.sent) {
            if out.len() >= BURST_BYTES {
                return true;
            }
            match &one.stage {
                Stage::Released => {
                    encode::reply(out, wire.version, Reply::PubRel, one.id, Reason::SUCCESS);
                }
                Stage::Published(_) if used >= quota => return false,
                Stage::Published(delivery) => {
                    let publish = delivery.publish(one.id, true, now);
                    encode::publish(out, wire.version, &publish);
                    one.counted = true;
                    used += 1;
                }
            }
            one.sent = true;
        }
        while let Some(next) = self.waiting.front() {
            if out.len() >= BURST_BYTES {
                return true;
            }
            if next.qos > 0 && (used >= quota || self.in_flight.len() >= usize::from(IN_FLIGHT_MAX))
            {
                return false;
            }
            let Some(delivery) = self.waiting.pop_front() else { break };
            if delivery.message.is_expired(now) {
                counters.dropped_expired.increment();
                continue;
            }
            let id = if delivery.qos > 0 { self.next_id() } else { 0 };
            let publish = delivery.publish(id, false, now);
            let len = encode::publish_len(wire.version, &publish);
            if len > wire.maximum_packet_size as usize {
                // Treated as delivered ([MQTT-3.1.2-25]).
                counters.dropped_too_large.increment();
                continue;
            }
            encode::publish(out, wire.version, &publish);
            counters.sent(delivery.qos).increment();
            if delivery.qos > 0 {
                used += 1;
                self.in_flight.push_back(InFlight {
                    id,
                    stage: Stage::Published(delivery),
                    sent: true,
                    counted: true,
                });
            }
        }
        self.waiting = VecDeque::new();
        false
    }

    /// PUBACK, in any order.
    pub(crate) fn acknowledge(&mut self, id: u16) {
        self.finish(id, |stage| matches!(stage, Stage::Published(delivery) if delivery.qos == 1));
    }

    /// PUBREC, in any order; gives the PUBREL to answer with, if any.
    pub(crate) fn receive(&mut self, id: u16, reason: Reason) -> Option<Reason> {
        let known = self.in_flight.iter_mut().find(|one| {
            one.id == id
                && match &one.stage {
                    Stage::Published(delivery) => delivery.qos == 2,
                    Stage::Released => true,
                }
        });
        let Some(one) = known else {
            // Nothing to release, so an error needs no answer.
            return (!reason.is_error()).then_some(Reason::PACKET_ID_NOT_FOUND);
        };
        if reason.is_error() {
            self.finish(id, |_| true);
            return None;
        }
        one.stage = Stage::Released;
        one.sent = true;
        Some(Reason::SUCCESS)
    }

    /// PUBCOMP, in any order.
    pub(crate) fn complete(&mut self, id: u16) {
        self.finish(id, |stage| matches!(stage, Stage::Released));
    }

    fn finish(&mut self, id: u16, is_at: impl Fn(&Stage) -> bool) {
        if let Some(index) = self.in_flight.iter().position(|one| one.id == id && is_at(&one.stage))
        {
            self.in_flight.remove(index);
        }
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new();
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.iter().all(|one| one.sent)
    }

    /// A packet id that is not in use; there always is one, since few are.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.in_flight.iter().all(|one| one.id != self.last_id) {
                return self.last_id;
            }
        }
    }
}

impl Delivery {
    fn publish(&self, id: u16, duplicate: bool, now: Instant) -> PublishOut<'_> {
        PublishOut {
            topic: &self.message.topic,
            payload: &self.message.payload,
            properties: &self.message.properties,
            message_expiry: self.message.remaining_s(now),
            subscription_identifiers: &self.identifiers,
            qos: self.qos,
            retain: self.retain,
            duplicate,
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::packet::{Frame, Packet};
    use bytes::Bytes;
    use std::time::Duration;

    const WIRE: Wire = Wire { version: Version::V5, receive_maximum: 3, maximum_packet_size: 1000 };

    fn delivery(number: u32, qos: u8) -> Delivery {
        Delivery {
            message: Arc::new(Message {
                topic: Bytes::from_static(b"t"),
                payload: Bytes::from(number.to_string()),
                properties: Bytes::new(),
                qos,
                retain: false,
                expires: None,
            }),
            qos,
            retain: false,
            identifiers: Box::default(),
        }
    }

    /// What is sent: (payload, id, duplicate) of each PUBLISH, ("rel", id, false) of each PUBREL.
    fn sent(outbound: &mut Outbound, wire: Wire) -> Vec<(String, u16, bool)> {
        let mut out = Vec::new();
        while outbound.poll(&mut out, wire, &Counters::default(), Instant::now()) {}
        let mut sent = Vec::new();
        let mut rest = &out[..];
        while let Some(frame) = Frame::first(rest, 1 << 20).unwrap() {
            let duplicate = frame.kind == 3 && frame.flags & 8 != 0;
            sent.push(match Packet::read(wire.version, &frame).unwrap() {
                Packet::Publish(publish) => {
                    let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
                    (payload, publish.id, duplicate)
                }
                Packet::PubRel { id } => ("rel".into(), id, false),
                other => panic!("{other:?}"),
            });
            rest = &rest[frame.len..];
        }
        sent
    }

    #[test]
    fn receive_maximum_bounds_what_is_on_its_way() {
        let mut outbound = Outbound::default();
        for number in 1..=5 {
            outbound.push(delivery(number, 1), 100).unwrap();
        }
        assert_eq!(sent(&mut outbound, WIRE).len(), 3);
        outbound.acknowledge(2);
        assert_eq!(sent(&mut outbound, WIRE), [("4".into(), 4, false)]);
        outbound.acknowledge(1);
        outbound.acknowledge(3);
        assert_eq!(sent(&mut outbound, WIRE), [("5".into(), 5, false)]);
    }

    #[test]
    fn a_resumed_session_sends_the_same_ids_again() {
        let mut outbound = Outbound::default();
        for number in 1..=3 {
            outbound.push(delivery(number, 2), 100).unwrap();
        }
        sent(&mut outbound, WIRE);
        assert_eq!(outbound.receive(2, Reason::SUCCESS), Some(Reason::SUCCESS));
        outbound.disconnect();
        assert_eq!(
            sent(&mut outbound, WIRE),
            [("1".into(), 1, true), ("rel".into(), 2, false), ("3".into(), 3, true)]
        );
        outbound.complete(2);
        assert_eq!(outbound.receive(1, Reason::SUCCESS), Some(Reason::SUCCESS));
        assert_eq!(outbound.receive(1, Reason::SUCCESS), Some(Reason::SUCCESS));
        assert_eq!(outbound.receive(9, Reason::SUCCESS), Some(Reason::PACKET_ID_NOT_FOUND));
        outbound.complete(1);
        assert_eq!(outbound.receive(3, Reason::QUOTA_EXCEEDED), None);
        assert!(outbound.in_flight.is_empty());
    }

    #[test]
    fn the_oldest_at_qos_0_goes_first() {
        let mut outbound = Outbound::default();
        for (number, qos) in [(1, 1), (2, 0), (3, 0)] {
            outbound.push(delivery(number, qos), 3).unwrap();
        }
        assert_eq!(outbound.push(delivery(4, 1), 3), Err(QueueFull));
        assert_eq!(outbound.push(delivery(5, 1), 3), Err(QueueFull));
        assert_eq!(outbound.push(delivery(6, 1), 3), Err(QueueFull));
        let payloads: Vec<_> = sent(&mut outbound, WIRE).into_iter().map(|one| one.0).collect();
        assert_eq!(payloads, ["1", "4", "5"]);
    }

    #[test]
    fn what_the_client_can_not_take_or_has_expired_is_not_sent() {
        let mut outbound = Outbound::default();
        let mut large = delivery(1, 1);
        Arc::make_mut(&mut large.message).payload = Bytes::from(vec![0; 2000]);
        let mut old = delivery(2, 1);
        Arc::make_mut(&mut old.message).expires = Some(Instant::now());
        for delivery in [large, old, delivery(3, 1)] {
            outbound.push(delivery, 100).unwrap();
        }
        let counters = Counters::default();
        let mut out = Vec::new();
        let now = Instant::now() + Duration::from_secs(1);
        while outbound.poll(&mut out, WIRE, &counters, now) {}
        let stats = counters.snapshot();
        assert_eq!((stats.dropped_too_large, stats.dropped_expired), (1, 1));
        assert_eq!(stats.sent_qos1, 1);
    }

    #[test]
    fn ids_wrap_and_spare_those_in_use() {
        let mut outbound = Outbound { last_id: u16::MAX - 1, ..Outbound::default() };
        for number in 1..=2 {
            outbound.push(delivery(number, 1), 100).unwrap();
        }
        assert_eq!(
            sent(&mut outbound, WIRE),
            [("1".into(), u16::MAX, false), ("2".into(), 1, false)]
        );
        outbound.last_id = 0;
        outbound.push(delivery(3, 1), 100).unwrap();
        assert_eq!(sent(&mut outbound, WIRE), [("3".into(), 2, false)]);
    }
}
