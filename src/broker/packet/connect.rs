//! CONNECT (section 3.1): who a client is, and at which protocol level it speaks.

use super::{
    Frame, Reason, Version,
    property::{Allowed, Properties, Property},
    reader::Reader,
};

/// A CONNECT that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connect<'a> {
    pub(crate) version: Version,
    /// Clean start; clean session in 3.1.1.
    pub(crate) clean_start: bool,
    /// In seconds; 0 is for ever.
    pub(crate) keep_alive: u16,
    pub(crate) client_id: &'a str,
    /// How long the session outlives the connection, in seconds; `u32::MAX` is for ever.
    pub(crate) session_expiry: u32,
    /// How many QoS 1 and 2 messages the client takes at once.
    pub(crate) receive_maximum: u16,
    /// The largest packet that the client takes, in bytes.
    pub(crate) maximum_packet_size: u32,
    /// Whether the client asks for an enhanced authentication (section 4.12).
    pub(crate) enhanced_authentication: bool,
    pub(crate) will: Option<WillPacket<'a>>,
    pub(crate) user_name: Option<&'a str>,
    /// Empty where there is none: no password that counts is.
    pub(crate) password: &'a [u8],
}

/// A will as CONNECT carries it (section 3.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WillPacket<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// In seconds.
    pub(crate) delay: u32,
    /// In seconds.
    pub(crate) message_expiry: Option<u32>,
    /// The properties that go with the message, as they were sent.
    pub(crate) properties: Vec<u8>,
}

/// Why a first packet is no CONNECT that we can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    /// Not MQTT at all: there is nobody to answer.
    NotMqtt,
    /// A protocol level that we don't speak; answered in the given one.
    Unsupported(Version),
    /// The client speaks this level, and breaks its rules.
    Broken(Version, Reason),
}

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

impl<'a> Connect<'a> {
    /// Reads the first packet of a connection.
    pub(crate) fn read(frame: &Frame<'a>) -> Result<Self, ConnectError> {
        let mut reader = Reader::new(frame.body);
        if frame.kind != 1 || frame.flags != 0 {
            return Err(ConnectError::NotMqtt);
        }
        let version = read_version(&mut reader)?;
        Self::read_rest(reader, version).map_err(|reason| ConnectError::Broken(version, reason))
    }

    fn read_rest(mut reader: Reader<'a>, version: Version) -> Result<Self, Reason> {
        let flags = reader.u8()?;
        let keep_alive = reader.u16()?;
        let will_qos = flags >> 3 & 3;
        if flags & 1 != 0 || will_qos == 3 {
            return Err(Reason::MALFORMED);
        }
        if flags & WILL == 0 && (will_qos != 0 || flags & WILL_RETAIN != 0) {
            return Err(Reason::MALFORMED);
        }
        if version == Version::V3 && flags & PASSWORD != 0 && flags & USER_NAME == 0 {
            return Err(Reason::MALFORMED);
        }
        let clean_start = flags & CLEAN_START != 0;
        let mut connect = Self {
            version,
            clean_start,
            keep_alive,
            client_id: "",
            session_expiry: if version == Version::V3 && !clean_start { u32::MAX } else { 0 },
            receive_maximum: u16::MAX,
            maximum_packet_size: u32::MAX,
            enhanced_authentication: false,
            will: None,
            user_name: None,
            password: &[],
        };
        if version == Version::V5 {
            connect.read_properties(&mut reader)?;
        }
        connect.client_id = reader.string()?;
        if flags & WILL != 0 {
            let mut will = WillPacket {
                topic: "",
                payload: &[],
                qos: will_qos,
                retain: flags & WILL_RETAIN != 0,
                delay: 0,
                message_expiry: None,
                properties: Vec::new(),
            };
            if version == Version::V5 {
                will.read_properties(&mut reader)?;
            }
            will.topic = reader.string()?;
            will.payload = reader.binary()?;
            connect.will = Some(will);
        }
        if flags & USER_NAME != 0 {
            connect.user_name = Some(reader.string()?);
        }
        if flags & PASSWORD != 0 {
            connect.password = reader.binary()?;
        }
        if reader.is_empty() { Ok(connect) } else { Err(Reason::MALFORMED) }
    }

