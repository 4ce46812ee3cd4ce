//! Room, time and wear, as the store as a whole deals with them.

use super::*;
use crate::model::{Clock, ClockMark, TimeSpan};
use std::sync::atomic::AtomicU64;

/// A clock that a test sets, and what it was told.
#[derive(Default)]
struct Sundial(Mutex<Dial>);

#[derive(Debug, Clone, Copy, Default)]
struct Dial {
    millis: i64,
    certain: bool,
    doubt: Option<TimeSpan>,
    resumed: Option<(Option<ClockMark>, Option<Timestamp>)>,
}

impl Sundial {
    fn at(millis: i64, certain: bool) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Dial { millis, certain, ..Dial::default() })))
    }

    fn dial(&self) -> Dial {
        *self.0.lock().unwrap()
    }

    fn doubt(&self, from: i64, to: i64) -> TimeSpan {
        let span = TimeSpan { from: at(from), to: at(to) };
        self.0.lock().unwrap().doubt = Some(span);
        span
    }
}

impl Clock for Sundial {
    fn now(&self) -> Timestamp {
        at(self.dial().millis)
    }

    fn certain(&self) -> bool {
        self.dial().certain
    }

    fn mark(&self) -> Option<ClockMark> {
        let Dial { millis, certain, .. } = self.dial();
        certain.then(|| ClockMark { at: at(millis), uptime_ms: 5 })
    }

    fn doubt(&self) -> Option<TimeSpan> {
        self.dial().doubt
    }

    fn resume(&self, mark: Option<ClockMark>, newest: Option<Timestamp>) {
        self.0.lock().unwrap().resumed = Some((mark, newest));
    }
}

fn options(clock: &Arc<Sundial>) -> Options {
    let clock: Arc<dyn Clock> = Arc::<Sundial>::clone(clock);
    Options { clock, ..never() }
}

#[tokio::test]
async fn recording_stops_and_starts_while_nothing_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(2_000_000_000));
    let told = Arc::clone(&free);
    let gauge = move || Ok(space::Room { free: told.load(SeqCst), total: 1 << 40 });
    let options = Options { min_free_bytes: 1_000_000_000, ..never() };
    let (store, _) =
        Store::open_on(dir.path(), &options, Box::new(gauge), |engine| engine).unwrap();
    let mut condition = store.condition();
    assert!(condition.borrow().recording.is_on());
    free.store(500_000_000, SeqCst);
    let off = condition.wait_for(|now| !now.recording.is_on()).await.unwrap().recording;
    assert_eq!(off, Recording::Off { needed_bytes: 1_100_000_000 });
    assert_eq!(store.stats().free_bytes, Some(500_000_000));
    free.store(1_100_000_000, SeqCst);
    condition.wait_for(|now| now.recording.is_on()).await.unwrap();
    assert_eq!(store.stats().commits, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_time_is_kept_with_a_commit_that_happens_anyway() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Sundial::at(70_000, true);
    let (store, _) = Store::open(dir.path(), &options(&clock)).unwrap();
    assert_eq!(clock.dial().resumed, Some((None, None)));
    store.flush().await.unwrap();
    store.close().await.unwrap();

    let (store, _) = Store::open(dir.path(), &options(&clock)).unwrap();
    assert_eq!(clock.dial().resumed, Some((None, None)), "nothing else was committed");
    put(&store, vec![reading(1, Channel::Led, 70_123, 1)]).await;
    store.flush().await.unwrap();
    assert_eq!(store.stats().commits, 1);
    store.close().await.unwrap();

    let (store, _) = Store::open(dir.path(), &options(&clock)).unwrap();
    let mark = ClockMark { at: at(70_000), uptime_ms: 5 };
    assert_eq!(clock.dial().resumed, Some((Some(mark), Some(at(70_123)))));
    store.close().await.unwrap();
}

#[tokio::test]
async fn spans_of_uncertain_time_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Sundial::at(0, false);
    let (store, _) = Store::open(dir.path(), &options(&clock)).unwrap();
    assert!(store.condition().borrow().time_uncertain);
    clock.doubt(0, 10);
    put(&store, vec![line(1, 5, "anna")]).await;
    store.flush().await.unwrap();
    assert_eq!(store.uncertain_spans(), [], "no reading is in it");
    put(&store, vec![reading(1, Channel::Led, 6, 1)]).await;
    let first = clock.doubt(0, 20);
    store.flush().await.unwrap();
    assert_eq!(store.uncertain_spans(), [first]);
    store.close().await.unwrap();

    let (store, _) = Store::open(dir.path(), &options(&clock)).unwrap();
    put(&store, vec![reading(1, Channel::Led, 31, 0)]).await;
    let second = clock.doubt(30, 40);
    store.flush().await.unwrap();
    store.close().await.unwrap();
    let (store, _) = Store::open(dir.path(), &options(&clock)).unwrap();
    assert_eq!(store.uncertain_spans(), [first, second]);
    assert_eq!(all(&store, 1, Channel::Led).await, [(6, 1), (31, 0)]);
    assert_eq!(store.stats().corrupt_values, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn while_the_time_is_uncertain_nothing_is_retired() {
    const DAY: i64 = 86_400_000;
    let dir = tempfile::tempdir().unwrap();
    let clock = Sundial::at(1000 * DAY, false);
    let age = Limit { age: Some(Duration::from_hours(24)), bytes: None };
    let log = Limit { age: None, bytes: Some(500) };
    let options = Options {
        retention: Retention { raw: age, log, ..Retention::default() },
        upkeep_interval: Duration::from_millis(1),
        ..options(&clock)
    };
    let (store, _) = Store::open(dir.path(), &options).unwrap();
    // More than two heads, so that there are chunks, and another frame behind theirs.
    put(&store, (0..5000).map(|n| reading(1, Channel::Led, n, 1)).collect()).await;
    store.flush().await.unwrap();
    put(&store, vec![reading(2, Channel::Led, 0, 1)]).await;
    put(&store, (0..30).map(|n| line(1, n, "anna")).collect()).await;
    store.flush().await.unwrap();
    // Between one compaction and another, all series have been looked at.
    until("the first is compacted", || store.stats().hour_bytes > 0).await;
    let hours = store.stats().hour_bytes;
    put(&store, (0..5000).map(|n| reading(3, Channel::Led, n, 1)).collect()).await;
    store.flush().await.unwrap();
    until("the next is compacted", || store.stats().hour_bytes > hours).await;
    assert_eq!(all(&store, 1, Channel::Led).await.len(), 5000);
    assert_eq!(store.stats().retired_readings, 0);
    assert_eq!(whole_log(&store, 1).await.len(), 30);

    clock.0.lock().unwrap().certain = true;
    until("what is too old goes", || store.stats().retired_readings > 0).await;
    until("the budget is kept", || store.stats().log_bytes <= 500).await;
    store.close().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_was_written_adds_up_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    let written = |store: &Store| store.stats().wear.written_bytes;
    assert!(written(&store) < Some(1 << 40), "it begins with the store");
    store.close().await.unwrap();
    tamper(&dir, |tree| {
        let (key, value) = record::wear(wear::Written { bytes: 1 << 40 }).unwrap();
        tree.insert(key, value).unwrap();
    });
    let (store, _) = open(&dir);
    assert!(written(&store) >= Some(1 << 40));
    store.close().await.unwrap();
}
