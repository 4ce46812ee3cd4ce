//! The Prometheus text format, version 0.0.4.

use crate::model::Timestamp;
use std::{
    fmt::{self, Write as _},
    time::Duration,
};

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, until the process starts again.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts what was observed in buckets. Written by [`Text::histogram`].
    Histogram,
}

/// A page of figures under way.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family. Its samples have to follow at once.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string can't fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: &mut self.0, name }
    }

    /// Writes a histogram of durations. Each bucket comes with its upper bound in milliseconds and
    /// what fell into it alone; what is above the last bound is only in `count`.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        buckets: impl IntoIterator<Item = (u64, u64)>,
        count: u64,
        sum: Duration,
    ) {
        self.family(name, Kind::Histogram, help);
        let mut below = 0;
        for (bound, observed) in buckets {
            below += observed;
            let bound = Duration::from_millis(bound).as_secs_f64();
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let sum = sum.as_secs_f64();
        let _ = writeln!(
            self.0,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
        );
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A family of samples under way.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// Adds the only sample of a family without labels.
    pub(super) fn value(&mut self, value: impl Into<Value>) {
        self.labelled(&[], value);
    }

    /// Adds a sample.
    pub(super) fn labelled(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) {
        self.text.push_str(self.name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {}", value.into());
    }
}

/// The value of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// Printed exactly; what reads it keeps 53 bits.
    Whole(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) if value == f64::INFINITY => f.write_str("+Inf"),
            Self::Real(value) if value == f64::NEG_INFINITY => f.write_str("-Inf"),
            Self::Real(value) => value.fmt(f),
        }
    }
}

/// An instant as Prometheus has it: seconds since the Unix epoch.
#[expect(clippy::cast_precision_loss, reason = "milliseconds fit 53 bits for 280,000 years")]
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// Reads one sample line as the format's definition says.
    fn parse(line: &str) -> (String, Vec<(String, String)>, f64) {
        let name_end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (label, text) = rest.split_once("=\"").unwrap();
                let (mut value, mut chars) = (String::new(), text.char_indices());
                let end = loop {
                    match chars.next().unwrap() {
                        (at, '"') => break at,
                        (_, '\\') => value.push(match chars.next().unwrap().1 {
                            'n' => '\n',
                            c @ ('\\' | '"') => c,
                            c => panic!("unknown escape {c:?}"),
                        }),
                        (_, c) => value.push(c),
                    }
                };
                labels.push((label.to_owned(), value));
                rest = &text[end + 1..];
                if let Some(after) = rest.strip_prefix('}') {
                    rest = after;
                    break;
                }
                rest = rest.strip_prefix(',').unwrap();
            }
        }
        let value = rest.strip_prefix(' ').unwrap();
        (name.to_owned(), labels, value.parse().unwrap())
    }

    proptest! {
        #[test]
        fn samples_come_back_whatever_their_labels_and_help_say(
            help: String,
            values in vec(any::<String>(), 0..4),
            number: f64,
        ) {
            let labels: Vec<_> =
                ["a", "b", "c"].into_iter().zip(values.iter().map(String::as_str)).collect();
            let mut text = Text::default();
            text.family("capteur_x_total", Kind::Counter, &help).labelled(&labels, number);
            let text = text.finish();
            let lines: Vec<_> = text.split_terminator('\n').collect();
            prop_assert_eq!(lines.len(), 3);
            prop_assert!(lines[0].starts_with("# HELP capteur_x_total "));
            prop_assert_eq!(lines[1], "# TYPE capteur_x_total counter");
            let (name, found, value) = parse(lines[2]);
            prop_assert_eq!(name, "capteur_x_total");
            let found: Vec<_> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            prop_assert_eq!(found, labels);
            prop_assert_eq!(value.to_bits(), number.to_bits());
        }
    }

    #[test]
    fn a_histogram_counts_up_from_bucket_to_bucket() {
        let mut text = Text::default();
        let sum = Duration::from_millis(9_009);
        text.histogram("capteur_x_seconds", "X.", [(1, 1), (2, 0), (5, 2)], 4, sum);
        assert_eq!(
            text.finish(),
            "# HELP capteur_x_seconds X.\n\
             # TYPE capteur_x_seconds histogram\n\
             capteur_x_seconds_bucket{le=\"0.001\"} 1\n\
             capteur_x_seconds_bucket{le=\"0.002\"} 1\n\
             capteur_x_seconds_bucket{le=\"0.005\"} 3\n\
             capteur_x_seconds_bucket{le=\"+Inf\"} 4\n\
             capteur_x_seconds_sum 9.009\n\
             capteur_x_seconds_count 4\n"
        );
    }

    #[test]
    fn extremes_are_spelled_as_the_format_has_them() {
        for (value, text) in [
            (Value::from(u64::MAX), "18446744073709551615"),
            (Value::from(f64::INFINITY), "+Inf"),
            (Value::from(f64::NEG_INFINITY), "-Inf"),
            (Value::from(f64::NAN), "NaN"),
            (Value::from(0.58), "0.58"),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }
}
