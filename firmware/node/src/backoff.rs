//! How long to wait before the next attempt.

use embassy_time::Duration;

/// Pauses that double from failure to failure, each drawn at random from its upper half, so that
/// boards that lost their hub together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    random: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration, seed: u32) -> Self {
        // Zero is the one state that xorshift never leaves.
        Self { min, max, next: min, random: if seed == 0 { 1 } else { seed } }
    }

    /// The pause after one more failure in a row.
    pub(crate) fn pause(&mut self) -> Duration {
        let half = self.next.as_ticks() / 2;
        let pause = Duration::from_ticks(half + u64::from(self.random()) % (half + 1));
        self.next = (self.next * 2).min(self.max);
        pause
    }

    /// The row of failures has ended.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }

    /// Marsaglia's xorshift32.
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(500);
    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn pauses_double_up_to_the_longest_and_stay_in_their_upper_half() {
        for seed in [0, 1, 7, u32::MAX] {
            let mut backoff = Backoff::new(MIN, MAX, seed);
            let mut whole = MIN;
            for _ in 0..12 {
                let pause = backoff.pause();
                assert!(pause * 2 >= whole && pause <= whole, "{pause} of {whole}");
                whole = (whole * 2).min(MAX);
            }
        }
    }

    #[test]
    fn a_reset_goes_back_to_the_shortest_pause() {
        let mut backoff = Backoff::new(MIN, MAX, 42);
        for _ in 0..8 {
            backoff.pause();
        }
        backoff.reset();
        assert!(backoff.pause() <= MIN);
    }

    #[test]
    fn boards_with_different_seeds_pause_differently() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(MIN, MAX, seed);
            [(); 4].map(|()| backoff.pause())
        };
        assert_ne!(pauses(1), pauses(2));
    }
}
