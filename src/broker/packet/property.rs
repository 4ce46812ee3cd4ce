//! Property lists (section 2.2.2), as far as a client may send them.

use super::{Reason, reader::Reader};

/// One property of a packet from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Property<'a> {
    MessageExpiry(u32),
    SubscriptionIdentifier(u32),
    SessionExpiry(u32),
    AuthenticationMethod,
    WillDelay(u32),
    ReceiveMaximum(u16),
    TopicAlias(u16),
    MaximumPacketSize(u32),
    /// Goes with the message to whoever receives it, byte by byte (payload format, content type,
    /// response topic, correlation data); the identifier and the whole property.
    Forwarded(u8, &'a [u8]),
    /// Goes with the message too, may be repeated, and may come with every packet.
    User(&'a [u8]),
    /// Understood, but of no consequence for this server.
    Other(u8),
}

// Identifiers, table 2-4.
const PAYLOAD_FORMAT: u8 = 0x01;
const MESSAGE_EXPIRY: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
const SESSION_EXPIRY: u8 = 0x11;
const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;
const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
const WILL_DELAY: u8 = 0x18;
const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
const REASON_STRING: u8 = 0x1f;
const RECEIVE_MAXIMUM: u8 = 0x21;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const TOPIC_ALIAS: u8 = 0x23;
const USER: u8 = 0x26;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// Which properties a place allows, by identifier; every place allows user properties.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed(u64);

impl Allowed {
    const fn of(ids: &[u8]) -> Self {
        let mut set = 1 << USER;
        let mut index = 0;
        while index < ids.len() {
            set |= 1 << ids[index];
            index += 1;
        }
        Self(set)
    }

    pub(crate) const CONNECT: Self = Self::of(&[
        SESSION_EXPIRY,
        AUTHENTICATION_METHOD,
        AUTHENTICATION_DATA,
        REQUEST_PROBLEM_INFORMATION,
        REQUEST_RESPONSE_INFORMATION,
        RECEIVE_MAXIMUM,
        TOPIC_ALIAS_MAXIMUM,
        MAXIMUM_PACKET_SIZE,
    ]);
    pub(crate) const WILL: Self = Self::of(&[
        WILL_DELAY,
        PAYLOAD_FORMAT,
        MESSAGE_EXPIRY,
        CONTENT_TYPE,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
    ]);
    pub(crate) const PUBLISH: Self = Self::of(&[
        PAYLOAD_FORMAT,
        MESSAGE_EXPIRY,
        TOPIC_ALIAS,
        CONTENT_TYPE,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
    ]);
    pub(crate) const ACK: Self = Self::of(&[REASON_STRING]);
    pub(crate) const SUBSCRIBE: Self = Self::of(&[SUBSCRIPTION_IDENTIFIER]);
    pub(crate) const UNSUBSCRIBE: Self = Self::of(&[]);
    pub(crate) const DISCONNECT: Self = Self::of(&[SESSION_EXPIRY, REASON_STRING]);

    const fn contains(self, id: u8) -> bool {
        id < 64 && self.0 & (1 << id) != 0
    }
}

/// A property list that is read one property after the other.
#[derive(Debug, Clone)]
pub(crate) struct Properties<'a> {
    reader: Reader<'a>,
    allowed: Allowed,
    seen: u64,
}

impl<'a> Properties<'a> {
    /// Takes the list, with its length in front, from `reader`.
    pub(crate) fn read(reader: &mut Reader<'a>, allowed: Allowed) -> Result<Self, Reason> {
        let len = reader.varint()?;
        let list = reader.take(len as usize)?;
        Ok(Self { reader: Reader::new(list), allowed, seen: 0 })
    }

