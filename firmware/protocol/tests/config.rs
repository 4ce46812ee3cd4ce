//! Settings come back from flash as they were written, and whatever lies there, nothing panics.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use capteur_protocol::{
    Config, Percent,
    config::{
        BoardKey, Calibration, ConfigError, ENCODED_MAX, Field, Host, Interval, PARTITION_LEN,
        Passphrase, Polarity, Ssid, ValueError,
    },
};
use proptest::{option::of, prelude::*};
use std::str::FromStr;

fn parsed<T: FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(
    pattern: &'static str,
) -> impl Strategy<Value = Option<T>> {
    of(pattern.prop_map(|text| text.parse().expect("fits its pattern")))
}

fn polarity() -> impl Strategy<Value = Option<Polarity>> {
    of(prop_oneof![Just(Polarity::ActiveHigh), Just(Polarity::ActiveLow)])
}

fn config() -> impl Strategy<Value = Config> {
    let wifi = (parsed("[a-zA-Z0-9 é]{1,16}"), parsed("[ -~]{8,63}|[0-9a-fA-F]{64}"));
    let hub = (parsed("[a-z0-9.:_-]{1,253}"), of(any::<std::num::NonZeroU16>()));
    let who = (of(any::<[u8; 32]>()), parsed("[a-zé]{1,14}"), parsed("[a-z0-9-]{1,32}"));
    let interval = of(Interval::MIN_MS..=Interval::MAX_MS);
    let calibration =
        of(any::<(u16, u16)>().prop_filter("differ", |(dark, bright)| dark != bright));
    (wifi, hub, who, interval, (polarity(), polarity()), calibration).prop_map(
        |(
            (ssid, passphrase),
            (host, port),
            (key, name, board),
            interval,
            (led, button),
            levels,
        )| {
            Config {
                ssid,
                passphrase,
                host,
                port,
                key: key.map(BoardKey),
                name,
                interval: interval.map(|ms| Interval::from_millis(ms).expect("in range")),
                board,
                led,
                button,
                calibration: levels
                    .map(|(dark, bright)| Calibration::new(dark, bright).expect("differ")),
            }
        },
    )
}

fn crc32(bytes: &[u8]) -> u32 {
    // Another implementation than the one under test: bit by bit, as Ethernet does it.
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

/// Fields under a header that is right.
fn sealed(fields: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fields.len()).unwrap();
    let mut bytes = [b"CPTR".as_slice(), &[1, 0], &length.to_le_bytes()].concat();
    let checksum = crc32(&[bytes.as_slice(), fields].concat());
    bytes.extend(checksum.to_le_bytes());
    bytes.extend(fields);
    bytes
}

fn fields() -> impl Strategy<Value = Vec<u8>> {
    let field = (0..14_u8, prop::collection::vec(any::<u8>(), 0..70)).prop_map(|(tag, value)| {
        let length = u8::try_from(value.len()).expect("short");
        [[tag, length].as_slice(), &value].concat()
    });
    prop_oneof![
        any::<Vec<u8>>(),
        prop::collection::vec(field, 0..6).prop_map(|fields| fields.concat())
    ]
}

