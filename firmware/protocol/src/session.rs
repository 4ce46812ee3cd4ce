//! The session id that tells one life of a board from the next.

use crate::error::ParseError;
use core::{fmt, str::FromStr};

/// The length of a session id in a payload, in bytes: 18 with C's trailing zero.
pub const SESSION_LEN: usize = 17;

/// A session id: ten digits (Unix seconds), a dot, six digits.
///
/// Held as the number of microseconds that those digits spell, so ids compare as numbers. It is a
/// secret between the hub and one board: `Debug` hides it, only `Display` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    /// The largest id that 17 characters can spell.
    pub const MAX: Self = Self(9_999_999_999_999_999);

    /// The id that spells this number of microseconds, or `None` above [`MAX`](Self::MAX).
    pub const fn from_micros(micros: u64) -> Option<Self> {
        if micros <= Self::MAX.0 { Some(Self(micros)) } else { None }
    }

    /// The microseconds that the digits spell.
    pub const fn micros(self) -> u64 {
        self.0
    }
}

impl FromStr for SessionId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text: &[u8; SESSION_LEN] =
            text.as_bytes().try_into().map_err(|_| ParseError::Session)?;
        let mut micros = 0;
        for (index, byte) in text.iter().enumerate() {
            match byte {
                b'.' if index == 10 => {}
                b'0'..=b'9' if index != 10 => micros = micros * 10 + u64::from(byte - b'0'),
                _ => return Err(ParseError::Session),
            }
        }
        Ok(Self(micros))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(secret)")
    }
}

#[cfg(feature = "serde")]
mod serde_impls {
    use super::SessionId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// A number: session ids are stored, never shown.
    impl Serialize for SessionId {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(self.0)
        }
    }

    impl<'de> Deserialize<'de> for SessionId {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let micros = u64::deserialize(deserializer)?;
            SessionId::from_micros(micros)
                .ok_or_else(|| D::Error::custom("the session id is out of range"))
        }
    }
}
