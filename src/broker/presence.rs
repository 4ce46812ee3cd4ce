//! Under which identity a connection has spoken, and who has to be said to have left when it ends.
//!
//! Whoever holds a device online learns of its end from `state/leave` alone. So a connection that
//! ends without a leave or a will for a pair that it spoke under gets one from the front. Which of
//! its pairs counts is known only later, when the registry has taken it in: so all of them do.

use capteur_protocol::{DeviceMessage, Pair, Topic};

/// Under how many pairs a connection may speak without leaving them. A board has one, or two while
/// it is being renamed; one that tries every session that it was ever offered has
/// [`SESSIONS_OPEN_MAX`](crate::model::SESSIONS_OPEN_MAX).
const CLAIMS_MAX: usize = 128;

/// The pairs of a connection.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// The pairs under which it spoke and that it has not left since.
    claimed: Vec<Box<str>>,
    /// The pair for which it last published a leave itself.
    left: Option<Box<str>>,
}

/// More pairs than a board can have; the last one was not taken note of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyPairs;

impl Presence {
    /// Takes note of what the connection publishes.
    pub(crate) fn observe(&mut self, topic: Topic, payload: &[u8]) -> Result<(), TooManyPairs> {
        if topic != Topic::Leave && self.is_claimed(payload) {
            return Ok(());
        }
        let Ok(message) = DeviceMessage::parse(topic, payload) else {
            return Ok(());
        };
        let Some(pair) = message.pair() else {
            return Ok(());
        };
        let pair: Box<str> = pair.to_string().into();
        if topic == Topic::Leave {
            self.claimed.retain(|claimed| *claimed != pair);
            self.left = Some(pair);
            return Ok(());
        }
        if self.left.as_ref() == Some(&pair) {
            self.left = None;
        }
        if self.claimed.len() >= CLAIMS_MAX {
            return Err(TooManyPairs);
        }
        self.claimed.push(pair);
        Ok(())
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

    /// Whether a payload is under a pair that is claimed already: the common case, which should
    /// cost nothing. Whether the rest of it is right does not matter here.
    fn is_claimed(&self, payload: &[u8]) -> bool {
        self.claimed.iter().any(|claimed| {
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
        presence.observe(Topic::Join, b"61:EC:ED:3B:25:B1").unwrap();
        presence.observe(Topic::ButtonStatus, b"garbage").unwrap();
        assert!(missing(&presence).is_empty());
    }

    #[test]
    fn a_pair_is_left_once() {
        let mut presence = Presence::default();
        presence.observe(Topic::Join, ONE.as_bytes()).unwrap();
        assert_eq!(missing(&presence), [ONE.into()]);
        presence.observe(Topic::Join, ONE.as_bytes()).unwrap();
        assert_eq!(missing(&presence), [ONE.into()]);
    }

    #[test]
    fn no_pair_is_forgotten_for_another() {
        let mut presence = Presence::default();
        presence.observe(Topic::Join, ONE.as_bytes()).unwrap();
        presence.observe(Topic::LedStatus, &reading(TWO)).unwrap();
        assert_eq!(missing(&presence), [ONE.into(), TWO.into()]);
        presence.observe(Topic::Leave, ONE.as_bytes()).unwrap();
        assert_eq!(missing(&presence), [TWO.into()]);
    }

    #[test]
    fn so_many_pairs_are_no_boards() {
        let mut presence = Presence::default();
        let speak = |presence: &mut Presence, number: usize| {
            presence
                .observe(Topic::LedStatus, &reading(&format!("capteur01;1743946777.{number:06}")))
        };
        for number in 0..CLAIMS_MAX {
            assert_eq!(speak(&mut presence, number), Ok(()));
        }
        assert_eq!(speak(&mut presence, 0), Ok(()));
        assert_eq!(speak(&mut presence, CLAIMS_MAX), Err(TooManyPairs));
        assert_eq!(missing(&presence).len(), CLAIMS_MAX);
    }

    #[test]
    fn a_leave_or_the_will_says_it_already() {
        let mut presence = Presence::default();
        presence.observe(Topic::ButtonStatus, &reading(ONE)).unwrap();
        let pair: Pair = ONE.parse().unwrap();
        assert!(presence.missing_leaves(Some(&pair), Some(ONE)).is_empty());
        presence.observe(Topic::Leave, ONE.as_bytes()).unwrap();
        assert!(presence.missing_leaves(Some(&pair), None).is_empty());
        presence.observe(Topic::ButtonStatus, &reading(ONE)).unwrap();
        assert_eq!(missing(&presence), [ONE.into()]);
    }

    #[test]
    fn the_pair_that_the_connection_is_known_under_is_left_too() {
        let mut presence = Presence::default();
        presence.observe(Topic::ButtonStatus, &reading(TWO)).unwrap();
        let pair: Pair = ONE.parse().unwrap();
        assert_eq!(presence.missing_leaves(Some(&pair), None), [TWO.into(), ONE.into()]);
        assert_eq!(presence.missing_leaves(Some(&TWO.parse().unwrap()), None), [TWO.into()]);
    }
}
