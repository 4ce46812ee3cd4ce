//! Parameters in the query, refused by name.

use super::problem::{Kind, Problem};
use crate::model::Timestamp;
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, fmt, ops::RangeInclusive, str::FromStr};

/// The parameters of a query that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value&…`.
    ///
    /// A `+` stays a `+`, against the habit of HTML forms: no value of ours has a blank, while an
    /// offset such as `+01:00` is often sent as it is.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let decode = |text: &str| {
            percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| {
                Problem::new(
                    Kind::BAD_REQUEST,
                    format!("the query has {text:?}, which is not UTF-8"),
                )
            })
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Problem::parameter(Kind::BAD_REQUEST, &name, "is given twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Takes a parameter, where it is there.
    pub(super) fn take<T>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Some(index) = self.0.iter().position(|(known, _)| known == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(index);
        value
            .parse()
            .map(Some)
            .map_err(|error: T::Err| Problem::parameter(Kind::BAD_REQUEST, name, error.to_string()))
    }

    /// Takes a number that has to be in `range`.
    pub(super) fn take_number(
        &mut self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, Problem> {
        let Some(text) = self.take::<String>(name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            let detail = format!("{text:?} is not a whole number from {low} to {high}");
            Problem::parameter(Kind::BAD_REQUEST, name, detail)
        })
    }

    /// Refuses what nobody has taken.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            Some((name, _)) => Err(Problem::parameter(Kind::BAD_REQUEST, name, "is unknown")),
            None => Ok(()),
        }
    }
}

/// An instant in a query: RFC 3339, or milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeParameter(pub(super) Timestamp);

/// A text that is not an instant in a query.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is neither an RFC 3339 time such as 2026-11-22T14:05:27.123Z nor milliseconds since 1970"
)]
pub(super) struct TimeParameterError(String);

impl FromStr for TimeParameter {
    type Err = TimeParameterError;

    fn from_str(text: &str) -> Result<Self, TimeParameterError> {
        let millis = text.parse().map(Timestamp::from_millis).ok();
        millis
            .or_else(|| text.parse().ok())
            .map(Self)
            .ok_or_else(|| TimeParameterError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::{collection::btree_map, prelude::*};

    #[test]
    fn times_are_read_in_both_spellings_with_or_without_encoding() {
        let at = Timestamp::from_millis(1_763_800_000_000);
        for text in [
            "1763800000000",
            "2025-11-22T08:26:40Z",
            "2025-11-22T09:26:40%2B01:00",
            "2025-11-22T09:26:40+01:00",
            "2025-11-22T08%3A26%3A40.000Z",
        ] {
            let mut query = Query::parse(&format!("from={text}")).unwrap();
            assert_eq!(query.take("from").unwrap(), Some(TimeParameter(at)), "{text}");
        }
        for text in ["", "yesterday", "1.5", "2025-11-22"] {
            let mut query = Query::parse(&format!("from={text}")).unwrap();
            assert!(query.take::<TimeParameter>("from").is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_doubled_and_extreme_parameters_are_refused_by_name() {
        let named = |problem: Problem, name: &str| format!("{problem:?}").contains(name);
        assert!(named(Query::parse("a=1&b=2&a=1").unwrap_err(), "`a`"));
        assert!(named(Query::parse("limt=1").unwrap().finish().unwrap_err(), "`limt`"));
        for limit in ["0", "11", "-1", "x", "99999999999999999999"] {
            let mut query = Query::parse(&format!("limit={limit}")).unwrap();
            let problem = query.take_number("limit", 1..=10).unwrap_err();
            assert!(named(problem, "whole number from 1 to 10"), "{limit}");
        }
        let mut query = Query::parse("limit=10&").unwrap();
        assert_eq!(query.take_number("limit", 1..=10).unwrap(), Some(10));
        assert!(query.finish().is_ok());
    }

    proptest! {
        #[test]
        fn encoded_parameters_come_back_and_no_text_panics(
            pairs in btree_map("\\PC{1,8}", "\\PC{0,8}", 0..5),
            noise: String,
        ) {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let text = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
            let mut query = Query::parse(&text.collect::<Vec<_>>().join("&")).unwrap();
            for (name, value) in pairs {
                prop_assert_eq!(query.take::<String>(&name).unwrap(), Some(value));
            }
            prop_assert!(query.finish().is_ok());
            let _ = Query::parse(&noise);
        }
    }
}
