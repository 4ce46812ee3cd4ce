//! The time of day on a machine that may have none: a Raspberry Pi starts without a clock.
//!
//! [`HubClock`] follows the system's clock once it can be believed, and guesses until then: time
//! goes on from the newest that the store knows, so that readings stay in order. A guess is never
//! late: it does not know how long the machine was off.
//!
//! # When the system's clock is believed
//!
//! The first line that holds decides, whenever the clock is asked, and at most once a second.
//! Once believed it is believed to the end of the run: a clock that is set while the hub runs is
//! set by somebody who knows better.
//!
//! | what holds | believed? | why |
//! | --- | --- | --- |
//! | it is before [`EARLIEST`] | no | this program did not exist |
//! | it was set since the hub started, by more than two seconds | yes | somebody has told it the time: chrony, ntpd, a person |
//! | systemd-timesyncd says that it is synchronised, and said so at a time that the clock has reached | yes | also where the store remembers a later time, which was wrong then |
//! | it is before the last time that the store knows to have been right | no | it has lost the time |
//! | it has gone on evenly since that time, within the last hour, on a machine that has been up since | yes | only the hub was started anew |
//! | the machine has a battery clock (`/sys/class/rtc/rtc0`) that agrees with it to a day | yes | it has kept the time |
//! | systemd-timesyncd runs and has not synchronised it yet | no | it will |
//! | the machine is of the kind that has no battery clock (it has a device tree or fake-hwclock) | no | it begins with a time of long ago |
//! | nothing of all this | yes | a PC, a virtual machine, a container: nothing speaks against it |
//!
//! The kernel's own word (`STA_UNSYNC`, `adjtimex(2)`) is not asked: no maintained crate reads it
//! safely, and a sandbox that protects the clock forbids even that. So on a Pi without a battery
//! clock where chrony or ntpd keep the time, the clock is believed when they set it while the hub
//! runs, as they do after a start.

use crate::model::{Clock, ClockMark, TimeSpan, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// 2025-01-01T00:00:00Z. Older than this program, so no clock that is right can be before it.
///
/// Not the time of the build: who builds on a Pi whose clock is wrong would carry that into it.
pub const EARLIEST: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// A clock that moves by more than this, beside the passing of time, was set. What keeps a clock
/// right moves it by less than one part in 500 meanwhile (`adjtimex(2)`: 500 parts in a million).
const STEP: Duration = Duration::from_secs(2);

/// How far a clock may be from where an even run since it was last right would have it. Little: a
/// machine that restarts with the time that it saved comes near that, too.
const EVEN: Duration = Duration::from_secs(1);

/// For how long a clock is taken to run as evenly as that.
const EVEN_FOR: Duration = Duration::from_hours(1);

/// How far a battery clock may be from the system's: it may keep the local time.
const BATTERY: Duration = Duration::from_hours(24);

/// How often the signs are looked at while the clock is not believed.
const LOOK: Duration = Duration::from_secs(1);

/// What tells about the machine's clock; handed in, so that tests can own it.
pub trait Machine: Send + Sync + 'static {
    /// What the system takes for the time of day.
    fn system(&self) -> Timestamp;

    /// How long the machine has been up, sleep included. Never goes back.
    fn uptime(&self) -> Duration;

    /// What speaks for and against the system's clock now.
    fn signs(&self) -> Signs;
}

/// What speaks for and against the system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// When the system's clock was synchronised with the network's, by itself.
    pub synchronised: Option<Timestamp>,
    /// Whether it is going to be.
    pub awaits_network: bool,
    /// What the battery clock says.
    pub battery: Option<Timestamp>,
    /// Whether the machine is of the kind that has no battery clock.
    pub bare: bool,
}

/// The Linux that we run on.
#[derive(Debug, Clone)]
pub struct Linux {
    root: PathBuf,
}

impl Linux {
    /// The system of this process.
    pub fn new() -> Self {
        Self::at(Path::new("/"))
    }

    /// The system whose files are under `root`.
    fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl Default for Linux {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for Linux {
    fn system(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn uptime(&self) -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        let part = |number| u64::try_from(number).unwrap_or(0);
        Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
    }

    fn signs(&self) -> Signs {
        let path = |name| self.root.join(name);
        // systemd-timesyncd.service(8).
        let flag = fs::metadata(path("run/systemd/timesync/synchronized"));
        let synchronised = flag.and_then(|flag| flag.modified()).ok().map(Timestamp::from);
        let rtc = fs::read_to_string(path("sys/class/rtc/rtc0/since_epoch")).ok();
        let seconds = rtc.and_then(|text| text.trim().parse::<i64>().ok());
        let battery = seconds.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1_000)));
        Signs {
            synchronised,
            awaits_network: synchronised.is_none() && path("run/systemd/timesync").is_dir(),
            battery,
            bare: ["sys/firmware/devicetree/base", "etc/fake-hwclock.data"]
                .iter()
                .any(|name| path(name).exists()),
        }
    }
}

/// Why the system's clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Set,
    Synchronised,
    Even,
    Battery,
    NothingAgainst,
}

/// Why the system's clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Doubt {
    #[error("it is before this program's first day")]
    TooEarly,
    #[error("it is before a time that has been already")]
    WentBack,
    #[error("it waits for the network's time")]
    AwaitsNetwork,
    #[error("the machine has no battery clock")]
    NoBattery,
}

/// What [`judge`] goes by.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    system: Timestamp,
    uptime: Duration,
    /// Whether the system's clock was set since the hub started.
    set: bool,
    /// The last moment known to have been right.
    known: Option<ClockMark>,
    signs: Signs,
}

