//! Every packet that a client sends after its CONNECT.

use super::{
    Frame, Reason, Version,
    property::{Allowed, Properties, Property},
    reader::Reader,
};

/// A packet from a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Publish(Publish<'a>),
    PubAck { id: u16 },
    PubRec { id: u16, reason: Reason },
    PubRel { id: u16 },
    PubComp { id: u16 },
    Subscribe(Subscribe<'a>),
    Unsubscribe { id: u16, filters: Vec<&'a str> },
    PingReq,
    Disconnect { reason: Reason, session_expiry: Option<u32> },
}

/// PUBLISH (section 3.3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Empty only where an alias stands for it.
    pub(crate) topic: &'a str,
    /// 0 at QoS 0.
    pub(crate) id: u16,
    pub(crate) topic_alias: Option<u16>,
    /// In seconds.
    pub(crate) message_expiry: Option<u32>,
    /// The properties that go with the message, as they were sent.
    pub(crate) properties: Vec<u8>,
    pub(crate) payload: &'a [u8],
}

/// SUBSCRIBE (section 3.8).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscribe<'a> {
    pub(crate) id: u16,
    pub(crate) identifier: Option<u32>,
    pub(crate) filters: Vec<FilterRequest<'a>>,
}

/// One filter of a SUBSCRIBE with its options (section 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilterRequest<'a> {
    pub(crate) filter: &'a str,
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retain_handling: RetainHandling,
}

/// Whether retained messages are sent on a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetainHandling {
    /// Always.
    Send,
    /// If the subscription is new.
    SendIfNew,
    /// Never.
    DontSend,
}

impl<'a> Packet<'a> {
    /// Reads a packet; fails with the reason for which the connection has to be closed.
    pub(crate) fn read(version: Version, frame: &Frame<'a>) -> Result<Self, Reason> {
        let mut reader = Reader::new(frame.body);
        let expected_flags = match frame.kind {
            3 => frame.flags,
            6 | 8 | 10 => 2,
            _ => 0,
        };
        if frame.flags != expected_flags {
            return Err(Reason::MALFORMED);
        }
        let packet = match frame.kind {
            3 => return Publish::read(version, frame.flags, reader).map(Self::Publish),
            4 => Self::PubAck { id: read_ack(version, &mut reader)?.0 },
            5 => {
                let (id, reason) = read_ack(version, &mut reader)?;
                Self::PubRec { id, reason }
            }
            6 => Self::PubRel { id: read_ack(version, &mut reader)?.0 },
            7 => Self::PubComp { id: read_ack(version, &mut reader)?.0 },
            8 => Self::Subscribe(Subscribe::read(version, &mut reader)?),
            10 => read_unsubscribe(version, &mut reader)?,
            12 => Self::PingReq,
            14 => read_disconnect(version, &mut reader)?,
            0 => return Err(Reason::MALFORMED),
            // A second CONNECT, what only servers send, and AUTH, which we never begin.
            _ => return Err(Reason::PROTOCOL_ERROR),
        };
        if reader.is_empty() { Ok(packet) } else { Err(Reason::MALFORMED) }
    }
}

impl<'a> Publish<'a> {
    fn read(version: Version, flags: u8, mut reader: Reader<'a>) -> Result<Self, Reason> {
        let qos = flags >> 1 & 3;
        let duplicate = flags & 8 != 0;
        if qos == 3 || (duplicate && qos == 0) {
            return Err(Reason::MALFORMED);
        }
        let topic = reader.string()?;
        let id = if qos > 0 { reader.packet_id()? } else { 0 };
        let mut publish = Self {
            qos,
            retain: flags & 1 != 0,
            topic,
            id,
            topic_alias: None,
            message_expiry: None,
            properties: Vec::new(),
            payload: &[],
        };
        if version == Version::V5 {
            let mut properties = Properties::read(&mut reader, Allowed::PUBLISH)?;
            while let Some(property) = properties.next()? {
                match property {
                    Property::TopicAlias(alias) => publish.topic_alias = Some(alias),
                    Property::MessageExpiry(seconds) => publish.message_expiry = Some(seconds),
                    Property::Forwarded(_, raw) | Property::User(raw) => {
                        publish.properties.extend_from_slice(raw);
                    }
                    _ => {}
                }
            }
        }
        publish.payload = reader.rest();
        Ok(publish)
    }
}

impl<'a> Subscribe<'a> {
    fn read(version: Version, reader: &mut Reader<'a>) -> Result<Self, Reason> {
        let id = reader.packet_id()?;
        let mut identifier = None;
        if version == Version::V5 {
            let mut properties = Properties::read(reader, Allowed::SUBSCRIBE)?;
            while let Some(property) = properties.next()? {
                if let Property::SubscriptionIdentifier(number) = property {
                    identifier = Some(number);
                }
            }
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(FilterRequest::read(version, reader)?);
        }
        if filters.is_empty() {
            return Err(Reason::PROTOCOL_ERROR);
        }
        Ok(Self { id, identifier, filters })
    }
}

impl<'a> FilterRequest<'a> {
    fn read(version: Version, reader: &mut Reader<'a>) -> Result<Self, Reason> {
        let filter = reader.string()?;
        let options = reader.u8()?;
        let reserved = if version == Version::V5 { 0xc0 } else { 0xfc };
        if options & reserved != 0 || options & 3 == 3 {
            return Err(Reason::MALFORMED);
        }
        let retain_handling = match options >> 4 & 3 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DontSend,
            _ => return Err(Reason::PROTOCOL_ERROR),
        };
        Ok(Self {
            filter,
            qos: options & 3,
            no_local: options & 4 != 0,
            retain_as_published: options & 8 != 0,
            retain_handling,
        })
    }
}

