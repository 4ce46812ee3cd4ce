//! Light readings that were taken while the hub was away: `age_ms,value;age_ms,value;…`.
//!
//! A board has no clock that knows the date, so it says how old a reading is when it sends it, and
//! the hub dates it.

use crate::{
    error::ParseError,
    message::Percent,
    pair::{PAIR_MAX, Pair},
};
use core::{fmt, str::FromStr};
use heapless::Vec;

/// The longest payload of `photoresistor/backlog`, in bytes.
pub const BACKLOG_MAX: usize = 200;

/// The shortest pair, in bytes: a name of one letter.
const PAIR_MIN: usize = 1 + 1 + 17;

/// The shortest reading with the `;` before it, in bytes: `;0,0`.
const READING_MIN: usize = 4;

/// The most readings that a payload has room for.
pub const READINGS_MAX: usize = (BACKLOG_MAX - PAIR_MIN) / READING_MIN;

/// A light level, and how long ago it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aged {
    /// How old the reading is when it is sent, in milliseconds.
    pub age_ms: u32,
    /// The level.
    pub level: Percent,
}

impl Aged {
    /// How many bytes it takes in a payload, with the `;` before it.
    const fn len(self) -> usize {
        2 + digits(self.age_ms) + digits(self.level.get() as u32)
    }
}

const fn digits(number: u32) -> usize {
    match number.checked_ilog10() {
        Some(power) => power as usize + 1,
        None => 1,
    }
}

impl FromStr for Aged {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (age, level) = text.split_once(',').ok_or(ParseError::FieldCount)?;
        // Checked first, since `u32::from_str` would take a leading `+`.
        if age.len() > 10 || !age.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseError::Age);
        }
        let age_ms = age.parse().map_err(|_| ParseError::Age)?;
        Ok(Self { age_ms, level: level.parse()? })
    }
}

impl fmt::Display for Aged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.age_ms, self.level)
    }
}

/// The readings of one payload: at least one, and no more than fit into [`BACKLOG_MAX`] bytes
/// behind any pair that they are printed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog(Vec<Aged, READINGS_MAX>);

impl Backlog {
    /// As many of the first readings as fit behind this pair; `None` where there are none.
    pub fn gather(pair: &Pair, readings: impl IntoIterator<Item = Aged>) -> Option<Self> {
        let mut room = BACKLOG_MAX - pair.len();
        let mut gathered = Vec::new();
        for reading in readings {
            let Some(left) = room.checked_sub(reading.len()) else { break };
            room = left;
            if gathered.push(reading).is_err() {
                break;
            }
        }
        (!gathered.is_empty()).then_some(Self(gathered))
    }

    /// The readings, in the order in which they are sent.
    pub fn readings(&self) -> &[Aged] {
        &self.0
    }
}

const _: () = assert!(PAIR_MAX + 2 + 10 + 3 <= BACKLOG_MAX, "one reading fits behind any pair");

impl FromStr for Backlog {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut readings = Vec::new();
        for reading in text.split(';') {
            readings.push(reading.parse()?).map_err(|_| ParseError::Length)?;
        }
        Ok(Self(readings))
    }
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, reading) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            reading.fmt(f)?;
        }
        Ok(())
    }
}
