//! Light readings that the hub has not got.

use capteur_protocol::{Aged, Backlog as Batch, Pair, Percent};
use embassy_time::{Duration, Instant};
use heapless::Deque;

/// How many readings that were published at QoS 0 are remembered until they count as arrived: all of a
/// board that measures ten times a second, for as long as it takes to notice that the hub is silent.
const UNPROVEN_MAX: usize = 96;

/// A hub that says something has heard what was sent so long before: ample for a local network.
const PROVEN_AFTER: Duration = Duration::from_secs(1);

/// After so many refusals in a row a hub counts as one that takes no backlogs.
const REFUSALS_MAX: u8 = 3;

/// How long such a hub is left in peace before it is tried again: it may have been renewed.
const REFUSED_FOR: Duration = Duration::from_secs(60 * 60);

/// How long a hub that has no room for readings is left in peace.
const FULL_FOR: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    level: Percent,
}

/// Readings in the order in which they were taken: the oldest is sent first, and dropped first
/// where there is no room for all of them.
#[derive(Debug)]
pub(crate) struct Backlog<const N: usize> {
    readings: Deque<Reading, N>,
    /// How many of the oldest are under way to the hub.
    sent: usize,
    /// Readings that were published at QoS 0, which nobody acknowledges.
    unproven: Deque<Reading, UNPROVEN_MAX>,
    refusals: u8,
    /// Until when nothing is sent.
    silent_until: Instant,
    lost: u32,
}

impl<const N: usize> Backlog<N> {
    pub(crate) const fn new() -> Self {
        Self {
            readings: Deque::new(),
            sent: 0,
            unproven: Deque::new(),
            refusals: 0,
            silent_until: Instant::MIN,
            lost: 0,
        }
    }

    /// How many readings were dropped.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Keeps a reading until the hub has it.
    pub(crate) fn keep(&mut self, at: Instant, level: Percent) {
        if self.readings.is_full() {
            self.drop_oldest();
        }
        if self.readings.push_back(Reading { at, level }).is_err() {
            // A backlog without room.
            self.count_lost(1);
        }
    }

    /// Remembers a reading that was published at QoS 0.
    pub(crate) fn published(&mut self, at: Instant, level: Percent) {
        if self.unproven.is_full() {
            self.unproven.pop_front();
        }
        let _ = self.unproven.push_back(Reading { at, level });
    }

    /// The hub was heard: what was published a while before has arrived.
    pub(crate) fn heard(&mut self, at: Instant) {
        while self.unproven.front().is_some_and(|reading| reading.at + PROVEN_AFTER <= at) {
            self.unproven.pop_front();
        }
    }

    /// The connection has ended: what was under way may not have arrived.
    pub(crate) fn interrupted(&mut self) {
        self.sent = 0;
        while let Some(Reading { at, level }) = self.unproven.pop_front() {
            self.keep(at, level);
        }
    }

    /// The next message's readings, with their age as of `now`. They stay until
    /// [`settled`](Self::settled).
    pub(crate) fn batch(&mut self, pair: &Pair, now: Instant) -> Option<Batch> {
        if now < self.silent_until {
            return None;
        }
        let aged = self.readings.iter().map(|reading| Aged {
            age_ms: u32::try_from(now.saturating_duration_since(reading.at).as_millis())
                .unwrap_or(u32::MAX),
            level: reading.level,
        });
        let batch = Batch::gather(pair, aged)?;
        self.sent = batch.readings().len();
        Some(batch)
    }

    /// The hub has acknowledged the batch.
    pub(crate) fn settled(&mut self) {
        self.refusals = 0;
        for _ in 0..core::mem::take(&mut self.sent) {
            self.readings.pop_front();
        }
    }

    /// The hub has refused the batch. It may take it in another session; one that goes on refusing
    /// takes no backlogs, and is asked again later.
    pub(crate) fn refused(&mut self, now: Instant) {
        self.sent = 0;
        self.refusals += 1;
        if self.refusals >= REFUSALS_MAX {
            self.refusals = REFUSALS_MAX - 1;
            self.silent_until = now + REFUSED_FOR;
        }
    }

    /// The hub has no room for the batch now.
    pub(crate) fn postponed(&mut self, now: Instant) {
        self.sent = 0;
        self.silent_until = now + FULL_FOR;
    }

    fn drop_oldest(&mut self) {
        if self.readings.pop_front().is_some() {
            self.sent = self.sent.saturating_sub(1);
            self.count_lost(1);
        }
    }

