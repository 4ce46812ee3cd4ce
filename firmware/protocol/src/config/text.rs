//! The settings that are texts, and what they may hold.

use super::value::ValueError;
use core::{fmt, str::FromStr};
use heapless::String;

/// Makes a type of a text: its longest length in bytes, what else is asked of it, and what is done to
/// it then.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $max:literal, $is_fine:expr $(, $tidied:ident)?) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(String<{ Self::MAX }>);

        impl $name {
            /// The longest one, in bytes.
            pub const MAX: usize = $max;

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                let is_fine: fn(&str) -> bool = $is_fine;
                if text.is_empty() {
                    return Err(ValueError::Length);
                }
                #[allow(unused_mut, reason = "most are taken as they are")]
                let mut held = String::try_from(text).map_err(|_| ValueError::Length)?;
                $(held.$tidied();)?
                if is_fine(text) { Ok(Self(held)) } else { Err(ValueError::Content) }
            }
        }
    };
}

text! {
    /// A Wi-Fi's name: 1 to 32 bytes of UTF-8 (IEEE 802.11, 9.4.2.2) without control characters.
    Ssid, 32, |text| !text.contains(char::is_control)
}

text! {
    /// A Wi-Fi's password: 8 to 63 printable ASCII characters, or 64 hexadecimal digits
    /// (IEEE 802.11, annex J.4.1). `Debug` hides it.
    Passphrase, 64, |text| match text.len() {
        64 => text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        length => length >= 8 && text.bytes().all(|byte| matches!(byte, b' '..=b'~')),
    }
}

text! {
    /// A host name or an IP address: 1 to 253 letters, digits, `.`, `-`, `_` and `:`.
    ///
    /// Capitals, which mean nothing in it, become small: the chips' resolver (smoltcp 0.13) asks by
    /// multicast for `.local` and not for `.LOCAL`, and takes only an answer that is spelled as it asks.
    Host, 253, |text| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte))
    }, make_ascii_lowercase
}

text! {
    /// The name of a kind of board: 1 to 32 small letters, digits and `-`.
    BoardName, 32, |text| {
        text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    }
}

macro_rules! shown {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    )*};
}

shown!(Ssid, Host, BoardName);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(secret)")
    }
}
