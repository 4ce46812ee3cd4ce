//! How readings are summed up, and which resolution is the best for a span of time.

use crate::model::{Timestamp, Width};
use serde::Serialize;
use std::str::FromStr;
use utoipa::ToSchema;

/// How readings are summed up, the finest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(in crate::api) enum Resolution {
    /// Every reading by itself.
    #[serde(rename = "raw")]
    Raw,
    /// By the minute.
    #[serde(rename = "1m")]
    Minute,
    /// By the hour.
    #[serde(rename = "1h")]
    Hour,
}

impl Resolution {
    pub(super) const ALL: [Self; 3] = [Self::Raw, Self::Minute, Self::Hour];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "1m",
            Self::Hour => "1h",
        }
    }

    /// What its buckets sum up; `None` where every reading is by itself.
    pub(super) const fn width(self) -> Option<Width> {
        match self {
            Self::Raw => None,
            Self::Minute => Some(Width::Minute),
            Self::Hour => Some(Width::Hour),
        }
    }

    /// The beginning of the bucket that has this instant.
    pub(super) fn floor(self, at: Timestamp) -> Timestamp {
        let width = self.width().map_or(1, Width::millis);
        Timestamp::from_millis(at.millis().div_euclid(width) * width)
    }
}

/// What a caller may ask for as a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wanted {
    #[default]
    Raw,
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "1h")]
    Hour,
    Auto,
}

impl Wanted {
    /// The resolution that is asked for; `None` where the hub is to choose.
    pub(super) const fn fixed(self) -> Option<Resolution> {
        match self {
            Self::Raw => Some(Resolution::Raw),
            Self::Minute => Some(Resolution::Minute),
            Self::Hour => Some(Resolution::Hour),
            Self::Auto => None,
        }
    }
}

impl FromStr for Wanted {
    type Err = super::ChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "raw" => Ok(Self::Raw),
            "1m" => Ok(Self::Minute),
            "1h" => Ok(Self::Hour),
            "auto" => Ok(Self::Auto),
            _ => Err(super::ChoiceError { given: text.to_owned(), known: "raw, 1m, 1h, auto" }),
        }
    }
}

/// The resolutions that have all there is from `from` on, the finest first; `earliest` says where
/// each of [`Resolution::ALL`] begins, and `None` that it has nothing.
///
/// A resolution that begins within the first bucket of another has what that one has.
pub(super) fn complete(earliest: [Option<Timestamp>; 3], from: Timestamp) -> Vec<Resolution> {
    let tiers = || Resolution::ALL.into_iter().zip(earliest);
    let has_all_of =
        |resolution: Resolution, begin: Timestamp, other: Resolution, at: Timestamp| {
            let coarser = resolution.max(other);
            coarser.floor(begin) <= coarser.floor(at).max(coarser.floor(from))
        };
    tiers()
        .filter_map(|(resolution, begin)| Some((resolution, begin?)))
        .filter(|&(resolution, begin)| {
            tiers().all(|(other, at)| at.is_none_or(|at| has_all_of(resolution, begin, other, at)))
        })
        .map(|(resolution, _)| resolution)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Resolution::{Hour, Minute, Raw};
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_young_channel_has_all_in_every_resolution() {
        let first = 10 * HOUR + 7 * MINUTE + 13;
        let earliest = [first, 10 * HOUR + 7 * MINUTE, 10 * HOUR].map(|at| Some(self::at(at)));
        for from in [0, first, first + HOUR] {
            assert_eq!(complete(earliest, at(from)), [Raw, Minute, Hour]);
        }
    }

    #[test]
    fn what_was_retired_is_not_there() {
        let earliest = [1_000 * HOUR + 5, 500 * HOUR, 20 * HOUR].map(|at| Some(self::at(at)));
        for (from, expected) in [
            (0, &[Hour][..]),
            (499 * HOUR, &[Hour]),
            (500 * HOUR, &[Minute, Hour]),
            (1_000 * HOUR - 1, &[Minute, Hour]),
            (1_000 * HOUR, &[Raw, Minute, Hour]),
            (2_000 * HOUR, &[Raw, Minute, Hour]),
        ] {
            assert_eq!(complete(earliest, at(from)), expected, "{from}");
        }
        let missing = [None, Some(at(500 * HOUR)), Some(at(20 * HOUR))];
        assert_eq!(complete(missing, at(600 * HOUR)), [Minute, Hour]);
        assert_eq!(complete([None; 3], at(0)), []);
    }

    proptest! {
        #[test]
        fn where_there_is_anything_something_has_it_all(
            earliest: [Option<u32>; 3],
            from in any::<u32>(),
        ) {
            let earliest = earliest.map(|at| at.map(|at| self::at(at.into())));
            let complete = complete(earliest, at(from.into()));
            prop_assert_eq!(complete.is_empty(), earliest.iter().all(Option::is_none));
        }

        #[test]
        fn every_width_begins_its_buckets_at_multiples(millis in -1_000_000_000_000_i64..i64::from(u32::MAX)) {
            for resolution in [Minute, Hour] {
                let width = resolution.width().unwrap().millis();
                let floor = resolution.floor(at(millis)).millis();
                prop_assert!(floor <= millis && millis < floor + width && floor % width == 0);
            }
        }
    }
}
