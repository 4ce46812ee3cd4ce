//! What the clock believes, sign by sign.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;

/// 2026-11-22T12:00:00Z.
const NOON: i64 = 1_795_348_800_000;
const HOUR: i64 = 3_600_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOON + millis)
}

/// A machine whose clock, uptime and signs a test sets.
#[derive(Clone, Default)]
struct Bench(Arc<Mutex<(i64, u64, Signs)>>);

impl Bench {
    /// The system's clock in ms after noon, the uptime in ms, and the signs.
    fn new(system: i64, uptime: u64, signs: Signs) -> Self {
        Self(Arc::new(Mutex::new((system, uptime, signs))))
    }

    fn pass(&self, millis: u32) {
        let mut state = self.0.lock().unwrap();
        state.0 += i64::from(millis);
        state.1 += u64::from(millis);
    }

    fn set(&self, system: i64) {
        self.0.lock().unwrap().0 = system;
    }

    fn show(&self, signs: Signs) {
        self.0.lock().unwrap().2 = signs;
    }

    fn clock(&self, mark: Option<ClockMark>, newest: Option<Timestamp>) -> HubClock<Self> {
        let clock = HubClock::new(self.clone());
        clock.resume(mark, newest);
        clock
    }
}

impl Machine for Bench {
    fn system(&self) -> Timestamp {
        at(self.0.lock().unwrap().0)
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.lock().unwrap().1)
    }

    fn signs(&self) -> Signs {
        self.0.lock().unwrap().2
    }
}

const NONE: Signs = Signs { synchronised: None, awaits_network: false, battery: None, bare: false };
/// A Pi with systemd-timesyncd, before it has reached anybody.
const PI: Signs = Signs { awaits_network: true, bare: true, ..NONE };

fn mark(millis: i64, uptime_ms: u64) -> ClockMark {
    ClockMark { at: at(millis), uptime_ms }
}

#[test]
fn every_line_of_the_table_decides_in_its_turn() {
    let all = Evidence {
        system: at(0),
        uptime: Duration::from_hours(3),
        set: false,
        known: None,
        signs: NONE,
    };
    let judged = |change: &dyn Fn(&mut Evidence)| {
        let mut evidence = all;
        change(&mut evidence);
        judge(evidence)
    };
    assert_eq!(judged(&|_| {}), Ok(Belief::NothingAgainst));
    assert_eq!(judged(&|e| e.signs.bare = true), Err(Doubt::NoBattery));
    assert_eq!(judged(&|e| e.signs.awaits_network = true), Err(Doubt::AwaitsNetwork));
    assert_eq!(judged(&|e| e.signs = PI), Err(Doubt::AwaitsNetwork));
    let battery = |seconds: i64| {
        judged(&move |e| {
            e.signs = Signs { battery: Some(at(seconds * 1000)), ..PI };
        })
    };
    assert_eq!(battery(-3600), Ok(Belief::Battery), "local time");
    assert_eq!(battery(2 * 86_400), Err(Doubt::AwaitsNetwork), "it is wrong itself");
    let dead = Signs { battery: Some(Timestamp::from_millis(100)), bare: true, ..NONE };
    assert_eq!(judged(&|e| e.signs = dead), Err(Doubt::NoBattery));

    let known = |millis: i64, uptime: i64, signs: Signs| {
        let uptime_ms = u64::try_from(uptime).unwrap();
        judged(&move |e| (e.known, e.signs) = (Some(mark(millis, uptime_ms)), signs))
    };
    assert_eq!(known(-HOUR, 2 * HOUR + 500, PI), Ok(Belief::Even));
    assert_eq!(known(-HOUR, 2 * HOUR + 1_500, PI), Err(Doubt::AwaitsNetwork), "not evenly");
    assert_eq!(known(-2 * HOUR, HOUR, PI), Err(Doubt::AwaitsNetwork), "who knows");
    assert_eq!(known(-HOUR, 4 * HOUR, PI), Err(Doubt::AwaitsNetwork), "a machine's start");
    let sure = Signs { battery: Some(at(0)), ..NONE };
    assert_eq!(known(1, 0, sure), Err(Doubt::WentBack));
    let synchronised = |millis| Signs { synchronised: Some(at(millis)), ..PI };
    assert_eq!(known(1, 0, synchronised(-1)), Ok(Belief::Synchronised), "1 was wrong");
    assert_eq!(known(1, 0, synchronised(1)), Err(Doubt::WentBack), "of another time");
    assert_eq!(judged(&|e| (e.set, e.known) = (true, Some(mark(1, 0)))), Ok(Belief::Set));
    let early = |e: &mut Evidence| {
        e.system = Timestamp::from_millis(EARLIEST.millis() - 1);
        e.set = true;
    };
    assert_eq!(judged(&early), Err(Doubt::TooEarly));
}

