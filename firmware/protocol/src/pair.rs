//! Name and session together, as they open every message.

use crate::{
    error::ParseError,
    name::{NAME_MAX, Name},
    session::{SESSION_LEN, SessionId},
};
use core::{fmt, str::FromStr};

/// The longest `name;session_id`, in bytes: 48 with C's trailing zero.
pub const PAIR_MAX: usize = NAME_MAX + 1 + SESSION_LEN;

/// The `name;session_id` under which a board speaks and is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Pair {
    /// The name that the hub gave.
    pub name: Name,
    /// The session that the hub opened.
    pub session: SessionId,
}

impl Pair {
    /// How many bytes it takes in a payload.
    pub(crate) fn len(&self) -> usize {
        self.name.as_str().len() + 1 + SESSION_LEN
    }

    /// Reads the two fields of a pair.
    ///
    /// # Errors
    ///
    /// [`ParseError::Name`] or [`ParseError::Session`], whichever field is wrong first.
    pub fn from_fields(name: &str, session: &str) -> Result<Self, ParseError> {
        Ok(Self { name: name.parse()?, session: session.parse()? })
    }
}

impl FromStr for Pair {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(';') {
            Some((_, session)) if session.contains(';') => Err(ParseError::FieldCount),
            Some((name, session)) => Self::from_fields(name, session),
            None => Err(ParseError::FieldCount),
        }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.name, self.session)
    }
}
