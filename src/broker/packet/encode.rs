//! The packets that a server sends.

use super::{Reason, Version};

/// A PUBLISH on its way to one client.
#[derive(Debug)]
pub(crate) struct PublishOut<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// The properties that came with the message, as they were sent.
    pub(crate) properties: &'a [u8],
    /// What is left of the message's life, in seconds.
    pub(crate) message_expiry: Option<u32>,
    pub(crate) subscription_identifiers: &'a [u32],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) duplicate: bool,
    pub(crate) id: u16,
}

/// The acknowledgements that share one form (sections 3.4 to 3.7), with their fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(clippy::enum_variant_names, reason = "the names of the standard")]
pub(crate) enum Reply {
    PubAck = 0x40,
    PubRec = 0x50,
    PubRel = 0x62,
    PubComp = 0x70,
}

/// What an accepting MQTT 5 CONNACK tells (section 3.2.2.3).
#[derive(Debug, Default)]
pub(crate) struct ConnAckProperties<'a> {
    /// Where it differs from what the client asked for.
    pub(crate) session_expiry: Option<u32>,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: u32,
    pub(crate) assigned_client_id: Option<&'a str>,
    pub(crate) topic_alias_maximum: u16,
}

/// A CONNACK that lets the client in.
pub(crate) fn connack(
    out: &mut Vec<u8>,
    version: Version,
    session_present: bool,
    properties: &ConnAckProperties<'_>,
) {
    if version == Version::V3 {
        out.extend_from_slice(&[0x20, 2, u8::from(session_present), 0]);
        return;
    }
    let mut list = Vec::with_capacity(64);
    if let Some(seconds) = properties.session_expiry {
        list.push(0x11);
        list.extend_from_slice(&seconds.to_be_bytes());
    }
    list.push(0x21);
    list.extend_from_slice(&properties.receive_maximum.to_be_bytes());
    list.push(0x27);
    list.extend_from_slice(&properties.maximum_packet_size.to_be_bytes());
    if let Some(id) = properties.assigned_client_id {
        list.push(0x12);
        binary(&mut list, id.as_bytes());
    }
    list.push(0x22);
    list.extend_from_slice(&properties.topic_alias_maximum.to_be_bytes());
    // No shared subscriptions (section 3.2.2.3.13).
    list.extend_from_slice(&[0x2a, 0]);
    out.push(0x20);
    varint(out, 2 + varint_len(list.len()) + list.len());
    out.extend_from_slice(&[u8::from(session_present), 0]);
    varint(out, list.len());
    out.extend_from_slice(&list);
}

/// A CONNACK that refuses the client.
pub(crate) fn connack_refusal(out: &mut Vec<u8>, version: Version, reason: Reason) {
    match version {
        Version::V3 => out.extend_from_slice(&[0x20, 2, 0, reason.v3_connect_code()]),
        Version::V5 => out.extend_from_slice(&[0x20, 3, 0, reason.0, 0]),
    }
}

/// The length of a PUBLISH with everything that belongs to it.
pub(crate) fn publish_len(version: Version, publish: &PublishOut<'_>) -> usize {
    let remaining = publish_remaining(version, publish);
    1 + varint_len(remaining) + remaining
}

fn publish_remaining(version: Version, publish: &PublishOut<'_>) -> usize {
    let head = 2 + publish.topic.len() + if publish.qos > 0 { 2 } else { 0 };
    let properties = match version {
        Version::V3 => 0,
        Version::V5 => {
            let len = properties_len(publish);
            varint_len(len) + len
        }
    };
    head + properties + publish.payload.len()
}

fn properties_len(publish: &PublishOut<'_>) -> usize {
    let expiry = if publish.message_expiry.is_some() { 5 } else { 0 };
    let identifiers: usize =
        publish.subscription_identifiers.iter().map(|id| 1 + varint_len(*id as usize)).sum();
    publish.properties.len() + expiry + identifiers
}