/// Reads the form that PUBACK, PUBREC, PUBREL and PUBCOMP share (sections 3.4 to 3.7).
fn read_ack(version: Version, reader: &mut Reader<'_>) -> Result<(u16, Reason), Reason> {
    let id = reader.packet_id()?;
    if version == Version::V3 || reader.is_empty() {
        return Ok((id, Reason::SUCCESS));
    }
    let reason = Reason(reader.u8()?);
    skip_properties(reader, Allowed::ACK)?;
    Ok((id, reason))
}

fn read_unsubscribe<'a>(version: Version, reader: &mut Reader<'a>) -> Result<Packet<'a>, Reason> {
    let id = reader.packet_id()?;
    if version == Version::V5 {
        skip_properties(reader, Allowed::UNSUBSCRIBE)?;
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.string()?);
    }
    if filters.is_empty() {
        return Err(Reason::PROTOCOL_ERROR);
    }
    Ok(Packet::Unsubscribe { id, filters })
}

fn read_disconnect<'a>(version: Version, reader: &mut Reader<'a>) -> Result<Packet<'a>, Reason> {
    let mut reason = Reason::SUCCESS;
    let mut session_expiry = None;
    if version == Version::V5 && !reader.is_empty() {
        reason = Reason(reader.u8()?);
        if !reader.is_empty() {
            let mut properties = Properties::read(reader, Allowed::DISCONNECT)?;
            while let Some(property) = properties.next()? {
                if let Property::SessionExpiry(seconds) = property {
                    session_expiry = Some(seconds);
                }
            }
        }
    }
    Ok(Packet::Disconnect { reason, session_expiry })
}

/// Checks a property list whose content is of no consequence; it may be absent at the end.
fn skip_properties(reader: &mut Reader<'_>, allowed: Allowed) -> Result<(), Reason> {
    if reader.is_empty() {
        return Ok(());
    }
    let mut properties = Properties::read(reader, allowed)?;
    while properties.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(version: Version, bytes: &[u8]) -> Result<Packet<'_>, Reason> {
        let frame = Frame::first(bytes, 1 << 20)?.ok_or(Reason::MALFORMED)?;
        Packet::read(version, &frame)
    }

    #[test]
    fn a_publish_is_read_at_both_levels() {
        let v3 = read(Version::V3, b"\x3b\x06\0\x01t\0\x07p").unwrap();
        let Packet::Publish(v3) = v3 else { panic!("not a PUBLISH") };
        assert_eq!((v3.qos, v3.retain, v3.topic, v3.id, v3.payload), (1, true, "t", 7, &b"p"[..]));
        let v5 = read(Version::V5, b"\x30\x0c\0\x01t\x07\x23\0\x01\x02\0\0\0\x09p").unwrap_err();
        assert_eq!(v5, Reason::MALFORMED);
        let v5 = read(Version::V5, b"\x30\x0d\0\x01t\x08\x23\0\x01\x02\0\0\0\x09p").unwrap();
        let Packet::Publish(v5) = v5 else { panic!("not a PUBLISH") };
        assert_eq!((v5.topic_alias, v5.message_expiry, v5.payload), (Some(1), Some(9), &b"p"[..]));
    }

    #[test]
    fn reserved_bits_and_packet_id_0_are_refused() {
        for bytes in [
            &b"\x36\x05\0\x01t\0\x01"[..], // QoS 3
            b"\x38\x03\0\x01t",            // DUP at QoS 0
            b"\x80\x06\0\x01\0\x01t\0",    // SUBSCRIBE without its flags
            b"\x82\x06\0\x01\0\x01t\x03",  // QoS 3 asked for
            b"\xc0\x01\0",                 // PINGREQ with a body
            b"\x40\x03\0\x01\0",           // PUBACK too long for 3.1.1
        ] {
            assert_eq!(read(Version::V3, bytes), Err(Reason::MALFORMED), "{bytes:?}");
        }
        assert_eq!(read(Version::V3, b"\x32\x05\0\x01t\0\0"), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(read(Version::V3, b"\x82\x02\0\x01"), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(read(Version::V5, b"\xf0\x00"), Err(Reason::PROTOCOL_ERROR));
    }

    #[test]
    fn subscription_options_are_read() {
        let packet = read(Version::V5, b"\x82\x09\0\x01\x02\x0b\x05\0\x01t\x2d").unwrap();
        let Packet::Subscribe(subscribe) = packet else { panic!("not a SUBSCRIBE") };
        assert_eq!(subscribe.identifier, Some(5));
        assert_eq!(
            subscribe.filters,
            [FilterRequest {
                filter: "t",
                qos: 1,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DontSend,
            }]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(
            head in any::<u8>(),
            body in proptest::collection::vec(any::<u8>(), 0..64),
            v5 in any::<bool>(),
        ) {
            let version = if v5 { Version::V5 } else { Version::V3 };
            let frame = Frame { kind: head >> 4, flags: head & 15, body: &body, len: body.len() };
            let _ = Packet::read(version, &frame);
            let _ = crate::broker::packet::Connect::read(&frame);
            let _ = Frame::first(&body, 100);
        }
    }
}
