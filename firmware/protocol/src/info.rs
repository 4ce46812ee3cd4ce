//! What a board tells about itself: `key=value;key=value;…`.
//!
//! | key | value |
//! | --- | --- |
//! | `fw` | the firmware's version |
//! | `chip` | the chip, such as `esp32c3` |
//! | `reset` | why the chip last started, such as `power-on` or `watchdog` |
//! | `rssi` | how strongly it hears its access point, in dBm |
//! | `up` | seconds since it started |
//! | `heap` | bytes of heap that are free |
//! | `lost` | readings that were dropped since it started, for want of room in the backlog |
//! | `wish` | the name that the board would like, as it stands in its settings |
//!
//! A value reaches from the first `=` to the next `;`, so a name may have a `=` in it.
//! Each may be left out, and keys that a reader doesn't know are passed over, so that firmware and
//! hub can be of different ages.

use crate::{
    error::ParseError,
    name::{NAME_MAX, Name},
    pair::PAIR_MAX,
};
use core::{fmt, str::FromStr};
use heapless::String;

/// The longest [`Word`], in bytes.
pub const WORD_MAX: usize = 24;

/// The longest payload of `state/info` that this version prints, in bytes.
pub const INFO_MAX: usize = PAIR_MAX
    + ";fw=;chip=;reset=;rssi=-128;up=;heap=;lost=;wish=".len()
    + 3 * WORD_MAX
    + 3 * "4294967295".len()
    + NAME_MAX;

/// A short text of printable ASCII without blanks and `;`: 1 to [`WORD_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Word(String<WORD_MAX>);

impl Word {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Word {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        if text.is_empty() || !plain {
            return Err(ParseError::Value);
        }
        String::try_from(text).map(Self).map_err(|_| ParseError::Value)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What a board tells about itself; `None` where it doesn't.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// The firmware's version.
    pub firmware: Option<Word>,
    /// The chip, such as `esp32c3`.
    pub chip: Option<Word>,
    /// Why the chip last started.
    pub reset: Option<Word>,
    /// How strongly it hears its access point, in dBm.
    pub rssi: Option<i8>,
    /// Seconds since it started.
    pub uptime_s: Option<u32>,
    /// Bytes of heap that are free.
    pub free_heap: Option<u32>,
    /// Readings that were dropped since it started, for want of room in the backlog.
    pub lost: Option<u32>,
    /// The name that the board would like to be given.
    pub wish: Option<Name>,
}

impl FromStr for Info {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut info = Self::default();
        for fact in text.split(';').filter(|fact| !fact.is_empty()) {
            let (key, value) = fact.split_once('=').ok_or(ParseError::FieldCount)?;
            match key {
                "fw" => info.firmware = Some(value.parse()?),
                "chip" => info.chip = Some(value.parse()?),
                "reset" => info.reset = Some(value.parse()?),
                "rssi" => info.rssi = Some(number(value)?),
                "up" => info.uptime_s = Some(number(value)?),
                "heap" => info.free_heap = Some(number(value)?),
                "lost" => info.lost = Some(number(value)?),
                "wish" => info.wish = Some(value.parse()?),
                _ => {}
            }
        }
        Ok(info)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, ParseError> {
    text.parse().map_err(|_| ParseError::Value)
}

/// Every fact with a `;` before it, as it follows a pair.
impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fact(f, "fw", self.firmware.as_ref())?;
        fact(f, "chip", self.chip.as_ref())?;
        fact(f, "reset", self.reset.as_ref())?;
        fact(f, "rssi", self.rssi.as_ref())?;
        fact(f, "up", self.uptime_s.as_ref())?;
        fact(f, "heap", self.free_heap.as_ref())?;
        fact(f, "lost", self.lost.as_ref())?;
        fact(f, "wish", self.wish.as_ref())
    }
}

fn fact<T: fmt::Display>(f: &mut fmt::Formatter<'_>, key: &str, value: Option<&T>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, ";{key}={value}"))
}
