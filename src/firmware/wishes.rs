//! What a person wants of a board's settings, and what the board has.

use capteur_protocol::{
    Config, Name,
    config::{
        BoardKey, BoardName, Calibration, DEFAULT_HOST, DEFAULT_PORT, Host, Interval, Passphrase,
        Polarity, Ssid,
    },
};
use std::{fmt, num::NonZeroU16, str::FromStr};

/// What a person wants; what is absent stays as the board has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// The network that it joins.
    pub wifi: Option<Wifi>,
    /// Where it looks for its hub.
    pub hub: Option<HubAddress>,
    /// The name that it would like to be given.
    pub name: Option<Name>,
    /// From one light reading to the next.
    pub interval: Option<Interval>,
    /// The kind of board.
    pub board: Option<BoardName>,
    /// How the LED is wired.
    pub led: Option<Polarity>,
    /// How the button is wired.
    pub button: Option<Polarity>,
    /// What the photoresistor gives in the dark and in bright light.
    pub calibration: Option<Calibration>,
}

/// A network, with the password that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wifi {
    /// Its name.
    pub ssid: Ssid,
    /// Its password; an open network has none.
    pub passphrase: Option<Passphrase>,
}

/// Where a board looks for its hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubAddress {
    /// A host name or an IPv4 address.
    pub host: Host,
    /// The MQTT port, where it is not the usual one.
    pub port: Option<NonZeroU16>,
}

/// A text is not the address of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host name or an IPv4 address, such as raspberrypi.local or 192.168.1.5:1883")]
pub struct HubAddressError;

impl FromStr for HubAddress {
    type Err = HubAddressError;

    /// The case of a name does not matter: a board gets it in small letters.
    fn from_str(text: &str) -> Result<Self, HubAddressError> {
        let text = text.to_ascii_lowercase();
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| HubAddressError)?)),
            None => (text.as_str(), None),
        };
        Ok(Self { host: host.parse().map_err(|_| HubAddressError)?, port })
    }
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

impl Wishes {
    /// What a board's settings become that has `found`. A password belongs to its network, and a port
    /// to its host; where no key is made for the board, it keeps the one that it has.
    pub fn over(self, found: Config, key: Option<BoardKey>) -> Config {
        let (ssid, passphrase) = match self.wifi {
            Some(wifi) => (Some(wifi.ssid), wifi.passphrase),
            None => (found.ssid, found.passphrase),
        };
        let (host, port) = match self.hub {
            Some(hub) => (Some(hub.host), hub.port),
            None => (found.host, found.port),
        };
        Config {
            ssid,
            passphrase,
            host,
            port,
            key: key.or(found.key),
            name: self.name.or(found.name),
            interval: self.interval.or(found.interval),
            board: self.board.or(found.board),
            led: self.led.or(found.led),
            button: self.button.or(found.button),
            calibration: self.calibration.or(found.calibration),
        }
    }
}

