//! Device numbers, names and session ids: what is given out once and never again.

use crate::model::{DeviceId, Marks, Timestamp};
use capteur_protocol::{NAME_MAX, Name, SessionId};

/// What default names begin with where the settings' prefix can't begin a name.
const FALLBACK_PREFIX: &str = "capteur";

/// Microseconds in a second, and values of six digits.
const SECOND: u64 = 1_000_000;

/// The last second of the year 2199: a clock beyond it is wrong. To follow it would leave ids that
/// every later one has to exceed.
const CLOCK_MAX: u64 = 7_258_118_399;

/// Gives out numbers, names and session ids.
#[derive(Debug)]
pub(super) struct Issuer {
    marks: Marks,
    prefix: String,
}

impl Issuer {
    /// Goes on from `marks`.
    pub(super) fn new(marks: Marks, prefix: &str) -> Self {
        Self { marks, prefix: prefix.to_owned() }
    }

    /// The counters that have to be on the medium before anything given out leaves the hub.
    pub(super) const fn marks(&self) -> Marks {
        self.marks
    }

    /// The number for a new device; `None` when 2^32 have been given out.
    pub(super) fn device(&mut self) -> Option<DeviceId> {
        let id = DeviceId(self.marks.next_device);
        self.marks.next_device = id.0.checked_add(1)?;
        Some(id)
    }

    /// The name for a new device: the prefix and one more than the highest number ever given out,
    /// beyond those that are `taken`. `None` when the numbers are used up.
    pub(super) fn name(&mut self, taken: impl Fn(&Name) -> bool) -> Option<Name> {
        loop {
            let number = self.marks.highest_name.checked_add(1)?;
            self.marks.highest_name = number;
            let name = default_name(&self.prefix, number)
                .or_else(|| default_name(FALLBACK_PREFIX, number))?;
            if !taken(&name) {
                return Some(name);
            }
        }
    }

    /// A session id above all that were ever given out; `None` when there is none left.
    pub(super) fn session(&mut self, wall: Timestamp, random: u32) -> Option<SessionId> {
        let session = next_session(self.marks.last_session, wall, random)?;
        self.marks.last_session = Some(session);
        Some(session)
    }
}

/// `prefix` and at least two digits. A prefix that leaves no room for the digits is cut.
fn default_name(prefix: &str, number: u32) -> Option<Name> {
    let digits = format!("{number:02}");
    let end = prefix.floor_char_boundary(NAME_MAX - digits.len());
    format!("{}{digits}", &prefix[..end]).parse().ok()
}

/// The id that follows `last`.
///
/// In a second that no id has reached yet, it is that second with six random digits. Otherwise, in
/// a second that is in use or with a clock that stands behind, it is a random step above `last`:
/// up to a second, so that the next id can be guessed no better than six random digits.
///
/// The ids can't run out. A step takes at most one part in 2^33 of the room that is left, so ten
/// billion steps, a thousand a second for four months, leave more than a quarter of it; what is left
/// then is taken in smaller steps. The clock, which is believed until 2199, leaves a quarter of all
/// ids above it.
fn next_session(last: Option<SessionId>, wall: Timestamp, random: u32) -> Option<SessionId> {
    let last = last.map_or(0, SessionId::micros);
    let second = u64::try_from(wall.millis()).unwrap_or(0) / 1_000;
    let random = u64::from(random);
    let micros = if second > last / SECOND && second <= CLOCK_MAX {
        second * SECOND + random % SECOND
    } else {
        let room = SessionId::MAX.micros() - last;
        last + 1 + random % (room >> 33).clamp(1, SECOND)
    };
    SessionId::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(prefix: &str, highest_name: u32) -> String {
        let marks = Marks { highest_name, ..Marks::default() };
        Issuer::new(marks, prefix).name(|_| false).unwrap().to_string()
    }

    #[test]
    fn default_names_have_at_least_two_digits() {
        assert_eq!(name("capteur", 0), "capteur01");
        assert_eq!(name("capteur", 98), "capteur99");
        assert_eq!(name("capteur", 99), "capteur100");
        assert_eq!(name("", 6), "07");
    }

    #[test]
    fn a_taken_name_is_passed_over_and_its_number_with_it() {
        let mut issuer = Issuer::new(Marks::default(), "capteur");
        let taken = |name: &Name| matches!(name.as_str(), "capteur01" | "capteur02");
        assert_eq!(issuer.name(taken).unwrap().as_str(), "capteur03");
        assert_eq!(issuer.marks().highest_name, 3);
    }

    #[test]
    fn numbers_that_are_used_up_are_not_given_out_again() {
        let marks = Marks { highest_name: u32::MAX, next_device: u32::MAX, ..Marks::default() };
        let mut issuer = Issuer::new(marks, "capteur");
        assert_eq!(issuer.name(|_| false), None);
        assert_eq!(issuer.device(), None);
    }

    #[test]
    fn a_prefix_that_no_name_can_begin_with_falls_back() {
        assert_eq!(name("a;b", 0), "capteur01");
        assert_eq!(name("61:EC:ED:3B:25:", 0), "capteur01", "it would look like a MAC");
    }

    #[test]
    fn an_id_of_a_fresh_second_spells_that_second() {
        let wall = Timestamp::from_millis(1_743_946_777_999);
        let id = next_session(None, wall, 603_371).unwrap();
        assert_eq!(id.to_string(), "1743946777.603371");
    }

    #[test]
    fn a_wrong_clock_in_the_far_future_is_not_followed() {
        let last = next_session(None, Timestamp::from_millis(1_743_946_777_000), 0);
        let next = next_session(last, Timestamp::MAX, u32::MAX).unwrap();
        assert!(next.micros() - last.unwrap().micros() <= SECOND);
    }

    #[test]
    fn the_last_id_is_followed_by_none() {
        assert_eq!(next_session(Some(SessionId::MAX), Timestamp::default(), 7), None);
    }

    #[test]
    fn ten_billion_steps_leave_a_quarter_of_the_room() {
        // The largest step at every draw, in strides that share their step.
        let start = 1_800_000_000 * SECOND;
        let stride = 1_000_000;
        let mut last = start;
        for _ in 0..10_000_000_000_u64 / stride {
            let bound = ((SessionId::MAX.micros() - last) >> 33).clamp(1, SECOND);
            let largest = u32::try_from(bound - 1).unwrap();
            let id = SessionId::from_micros(last);
            let next = next_session(id, Timestamp::default(), largest).unwrap();
            last += (next.micros() - last) * stride;
        }
        let room = |last| SessionId::MAX.micros() - last;
        assert!(room(last) > room(start) / 4);
    }

    proptest! {
        #[test]
        fn ids_strictly_grow_whatever_the_clock_does(
            draws in proptest::collection::vec((any::<i64>(), any::<u32>()), 1..50),
        ) {
            let mut last = None;
            for (millis, random) in draws {
                let id = next_session(last, Timestamp::from_millis(millis), random);
                prop_assert!(id.is_some() && id > last);
                prop_assert_eq!(id.unwrap().to_string().len(), 17);
                last = id;
            }
        }

        #[test]
        fn default_names_are_never_too_long(prefix in "\\PC{0,40}", highest in 0..u32::MAX) {
            prop_assert!(name(&prefix, highest).len() <= NAME_MAX);
        }
    }
}
