//! What can be chosen about a board.

use capteur_protocol::{
    Mac, Name,
    config::{BoardKey, Polarity},
};
use embassy_time::Duration;

/// An MQTT keep-alive of 1 to 5 seconds: the protocol wants it strictly below 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive(u16);

impl KeepAlive {
    /// Five seconds.
    pub const MAX: Self = Self(5);

    /// This many seconds, or `None` outside 1 to 5.
    pub const fn from_secs(seconds: u16) -> Option<Self> {
        if seconds >= 1 && seconds <= Self::MAX.0 { Some(Self(seconds)) } else { None }
    }

    /// The number of seconds.
    pub const fn as_secs(self) -> u16 {
        self.0
    }
}

/// What can be chosen about a board.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who the board is. Also its MQTT client id, so that the broker ends a forgotten connection.
    pub mac: Mac,
    /// What the board proves its MAC with, to a hub that asks for it.
    pub key: Option<BoardKey>,
    /// The name that it would like. What it is called is the hub's to say.
    pub wish: Option<Name>,
    /// The MQTT keep-alive.
    pub keep_alive: KeepAlive,
    /// From one light reading to the next.
    pub light_interval: Duration,
    /// From one reading to the next that is kept while the hub is away, unless `light_interval` is
    /// longer.
    pub away_interval: Duration,
    /// From one report of the board about itself to the next.
    pub info_interval: Duration,
    /// How long the button's level must stand before it counts.
    pub debounce: Duration,
    /// How the LED is wired.
    pub led: Polarity,
    /// How the button is wired.
    pub button: Polarity,
    /// How long the opening of a stream may take, with finding the network and the hub.
    pub open_timeout: Duration,
    /// How long a handshake or a write may take.
    pub io_timeout: Duration,
    /// After how long without an answer the MAC is published again: whoever should have heard it
    /// may not have been there.
    pub repeat_mac: Duration,
    /// After how long without a name the connection is given up and made anew.
    pub join_timeout: Duration,
    /// About the first pause after a failure; each failure in a row doubles it.
    pub backoff_min: Duration,
    /// About the longest pause.
    pub backoff_max: Duration,
}

impl Settings {
    /// The usual choices for the board with this MAC.
    pub const fn new(mac: Mac) -> Self {
        Self {
            mac,
            key: None,
            wish: None,
            keep_alive: KeepAlive::MAX,
            light_interval: Duration::from_secs(2),
            away_interval: Duration::from_secs(10),
            info_interval: Duration::from_secs(5 * 60),
            debounce: Duration::from_millis(25),
            led: Polarity::ActiveHigh,
            button: Polarity::ActiveLow,
            open_timeout: Duration::from_secs(10),
            io_timeout: Duration::from_secs(5),
            repeat_mac: Duration::from_secs(3),
            join_timeout: Duration::from_secs(60),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
        }
    }
}