/// Says settings in words, a line each, with what must not be read over a shoulder left out.
pub(super) fn describe(config: &Config) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut line = |what, text: String| lines.push((what, text));
    if let Some(ssid) = &config.ssid {
        let password = match &config.passphrase {
            Some(_) => "with its password",
            None => "open: without a password",
        };
        line("Wi-Fi", format!("{ssid} ({password})"));
    }
    let found = match config.host() {
        DEFAULT_HOST => " (the board finds it by multicast DNS)",
        _ => "",
    };
    match config.port() {
        DEFAULT_PORT => line("hub", format!("{}{found}", config.host())),
        port => line("hub", format!("{}, port {port}{found}", config.host())),
    }
    match &config.name {
        Some(name) => line("name", format!("{name}, if it is free")),
        None => line("name", "the hub gives it one".into()),
    }
    line(
        "key",
        match config.key {
            Some(_) => "its own, which it shows to its hub".into(),
            None => "none: the board proves nothing to its hub".into(),
        },
    );
    if let Some(interval) = config.interval {
        let seconds = f64::from(interval.as_millis()) / 1000.0;
        line("light", format!("every {seconds} s"));
    }
    for (what, polarity) in [("LED", config.led), ("button", config.button)] {
        match polarity {
            Some(Polarity::ActiveHigh) => line(what, "on at the high level".into()),
            Some(Polarity::ActiveLow) => line(what, "on at the low level".into()),
            None => {}
        }
    }
    if let Some(calibration) = config.calibration {
        let (dark, bright) = (calibration.dark_mv(), calibration.bright_mv());
        line("photoresistor", format!("{dark} mV in the dark, {bright} mV in bright light"));
    }
    lines
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::{option, prelude::*};

    fn text<T: FromStr<Err: fmt::Debug> + fmt::Debug>(
        shape: &'static str,
    ) -> impl Strategy<Value = T> {
        shape.prop_map(|text: String| text.parse().unwrap())
    }

    fn polarity() -> impl Strategy<Value = Polarity> {
        prop_oneof![Just(Polarity::ActiveHigh), Just(Polarity::ActiveLow)]
    }

    /// Any settings that a board may have.
    pub(crate) fn config() -> impl Strategy<Value = Config> {
        let network = (option::of(text("[a-z ]{1,32}")), option::of(text("[!-~]{8,63}")));
        let hub = (option::of(text("[a-z.]{1,40}")), option::of(any::<NonZeroU16>()));
        let board = (
            option::of(any::<[u8; 32]>().prop_map(BoardKey)),
            option::of(text("[a-zé]{1,12}")),
            option::of((100..=3_600_000u32).prop_map(|ms| Interval::from_millis(ms).unwrap())),
            option::of(text("[a-z0-9-]{1,32}")),
        );
        let wiring = (option::of(polarity()), option::of(polarity()));
        let calibration = option::of(
            (any::<u16>(), any::<u16>())
                .prop_filter_map("not the same", |(a, b)| Calibration::new(a, b).ok()),
        );
        (network, hub, board, wiring, calibration).prop_map(
            |((ssid, passphrase), (host, port), (key, name, interval, board), (led, button), c)| {
                Config {
                    ssid,
                    passphrase,
                    host,
                    port,
                    key,
                    name,
                    interval,
                    board,
                    led,
                    button,
                    calibration: c,
                }
            },
        )
    }

    fn wishes() -> impl Strategy<Value = Wishes> {
        config().prop_map(|config| Wishes {
            wifi: config.ssid.map(|ssid| Wifi { ssid, passphrase: config.passphrase }),
            hub: config.host.map(|host| HubAddress { host, port: config.port }),
            name: config.name,
            interval: config.interval,
            board: config.board,
            led: config.led,
            button: config.button,
            calibration: config.calibration,
        })
    }

    proptest! {
        #[test]
        fn what_is_wanted_wins_and_everything_else_stays(
            found in config(),
            wanted in wishes(),
            key in option::of(any::<[u8; 32]>().prop_map(BoardKey)),
        ) {
            let becomes = wanted.clone().over(found.clone(), key);
            let network = match wanted.wifi {
                Some(wifi) => (Some(wifi.ssid), wifi.passphrase),
                None => (found.ssid, found.passphrase),
            };
            prop_assert_eq!((becomes.ssid, becomes.passphrase), network);
            let hub = match wanted.hub {
                Some(hub) => (Some(hub.host), hub.port),
                None => (found.host, found.port),
            };
            prop_assert_eq!((becomes.host, becomes.port), hub);
            prop_assert_eq!(becomes.key, key.or(found.key));
            prop_assert_eq!(becomes.name, wanted.name.or(found.name));
            prop_assert_eq!(becomes.interval, wanted.interval.or(found.interval));
            prop_assert_eq!(becomes.board, wanted.board.or(found.board));
            prop_assert_eq!(becomes.led, wanted.led.or(found.led));
            prop_assert_eq!(becomes.button, wanted.button.or(found.button));
            prop_assert_eq!(becomes.calibration, wanted.calibration.or(found.calibration));
        }

        #[test]
        fn to_want_nothing_changes_nothing(found in config()) {
            prop_assert_eq!(Wishes::default().over(found.clone(), None), found);
        }

        #[test]
        fn secrets_are_not_said(found in config()) {
            let said = format!("{:?}", describe(&found));
            if let Some(passphrase) = &found.passphrase {
                // Short ones may be part of another word.
                prop_assume!(passphrase.as_str().len() > 16);
                prop_assert!(!said.contains(passphrase.as_str()), "{}", said);
            }
            if let Some(key) = found.key {
                prop_assert!(!said.contains(key.to_hex().as_str()), "{}", said);
            }
        }
    }

    #[test]
    fn the_address_of_a_hub_is_a_host_with_or_without_a_port() {
        for text in ["capteur.local", "192.168.1.5", "raspberrypi.local:1884", "10.0.0.1:1"] {
            assert_eq!(text.parse::<HubAddress>().unwrap().to_string(), text);
        }
        assert_eq!("Pi.local".parse::<HubAddress>().unwrap().to_string(), "pi.local");
        for text in ["", ":1883", "hub:", "hub:0", "hub:65536", "hub:mqtt", "::1", "a b", "[::1]:1"]
        {
            assert_eq!(text.parse::<HubAddress>(), Err(HubAddressError), "{text}");
        }
    }
}
