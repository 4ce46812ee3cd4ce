//! Readings summed up by the minute or the hour.

use super::Timestamp;

/// How much time a bucket sums up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Width {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Width {
    /// The width in milliseconds.
    pub const fn millis(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }
}

/// What the readings of one channel in a minute or an hour come to. It holds one or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Where the minute or the hour begins: a multiple of its width since the Unix epoch.
    pub start: Timestamp,
    /// The lowest value.
    pub min: u8,
    /// The highest value.
    pub max: u8,
    /// The sum of all values.
    pub sum: u64,
    /// How many readings there are.
    pub count: u64,
}

impl Bucket {
    /// The bucket of this width that a single reading makes.
    pub fn of(width: Width, at: i64, value: u8) -> Self {
        let start = Timestamp::from_millis(at.div_euclid(width.millis()) * width.millis());
        Self { start, min: value, max: value, sum: value.into(), count: 1 }
    }

    /// Takes in what another bucket of the same time, or a part of it, has.
    pub fn add(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count += other.count;
    }

    /// The mean of the values.
    #[expect(clippy::cast_precision_loss, reason = "a mean of 2^53 readings is exact enough")]
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.count as f64
    }
}
