//! The one source of chance.

use std::time::Duration;

/// `SplitMix64` (Steele, Lea and Flood, 2014): a stream of numbers that follows from its seed.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The stream of one board. Streams of the same seed have nothing to do with one another.
    pub(super) fn of(seed: u64, board: u64) -> Self {
        Self(mix(seed).wrapping_add(mix(board ^ 0xA5A5_A5A5_A5A5_A5A5)))
    }

    /// A stream of its own that follows from this one.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// At least 0 and less than 1.
    pub(super) fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// At least `from` and less than `to`.
    pub(super) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// How long until the next of events that come at no particular time, so often on average: an
    /// exponential distribution, without its longest hundredth of a percent.
    pub(super) fn wait(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).max(1e-4).ln())
    }
}

/// A number that follows from `n` but shows no trace of it.
pub(super) fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// At least 0 and less than 1: the upper 32 bits as a fraction.
pub(super) fn unit(n: u64) -> f64 {
    f64::from((n >> 32) as u32) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream_and_boards_differ() {
        let first = |seed, board| Random::of(seed, board).next();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 2));
    }

    #[test]
    fn numbers_are_spread_over_the_unit_interval() {
        let mut random = Random::of(7, 0);
        let numbers: Vec<f64> = (0..10_000).map(|_| random.unit()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }

    #[test]
    fn waits_average_to_their_mean_and_are_never_absurd() {
        let mut random = Random::of(7, 1);
        let mean = Duration::from_secs(20);
        let waits: Vec<Duration> = (0..10_000).map(|_| random.wait(mean)).collect();
        assert!(waits.iter().all(|wait| *wait <= mean * 10));
        let average = waits.iter().sum::<Duration>() / 10_000;
        assert!((19.0..21.0).contains(&average.as_secs_f64()), "{average:?}");
    }
}
