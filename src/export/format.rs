//! How a row looks.

use super::Subject;
use crate::model::{Channel, Timestamp};
use capteur_protocol::{Mac, Name};
use serde::Serialize;
use std::{borrow::Cow, fmt, fmt::Write as _, str::FromStr};

/// The columns, as the first line of CSV names them.
const HEADER: &str = "time,mac,name,channel,value\r\n";

/// How readings are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Comma-separated values (RFC 4180) with a header line, in UTF-8.
    #[default]
    Csv,
    /// One JSON array of objects, an object a line.
    Json,
    /// A JSON object a line, and nothing else.
    Ndjson,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Json, Self::Ndjson];

    /// The format's name, which also is what names of such files end with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
        }
    }

    /// The format's media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// What comes before the first row.
    pub(super) const fn head(self) -> &'static str {
        match self {
            Self::Csv => HEADER,
            Self::Json => "[",
            Self::Ndjson => "",
        }
    }

    /// What comes behind the last row.
    pub(super) const fn tail(self) -> &'static str {
        match self {
            Self::Csv | Self::Ndjson => "",
            Self::Json => "\n]\n",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of csv, json, ndjson")]
pub struct FormatError(String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut all = Self::ALL.into_iter();
        all.find(|format| format.as_str() == text).ok_or_else(|| FormatError(text.to_owned()))
    }
}

/// Writes rows.
#[derive(Debug)]
pub(super) struct Rows {
    format: Format,
    /// Whether no row was written yet.
    first: bool,
}

/// A row as JSON shows it.
#[derive(Serialize)]
struct Row<'a> {
    time: Timestamp,
    mac: Mac,
    name: &'a Name,
    channel: Channel,
    value: serde_json::Value,
}

impl Rows {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, first: true }
    }

    /// Writes the readings of one channel, each a row.
    pub(super) fn write(
        &mut self,
        text: &mut String,
        subject: &Subject,
        channel: Channel,
        readings: &[(Timestamp, u8)],
    ) {
        let Subject { mac, name, .. } = subject;
        match self.format {
            Format::Csv => {
                let name = quoted(name.as_str());
                for (at, value) in readings {
                    // Writing to a string can't fail.
                    let _ =
                        write!(text, "{at},{mac},{name},{channel},{}\r\n", channel.json(*value));
                }
            }
            Format::Json | Format::Ndjson => {
                for &(time, value) in readings {
                    let row = Row { time, mac: *mac, name, channel, value: channel.json(value) };
                    // Such a row always has a JSON text.
                    let row = serde_json::to_string(&row).unwrap_or_default();
                    match self.format {
                        Format::Ndjson => text.extend([&row, "\n"]),
                        _ if self.first => text.extend(["\n", &row]),
                        _ => text.extend([",\n", &row]),
                    }
                    self.first = false;
                }
            }
        }
    }
}

/// A field as RFC 4180, section 2, wants it.
fn quoted(field: &str) -> Cow<'_, str> {
    if field.contains(['"', ',', '\r', '\n']) {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceId;

    fn subject(name: &str) -> Subject {
        Subject { id: DeviceId(1), mac: Mac([1, 2, 3, 4, 5, 6]), name: name.parse().unwrap() }
    }

    fn written(format: Format) -> String {
        let at = Timestamp::from_millis(1_763_800_000_000);
        let mut rows = Rows::new(format);
        let mut text = format.head().to_owned();
        rows.write(&mut text, &subject("Salle \"é\", 1"), Channel::Led, &[(at, 1)]);
        rows.write(&mut text, &subject("b"), Channel::Photoresistor, &[(at, 0), (at, 100)]);
        text.push_str(format.tail());
        text
    }

    #[test]
    fn csv_has_a_header_crlf_and_quotes_where_a_name_needs_them() {
        assert_eq!(
            written(Format::Csv),
            "time,mac,name,channel,value\r\n\
             2025-11-22T08:26:40.000Z,01:02:03:04:05:06,\"Salle \"\"é\"\", 1\",led,true\r\n\
             2025-11-22T08:26:40.000Z,01:02:03:04:05:06,b,photoresistor,0\r\n\
             2025-11-22T08:26:40.000Z,01:02:03:04:05:06,b,photoresistor,100\r\n"
        );
    }

    #[test]
    fn json_is_one_array_and_ndjson_its_objects_by_the_line() {
        let array: Vec<serde_json::Value> = serde_json::from_str(&written(Format::Json)).unwrap();
        let lines: Vec<serde_json::Value> = written(Format::Ndjson)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(array, lines);
        assert_eq!(array[0]["name"], "Salle \"é\", 1");
        assert_eq!(array[0]["value"], true);
        assert_eq!(array[2]["value"], 100);
        assert_eq!(array[2]["time"], "2025-11-22T08:26:40.000Z");
        assert!(written(Format::Ndjson).starts_with("{\"time\":"));
    }

    #[test]
    fn nothing_is_an_empty_table() {
        let empty = |format: Format| [format.head(), format.tail()].concat();
        assert_eq!(empty(Format::Json), "[\n]\n");
        assert_eq!(empty(Format::Csv), HEADER);
        assert_eq!(empty(Format::Ndjson), "");
    }

    #[test]
    fn formats_have_their_names() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert!("CSV".parse::<Format>().is_err());
    }
}
