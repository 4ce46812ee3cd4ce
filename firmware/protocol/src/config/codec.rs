//! Settings to bytes and back.

use super::{
    BoardKey, BoardName, Calibration, Config, Host, Interval, PARTITION_LEN, Passphrase, Polarity,
    Ssid, ValueError,
};
use crate::name::{NAME_MAX, Name};
use core::{fmt, num::NonZeroU16, str::FromStr};
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use heapless::Vec;

const MAGIC: [u8; 4] = *b"CPTR";
const VERSION: u16 = 1;
const HEADER_LEN: usize = 12;
/// Of the header, what the checksum covers.
const CHECKED_LEN: usize = 8;
/// Tag and length of a field.
const FIELD_HEADER_LEN: usize = 2;

/// The most bytes that settings take.
pub const ENCODED_MAX: usize = HEADER_LEN
    + Field::ALL.len() * FIELD_HEADER_LEN
    + Ssid::MAX
    + Passphrase::MAX
    + Host::MAX
    + 2
    + 32
    + NAME_MAX
    + 4
    + BoardName::MAX
    + 1
    + 1
    + 4;

const _: () = assert!(ENCODED_MAX <= PARTITION_LEN);

/// Settings as bytes. What follows them in flash does not matter.
pub type Encoded = Vec<u8, ENCODED_MAX>;

/// A bit at a time: settings are read once, and a table would take a kilobyte of flash.
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// A setting, by its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Field {
    /// [`Config::ssid`].
    Ssid = 1,
    /// [`Config::passphrase`].
    Passphrase = 2,
    /// [`Config::host`].
    Host = 3,
    /// [`Config::port`].
    Port = 4,
    /// [`Config::key`].
    Key = 5,
    /// [`Config::name`].
    Name = 6,
    /// [`Config::interval`].
    Interval = 7,
    /// [`Config::board`].
    Board = 8,
    /// [`Config::led`].
    Led = 9,
    /// [`Config::button`].
    Button = 10,
    /// [`Config::calibration`].
    Calibration = 11,
}

impl Field {
    /// All of them, by tag.
    pub const ALL: [Self; 11] = [
        Self::Ssid,
        Self::Passphrase,
        Self::Host,
        Self::Port,
        Self::Key,
        Self::Name,
        Self::Interval,
        Self::Board,
        Self::Led,
        Self::Button,
        Self::Calibration,
    ];

    /// What people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ssid => "Wi-Fi name",
            Self::Passphrase => "Wi-Fi password",
            Self::Host => "hub address",
            Self::Port => "hub port",
            Self::Key => "board key",
            Self::Name => "board name",
            Self::Interval => "reading interval",
            Self::Board => "kind of board",
            Self::Led => "LED polarity",
            Self::Button => "button polarity",
            Self::Calibration => "photoresistor calibration",
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|field| *field as u8 == tag)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why bytes are not settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// They begin like something else.
    Magic,
    /// They are of a version that this reader doesn't know.
    Version(u16),
    /// They end too early.
    Length,
    /// They are damaged.
    Checksum,
    /// A setting has a value that it can't have.
    Value(Field, ValueError),
    /// A setting comes twice.
    Twice(Field),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("these are no settings of a board"),
            Self::Version(version) => {
                write!(f, "these settings are of version {version}; known is {VERSION}")
            }
            Self::Length => f.write_str("the settings end too early"),
            Self::Checksum => f.write_str("the settings are damaged: their checksum is wrong"),
            Self::Value(field, error) => write!(f, "the {field} {error}"),
            Self::Twice(field) => write!(f, "the {field} is there twice"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// The settings as bytes, for the beginning of the partition.
    pub fn encode(&self) -> Encoded {
        let mut fields = Encoded::new();
        let mut put = |field: Field, value: Option<&[u8]>| {
            let Some(value) = value else { return };
            // All fit: `ENCODED_MAX` is the sum of what the fields' types can hold.
            let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
            let _ = fields.extend_from_slice(&[field as u8, length]);
            let _ = fields.extend_from_slice(value);
        };
        put(Field::Ssid, self.ssid.as_ref().map(|text| text.as_str().as_bytes()));
        put(Field::Passphrase, self.passphrase.as_ref().map(|text| text.as_str().as_bytes()));
        put(Field::Host, self.host.as_ref().map(|text| text.as_str().as_bytes()));
        put(Field::Port, self.port.map(|port| port.get().to_le_bytes()).as_ref().map(|b| &b[..]));
        put(Field::Key, self.key.as_ref().map(|key| &key.0[..]));
        put(Field::Name, self.name.as_ref().map(|name| name.as_str().as_bytes()));
        let interval = self.interval.map(|interval| interval.as_millis().to_le_bytes());
        put(Field::Interval, interval.as_ref().map(|bytes| &bytes[..]));
        put(Field::Board, self.board.as_ref().map(|text| text.as_str().as_bytes()));
        put(Field::Led, self.led.map(|led| [level(led)]).as_ref().map(|bytes| &bytes[..]));
        put(Field::Button, self.button.map(|pin| [level(pin)]).as_ref().map(|bytes| &bytes[..]));
        let calibration = self.calibration.map(|calibration| {
            let [a, b] = calibration.dark_mv().to_le_bytes();
            let [c, d] = calibration.bright_mv().to_le_bytes();
            [a, b, c, d]
        });
        put(Field::Calibration, calibration.as_ref().map(|bytes| &bytes[..]));
        sealed(&fields)
    }

    /// Reads the settings at the beginning of a partition. `None`: nothing was ever written there,
    /// every bit of the flash is still set.
    ///
    /// # Errors
    ///
    /// The first fault of what was found, and which setting has it.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, ConfigError> {
        let (header, rest) = bytes.split_first_chunk().ok_or(ConfigError::Length)?;
        if *header == [0xFF; HEADER_LEN] {
            return Ok(None);
        }
        let mut config = Self::default();
        let mut fields = opened(header, rest)?;
        while let [tag, length, after @ ..] = fields {
            let value;
            (value, fields) =
                after.split_at_checked(usize::from(*length)).ok_or(ConfigError::Length)?;
            if let Some(field) = Field::from_tag(*tag) {
                config.take(field, value)?;
            }
        }
        if fields.is_empty() { Ok(Some(config)) } else { Err(ConfigError::Length) }
    }

    fn take(&mut self, field: Field, value: &[u8]) -> Result<(), ConfigError> {
        match field {
            Field::Ssid => put(field, &mut self.ssid, text(value)),
            Field::Passphrase => put(field, &mut self.passphrase, text(value)),
            Field::Host => put(field, &mut self.host, text(value)),
            Field::Port => put(field, &mut self.port, port(value)),
            Field::Key => put(field, &mut self.key, array(value).map(BoardKey)),
            Field::Name => put(field, &mut self.name, name(value)),
            Field::Interval => put(field, &mut self.interval, interval(value)),
            Field::Board => put(field, &mut self.board, text(value)),
            Field::Led => put(field, &mut self.led, polarity(value)),
            Field::Button => put(field, &mut self.button, polarity(value)),
            Field::Calibration => put(field, &mut self.calibration, calibration(value)),
        }
    }
}