    /// The next property, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Property<'a>>, Reason> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let start = self.reader.rest();
        let id = self.reader.u8()?;
        if !self.allowed.contains(id) {
            return Err(if id == SUBSCRIPTION_IDENTIFIER {
                Reason::PROTOCOL_ERROR
            } else {
                Reason::MALFORMED
            });
        }
        if id != USER && self.seen & (1 << id) != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.seen |= 1 << id;
        let property = self.value(id)?;
        let raw = &start[..start.len() - self.reader.rest().len()];
        Ok(Some(match property {
            Property::Forwarded(..) => Property::Forwarded(id, raw),
            Property::User(_) => Property::User(raw),
            other => other,
        }))
    }

    fn value(&mut self, id: u8) -> Result<Property<'a>, Reason> {
        let reader = &mut self.reader;
        Ok(match id {
            PAYLOAD_FORMAT => {
                flag(reader)?;
                Property::Forwarded(id, &[])
            }
            CONTENT_TYPE => {
                reader.string()?;
                Property::Forwarded(id, &[])
            }
            RESPONSE_TOPIC => {
                // [MQTT-3.3.2-14]: a response topic has no wildcards.
                if reader.string()?.contains(['+', '#']) {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                Property::Forwarded(id, &[])
            }
            CORRELATION_DATA => {
                reader.binary()?;
                Property::Forwarded(id, &[])
            }
            USER => {
                reader.string()?;
                reader.string()?;
                Property::User(&[])
            }
            MESSAGE_EXPIRY => Property::MessageExpiry(reader.u32()?),
            SUBSCRIPTION_IDENTIFIER => match reader.varint()? {
                0 => return Err(Reason::PROTOCOL_ERROR),
                id => Property::SubscriptionIdentifier(id),
            },
            SESSION_EXPIRY => Property::SessionExpiry(reader.u32()?),
            AUTHENTICATION_METHOD => {
                reader.string()?;
                Property::AuthenticationMethod
            }
            AUTHENTICATION_DATA => {
                reader.binary()?;
                Property::Other(id)
            }
            REQUEST_PROBLEM_INFORMATION | REQUEST_RESPONSE_INFORMATION => {
                flag(reader)?;
                Property::Other(id)
            }
            WILL_DELAY => Property::WillDelay(reader.u32()?),
            REASON_STRING => {
                reader.string()?;
                Property::Other(id)
            }
            RECEIVE_MAXIMUM => match reader.u16()? {
                0 => return Err(Reason::PROTOCOL_ERROR),
                maximum => Property::ReceiveMaximum(maximum),
            },
            TOPIC_ALIAS_MAXIMUM => {
                reader.u16()?;
                Property::Other(id)
            }
            TOPIC_ALIAS => Property::TopicAlias(reader.u16()?),
            MAXIMUM_PACKET_SIZE => match reader.u32()? {
                0 => return Err(Reason::PROTOCOL_ERROR),
                maximum => Property::MaximumPacketSize(maximum),
            },
            _ => return Err(Reason::MALFORMED),
        })
    }
}

/// A byte that is 0 or 1.
fn flag(reader: &mut Reader<'_>) -> Result<(), Reason> {
    if reader.u8()? > 1 { Err(Reason::PROTOCOL_ERROR) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], allowed: Allowed) -> Result<Vec<Property<'_>>, Reason> {
        let mut list = Properties::read(&mut Reader::new(bytes), allowed)?;
        let mut all = Vec::new();
        while let Some(property) = list.next()? {
            all.push(property);
        }
        Ok(all)
    }

    #[test]
    fn what_goes_with_a_message_keeps_its_bytes() {
        let bytes = [11, 0x01, 1, 0x26, 0, 1, b'k', 0, 1, b'v', 0x23, 0];
        let bytes = [&bytes[..], &[7]].concat();
        let mut bytes = bytes;
        bytes[0] = 12;
        assert_eq!(
            all(&bytes, Allowed::PUBLISH).unwrap(),
            [
                Property::Forwarded(0x01, &[0x01, 1]),
                Property::User(&[0x26, 0, 1, b'k', 0, 1, b'v']),
                Property::TopicAlias(7),
            ]
        );
    }

    #[test]
    fn only_user_properties_may_be_repeated() {
        assert_eq!(all(&[4, 0x01, 1, 0x01, 1], Allowed::PUBLISH), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(
            all(&[10, 0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0], Allowed::UNSUBSCRIBE).unwrap().len(),
            2
        );
    }

    #[test]
    fn a_property_out_of_place_is_refused() {
        assert_eq!(all(&[2, 0x01, 1], Allowed::ACK), Err(Reason::MALFORMED));
        assert_eq!(all(&[2, 0x0b, 1], Allowed::PUBLISH), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(all(&[2, 0x7f, 1], Allowed::PUBLISH), Err(Reason::MALFORMED));
        assert_eq!(all(&[2, 0x0b, 0], Allowed::SUBSCRIBE), Err(Reason::PROTOCOL_ERROR));
    }
}
