//! Messages inside the broker, and how they are sealed for the router.
//!
//! The router must know neither who published a message nor at which QoS, and its log counts only
//! topic and payload. So everything rides in the payload that the router sees: a fixed head, the
//! publisher, and the message itself. It never leaves the process, and no client can forge it.

use super::{Ack, ConnectionId, Origin};
use bytes::{Buf, BufMut, Bytes};
use capteur_protocol::{Mac, Topic};
use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

/// A message as subscribers receive it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    /// MQTT 5 properties that go with the message, in the form of the wire.
    pub(crate) properties: Bytes,
    /// The QoS at which it was published.
    pub(crate) qos: u8,
    /// Whether it was published to be retained.
    pub(crate) retain: bool,
    /// When it is no longer to be delivered.
    pub(crate) expires: Option<Instant>,
}

impl Message {
    /// What is left of its life in whole seconds; `None` if it lives for ever.
    pub(crate) fn remaining_s(&self, now: Instant) -> Option<u32> {
        let left = self.expires?.saturating_duration_since(now);
        // Rounded up, so that a message that has any life left never says 0.
        u32::try_from(left.as_millis().div_ceil(1000)).ok().or(Some(u32::MAX))
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// Where a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A client of the front.
    Client(Origin),
    /// Code of this process.
    Process,
    /// A probe, which nobody but the front takes note of.
    Probe(u64),
}

/// What the router carries: a message and what must be known about it.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) sender: Sender,
    /// Whom to tell once the message is settled.
    pub(crate) ack: Option<Ack>,
    /// Whether the front says this on behalf of a connection that has ended.
    pub(crate) implied: bool,
    pub(crate) message: Message,
}

/// A message that is about to be sealed, borrowed from wherever it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) properties: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) expires: Option<Instant>,
    /// The number of the acknowledgement that the publisher waits for.
    pub(crate) ack: Option<u64>,
    /// Whether the front says this on behalf of a connection that has ended.
    pub(crate) implied: bool,
}

/// A parcel in the form that the router carries.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
}

const QOS: u8 = 0x03;
const RETAIN: u8 = 0x04;
const EXPIRES: u8 = 0x08;
const ACK: u8 = 0x10;
const PROCESS: u8 = 0x20;
const PROBE: u8 = 0x40;
const IMPLIED: u8 = 0x80;

/// The head: flags, connection or probe, acknowledgement, expiry, address, MAC, three lengths.
const HEAD: usize = 1 + 8 + 8 + 8 + 16 + 8 + 2 + 2 + 4;

/// Beside a MAC: that there is one.
const IS_MAC: u16 = 1;

/// The router sees the protocol's topics as they are and all others as this one: its tables keep
/// every topic for ever, and some (`é`) would make it panic.
const OTHER: &str = "other";

/// Seals and opens parcels. Moments ride as milliseconds since `start`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealer {
    start: Instant,
}

impl Sealer {
    pub(crate) const fn new(start: Instant) -> Self {
        Self { start }
    }

    pub(crate) fn seal(self, sender: &Sender, draft: &Draft<'_>) -> Sealed {
        let (mut flags, number, client_id, address, mac) = match sender {
            Sender::Client(origin) => {
                let address = match origin.address {
                    IpAddr::V4(address) => address.to_ipv6_mapped(),
                    IpAddr::V6(address) => address,
                };
                (0, origin.connection.0, &*origin.client_id, address, origin.mac)
            }
            Sender::Process => (PROCESS, 0, "", Ipv6Addr::UNSPECIFIED, None),
            Sender::Probe(number) => (PROBE, *number, "", Ipv6Addr::UNSPECIFIED, None),
        };
        flags |= draft.qos & QOS;
        if draft.retain {
            flags |= RETAIN;
        }
        if draft.ack.is_some() {
            flags |= ACK;
        }
        if draft.implied {
            flags |= IMPLIED;
        }
        let expires = draft.expires.map_or(0, |at| {
            flags |= EXPIRES;
            u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
        });
        let known = draft.topic.parse::<Topic>().ok();
        let inner_topic = if known.is_some() { "" } else { draft.topic };
        let len = HEAD
            + client_id.len()
            + inner_topic.len()
            + draft.properties.len()
            + draft.payload.len();
        let mut out = Vec::with_capacity(len);
        out.put_u8(flags);
        out.put_u64(number);
        out.put_u64(draft.ack.unwrap_or(0));
        out.put_u64(expires);
        out.put_slice(&address.octets());
        out.put_u16(if mac.is_some() { IS_MAC } else { 0 });
        out.put_slice(&mac.map_or([0; 6], |Mac(octets)| octets));
        // Client ids and topics come from 16-bit strings, properties from a packet.
        out.put_u16(u16::try_from(client_id.len()).unwrap_or(u16::MAX));
        out.put_u16(u16::try_from(inner_topic.len()).unwrap_or(u16::MAX));
        out.put_u32(u32::try_from(draft.properties.len()).unwrap_or(u32::MAX));
        out.put_slice(client_id.as_bytes());
        out.put_slice(inner_topic.as_bytes());
        out.put_slice(draft.properties);
        out.put_slice(draft.payload);
        let topic = known.map_or(OTHER, Topic::as_str);
        Sealed { topic: Bytes::from_static(topic.as_bytes()), payload: Bytes::from(out) }
    }

