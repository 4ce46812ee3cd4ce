//! How much is written to the card, and how long it will last at that.
//!
//! The kernel counts what a process causes to be written (`proc(5)`, `/proc/[pid]/io`). The file
//! system's own journal is not in that count, nor what the card writes beside: it can only erase
//! large blocks, so that a write of some kilobytes moves many times as much. Both are in
//! [`AMPLIFICATION`].

use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, fs, time::Duration};

/// How often a card's cells can be written, in whole cards: what makers of common cards (TLC)
/// state; industrial cards state three times as much, the cheapest none.
const CYCLES: u64 = 1_000;

/// How many bytes the card writes for one of ours. Small synced writes cost 2 to 10 times
/// themselves; the worst is taken.
const AMPLIFICATION: u64 = 10;

/// The shortest time that is taken for typical.
const TYPICAL: Duration = Duration::from_mins(5);

/// What the rate is taken over.
const DAY: Duration = Duration::from_hours(24);

/// How far apart the samples of a day are.
const SAMPLE: Duration = Duration::from_mins(30);

/// What the card has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wear {
    /// Bytes that the hub caused to be written since the store began, but for those since the
    /// last commit of an earlier run. `None` where the system doesn't tell.
    pub written_bytes: Option<u64>,
    /// The same for a day, as the last day was, or the time since the start where that is
    /// shorter. `None` in the first five minutes.
    pub bytes_per_day: Option<u64>,
    /// How many days a new card of the file system's size would last at that, by a careful
    /// estimate. `None` where nothing is written.
    pub card_life_days: Option<u64>,
}

/// What is kept: bytes since the store began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) bytes: u64,
}

/// Tells what the process has caused to be written since it started; handed in, so that tests can
/// own it.
pub(super) type Meter = Box<dyn Fn() -> Option<u64> + Send>;

/// What the kernel has counted.
pub(super) fn meter() -> Meter {
    Box::new(|| written(&fs::read_to_string("/proc/self/io").ok()?))
}

/// What has reached the medium or will, by `/proc/self/io`.
fn written(text: &str) -> Option<u64> {
    let field = |name| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    };
    // What was written and deleted before it got there.
    let cancelled = field("cancelled_write_bytes:").unwrap_or(0);
    Some(field("write_bytes:")?.saturating_sub(cancelled))
}

/// Adds up what is written.
pub(super) struct Tally {
    meter: Meter,
    /// Bytes of the runs before, and of this process before the store was opened.
    before: u64,
    /// The meter when the store was opened.
    start: u64,
    /// Uptime of the store and the meter, oldest first; the first is of the start, or a day old.
    samples: VecDeque<(Duration, u64)>,
}

impl Tally {
    /// Goes on from what was kept.
    pub(super) fn new(kept: Written, meter: Meter) -> Self {
        let start = meter().unwrap_or(0);
        let samples = VecDeque::from([(Duration::ZERO, start)]);
        Self { meter, before: kept.bytes, start, samples }
    }

    /// What is to be kept now; `None` where the system doesn't tell.
    pub(super) fn written(&self) -> Option<Written> {
        let bytes = (self.meter)()?.saturating_sub(self.start);
        Some(Written { bytes: self.before.saturating_add(bytes) })
    }

