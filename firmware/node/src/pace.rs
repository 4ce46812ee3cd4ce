//! When the next reading is due.

use embassy_time::{Duration, Instant};

/// Moments at regular intervals. Those that were missed are left out rather than made up for.
#[derive(Debug)]
pub(crate) struct Pace {
    next: Instant,
    interval: Duration,
}

impl Pace {
    /// Begins at `first`.
    pub(crate) fn new(first: Instant, interval: Duration) -> Self {
        Self { next: first, interval }
    }

    /// The next moment.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Whether the next moment has come; if so, moves on to the one after `now`.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next += self.interval;
            if self.next <= now {
                self.next = now + self.interval;
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn a_late_look_does_not_shift_the_beat() {
        let mut pace = Pace::new(at(10), Duration::from_secs(2));
        assert!(!pace.is_due(at(9)));
        assert!(pace.is_due(at(11)));
        assert_eq!(pace.next(), at(12));
    }

    #[test]
    fn missed_moments_are_not_made_up_for() {
        let mut pace = Pace::new(at(10), Duration::from_secs(2));
        assert!(pace.is_due(at(100)));
        assert!(!pace.is_due(at(100)));
        assert_eq!(pace.next(), at(102));
    }
}
