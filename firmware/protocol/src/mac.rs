//! A board's MAC address, and the spelling it arrived in.

use crate::error::ParseError;
use core::{fmt, str::FromStr};

/// The length of a MAC address in a payload, in bytes.
pub const MAC_LEN: usize = 17;

/// A MAC address: who a board is, for ever.
///
/// Printed in upper case; read in either case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&MacText::from(*self), f)
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        MacText::from_str(text).map(|spelled| spelled.mac())
    }
}

/// A MAC address in the spelling in which a board sent it.
///
/// The answer to a board repeats its own spelling, since simple firmware compares strings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacText {
    text: [u8; MAC_LEN],
    mac: Mac,
}

impl MacText {
    /// The address behind the spelling.
    pub const fn mac(&self) -> Mac {
        self.mac
    }
}

impl FromStr for MacText {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text: [u8; MAC_LEN] = text.as_bytes().try_into().map_err(|_| ParseError::Mac)?;
        let mut mac = [0; 6];
        for (index, octet) in mac.iter_mut().enumerate() {
            let at = index * 3;
            *octet = (hex_digit(text[at])? << 4) | hex_digit(text[at + 1])?;
            if index < 5 && text[at + 2] != b':' {
                return Err(ParseError::Mac);
            }
        }
        Ok(Self { text, mac: Mac(mac) })
    }
}

/// The usual spelling, in upper case.
impl From<Mac> for MacText {
    fn from(mac: Mac) -> Self {
        const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
        let mut text = [b':'; MAC_LEN];
        for (index, octet) in mac.0.iter().enumerate() {
            text[index * 3] = DIGITS[usize::from(octet >> 4)];
            text[index * 3 + 1] = DIGITS[usize::from(octet & 15)];
        }
        Self { text, mac }
    }
}

impl fmt::Display for MacText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only hexadecimal digits and colons ever get in.
        f.write_str(core::str::from_utf8(&self.text).unwrap_or_default())
    }
}

impl fmt::Debug for MacText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hex_digit(byte: u8) -> Result<u8, ParseError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(ParseError::Mac),
    }
}

#[cfg(feature = "serde")]
mod serde_impls {
    use super::Mac;
    use core::fmt;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    /// Text for people, six bytes elsewhere.
    impl Serialize for Mac {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if serializer.is_human_readable() {
                serializer.collect_str(self)
            } else {
                self.0.serialize(serializer)
            }
        }
    }

    impl<'de> Deserialize<'de> for Mac {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct MacVisitor;
            impl de::Visitor<'_> for MacVisitor {
                type Value = Mac;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a MAC address")
                }
                fn visit_str<E: de::Error>(self, text: &str) -> Result<Mac, E> {
                    text.parse().map_err(E::custom)
                }
            }
            if deserializer.is_human_readable() {
                deserializer.deserialize_str(MacVisitor)
            } else {
                <[u8; 6]>::deserialize(deserializer).map(Mac)
            }
        }
    }
}