    fn read_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), Reason> {
        let mut properties = Properties::read(reader, Allowed::CONNECT)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiry(seconds) => self.session_expiry = seconds,
                Property::ReceiveMaximum(maximum) => self.receive_maximum = maximum,
                Property::MaximumPacketSize(maximum) => self.maximum_packet_size = maximum,
                Property::AuthenticationMethod => self.enhanced_authentication = true,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> WillPacket<'a> {
    fn read_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), Reason> {
        let mut properties = Properties::read(reader, Allowed::WILL)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::WillDelay(seconds) => self.delay = seconds,
                Property::MessageExpiry(seconds) => self.message_expiry = Some(seconds),
                Property::Forwarded(_, raw) | Property::User(raw) => {
                    self.properties.extend_from_slice(raw);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads protocol name and level (sections 3.1.2.1 and 3.1.2.2).
fn read_version(reader: &mut Reader<'_>) -> Result<Version, ConnectError> {
    let name = reader.binary().map_err(|_| ConnectError::NotMqtt)?;
    let level = reader.u8().map_err(|_| ConnectError::NotMqtt)?;
    match (name, level) {
        (b"MQTT", 4) => Ok(Version::V3),
        (b"MQTT", 5) => Ok(Version::V5),
        // A level above ours will know the form of MQTT 5; bridges set the highest bit on the
        // level of 3.1.1, and 3.1 had another name.
        (b"MQTT", 6..=127) => Err(ConnectError::Unsupported(Version::V5)),
        (b"MQTT" | b"MQIsdp", _) => Err(ConnectError::Unsupported(Version::V3)),
        _ => Err(ConnectError::NotMqtt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Connect<'_>, ConnectError> {
        Connect::read(&Frame { kind: 1, flags: 0, body, len: body.len() + 2 })
    }

    #[test]
    fn the_level_decides_the_version() {
        let v3 = read(b"\0\x04MQTT\x04\x02\0\x04\0\x01a").unwrap();
        assert_eq!((v3.version, v3.client_id, v3.session_expiry), (Version::V3, "a", 0));
        let v5 = read(b"\0\x04MQTT\x05\0\0\x04\x05\x11\0\0\0\x09\0\x01a").unwrap();
        assert_eq!((v5.version, v5.clean_start, v5.session_expiry), (Version::V5, false, 9));
    }

    #[test]
    fn a_level_that_we_do_not_speak_is_answered_in_its_own_form() {
        let unsupported = |body: &[u8]| read(body).unwrap_err();
        assert_eq!(unsupported(b"\0\x06MQIsdp\x03"), ConnectError::Unsupported(Version::V3));
        assert_eq!(unsupported(b"\0\x04MQTT\x84"), ConnectError::Unsupported(Version::V3));
        assert_eq!(unsupported(b"\0\x04MQTT\x06"), ConnectError::Unsupported(Version::V5));
        assert_eq!(unsupported(b"GET / HTTP/1.1"), ConnectError::NotMqtt);
    }

    #[test]
    fn flags_that_contradict_each_other_are_malformed() {
        for flags in [0x01, 0x08, 0x20, 0x1c, 0x40] {
            let body = [b"\0\x04MQTT\x04", &[flags][..], b"\0\x04\0\x01a\0\0\0\0\0\0"].concat();
            assert_eq!(
                read(&body).unwrap_err(),
                ConnectError::Broken(Version::V3, Reason::MALFORMED),
                "{flags:#x}"
            );
        }
    }

    #[test]
    fn credentials_are_read() {
        let connect = read(b"\0\x04MQTT\x04\xc2\0\x04\0\x01a\0\x01u\0\x02pw").unwrap();
        assert_eq!((connect.user_name, connect.password), (Some("u"), &b"pw"[..]));
        // MQTT 5 allows a password alone (section 3.1.2.9).
        let connect = read(b"\0\x04MQTT\x05\x42\0\x04\0\0\x01a\0\x02pw").unwrap();
        assert_eq!((connect.user_name, connect.password), (None, &b"pw"[..]));
    }

    #[test]
    fn a_will_keeps_the_properties_that_go_with_it() {
        let body = b"\0\x04MQTT\x05\x2e\0\x04\0\0\x01a\x07\x18\0\0\0\x05\x01\x01\0\x01t\0\x01p";
        let will = read(body).unwrap().will.unwrap();
        assert_eq!((will.topic, will.payload, will.qos, will.retain), ("t", &b"p"[..], 1, true));
        assert_eq!((will.delay, will.properties), (5, vec![0x01, 0x01]));
    }
}
