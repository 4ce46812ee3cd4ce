//! Nights, days and clocks that are wrong.

use super::*;
use crate::{
    model::{Channel, DeviceId, Reading},
    store::{Change, Options, Urgency},
};
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use tempfile::TempDir;

#[derive(Debug, Default)]
struct Hands(AtomicI64, AtomicBool);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(SeqCst))
    }

    fn certain(&self) -> bool {
        !self.1.load(SeqCst)
    }
}

struct Story {
    nightly: Nightly,
    reports: watch::Receiver<LastBackup>,
    clock: Arc<Hands>,
    dir: TempDir,
}

const START: &str = "2026-11-22T14:00:00Z";

impl Story {
    /// A store with a reading in it; the backup is made at 3, and two are kept.
    async fn begin(min_free_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { commit_interval: Duration::from_millis(5), ..Options::default() };
        let (store, _) = Store::open(dir.path(), &options).unwrap();
        let at = START.parse().unwrap();
        let (device, channel, value) = (DeviceId(1), Channel::Led, 1);
        let reading = Change::Reading(Reading { device, channel, value, at });
        store.submit(vec![reading], Urgency::Now, None).await.unwrap();
        store.flush().await.unwrap();
        let clock = Arc::new(Hands::default());
        let (nightly, reports) = Nightly::new(Parts {
            store,
            path: dir.path().to_owned(),
            settings: config::Backup { enabled: true, keep: 2, hour: 3 },
            min_free_bytes,
            worth_it: false,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        });
        Self { nightly, reports, clock, dir }
    }

    /// What there is after a turn at this time.
    async fn turn(&mut self, now: &str) -> Vec<String> {
        self.clock.0.store(now.parse::<Timestamp>().unwrap().millis(), SeqCst);
        self.nightly.turn().await;
        self.names()
    }

    fn names(&self) -> Vec<String> {
        let found = file::list(&self.dir.path().join(FOLDER), NAME).unwrap();
        found.into_iter().map(|(at, _)| at.to_string()).collect()
    }
}

#[tokio::test]
async fn a_backup_is_made_at_the_start_and_then_every_night_and_two_are_kept() {
    let mut story = Story::begin(0).await;
    let first = story.turn("2026-11-22T14:00:00Z").await;
    assert_eq!(first, ["2026-11-22T14:00:00.000Z"]);
    let last = story.reports.borrow().clone();
    assert_eq!(last.at, Some(START.parse().unwrap()));
    assert!(last.bytes > 0 && last.failure.is_none());
    for (now, count) in [
        ("2026-11-22T14:01:00Z", 1),
        ("2026-11-23T02:59:59Z", 1),
        ("2026-11-23T03:00:10Z", 2),
        ("2026-11-23T03:59:59Z", 2),
        ("2026-11-23T18:00:00Z", 2),
    ] {
        assert_eq!(story.turn(now).await.len(), count, "{now}");
    }
    let third = story.turn("2026-11-24T03:30:00Z").await;
    assert_eq!(third, ["2026-11-23T03:00:10.000Z", "2026-11-24T03:30:00.000Z"]);
    // The hub was off in that hour.
    let late = story.turn("2026-11-25T09:00:00Z").await;
    assert_eq!(late, ["2026-11-24T03:30:00.000Z", "2026-11-25T09:00:00.000Z"]);
    let newest = &story.dir.path().join(FOLDER).join("capteur-20261125T090000Z.capteur");
    assert_eq!(file::check_file(newest).unwrap().holding.readings, 1);
    // Another run of the hub finds it.
    let parts = Parts { worth_it: true, ..story.nightly.parts };
    let (_, reports) = Nightly::new(parts);
    assert_eq!(reports.borrow().at.unwrap().to_string(), "2026-11-25T09:00:00.000Z");
}

#[tokio::test]
async fn a_clock_that_was_wrong_costs_no_good_backup() {
    let mut story = Story::begin(0).await;
    for now in ["2026-11-22T14:00:00Z", "2026-11-23T14:00:00Z"] {
        story.turn(now).await;
    }
    // The clock falls back: those from the future are not newer, and one of them stays.
    let names = story.turn("1970-01-01T00:01:00Z").await;
    assert_eq!(names, ["1970-01-01T00:01:00.000Z", "2026-11-23T14:00:00.000Z"]);
    assert_eq!(story.turn("1970-01-01T00:02:00Z").await, names);
    // It is right again.
    let names = story.turn("2026-11-24T15:00:00Z").await;
    assert_eq!(names, ["2026-11-23T14:00:00.000Z", "2026-11-24T15:00:00.000Z"]);
}

#[tokio::test]
async fn no_backup_is_made_while_the_time_is_a_guess() {
    let mut story = Story::begin(0).await;
    story.clock.1.store(true, SeqCst);
    assert_eq!(story.turn(START).await, [""; 0]);
    story.clock.1.store(false, SeqCst);
    assert_eq!(story.turn(START).await.len(), 1);
}

#[tokio::test]
async fn a_disk_without_room_is_a_failure_that_is_told_and_tried_again_later() {
    let mut story = Story::begin(u64::MAX).await;
    assert_eq!(story.turn(START).await, [""; 0]);
    let last = story.reports.borrow().clone();
    assert_eq!((last.failures, last.at), (1, None));
    assert!(last.failure.unwrap().contains("room"));
    story.nightly.parts.min_free_bytes = 0;
    assert_eq!(story.turn(START).await, [""; 0], "not at once");
    story.nightly.retry_at = Some(Instant::now());
    assert_eq!(story.turn(START).await.len(), 1);
    let last = story.reports.borrow().clone();
    assert_eq!((last.failures, last.failure), (1, None));
    let unfinished = std::fs::read_dir(story.dir.path().join(FOLDER)).unwrap().count();
    assert_eq!(unfinished, 1, "nothing else is left");
}

#[tokio::test]
async fn an_empty_store_is_not_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { commit_interval: Duration::from_millis(5), ..Options::default() };
    let (store, _) = Store::open(dir.path(), &options).unwrap();
    let (mut nightly, _reports) = Nightly::new(Parts {
        store,
        path: dir.path().to_owned(),
        settings: config::Backup { enabled: true, keep: 2, hour: 3 },
        min_free_bytes: 0,
        worth_it: false,
        clock: Arc::new(Hands::default()),
    });
    nightly.turn().await;
    assert!(!dir.path().join(FOLDER).exists());
}

proptest! {
    /// However often it is looked, there is a backup a day and, while the hub runs, one in its
    /// hour.
    #[test]
    fn there_is_always_one_of_the_last_day_and_one_a_night(
        hour in 0..24_u32,
        steps in prop::collection::vec(1..90_i64, 1..300),
    ) {
        let (mut now, mut newest, mut made) = (0, None::<i64>, Vec::new());
        for step in steps {
            now += step * 60_000;
            if due(Timestamp::from_millis(now), newest.map(Timestamp::from_millis), hour) {
                made.push(now);
                newest = Some(now);
            }
            prop_assert!(now - newest.unwrap() < DAY_MS);
        }
        for pair in made.windows(2) {
            let in_hour = |at: i64| (at / HOUR_MS % 24) == i64::from(hour);
            prop_assert!(in_hour(pair[1]) || pair[1] - pair[0] >= DAY_MS);
            prop_assert!(!in_hour(pair[0]) || pair[1] - pair[0] >= DAY_MS - HOUR_MS);
        }
    }
}
