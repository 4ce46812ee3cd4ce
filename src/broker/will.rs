//! Wills (section 3.1.2.5): what is published for a client that is gone.

use super::{Origin, message::Draft, packet::WillPacket};
use bytes::Bytes;
use capteur_protocol::{DeviceMessage, Pair, Topic};
use std::time::{Duration, Instant};

/// A will, kept until its connection ends and then until its delay is over.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    topic: Bytes,
    payload: Bytes,
    properties: Box<[u8]>,
    qos: u8,
    retain: bool,
    message_expiry_s: Option<u32>,
    /// In seconds.
    pub(crate) delay: u32,
}

/// A will of a connection that has ended.
#[derive(Debug)]
pub(crate) struct DueWill {
    pub(crate) will: Box<Will>,
    pub(crate) origin: Origin,
}

impl Will {
    pub(crate) fn new(packet: &WillPacket<'_>) -> Self {
        // Most wills are on `state/leave`, whose name needs no memory of its own.
        let topic = match packet.topic.parse::<Topic>() {
            Ok(topic) => Bytes::from_static(topic.as_str().as_bytes()),
            Err(_) => Bytes::copy_from_slice(packet.topic.as_bytes()),
        };
        Self {
            topic,
            payload: Bytes::copy_from_slice(packet.payload),
            properties: packet.properties.as_slice().into(),
            qos: packet.qos,
            retain: packet.retain,
            message_expiry_s: packet.message_expiry,
            delay: packet.delay,
        }
    }

    /// The message; its life begins when it is published (section 3.1.3.2.4).
    pub(crate) fn draft(&self, now: Instant) -> Draft<'_> {
        Draft {
            topic: self.topic(),
            payload: &self.payload,
            properties: &self.properties,
            qos: self.qos,
            retain: self.retain,
            expires: self
                .message_expiry_s
                .and_then(|s| now.checked_add(Duration::from_secs(s.into()))),
            ack: None,
            implied: false,
        }
    }

    /// The pair that it leaves for, where it is on `state/leave`.
    pub(crate) fn leaves_for(&self) -> Option<&str> {
        let is_leave = self.topic() == Topic::Leave.as_str();
        is_leave.then(|| std::str::from_utf8(&self.payload).ok()).flatten()
    }

    /// The pair that it speaks under, other than to leave.
    pub(crate) fn speaks_for(&self) -> Option<Pair> {
        let topic = self.topic().parse().ok().filter(|topic| *topic != Topic::Leave)?;
        DeviceMessage::parse(topic, &self.payload).ok()?.pair().cloned()
    }

    fn topic(&self) -> &str {
        // Was a string in CONNECT.
        std::str::from_utf8(&self.topic).unwrap_or_default()
    }
}
