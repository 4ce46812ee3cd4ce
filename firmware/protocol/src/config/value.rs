//! The settings that are not texts.

use crate::message::Percent;
use core::{fmt, str::FromStr};
use heapless::String;

/// Why a text or some bytes are not the value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueError {
    /// Too short or too long.
    Length,
    /// Not UTF-8, or with characters that have no place there.
    Content,
    /// A number out of its range.
    Range,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "is too short or too long",
            Self::Content => "has characters that have no place there",
            Self::Range => "is out of range",
        })
    }
}

impl core::error::Error for ValueError {}

/// Which level of a pin means "on" or "pressed".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Polarity {
    /// The high level.
    ActiveHigh,
    /// The low level, as with a button that pulls its pin to ground.
    ActiveLow,
}

/// From one light reading to the next: 100 ms to an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval(u32);

impl Interval {
    /// The shortest, in milliseconds.
    pub const MIN_MS: u32 = 100;
    /// The longest, in milliseconds.
    pub const MAX_MS: u32 = 60 * 60 * 1000;

    /// This many milliseconds.
    ///
    /// # Errors
    ///
    /// [`ValueError::Range`] outside [`MIN_MS`](Self::MIN_MS) to [`MAX_MS`](Self::MAX_MS).
    pub const fn from_millis(millis: u32) -> Result<Self, ValueError> {
        if millis >= Self::MIN_MS && millis <= Self::MAX_MS {
            Ok(Self(millis))
        } else {
            Err(ValueError::Range)
        }
    }

    /// The number of milliseconds.
    pub const fn as_millis(self) -> u32 {
        self.0
    }
}

/// What a board proves its MAC with: 32 bytes that the hub has made for it. `Debug` hides them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BoardKey(pub [u8; 32]);

impl BoardKey {
    /// The key as the board gives it for its MQTT password: 64 small hexadecimal digits.
    pub fn to_hex(self) -> String<64> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl FromStr for BoardKey {
    type Err = ValueError;

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| ValueError::Length)?;
        let mut key = [0; 32];
        for (byte, [high, low]) in key.iter_mut().zip(text.as_chunks().0) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(key))
    }
}

fn nibble(digit: u8) -> Result<u8, ValueError> {
    char::from(digit)
        .to_digit(16)
        .and_then(|nibble| nibble.try_into().ok())
        .ok_or(ValueError::Content)
}

impl fmt::Debug for BoardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoardKey(secret)")
    }
}

/// What the pin of a photoresistor gives in the dark and in bright light, in millivolts. Which of
/// the two is higher depends on the wiring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Calibration {
    dark_mv: u16,
    bright_mv: u16,
}

impl Calibration {
    /// These two levels.
    ///
    /// # Errors
    ///
    /// [`ValueError::Range`] where they are the same.
    pub const fn new(dark_mv: u16, bright_mv: u16) -> Result<Self, ValueError> {
        if dark_mv == bright_mv { Err(ValueError::Range) } else { Ok(Self { dark_mv, bright_mv }) }
    }

    /// The level in the dark, in millivolts.
    pub const fn dark_mv(self) -> u16 {
        self.dark_mv
    }

    /// The level in bright light, in millivolts.
    pub const fn bright_mv(self) -> u16 {
        self.bright_mv
    }

    /// How much light this many millivolts mean, rounded; what lies outside counts as its end.
    pub fn percent(self, millivolts: u16) -> Percent {
        let [low, high] = if self.dark_mv < self.bright_mv {
            [self.dark_mv, self.bright_mv]
        } else {
            [self.bright_mv, self.dark_mv]
        };
        let from_dark = u32::from(millivolts.clamp(low, high).abs_diff(self.dark_mv));
        let whole = u32::from(high - low);
        let percent = (from_dark * 100 + whole / 2) / whole;
        // At most 100: `from_dark` is at most `whole`.
        u8::try_from(percent).ok().and_then(Percent::new).unwrap_or(Percent::MAX)
    }
}
