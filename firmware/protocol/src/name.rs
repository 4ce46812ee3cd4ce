//! The name that the hub gives to a board.

use crate::mac::Mac;
use core::{fmt, str::FromStr};
use heapless::String;

/// The longest name, in bytes: 30 with the trailing zero that C firmware keeps.
pub const NAME_MAX: usize = 29;

/// A board's name: 1 to [`NAME_MAX`] bytes of printable UTF-8.
///
/// It has no `;` (the payloads' separator), no blank at either end, and never looks like a MAC
/// address. Two names that differ only in case are the same name: compare their
/// [`folded`](Self::folded) forms.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String<NAME_MAX>);

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is longer than [`NAME_MAX`] bytes.
    TooLong,
    /// It begins or ends with a blank.
    Blank,
    /// It has a `;`, which separates the fields of a payload.
    Separator,
    /// It has a character that can't be seen: a control, a line break, a direction mark.
    Unprintable,
    /// It has the shape of a MAC address.
    LooksLikeMac,
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The characters of the name without regard to case, for comparison and look-up.
    pub fn folded(&self) -> impl Iterator<Item = char> + '_ {
        self.0.chars().flat_map(char::to_lowercase)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.contains(';') {
            return Err(NameError::Separator);
        }
        if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
            return Err(NameError::Blank);
        }
        if !text.chars().all(is_printable) {
            return Err(NameError::Unprintable);
        }
        if Mac::from_str(text).is_ok() {
            return Err(NameError::LooksLikeMac);
        }
        String::try_from(text).map(Self).map_err(|_| NameError::TooLong)
    }
}

/// Whether a person can see the character: neither a control nor one of Unicode's invisible
/// format characters, line separators and noncharacters.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
        || u32::from(c) & 0xfffe == 0xfffe)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a name can't be empty",
            Self::TooLong => "a name has at most 29 bytes",
            Self::Blank => "a name can't begin or end with a blank",
            Self::Separator => "a name can't contain ';'",
            Self::Unprintable => "a name can't contain characters that can't be seen",
            Self::LooksLikeMac => "a name can't look like a MAC address",
        })
    }
}

impl core::error::Error for NameError {}

#[cfg(feature = "serde")]
mod serde_impls {
    use super::Name;
    use core::fmt;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    impl Serialize for Name {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.as_str())
        }
    }

    impl<'de> Deserialize<'de> for Name {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct NameVisitor;
            impl de::Visitor<'_> for NameVisitor {
                type Value = Name;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a device's name")
                }
                fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                    text.parse().map_err(E::custom)
                }
            }
            deserializer.deserialize_str(NameVisitor)
        }
    }
}
