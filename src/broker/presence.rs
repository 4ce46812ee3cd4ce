//! Under which identity a connection has spoken, and who has to be said to have left when it ends.
//!
//! Whoever holds a device online learns of its end from `state/leave` alone. So a connection that
//! ends without a leave or a will for the pair that it spoke under gets one from the front.

use capteur_protocol::{DeviceMessage, Pair, Topic};

/// The pairs of a connection.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// The pair under which it last spoke, if it has not left since.
    claimed: Option<Box<str>>,
    /// The pair for which it last published a leave itself.
    left: Option<Box<str>>,
}

impl Presence {
    /// Takes note of what the connection publishes.
    pub(crate) fn observe(&mut self, topic: Topic, payload: &[u8]) {
        if topic != Topic::Leave && self.is_claimed(payload) {
            return;
        }
        let Ok(message) = DeviceMessage::parse(topic, payload) else {
            return;
        };
        let Some(pair) = message.pair() else {
            return;
        };
        let pair: Box<str> = pair.to_string().into();
        if topic == Topic::Leave {
            if self.claimed.as_ref() == Some(&pair) {
                self.claimed = None;
            }
            self.left = Some(pair);
        } else {
            if self.left.as_ref() == Some(&pair) {
                self.left = None;
            }
            self.claimed = Some(pair);
        }
    }

    /// For whom a leave is missing now that the connection has ended: `bound` is the pair that the
    /// connection is known under, `will` the one for which its will has just been published.
    pub(crate) fn missing_leaves(&self, bound: Option<&Pair>, will: Option<&str>) -> Vec<Box<str>> {
        let bound = bound.map(|pair| pair.to_string().into_boxed_str());
        let mut missing: Vec<Box<str>> = Vec::new();
        for pair in self.claimed.iter().chain(&bound) {
            let told = will == Some(&**pair) || self.left.as_ref() == Some(pair);
            if !told && !missing.contains(pair) {
                missing.push(pair.clone());
            }
        }
        missing
    }

    /// Whether a payload is under the pair that is claimed already: the common case, which should
    /// cost nothing. Whether the rest of it is right does not matter here.
    fn is_claimed(&self, payload: &[u8]) -> bool {
        self.claimed.as_ref().is_some_and(|claimed| {
            payload
                .strip_prefix(claimed.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b';'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "capteur01;1743946777.603371";
    const TWO: &str = "capteur02;1743946777.603372";

    fn reading(pair: &str) -> Vec<u8> {
        format!("{pair};1").into_bytes()
    }

    fn missing(presence: &Presence) -> Vec<Box<str>> {
        presence.missing_leaves(None, None)
    }

    #[test]
    fn a_connection_that_never_gave_a_pair_leaves_nobody() {
        let mut presence = Presence::default();
        presence.observe(Topic::Join, b"61:EC:ED:3B:25:B1");
        presence.observe(Topic::ButtonStatus, b"garbage");
        assert!(missing(&presence).is_empty());
    }

    #[test]
    fn the_last_pair_is_left() {
        let mut presence = Presence::default();
        presence.observe(Topic::Join, ONE.as_bytes());
        assert_eq!(missing(&presence), [ONE.into()]);
        presence.observe(Topic::LedStatus, &reading(TWO));
        assert_eq!(missing(&presence), [TWO.into()]);
    }

    #[test]
    fn a_leave_or_the_will_says_it_already() {
        let mut presence = Presence::default();
        presence.observe(Topic::ButtonStatus, &reading(ONE));
        let pair: Pair = ONE.parse().unwrap();
        assert!(presence.missing_leaves(Some(&pair), Some(ONE)).is_empty());
        presence.observe(Topic::Leave, ONE.as_bytes());
        assert!(presence.missing_leaves(Some(&pair), None).is_empty());
        presence.observe(Topic::ButtonStatus, &reading(ONE));
        assert_eq!(missing(&presence), [ONE.into()]);
    }

    #[test]
    fn the_pair_that_the_connection_is_known_under_is_left_too() {
        let mut presence = Presence::default();
        presence.observe(Topic::ButtonStatus, &reading(TWO));
        let pair: Pair = ONE.parse().unwrap();
        assert_eq!(presence.missing_leaves(Some(&pair), None), [TWO.into(), ONE.into()]);
        assert_eq!(presence.missing_leaves(Some(&TWO.parse().unwrap()), None), [TWO.into()]);
    }
}
