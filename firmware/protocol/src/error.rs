//! Why a payload was refused.

use crate::name::NameError;
use core::fmt;

/// The first fault found in a payload, read from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// The payload is not UTF-8.
    NotUtf8,
    /// The payload has too few or too many fields between its `;`.
    FieldCount,
    /// The MAC address is not six pairs of hexadecimal digits with `:` between.
    Mac,
    /// The name breaks one of the rules for names.
    Name(NameError),
    /// The session id is not ten digits, a dot and six digits.
    Session,
    /// The value is not `0` or `1`, or not a whole number from 0 to 100, or not what its key asks for.
    Value,
    /// The age of a reading is not a whole number of milliseconds below 2^32.
    Age,
    /// The payload is longer than its topic allows.
    Length,
    /// Nothing of the protocol is published on this topic in this direction.
    Topic,
}

impl ParseError {
    /// A short fixed word for this fault, fit for a metric's label.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::FieldCount => "field_count",
            Self::Mac => "mac",
            Self::Name(_) => "name",
            Self::Session => "session",
            Self::Value => "value",
            Self::Age => "age",
            Self::Length => "length",
            Self::Topic => "topic",
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the payload is not UTF-8"),
            Self::FieldCount => f.write_str("the payload has the wrong number of fields"),
            Self::Mac => f.write_str("the MAC address is not of the form 61:EC:ED:3B:25:B1"),
            Self::Name(error) => error.fmt(f),
            Self::Session => f.write_str("the session id is not ten digits, a dot and six digits"),
            Self::Value => f.write_str("the value is out of range"),
            Self::Age => f.write_str("an age is not a whole number of milliseconds"),
            Self::Length => f.write_str("the payload is too long"),
            Self::Topic => f.write_str("the topic is not one of the protocol's"),
        }
    }
}

impl core::error::Error for ParseError {}

impl From<NameError> for ParseError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}
