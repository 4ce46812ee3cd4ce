//! What the registry counts, for metrics.

use crate::{broker::Verdict, model::CommandState};
use capteur_protocol::{ParseError, Topic};
use std::{collections::BTreeMap, time::Duration};

/// The upper bounds of the buckets of [`Latency`], in milliseconds.
pub const LATENCY_BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// Everything counted since the hub started. Plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages of devices that were taken, by topic.
    pub accepted: BTreeMap<&'static str, u64>,
    /// Well-formed messages of devices that were discarded, by [`Discard::reason`].
    pub discarded: BTreeMap<&'static str, u64>,
    /// Malformed payloads, by [`ParseError::reason`].
    pub malformed: BTreeMap<&'static str, u64>,
    /// Readings that were taken and not recorded, since the disk is nearly full.
    pub not_recorded: u64,
    /// Sessions that were opened for a MAC.
    pub sessions_opened: u64,
    /// How often a device came online.
    pub joins: u64,
    /// How often a device that was online went.
    pub leaves: u64,
    /// Commands that were given.
    pub commands_issued: u64,
    /// Commands that were confirmed.
    pub commands_confirmed: u64,
    /// Commands that were not confirmed in time.
    pub commands_timed_out: u64,
    /// Commands that a newer one took the place of.
    pub commands_superseded: u64,
    /// How long confirmations took.
    pub confirm_latency: Latency,
    /// How many devices there are now in each state, by [`DeviceState::as_str`](crate::model::DeviceState::as_str).
    pub devices: BTreeMap<&'static str, usize>,
}

impl Stats {
    pub(super) fn accept(&mut self, topic: Topic) {
        *self.accepted.entry(topic.as_str()).or_default() += 1;
    }

    pub(super) fn discard(&mut self, discard: Discard) {
        *self.discarded.entry(discard.reason()).or_default() += 1;
    }

    pub(super) fn malformed(&mut self, error: ParseError) {
        *self.malformed.entry(error.reason()).or_default() += 1;
    }

    pub(super) fn command_ended(&mut self, outcome: CommandState, took: Duration) {
        match outcome {
            CommandState::Sent => {}
            CommandState::Confirmed => {
                self.commands_confirmed += 1;
                self.confirm_latency.observe(took);
            }
            CommandState::TimedOut => self.commands_timed_out += 1,
            CommandState::Superseded => self.commands_superseded += 1,
        }
    }
}

/// Why a well-formed message of a device was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discard {
    /// Its pair is not, or no longer, of a session that counts.
    Stale,
    /// Its connection is another device's, or has not proven to be this one's.
    ForeignIdentity,
    /// Its MAC is of a device that is online elsewhere.
    MacInUse,
    /// Its MAC is unknown, and newcomers are not let in.
    UnknownMac,
    /// Its backlog has a reading of an age that no board keeps; counted for each.
    TooOld,
    /// Its backlog reaches back to before the hub's start, and the hub does not know the time yet.
    Undated,
    /// There are as many devices, names or sessions as there can be.
    Exhausted,
}

impl Discard {
    /// A short fixed word, fit for a metric's label.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::ForeignIdentity => "foreign_identity",
            Self::MacInUse => "mac_in_use",
            Self::UnknownMac => "unknown_mac",
            Self::TooOld => "too_old",
            Self::Undated => "undated",
            Self::Exhausted => "exhausted",
        }
    }

    /// What the publisher is told. Most of it is *ignored*: a board that repeats its join gets in
    /// later, and a refusal would only make it give up.
    pub(super) const fn verdict(self) -> Verdict {
        match self {
            Self::ForeignIdentity => Verdict::NotAuthorized,
            // What a board takes for "not now".
            Self::Undated => Verdict::QuotaExceeded,
            Self::Stale | Self::MacInUse | Self::UnknownMac | Self::TooOld | Self::Exhausted => {
                Verdict::Accepted
            }
        }
    }
}

/// A histogram with fixed buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many were observed.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
    /// How many fell into the bucket that ends at each of [`LATENCY_BOUNDS_MS`] and begins behind
    /// the one before: not cumulative. What is above the last bound is only in `count`.
    pub buckets: [u64; LATENCY_BOUNDS_MS.len()],
}

impl Latency {
    fn observe(&mut self, took: Duration) {
        self.count += 1;
        self.sum += took;
        let bucket = LATENCY_BOUNDS_MS.iter().position(|ms| took <= Duration::from_millis(*ms));
        if let Some(count) = bucket.and_then(|bucket| self.buckets.get_mut(bucket)) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_falls_into_the_first_bucket_that_holds_it() {
        let mut latency = Latency::default();
        for millis in [1, 3, 5, 9_000] {
            latency.observe(Duration::from_millis(millis));
        }
        assert_eq!((latency.count, latency.sum), (4, Duration::from_millis(9_009)));
        assert_eq!(latency.buckets, [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