/// The table above.
fn judge(evidence: Evidence) -> Result<Belief, Doubt> {
    let Evidence { system, uptime, set, known, signs } = evidence;
    if system < EARLIEST {
        return Err(Doubt::TooEarly);
    }
    if set {
        return Ok(Belief::Set);
    }
    if signs.synchronised.is_some_and(|at| at <= system) {
        return Ok(Belief::Synchronised);
    }
    if let Some(known) = known {
        if system < known.at {
            return Err(Doubt::WentBack);
        }
        let passed = uptime.checked_sub(Duration::from_millis(known.uptime_ms));
        if passed.is_some_and(|passed| {
            passed <= EVEN_FOR && apart(system, known.at.after(passed)) <= EVEN
        }) {
            return Ok(Belief::Even);
        }
    }
    let battery = signs.battery.filter(|&battery| battery >= EARLIEST);
    if battery.is_some_and(|battery| apart(system, battery) <= BATTERY) {
        return Ok(Belief::Battery);
    }
    if signs.awaits_network {
        return Err(Doubt::AwaitsNetwork);
    }
    if signs.bare && battery.is_none() {
        return Err(Doubt::NoBattery);
    }
    Ok(Belief::NothingAgainst)
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    Duration::from_millis(a.millis().abs_diff(b.millis()))
}

/// Whether a clock that said `before.0` and now says `now.0` was set between; the second of each
/// is the uptime. A clock that stands still was not.
fn was_set(before: (Timestamp, Duration), now: (Timestamp, Duration)) -> bool {
    let passed = now.1.saturating_sub(before.1);
    let slack = STEP + passed / 500;
    now.0 > before.0.after(passed).after(slack) || before.0 > now.0.after(slack)
}

/// The hub's clock.
pub struct HubClock<M> {
    machine: M,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    certain: bool,
    /// The last moment known to have been right.
    known: Option<ClockMark>,
    /// What was told last, and at which uptime.
    told: (Timestamp, Duration),
    /// What the system's clock said last, and at which uptime.
    seen: (Timestamp, Duration),
    /// The uptime at which the signs were looked at last.
    looked: Option<Duration>,
    /// Whether the system's clock was set since the hub started.
    set: bool,
    /// Why it is not believed, as was logged.
    doubt: Option<Doubt>,
    span: Option<TimeSpan>,
}

impl<M: Machine> HubClock<M> {
    /// A clock that remembers nothing yet.
    pub fn new(machine: M) -> Self {
        let (system, uptime) = (machine.system(), machine.uptime());
        let state = State {
            certain: false,
            known: None,
            told: (EARLIEST, uptime),
            seen: (system, uptime),
            looked: None,
            set: false,
            doubt: None,
            span: None,
        };
        Self { machine, state: Mutex::new(state) }
    }

    /// The state as of now.
    fn look(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that times are told in the order of the looks.
        let now = (self.machine.system(), self.machine.uptime());
        state.look(now, || self.machine.signs());
        state
    }
}

impl State {
    fn look(&mut self, now: (Timestamp, Duration), signs: impl FnOnce() -> Signs) {
        let (system, uptime) = now;
        let set = was_set(self.seen, now);
        self.seen = now;
        self.set |= set;
        if self.certain && system < EARLIEST {
            // The clock was lost. What set it then does not count.
            (self.certain, self.set, self.span) = (false, false, None);
        }
        let due = self.looked.is_none_or(|looked| uptime.saturating_sub(looked) >= LOOK);
        if !self.certain && (due || set) {
            self.looked = Some(uptime);
            let (set, known) = (self.set, self.known);
            self.settle(judge(Evidence { system, uptime, set, known, signs: signs() }), system);
        }
        if self.certain {
            let uptime_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
            self.known = Some(ClockMark { at: system, uptime_ms });
            self.told = now;
            return;
        }
        let guess = system.max(self.told.0.after(uptime.saturating_sub(self.told.1)));
        self.told = (guess, uptime);
        self.span.get_or_insert(TimeSpan { from: guess, to: guess }).to = guess;
    }

    fn settle(&mut self, judgement: Result<Belief, Doubt>, system: Timestamp) {
        match judgement {
            Ok(why) => {
                self.certain = true;
                if self.doubt.take().is_some() {
                    tracing::info!(time = %system, ?why, "the time is certain now");
                } else {
                    tracing::debug!(time = %system, ?why, "the time is certain");
                }
            }
            Err(why) if self.doubt != Some(why) => {
                self.doubt = Some(why);
                tracing::warn!(
                    system = %system,
                    "the system's clock can't be believed: {why}; times are a best guess and \
                     nothing old is deleted until it can"
                );
            }
            Err(_) => {}
        }
    }
}

impl<M: Machine> Clock for HubClock<M> {
    fn now(&self) -> Timestamp {
        self.look().told.0
    }

    fn certain(&self) -> bool {
        self.look().certain
    }

    fn mark(&self) -> Option<ClockMark> {
        self.look().known
    }

    fn doubt(&self) -> Option<TimeSpan> {
        self.look().span
    }

    fn resume(&self, mark: Option<ClockMark>, newest: Option<Timestamp>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = [Some(EARLIEST), mark.map(|mark| mark.at), newest].into_iter().flatten().max();
        state.known = mark;
        state.told = (since.unwrap_or(EARLIEST), self.machine.uptime());
        // What was judged before was judged without this.
        (state.certain, state.looked, state.span) = (false, None, None);
    }
}

impl<M> fmt::Debug for HubClock<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubClock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