#[test]
fn a_pi_without_a_clock_goes_on_from_what_the_store_knows() {
    let machine = Bench::new(-1000 * HOUR, 20_000, PI);
    let clock = machine.clock(Some(mark(0, 5_000_000)), Some(at(400)));
    assert!(!clock.certain());
    assert_eq!(clock.now(), at(400), "nothing that is stored is later");
    machine.pass(1_500);
    assert_eq!(clock.now(), at(1_900));
    assert_eq!(clock.mark(), Some(mark(0, 5_000_000)), "a guess is no mark");
    assert_eq!(clock.doubt(), Some(TimeSpan { from: at(400), to: at(1_900) }));

    machine.set(HOUR);
    machine.show(Signs { synchronised: Some(at(HOUR)), bare: true, ..NONE });
    assert_eq!(clock.now(), at(HOUR));
    assert!(clock.certain());
    assert_eq!(clock.mark(), Some(mark(HOUR, 21_500)));
    assert_eq!(clock.doubt(), Some(TimeSpan { from: at(400), to: at(1_900) }));
    machine.pass(10);
    assert_eq!(clock.now(), at(HOUR + 10));
}

#[test]
fn a_new_store_on_a_machine_of_1970_begins_with_this_program() {
    let clock = Bench::new(-NOON, 5_000, PI).clock(None, None);
    assert_eq!(clock.now(), EARLIEST);
    assert!(!clock.certain());
}

#[test]
fn a_clock_that_is_ahead_and_not_believed_is_still_the_better_guess() {
    let machine = Bench::new(HOUR, 20_000, PI);
    let clock = machine.clock(Some(mark(0, 5_000_000)), None);
    assert_eq!(clock.now(), at(HOUR));
    machine.set(HOUR - 1_000);
    assert_eq!(clock.now(), at(HOUR), "a guess does not go back");
    assert!(!clock.certain());
}

#[test]
fn whoever_sets_the_clock_while_the_hub_runs_is_believed() {
    let machine = Bench::new(-HOUR, 20_000, PI);
    let clock = machine.clock(Some(mark(0, 5_000_000)), None);
    machine.pass(500);
    assert!(!clock.certain());
    machine.set(-10 * HOUR);
    assert!(clock.certain(), "also where what was known was wrong");
    assert_eq!(clock.now(), at(-10 * HOUR));
    assert_eq!(clock.mark(), Some(mark(-10 * HOUR, 20_500)));
}

#[test]
fn a_clock_that_stands_still_was_not_set() {
    let machine = Bench::new(-HOUR, 20_000, PI);
    let clock = machine.clock(Some(mark(0, 5_000_000)), None);
    for _ in 0..5 {
        machine.pass(10_000);
        machine.set(-HOUR);
        assert!(!clock.certain());
    }
    assert_eq!(clock.now(), at(50_000));
}

#[test]
fn a_believed_clock_that_is_set_back_is_followed_and_one_that_is_lost_is_not() {
    let machine = Bench::new(0, 20_000, NONE);
    let clock = machine.clock(None, None);
    assert!(clock.certain());
    machine.set(-HOUR);
    assert_eq!(clock.now(), at(-HOUR));
    machine.set(-NOON);
    machine.pass(100);
    assert!(!clock.certain());
    assert_eq!(clock.now(), at(-HOUR + 100));
    assert_eq!(clock.doubt(), Some(TimeSpan { from: at(-HOUR + 100), to: at(-HOUR + 100) }));
}

#[test]
fn signs_are_read_from_the_systems_files() {
    let root = tempfile::tempdir().unwrap();
    let linux = Linux::at(root.path());
    let put = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    assert_eq!(linux.signs(), NONE);
    fs::create_dir_all(root.path().join("run/systemd/timesync")).unwrap();
    assert_eq!(linux.signs(), Signs { awaits_network: true, ..NONE });
    put("run/systemd/timesync/synchronized", "");
    put("etc/fake-hwclock.data", "2026-11-22 12:00:00");
    put("sys/class/rtc/rtc0/since_epoch", "1795348800\n");
    let signs = linux.signs();
    assert!(signs.synchronised.is_some() && !signs.awaits_network && signs.bare);
    assert_eq!(signs.battery, Some(at(0)));
    put("sys/class/rtc/rtc0/since_epoch", "?");
    assert_eq!(linux.signs().battery, None);
}

proptest! {
    /// Whatever the system's clock does, what is told goes on as long as it is a guess.
    #[test]
    fn guesses_never_go_back(
        steps in proptest::collection::vec((0..5_000_u32, -HOUR..HOUR), 1..50),
    ) {
        let machine = Bench::new(-NOON, 0, PI);
        let clock = machine.clock(Some(mark(0, 9)), None);
        let mut last = clock.now();
        for (passed, system) in steps {
            machine.pass(passed);
            // Too early to be believed, or behind what is known and not set by a step.
            machine.set(system - NOON);
            let now = clock.now();
            prop_assert!(!clock.certain());
            prop_assert!(now >= last.after(Duration::from_millis(u64::from(passed))));
            last = now;
        }
    }
}