pub(crate) fn publish(out: &mut Vec<u8>, version: Version, publish: &PublishOut<'_>) {
    out.push(0x30 | u8::from(publish.duplicate) << 3 | publish.qos << 1 | u8::from(publish.retain));
    varint(out, publish_remaining(version, publish));
    binary(out, publish.topic);
    if publish.qos > 0 {
        out.extend_from_slice(&publish.id.to_be_bytes());
    }
    if version == Version::V5 {
        varint(out, properties_len(publish));
        out.extend_from_slice(publish.properties);
        if let Some(seconds) = publish.message_expiry {
            out.push(0x02);
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        for id in publish.subscription_identifiers {
            out.push(0x0b);
            varint(out, *id as usize);
        }
    }
    out.extend_from_slice(publish.payload);
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP; 3.1.1 has no reasons.
pub(crate) fn reply(out: &mut Vec<u8>, version: Version, reply: Reply, id: u16, reason: Reason) {
    let [high, low] = id.to_be_bytes();
    if version == Version::V3 || reason == Reason::SUCCESS {
        out.extend_from_slice(&[reply as u8, 2, high, low]);
    } else {
        out.extend_from_slice(&[reply as u8, 3, high, low, reason.0]);
    }
}

pub(crate) fn suback(out: &mut Vec<u8>, version: Version, id: u16, codes: &[Reason]) {
    let properties = usize::from(version == Version::V5);
    out.push(0x90);
    varint(out, 2 + properties + codes.len());
    out.extend_from_slice(&id.to_be_bytes());
    if version == Version::V5 {
        out.push(0);
    }
    // 3.1.1 knows one failure (section 3.9.3 there).
    out.extend(codes.iter().map(|code| match version {
        Version::V3 if code.is_error() => Reason::UNSPECIFIED.0,
        _ => code.0,
    }));
}

/// UNSUBACK; 3.1.1 has no codes.
pub(crate) fn unsuback(out: &mut Vec<u8>, version: Version, id: u16, codes: &[Reason]) {
    out.push(0xb0);
    match version {
        Version::V3 => {
            out.push(2);
            out.extend_from_slice(&id.to_be_bytes());
        }
        Version::V5 => {
            varint(out, 3 + codes.len());
            out.extend_from_slice(&id.to_be_bytes());
            out.push(0);
            out.extend(codes.iter().map(|code| code.0));
        }
    }
}

pub(crate) fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd0, 0]);
}

/// DISCONNECT, which only MQTT 5 servers send.
pub(crate) fn disconnect(out: &mut Vec<u8>, reason: Reason) {
    out.extend_from_slice(&[0xe0, 1, reason.0]);
}

/// Writes a variable byte integer; lengths of packets that we send are below its limit, since
/// nothing longer comes in.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let [digit, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(digit);
            return;
        }
        out.push(digit | 0x80);
    }
}

const fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Writes a string or binary data; what came in with 16 bits of length goes out so.
fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(len)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::packet::{Frame, Packet};
    use proptest::prelude::*;

    #[test]
    fn replies_carry_a_reason_only_where_there_is_one_to_tell() {
        let written = |version, reason| {
            let mut out = Vec::new();
            reply(&mut out, version, Reply::PubAck, 0x0102, reason);
            out
        };
        assert_eq!(written(Version::V3, Reason::NOT_AUTHORIZED), [0x40, 2, 1, 2]);
        assert_eq!(written(Version::V5, Reason::SUCCESS), [0x40, 2, 1, 2]);
        assert_eq!(written(Version::V5, Reason::NOT_AUTHORIZED), [0x40, 3, 1, 2, 0x87]);
    }

    #[test]
    fn a_refusal_has_the_form_of_its_level() {
        let written = |version, reason| {
            let mut out = Vec::new();
            connack_refusal(&mut out, version, reason);
            out
        };
        assert_eq!(written(Version::V3, Reason::UNSUPPORTED_VERSION), [0x20, 2, 0, 1]);
        assert_eq!(written(Version::V3, Reason::NOT_AUTHORIZED), [0x20, 2, 0, 5]);
        assert_eq!(written(Version::V3, Reason::QUOTA_EXCEEDED), [0x20, 2, 0, 3]);
        assert_eq!(written(Version::V5, Reason::UNSUPPORTED_VERSION), [0x20, 3, 0, 0x84, 0]);
    }

    proptest! {
        #[test]
        fn a_publish_that_is_written_is_read_back(
            topic in "[a-z/]{1,40}",
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            qos in 0u8..3,
            retain in any::<bool>(),
            expiry in proptest::option::of(any::<u32>()),
            id in 1u16..,
            v5 in any::<bool>(),
        ) {
            let version = if v5 { Version::V5 } else { Version::V3 };
            let user = [0x26, 0, 1, b'k', 0, 1, b'v'];
            let sent = PublishOut {
                topic: topic.as_bytes(),
                payload: &payload,
                properties: &user,
                message_expiry: expiry,
                subscription_identifiers: &[],
                qos,
                retain,
                duplicate: qos > 0,
                id,
            };
            let mut out = Vec::new();
            publish(&mut out, version, &sent);
            prop_assert_eq!(out.len(), publish_len(version, &sent));
            let frame = Frame::first(&out, 1 << 20).unwrap().unwrap();
            let Packet::Publish(read) = Packet::read(version, &frame).unwrap() else {
                panic!("not a PUBLISH");
            };
            prop_assert_eq!(read.topic, &topic);
            prop_assert_eq!(read.payload, &payload[..]);
            prop_assert_eq!((read.qos, read.retain), (qos, retain));
            prop_assert_eq!(read.id, if qos > 0 { id } else { 0 });
            if v5 {
                prop_assert_eq!(read.message_expiry, expiry);
                prop_assert_eq!(read.properties, user.to_vec());
            }
        }
    }
}
