//! One board from outside: what it does, and hands that reach for its pins.

use capteur_protocol::{Mac, Name, Percent};
use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};
use tokio::sync::watch;

/// Where a board stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has no current.
    Off,
    /// It looks for the hub.
    Connecting,
    /// It waits for a name and a session.
    Joining,
    /// It starts its session.
    Starting,
    /// The hub has acknowledged its session.
    Online,
    /// Something failed; it pauses before it tries again.
    Waiting,
}

/// What can be seen of a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// The name that the hub gave it last.
    pub name: Option<Name>,
    /// Whether its LED shines.
    pub led: bool,
}

/// What a board has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// How often it came online.
    pub onlines: u64,
    /// How often its LED's pin was set: once at each start from the first step, then once for each
    /// command obeyed.
    pub led_writes: u64,
    /// How often it measured the light, which it then published.
    pub readings: u64,
}

/// What happens to a board's connection when its network is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It breaks: both ends notice at once.
    Drop,
    /// It stays, but carries nothing any more: both ends have to find out.
    Stall,
}

/// One board from outside. Clones are the same board.
#[derive(Debug, Clone)]
pub struct Board {
    mac: Mac,
    state: watch::Receiver<State>,
    button: watch::Sender<bool>,
    cuts: watch::Sender<Option<Cut>>,
    shared: Arc<Shared>,
}

/// What a board's own side needs of it.
pub(super) struct Inside {
    pub(super) state: watch::Sender<State>,
    pub(super) button: watch::Receiver<bool>,
    pub(super) cuts: watch::Receiver<Option<Cut>>,
    pub(super) shared: Arc<Shared>,
}

impl Board {
    /// A board that is switched off, and its own side.
    pub(super) fn new(mac: Mac) -> (Self, Inside) {
        let (state_sender, state) =
            watch::channel(State { phase: Phase::Off, name: None, led: false });
        let (button, button_receiver) = watch::channel(false);
        let (cuts, cuts_receiver) = watch::channel(None);
        let shared = Arc::new(Shared::default());
        let inside = Inside {
            state: state_sender,
            button: button_receiver,
            cuts: cuts_receiver,
            shared: Arc::clone(&shared),
        };
        (Self { mac, state, button, cuts, shared }, inside)
    }

    /// Its MAC address: locally administered, and the same for the same seed and number.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// What can be seen of it now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Follows what can be seen of it.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        let Shared { onlines, led_writes, readings, .. } = &*self.shared;
        Counts { onlines: onlines.get(), led_writes: led_writes.get(), readings: readings.get() }
    }

    /// Holds its button down. A press shorter than the debounce of the device logic is not seen.
    pub fn press(&self) {
        self.button.send_replace(true);
    }

    /// Lets go of its button.
    pub fn release(&self) {
        self.button.send_replace(false);
    }

    /// Makes its photoresistor see this much, or the daylight again.
    pub fn set_light(&self, level: Option<Percent>) {
        self.shared.set_light(level);
    }

    /// Cuts the connection that it has now, if any. It may make another at once.
    pub fn cut(&self, cut: Cut) {
        self.cuts.send_replace(Some(cut));
    }
}

/// What both sides of a board count on without waiting for one another.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) onlines: Counter,
    pub(super) led_writes: Counter,
    pub(super) readings: Counter,
    /// Above 100: the daylight.
    light: AtomicU8,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            onlines: Counter::default(),
            led_writes: Counter::default(),
            readings: Counter::default(),
            light: AtomicU8::new(u8::MAX),
        }
    }
}

impl Shared {
    /// What a test holds over the photoresistor.
    pub(super) fn light(&self) -> Option<Percent> {
        Percent::new(self.light.load(Ordering::Relaxed))
    }

    fn set_light(&self, level: Option<Percent>) {
        self.light.store(level.map_or(u8::MAX, Percent::get), Ordering::Relaxed);
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
