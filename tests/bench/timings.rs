//! Percentiles.

use std::time::Duration;

/// What was measured, sorted.
#[derive(Debug)]
pub(crate) struct Timings(Vec<Duration>);

impl Timings {
    pub(crate) fn new(mut timings: Vec<Duration>) -> Self {
        timings.sort_unstable();
        Self(timings)
    }

    /// The nearest-rank percentile in milliseconds: the least value that at least this share of
    /// the measurements don't exceed.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).map_or(f64::NAN, |timing| timing.as_secs_f64() * 1_000.0)
    }
}