/// Puts a header before fields.
fn sealed(fields: &[u8]) -> Encoded {
    let mut bytes = Encoded::new();
    let length = u16::try_from(fields.len()).unwrap_or(u16::MAX);
    let _ = bytes.extend_from_slice(&MAGIC);
    let _ = bytes.extend_from_slice(&VERSION.to_le_bytes());
    let _ = bytes.extend_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes, fields);
    let _ = bytes.extend_from_slice(&checksum.to_le_bytes());
    let _ = bytes.extend_from_slice(fields);
    bytes
}

/// The fields behind a header, if they are what the header says.
fn opened<'a>(header: &[u8; HEADER_LEN], rest: &'a [u8]) -> Result<&'a [u8], ConfigError> {
    let [m0, m1, m2, m3, v0, v1, l0, l1, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(ConfigError::Magic);
    }
    let version = u16::from_le_bytes([v0, v1]);
    if version != VERSION {
        return Err(ConfigError::Version(version));
    }
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let fields = rest.get(..length).ok_or(ConfigError::Length)?;
    if u32::from_le_bytes([c0, c1, c2, c3]) != checksum(&header[..CHECKED_LEN], fields) {
        return Err(ConfigError::Checksum);
    }
    Ok(fields)
}

fn checksum(header: &[u8], fields: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(header);
    digest.update(fields);
    digest.finalize()
}

fn put<T>(
    field: Field,
    place: &mut Option<T>,
    value: Result<T, ValueError>,
) -> Result<(), ConfigError> {
    let value = value.map_err(|error| ConfigError::Value(field, error))?;
    match place.replace(value) {
        Some(_) => Err(ConfigError::Twice(field)),
        None => Ok(()),
    }
}

fn text<T: FromStr<Err = ValueError>>(value: &[u8]) -> Result<T, ValueError> {
    core::str::from_utf8(value).map_err(|_| ValueError::Content)?.parse()
}

fn name(value: &[u8]) -> Result<Name, ValueError> {
    let text = core::str::from_utf8(value).map_err(|_| ValueError::Content)?;
    text.parse().map_err(|_| ValueError::Content)
}

fn array<const N: usize>(value: &[u8]) -> Result<[u8; N], ValueError> {
    value.try_into().map_err(|_| ValueError::Length)
}

fn port(value: &[u8]) -> Result<NonZeroU16, ValueError> {
    NonZeroU16::new(u16::from_le_bytes(array(value)?)).ok_or(ValueError::Range)
}

fn interval(value: &[u8]) -> Result<Interval, ValueError> {
    Interval::from_millis(u32::from_le_bytes(array(value)?))
}

fn calibration(value: &[u8]) -> Result<Calibration, ValueError> {
    let [a, b, c, d] = array(value)?;
    Calibration::new(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

const fn level(polarity: Polarity) -> u8 {
    match polarity {
        Polarity::ActiveHigh => 1,
        Polarity::ActiveLow => 0,
    }
}

fn polarity(value: &[u8]) -> Result<Polarity, ValueError> {
    match array(value)? {
        [0] => Ok(Polarity::ActiveLow),
        [1] => Ok(Polarity::ActiveHigh),
        [_] => Err(ValueError::Range),
    }
}
