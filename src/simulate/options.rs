//! How many boards, and what happens to them.

use crate::model::MasterKey;
use capteur_protocol::Name;
use std::time::Duration;

/// How many boards, and what happens to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The hub's MQTT port, as `host:port`. Looked up anew for each connection.
    pub broker: String,
    /// The number of boards.
    pub devices: usize,
    /// The names that the first boards wish for, as if they had been flashed with them. The others
    /// have no wish.
    pub names: Vec<Name>,
    /// From one light reading of a board to the next.
    pub interval: Duration,
    /// Where all chance comes from. The same seed gives the same boards: the same MACs, the same
    /// weather, the same fingers.
    pub seed: u64,
    /// Over how long the boards are switched on, one after the other; zero: all at once.
    pub power_on: Duration,
    /// How long a simulated day lasts.
    pub day: Duration,
    /// From one press of a board's button to the next, on average; `None`: nobody presses.
    pub press_every: Option<Duration>,
    /// From one network cut of a board to the next, on average; `None`: the network holds.
    pub cut_every: Option<Duration>,
    /// What the hub derives the boards' keys from; `None`: they have none.
    pub device_key: Option<MasterKey>,
    /// The number of threads that the boards live on; zero: one for each processor, at most four.
    pub threads: usize,
}

impl Options {
    /// How long a network holds on average under `--flaky`.
    pub const FLAKY: Duration = Duration::from_secs(30);

    /// Boards as a person would watch them: on within a second, a day in ten minutes, a press
    /// every 20 seconds, a network that holds.
    pub fn new(broker: impl Into<String>, devices: usize) -> Self {
        Self {
            broker: broker.into(),
            devices,
            names: Vec::new(),
            interval: Duration::from_secs(2),
            seed: 1,
            power_on: Duration::from_secs(1),
            day: Duration::from_mins(10),
            press_every: Some(Duration::from_secs(20)),
            cut_every: None,
            device_key: None,
            threads: 0,
        }
    }

    /// Boards as a test or a benchmark wants them: all on at once, and nothing happens to them that
    /// is not asked for, but for their readings.
    pub fn quiet(broker: impl Into<String>, devices: usize) -> Self {
        Self { power_on: Duration::ZERO, press_every: None, ..Self::new(broker, devices) }
    }
}