    /// Opens what [`seal`](Self::seal) has sealed; `None` for anything else.
    pub(crate) fn open(self, topic: Bytes, mut sealed: Bytes) -> Option<Parcel> {
        if sealed.len() < HEAD {
            return None;
        }
        let flags = sealed.get_u8();
        let number = sealed.get_u64();
        let ack = sealed.get_u64();
        let expires = sealed.get_u64();
        let address = Ipv6Addr::from(sealed.get_u128()).to_canonical();
        let is_mac = sealed.get_u16() == IS_MAC;
        let mut mac = [0; 6];
        sealed.copy_to_slice(&mut mac);
        let client_id_len = usize::from(sealed.get_u16());
        let topic_len = usize::from(sealed.get_u16());
        let properties_len = sealed.get_u32() as usize;
        if sealed.len() < client_id_len + topic_len + properties_len {
            return None;
        }
        let client_id = sealed.split_to(client_id_len);
        let inner_topic = sealed.split_to(topic_len);
        let properties = sealed.split_to(properties_len);
        let connection = ConnectionId(number);
        let sender = if flags & PROBE != 0 {
            Sender::Probe(number)
        } else if flags & PROCESS != 0 {
            Sender::Process
        } else {
            let client_id: Arc<str> = std::str::from_utf8(&client_id).ok()?.into();
            let mac = is_mac.then_some(Mac(mac));
            Sender::Client(Origin { connection, client_id, address, mac })
        };
        Some(Parcel {
            sender,
            ack: (flags & ACK != 0).then_some(Ack { connection, number: ack }),
            implied: flags & IMPLIED != 0,
            message: Message {
                topic: if inner_topic.is_empty() { topic } else { inner_topic },
                payload: sealed,
                properties,
                qos: flags & QOS,
                retain: flags & RETAIN != 0,
                expires: (flags & EXPIRES != 0)
                    .then(|| self.start.checked_add(Duration::from_millis(expires)))
                    .flatten(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic_name() -> impl Strategy<Value = String> {
        prop_oneof![Just("state/join".to_owned()), "[a-zé/]{1,30}"]
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_again(
            topic in topic_name(),
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            properties in proptest::collection::vec(any::<u8>(), 0..50),
            client_id in ".{0,30}",
            connection in any::<u64>(),
            address in any::<[u8; 4]>(),
            mac in proptest::option::of(any::<[u8; 6]>()),
            qos in 0u8..3,
            retain in any::<bool>(),
            ack in proptest::option::of(any::<u64>()),
            lives_ms in proptest::option::of(0u64..10_000_000),
        ) {
            let start = Instant::now();
            let sealer = Sealer::new(start);
            let expires = lives_ms.map(|ms| start + Duration::from_millis(ms));
            let origin = Origin {
                connection: ConnectionId(connection),
                client_id: client_id.as_str().into(),
                address: IpAddr::from(address),
                mac: mac.map(Mac),
            };
            let draft = Draft {
                topic: &topic,
                payload: &payload,
                properties: &properties,
                qos,
                retain,
                expires,
                ack,
                implied: false,
            };
            let sealed = sealer.seal(&Sender::Client(origin.clone()), &draft);
            prop_assert!(sealed.topic.is_ascii());
            let parcel = sealer.open(sealed.topic, sealed.payload).unwrap();
            prop_assert_eq!(parcel.sender, Sender::Client(origin));
            let number = parcel.ack.map(|ack| ack.number);
            prop_assert_eq!(number, ack);
            let message = parcel.message;
            prop_assert_eq!(message.topic, topic.as_bytes());
            prop_assert_eq!(message.payload, payload);
            prop_assert_eq!(message.properties, properties);
            prop_assert_eq!((message.qos, message.retain), (qos, retain));
            prop_assert_eq!(message.expires, expires);
        }

        #[test]
        fn nothing_makes_opening_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Sealer::new(Instant::now()).open(Bytes::new(), Bytes::from(bytes));
        }
    }

    #[test]
    fn a_message_with_any_life_left_never_says_0() {
        let now = Instant::now();
        let message = Message {
            topic: Bytes::new(),
            payload: Bytes::new(),
            properties: Bytes::new(),
            qos: 0,
            retain: false,
            expires: Some(now + Duration::from_millis(1500)),
        };
        assert_eq!(message.remaining_s(now), Some(2));
        assert!(!message.is_expired(now + Duration::from_millis(1499)));
        assert!(message.is_expired(now + Duration::from_millis(1500)));
    }
}
