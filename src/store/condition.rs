//! What the store depends on beside its own files: room, the time of day, and how long the card
//! will last. The writer's thread looks at it between commits.
//!
//! What has to be kept of it is written along with commits that happen anyway: an idle hub writes
//! nothing.

use super::{
    engine::Change,
    error::StoreError,
    key, record,
    space::{Recording, Space},
    stats::Counters,
    wear::Tally,
};
use crate::model::{Clock, TimeSpan};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often it is looked at while all is well and nothing is committed.
const CALM: Duration = Duration::from_secs(10);
/// How often it is looked at otherwise, at most.
const ALERT: Duration = Duration::from_secs(1);
/// How often the time and what was written are kept, at most.
const KEEP: Duration = Duration::from_mins(1);
/// The most spans of uncertain time that are kept: the oldest go first.
const SPANS_MAX: usize = 1024;

/// What the store can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Condition {
    /// Whether readings are recorded.
    pub recording: Recording,
    /// Whether the time of day is a guess. While it is, nothing is retired.
    pub time_uncertain: bool,
}

/// The spans of time in which the time of day was a guess; shared with whoever asks for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Spans(Arc<Mutex<BTreeMap<i64, TimeSpan>>>);

impl Spans {
    /// Every span, oldest first.
    pub(super) fn all(&self) -> Vec<TimeSpan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }

    /// Keeps a span, in the place of one that begins at the same time. Returns those that are too
    /// many then.
    pub(super) fn put(&self, span: TimeSpan) -> Vec<TimeSpan> {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.insert(span.from.millis(), span);
        let mut dropped = Vec::new();
        while spans.len() > SPANS_MAX {
            dropped.extend(spans.pop_first().map(|(_, span)| span));
        }
        dropped
    }
}

/// Looks at all of it, on the writer's thread.
pub(super) struct Lookout {
    space: Space,
    tally: Tally,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    condition: watch::Sender<Condition>,
    spans: Spans,
    opened: Instant,
    looked: Instant,
    kept: Option<Instant>,
    /// The span that was written last.
    span: Option<TimeSpan>,
}

impl Lookout {
    pub(super) fn new(
        space: Space,
        tally: Tally,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        spans: Spans,
    ) -> Self {
        let opened = Instant::now();
        let mut lookout = Self {
            space,
            tally,
            clock,
            counters,
            condition: watch::Sender::default(),
            spans,
            opened,
            looked: opened,
            kept: None,
            span: None,
        };
        lookout.look_now();
        lookout
    }

    /// What the store can do, from now on.
    pub(super) fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// When it has to be looked at next, if nothing is committed until then.
    pub(super) fn due(&self) -> Instant {
        let Condition { recording, time_uncertain } = *self.condition.borrow();
        self.looked + if recording.is_on() && !time_uncertain { CALM } else { ALERT }
    }

    /// Looks, unless that was less than a second ago.
    pub(super) fn look(&mut self) {
        if self.looked.elapsed() >= ALERT {
            self.look_now();
        }
    }

    fn look_now(&mut self) {
        self.looked = Instant::now();
        let recording = self.space.look();
        let room = self.space.room();
        let wear = self.tally.wear(self.opened.elapsed(), room.map(|room| room.total));
        self.counters.look(wear, room.map(|room| room.free));
        // Whoever is woken finds the figures of the same look.
        let now = Condition { recording, time_uncertain: !self.clock.certain() };
        self.condition.send_if_modified(|was| std::mem::replace(was, now) != now);
    }

    /// What is written along with a commit, which has readings or not.
    pub(super) fn along(&mut self, readings: bool) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        let mut put = |(key, value)| changes.push((key, Some(value)));
        if self.kept.is_none_or(|kept| kept.elapsed() >= KEEP) {
            self.kept = Some(Instant::now());
            if self.clock.certain()
                && let Some(mark) = self.clock.mark()
            {
                put(record::clock(&mark)?);
            }
            if let Some(written) = self.tally.written() {
                put(record::wear(written)?);
            }
        }
        // A span in which nothing was recorded is nobody's. One that was begun is written once
        // more when it has come to its end.
        let span = self.clock.doubt().filter(|&span| {
            self.span != Some(span)
                && (readings || self.span.is_some_and(|last| last.from == span.from))
        });
        if let Some(span) = span {
            self.span = Some(span);
            put(record::uncertain(&span)?);
            let dropped = self.spans.put(span);
            changes.extend(dropped.into_iter().map(|span| (key::uncertain(span.from), None)));
        }
        Ok(changes)
    }

    /// A commit has failed: makes room, where that was why, so that the store can be opened again.
    pub(super) fn failed(&self, error: &StoreError) {
        if error.is_full() {
            self.space.drop_ballast();
        }
    }
}