    fn count_lost(&mut self, readings: usize) {
        self.lost = self.lost.saturating_add(u32::try_from(readings).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        Pair::from_fields("capteur01", "1743946777.603371").unwrap()
    }

    fn level(number: u8) -> Percent {
        Percent::new(number).unwrap()
    }

    const fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    fn levels<const N: usize>(backlog: &mut Backlog<N>, now: Instant) -> heapless::Vec<u8, 64> {
        let batch = backlog.batch(&pair(), now);
        batch.iter().flat_map(Batch::readings).map(|aged| aged.level.get()).collect()
    }

    #[test]
    fn the_oldest_goes_first_and_is_dropped_first() {
        let mut backlog = Backlog::<3>::new();
        for number in 0..5 {
            backlog.keep(at(number.into()), level(number));
        }
        assert_eq!(backlog.lost(), 2);
        let batch = backlog.batch(&pair(), at(10)).unwrap();
        let ages = batch.readings().iter().map(|aged| (aged.age_ms, aged.level.get()));
        assert!(ages.eq([(8_000, 2), (7_000, 3), (6_000, 4)]));
    }

    #[test]
    fn what_is_under_way_stays_until_it_is_acknowledged() {
        let mut backlog = Backlog::<64>::new();
        for number in 0..40 {
            backlog.keep(at(number.into()), level(number));
        }
        let first = levels(&mut backlog, at(50));
        assert!(first.len() < 40);
        backlog.interrupted();
        assert_eq!(levels(&mut backlog, at(50)), first);
        // What comes meanwhile waits behind it.
        backlog.keep(at(60), level(60));
        backlog.settled();
        assert_eq!(usize::from(levels(&mut backlog, at(70))[0]), first.len());
    }

    #[test]
    fn an_acknowledgement_takes_no_reading_that_was_not_sent() {
        let mut backlog = Backlog::<2>::new();
        backlog.keep(at(0), level(0));
        backlog.keep(at(1), level(1));
        assert_eq!(levels(&mut backlog, at(2)), [0, 1]);
        backlog.keep(at(2), level(2));
        backlog.settled();
        assert_eq!(levels(&mut backlog, at(3)), [2]);
        backlog.settled();
        backlog.settled();
        assert!(levels(&mut backlog, at(3)).is_empty());
    }

    #[test]
    fn what_was_published_right_before_a_silence_is_kept() {
        let mut backlog = Backlog::<8>::new();
        for number in 0..4 {
            backlog.published(at(number.into()), level(number));
        }
        backlog.heard(at(2));
        backlog.interrupted();
        assert_eq!(levels(&mut backlog, at(9)), [2, 3]);
    }

    #[test]
    fn a_hub_that_goes_on_refusing_is_left_in_peace_for_an_hour() {
        let mut backlog = Backlog::<8>::new();
        backlog.keep(at(0), level(7));
        for _ in 0..REFUSALS_MAX {
            assert_eq!(levels(&mut backlog, at(1)), [7]);
            backlog.refused(at(1));
        }
        assert!(levels(&mut backlog, at(3_600)).is_empty());
        // One that still refuses is not asked three times again.
        assert_eq!(levels(&mut backlog, at(3_601)), [7]);
        backlog.refused(at(3_601));
        assert!(levels(&mut backlog, at(3_602)).is_empty());
        assert_eq!(levels(&mut backlog, at(7_201)), [7]);
        assert_eq!(backlog.lost(), 0);
    }

    #[test]
    fn a_refusal_now_and_then_is_forgotten_with_the_next_message_that_is_taken() {
        let mut backlog = Backlog::<8>::new();
        for round in 0..2 * REFUSALS_MAX {
            backlog.keep(at(round.into()), level(round));
            assert!(backlog.batch(&pair(), at(100)).is_some(), "round {round}");
            backlog.refused(at(100));
            assert!(backlog.batch(&pair(), at(100)).is_some(), "round {round}");
            backlog.settled();
        }
    }

    #[test]
    fn an_age_beyond_what_the_protocol_can_say_is_the_highest() {
        let mut backlog = Backlog::<1>::new();
        backlog.keep(at(0), level(1));
        let batch = backlog.batch(&pair(), at(100 * 86_400)).unwrap();
        assert_eq!(batch.readings()[0].age_ms, u32::MAX);
    }
}
