//! A board's settings as they lie in its flash: what makes one image fit every house.
//!
//! The hub writes them into the board's `config` partition, and the firmware reads them when it
//! starts. Every setting may be absent: the firmware then goes by what it was built with.
//!
//! All numbers are little-endian.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `CPTR` |
//! | 2 | the version of the format: 1 |
//! | 2 | the length of the fields, in bytes |
//! | 4 | CRC-32 (ISO-HDLC) of the eight bytes before and of the fields |
//! | … | the fields, each: tag (1 byte), length (1 byte), value |
//!
//! | tag | field | value |
//! | --- | --- | --- |
//! | 1 | the Wi-Fi's name | 1 to 32 bytes of UTF-8 |
//! | 2 | the Wi-Fi's password | 8 to 63 printable ASCII characters, or 64 hexadecimal digits |
//! | 3 | the hub's host name or IP address | 1 to 253 letters, digits, `.`, `-`, `_`, `:` |
//! | 4 | the hub's MQTT port | 2 bytes, not 0 |
//! | 5 | the board's key | 32 bytes |
//! | 6 | the name that the board would like | as a name of the protocol |
//! | 7 | from one light reading to the next | 4 bytes: 100 to 3,600,000 ms |
//! | 8 | the kind of board | 1 to 32 small letters, digits and `-` |
//! | 9 | how the LED is wired | 1 byte: 1 shines at the high level, 0 at the low one |
//! | 10 | how the button is wired | 1 byte: 1 gives the high level when pressed, 0 the low one |
//! | 11 | the photoresistor in the dark and in bright light | 2 × 2 bytes: mV, not the same |
//!
//! A reader passes over tags that it does not know and bytes behind the fields, so settings may
//! grow without a new version; a new version is for what an old reader must not misread.
//!
//! # Layout
//!
//! - `text`: the settings that are texts, and what they may hold
//! - `value`: the others
//! - `codec`: to bytes and back

mod codec;
mod text;
mod value;

pub use codec::{ConfigError, ENCODED_MAX, Encoded, Field};
pub use text::{BoardName, Host, Passphrase, Ssid};
pub use value::{BoardKey, Calibration, Interval, Polarity, ValueError};

use crate::name::Name;

/// The size of the partition, in bytes: one sector of flash.
pub const PARTITION_LEN: usize = 4096;

/// The hub's address where none is set: multicast DNS finds it.
pub const DEFAULT_HOST: &str = "capteur.local";

/// The hub's port where none is set: MQTT's, as registered with IANA.
pub const DEFAULT_PORT: u16 = 1883;

/// A board's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The Wi-Fi's name.
    pub ssid: Option<Ssid>,
    /// The Wi-Fi's password; an open network has none.
    pub passphrase: Option<Passphrase>,
    /// Where the hub is; [`DEFAULT_HOST`] where absent.
    pub host: Option<Host>,
    /// The hub's MQTT port, never 0; [`DEFAULT_PORT`] where absent.
    pub port: Option<core::num::NonZeroU16>,
    /// What the board proves its MAC with.
    pub key: Option<BoardKey>,
    /// The name that the board would like to be given: it tells the hub on `state/info`.
    pub name: Option<Name>,
    /// From one light reading to the next.
    pub interval: Option<Interval>,
    /// The kind of board: where its pins are.
    pub board: Option<BoardName>,
    /// How the LED is wired.
    pub led: Option<Polarity>,
    /// How the button is wired.
    pub button: Option<Polarity>,
    /// What the photoresistor gives in the dark and in bright light.
    pub calibration: Option<Calibration>,
}

impl Config {
    /// The hub's host name or IP address.
    pub fn host(&self) -> &str {
        self.host.as_ref().map_or(DEFAULT_HOST, Host::as_str)
    }

    /// The hub's MQTT port.
    pub fn port(&self) -> u16 {
        self.port.map_or(DEFAULT_PORT, core::num::NonZeroU16::get)
    }
}
