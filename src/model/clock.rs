//! What tells the time of day, and whether it can be believed.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// What tells the time of day; handed in, so that tests can own it.
///
/// A machine without a battery clock does not know the time when it starts. A clock that takes
/// care of that overrides the other methods; the others' defaults say that the time is right.
pub trait Clock: Send + Sync + 'static {
    /// The time of day: a best guess where it is not [`certain`](Self::certain).
    fn now(&self) -> Timestamp;

    /// Whether the time of day is known. Nothing old may be deleted while it is not.
    fn certain(&self) -> bool {
        true
    }

    /// The last moment at which the time was certain, for the store to keep; `None` before the
    /// first.
    fn mark(&self) -> Option<ClockMark> {
        None
    }

    /// The latest span of times that were told while the time was not certain; it grows until it
    /// is. `None` where there was none since the start.
    fn doubt(&self) -> Option<TimeSpan> {
        None
    }

    /// Takes up what the store has kept: the last mark, and the newest time that anything in it
    /// has. From then on the clock does not tell earlier times, as long as it has to guess.
    fn resume(&self, mark: Option<ClockMark>, newest: Option<Timestamp>) {
        let _ = (mark, newest);
    }
}

/// A moment at which the time was certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockMark {
    /// The time of day.
    pub at: Timestamp,
    /// How long the machine had been up, in milliseconds, sleep included.
    pub uptime_ms: u64,
}

/// A span of time, its ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimeSpan {
    /// The first millisecond.
    pub from: Timestamp,
    /// The last millisecond.
    pub to: Timestamp,
}

/// The machine's own clock, believed in whatever it says.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}