proptest! {
    #[test]
    fn settings_come_back_as_they_were_written(
        config in config(),
        behind in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let encoded = config.encode();
        prop_assert!(encoded.len() <= ENCODED_MAX);
        prop_assert_eq!(Config::decode(&encoded), Ok(Some(config.clone())));
        let partition = [encoded.as_slice(), &behind].concat();
        prop_assert_eq!(Config::decode(&partition), Ok(Some(config)));
    }

    #[test]
    fn settings_that_were_cut_or_damaged_are_refused(
        config in config(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let encoded = config.encode();
        let at = at.index(encoded.len());
        prop_assert_eq!(Config::decode(&encoded[..at]), Err(ConfigError::Length));
        let mut damaged = encoded.to_vec();
        damaged[at] ^= flip;
        prop_assert!(Config::decode(&damaged).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>(), fields in fields()) {
        let _ = Config::decode(&bytes);
        if let Ok(Some(config)) = Config::decode(&sealed(&fields)) {
            prop_assert_eq!(Config::decode(&config.encode()), Ok(Some(config)));
        }
    }

    #[test]
    fn light_is_somewhere_between_dark_and_bright(dark: u16, bright: u16, millivolts: u16) {
        prop_assume!(dark != bright);
        let calibration = Calibration::new(dark, bright).unwrap();
        prop_assert_eq!(calibration.percent(dark).get(), 0);
        prop_assert_eq!(calibration.percent(bright), Percent::MAX);
        let level = f64::from(calibration.percent(millivolts).get());
        let span = f64::from(bright) - f64::from(dark);
        let exact = ((f64::from(millivolts) - f64::from(dark)) / span * 100.0).clamp(0.0, 100.0);
        prop_assert!((level - exact).abs() <= 0.5 + 1e-9);
    }
}

#[test]
fn erased_flash_holds_no_settings() {
    assert_eq!(Config::decode(&[0xFF; PARTITION_LEN]), Ok(None));
    assert_eq!(Config::decode(&[0; PARTITION_LEN]), Err(ConfigError::Magic));
    assert_eq!(Config::decode(&[]), Err(ConfigError::Length));
}

#[test]
fn settings_lie_in_flash_like_this() {
    let config = Config {
        ssid: Some("home".parse().unwrap()),
        port: std::num::NonZeroU16::new(1883),
        led: Some(Polarity::ActiveLow),
        ..Config::default()
    };
    let fields = [&[1, 4][..], b"home", &[4, 2, 0x5B, 0x07], &[9, 1, 0]].concat();
    assert_eq!(config.encode().as_slice(), sealed(&fields));
    assert_eq!((config.host(), config.port()), ("capteur.local", 1883));
}

#[test]
fn fields_of_a_later_firmware_are_passed_over() {
    let bytes = sealed(&[&[200, 3, 1, 2, 3][..], &[1, 1, b'x'], &[0, 0]].concat());
    let read = Config::decode(&bytes).unwrap().unwrap();
    assert_eq!(read, Config { ssid: Some("x".parse().unwrap()), ..Config::default() });
    let mut newer = bytes;
    newer[4] = 2;
    assert_eq!(Config::decode(&newer), Err(ConfigError::Version(2)));
}

#[test]
fn a_fault_names_its_field() {
    let fault = |fields: &[u8]| Config::decode(&sealed(fields)).unwrap_err();
    for (fields, field, error) in [
        (&[1, 0][..], Field::Ssid, ValueError::Length),
        (&[1, 1, 0xFF], Field::Ssid, ValueError::Content),
        (&[1, 1, 0x07], Field::Ssid, ValueError::Content),
        (b"\x02\x07secretx", Field::Passphrase, ValueError::Content),
        (b"\x03\x01/", Field::Host, ValueError::Content),
        (&[4, 1, 7], Field::Port, ValueError::Length),
        (&[4, 2, 0, 0], Field::Port, ValueError::Range),
        (&[5, 1, 7], Field::Key, ValueError::Length),
        (b"\x06\x01;", Field::Name, ValueError::Content),
        (&[7, 4, 99, 0, 0, 0], Field::Interval, ValueError::Range),
        (b"\x08\x01A", Field::Board, ValueError::Content),
        (&[9, 1, 2], Field::Led, ValueError::Range),
        (&[10, 0], Field::Button, ValueError::Length),
        (&[11, 4, 5, 0, 5, 0], Field::Calibration, ValueError::Range),
    ] {
        assert_eq!(fault(fields), ConfigError::Value(field, error), "{fields:?}");
        assert!(fault(fields).to_string().contains(field.as_str()));
    }
    assert_eq!(fault(&[1, 1, b'x', 1, 1, b'y']), ConfigError::Twice(Field::Ssid));
    assert_eq!(fault(&[1, 9, b'x']), ConfigError::Length);
    assert_eq!(fault(&[1]), ConfigError::Length);
}

#[test]
fn texts_have_the_limits_of_their_standards() {
    for (text, fine) in [("", false), ("short12", false), ("eight888", true), ("clé-à-vie", false)]
    {
        assert_eq!(text.parse::<Passphrase>().is_ok(), fine, "{text}");
    }
    assert!("p".repeat(63).parse::<Passphrase>().is_ok());
    assert!("p".repeat(64).parse::<Passphrase>().is_err());
    assert!("a".repeat(64).parse::<Passphrase>().is_ok());
    assert!("s".repeat(32).parse::<Ssid>().is_ok());
    assert_eq!("s".repeat(33).parse::<Ssid>(), Err(ValueError::Length));
    for host in ["capteur.local", "192.168.1.7", "fd00::1"] {
        assert_eq!(host.parse::<Host>().unwrap().as_str(), host);
    }
    assert_eq!("Capteur.LOCAL".parse::<Host>().unwrap().as_str(), "capteur.local");
    let host = Config::decode(&sealed(b"\x03\x07Hub.LAN")).unwrap().unwrap().host;
    assert_eq!(host.unwrap().as_str(), "hub.lan");
}

#[test]
fn a_key_is_read_and_given_in_hexadecimal_and_stays_out_of_logs() {
    let text = "00ff10".repeat(10) + "abcd";
    let key: BoardKey = text.to_uppercase().parse().unwrap();
    assert_eq!(key.to_hex(), text.as_str());
    assert_eq!("0".repeat(63).parse::<BoardKey>(), Err(ValueError::Length));
    assert_eq!("g".repeat(64).parse::<BoardKey>(), Err(ValueError::Content));
    let passphrase: Passphrase = "correct horse".parse().unwrap();
    let shown = format!(
        "{:?}",
        Config { key: Some(key), passphrase: Some(passphrase), ..Config::default() }
    );
    assert!(!shown.contains("horse") && !shown.to_lowercase().contains("ff10"), "{shown}");
}