impl std::fmt::Debug for Lookout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookout").field("space", &self.space).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{ClockMark, Timestamp},
        store::{
            space::Room,
            wear::{Wear, Written},
        },
    };
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use tempfile::TempDir;

    /// A clock whose certainty and guesses a test sets.
    #[derive(Default)]
    struct Sundial(Mutex<(bool, Option<TimeSpan>)>);

    impl Clock for Sundial {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(7)
        }

        fn certain(&self) -> bool {
            self.0.lock().unwrap().0
        }

        fn mark(&self) -> Option<ClockMark> {
            Some(ClockMark { at: self.now(), uptime_ms: 9 })
        }

        fn doubt(&self) -> Option<TimeSpan> {
            self.0.lock().unwrap().1
        }
    }

    struct Bench {
        lookout: Lookout,
        clock: Arc<Sundial>,
        free: Arc<AtomicU64>,
        counters: Arc<Counters>,
        dir: TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let clock = Arc::new(Sundial(Mutex::new((true, None))));
            let free = Arc::new(AtomicU64::new(1_000));
            let told = Arc::clone(&free);
            let gauge = move || Ok(Room { free: told.load(SeqCst), total: 1 << 30 });
            let space = Space::new(dir.path(), 1_000, Box::new(gauge));
            let tally = Tally::new(Written { bytes: 5 }, Box::new(|| Some(3)));
            let counters = Arc::new(Counters::default());
            let handed = (Arc::clone(&clock), Arc::clone(&counters));
            let lookout = Lookout::new(space, tally, handed.0, handed.1, Spans::default());
            Self { lookout, clock, free, counters, dir }
        }

        fn guess(&self, certain: bool, span: Option<(i64, i64)>) {
            *self.clock.0.lock().unwrap() = (certain, span.map(|(from, to)| of(from, to)));
        }

        fn later(&mut self, by: Duration) {
            self.lookout.looked -= by;
            self.lookout.kept = self.lookout.kept.and_then(|kept| kept.checked_sub(by));
        }

        /// The keys of what is written along, and whether each has a value.
        fn along(&mut self, readings: bool) -> Vec<(Vec<u8>, bool)> {
            let changes = self.lookout.along(readings).unwrap();
            changes.into_iter().map(|(key, value)| (key, value.is_some())).collect()
        }
    }

    fn of(from: i64, to: i64) -> TimeSpan {
        TimeSpan { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) }
    }

    #[test]
    fn whoever_listens_is_told_when_the_condition_changes() {
        let mut bench = Bench::new();
        let mut heard = bench.lookout.condition();
        assert_eq!(*heard.borrow_and_update(), Condition::default());
        bench.free.store(999, SeqCst);
        bench.guess(false, None);
        bench.lookout.look();
        assert!(!heard.has_changed().unwrap(), "it was looked at a moment ago");
        assert!(bench.lookout.due() > Instant::now() + ALERT);

        bench.later(ALERT);
        bench.lookout.look();
        let recording = Recording::Off { needed_bytes: 1_100 };
        let condition = Condition { recording, time_uncertain: true };
        assert_eq!(*heard.borrow_and_update(), condition);
        assert!(bench.lookout.due() <= Instant::now() + ALERT);
        bench.free.store(998, SeqCst);
        bench.later(ALERT);
        bench.lookout.look();
        assert!(!heard.has_changed().unwrap(), "nothing that matters has");
        assert_eq!(bench.counters.stats().free_bytes, Some(998));
        let wear = Wear { written_bytes: Some(5), ..Wear::default() };
        assert_eq!(bench.counters.stats().wear, wear);
    }

    #[test]
    fn time_and_wear_are_kept_with_a_commit_a_minute() {
        let mut bench = Bench::new();
        let both = [(key::clock(), true), (key::wear(), true)];
        assert_eq!(bench.along(false), both);
        bench.later(KEEP.saturating_sub(ALERT));
        assert_eq!(bench.along(true), []);
        bench.later(ALERT);
        bench.guess(false, None);
        assert_eq!(bench.along(true), [(key::wear(), true)], "a guess is not kept");
    }

    #[test]
    fn a_span_is_kept_with_its_readings_and_once_more_at_its_end() {
        let mut bench = Bench::new();
        bench.along(false);
        bench.guess(false, Some((10, 20)));
        assert_eq!(bench.along(false), [], "nothing was recorded in it");
        let put = [(key::uncertain(Timestamp::from_millis(10)), true)];
        assert_eq!(bench.along(true), put);
        assert_eq!(bench.along(true), []);
        bench.guess(true, Some((10, 30)));
        assert_eq!(bench.along(false), put, "it has come to its end");
        assert_eq!(bench.along(true), []);
        assert_eq!(bench.lookout.spans.all(), [of(10, 30)]);
    }

    #[test]
    fn the_oldest_spans_go_where_there_are_too_many() {
        let mut bench = Bench::new();
        bench.along(false);
        let max = i64::try_from(SPANS_MAX).unwrap();
        for from in 0..max {
            assert_eq!(bench.lookout.spans.put(of(from, from)), []);
        }
        bench.guess(false, Some((max, max)));
        let [put, dropped] = [max, 0].map(|at| key::uncertain(Timestamp::from_millis(at)));
        assert_eq!(bench.along(true), [(put, true), (dropped, false)]);
        assert_eq!(bench.lookout.spans.all().len(), SPANS_MAX);
    }

    #[test]
    fn only_a_full_disk_costs_the_ballast() {
        let bench = Bench::new();
        let ballast = bench.dir.path().join("BALLAST");
        std::fs::write(&ballast, "x").unwrap();
        bench.lookout.failed(&StoreError::Closed);
        assert!(ballast.exists());
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        bench.lookout.failed(&StoreError::io(&ballast)(full));
        assert!(!ballast.exists());
    }
}