    /// The figures, when the store has been open for `uptime`, on a card of `capacity` bytes.
    pub(super) fn wear(&mut self, uptime: Duration, capacity: Option<u64>) -> Wear {
        let Some(now) = (self.meter)() else { return Wear::default() };
        let last = self.samples.back().map_or(Duration::ZERO, |&(at, _)| at);
        if uptime.saturating_sub(last) >= SAMPLE {
            self.samples.push_back((uptime, now));
        }
        // The second is the first that is to be in the last day.
        while self.samples.get(1).is_some_and(|&(at, _)| uptime.saturating_sub(at) >= DAY) {
            self.samples.pop_front();
        }
        let bytes_per_day = self.samples.front().and_then(|&(at, then)| {
            let passed = uptime.saturating_sub(at);
            let bytes = u128::from(now.saturating_sub(then)) * DAY.as_millis();
            let per_day = bytes.checked_div(passed.as_millis())?;
            (passed >= TYPICAL).then(|| u64::try_from(per_day).unwrap_or(u64::MAX))
        });
        let card_life_days = bytes_per_day.zip(capacity).and_then(|(bytes, capacity)| {
            (capacity.saturating_mul(CYCLES) / AMPLIFICATION).checked_div(bytes)
        });
        let written_bytes = self.written().map(|written| written.bytes);
        Wear { written_bytes, bytes_per_day, card_life_days }
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally").field("samples", &self.samples).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    };

    const GB: u64 = 1_000_000_000;

    fn tally(kept: u64) -> (Tally, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(5_000));
        let told = Arc::clone(&count);
        (Tally::new(Written { bytes: kept }, Box::new(move || Some(told.load(SeqCst)))), count)
    }

    #[test]
    fn the_total_goes_on_over_restarts() {
        let (tally, count) = tally(1_000);
        assert_eq!(tally.written(), Some(Written { bytes: 1_000 }), "what is older is not ours");
        count.fetch_add(234, SeqCst);
        assert_eq!(tally.written(), Some(Written { bytes: 1_234 }));
    }

    #[test]
    fn a_gigabyte_a_day_wears_out_a_32_gb_card_in_3200_days() {
        let (mut tally, count) = tally(0);
        count.fetch_add(GB / 24, SeqCst);
        let wear = tally.wear(Duration::from_hours(1), Some(32 * GB));
        assert_eq!(wear.written_bytes, Some(GB / 24));
        assert_eq!(wear.bytes_per_day, Some(GB / 24 * 24));
        assert_eq!(wear.card_life_days, Some(3_200));
        assert_eq!(tally.wear(Duration::from_hours(1), None).card_life_days, None);
    }

    #[test]
    fn the_rate_is_that_of_the_last_day() {
        let (mut tally, count) = tally(0);
        let mut hours = 0;
        let mut run = |tally: &mut Tally, duration: u64, bytes: u64| {
            let mut wear = Wear::default();
            for _ in 0..duration {
                hours += 1;
                count.fetch_add(bytes, SeqCst);
                wear = tally.wear(Duration::from_hours(hours), None);
            }
            wear.bytes_per_day.unwrap()
        };
        assert_eq!(run(&mut tally, 40, 1_000), 24_000);
        assert_eq!(run(&mut tally, 12, 2_000), 36_000);
        assert_eq!(run(&mut tally, 20, 2_000), 48_000);
        assert!(tally.samples.len() <= 49, "{}", tally.samples.len());
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let (mut young, count) = tally(0);
        count.fetch_add(GB, SeqCst);
        let wear = young.wear(Duration::from_secs(299), Some(GB));
        assert_eq!((wear.bytes_per_day, wear.card_life_days), (None, None));
        let (mut idle, _) = tally(0);
        let wear = idle.wear(Duration::from_hours(1), Some(GB));
        assert_eq!((wear.bytes_per_day, wear.card_life_days), (Some(0), None));
        let mut blind = Tally::new(Written { bytes: 9 }, Box::new(|| None));
        assert_eq!(blind.wear(Duration::from_hours(1), Some(GB)), Wear::default());
        assert_eq!(blind.written(), None);
    }

    #[test]
    fn the_kernels_count_is_read() {
        let text = "rchar: 1\nwrite_bytes: 81920\ncancelled_write_bytes: 4096\n";
        assert_eq!(written(text), Some(77_824));
        assert_eq!(written("write_bytes: 5\n"), Some(5));
        assert_eq!(written("rchar: 1\n"), None);
        assert_eq!(written("write_bytes: x\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_system_counts() {
        assert!(meter()().is_some());
    }
}
