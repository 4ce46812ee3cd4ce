//! Every payload that is printed is read back as it was, and no bytes make the parser panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use capteur_protocol::{
    Aged, Backlog, DeviceMessage, HubMessage, Info, Mac, MacText, Name, NameError, PAIR_MAX, Pair,
    ParseError, Percent, SessionId, Topic, Word,
    backlog::{BACKLOG_MAX, READINGS_MAX},
    info::INFO_MAX,
    message::ASSIGNMENT_MAX,
};
use proptest::prelude::*;

fn mac() -> impl Strategy<Value = MacText> {
    (any::<[u8; 6]>(), any::<bool>()).prop_map(|(octets, lower)| {
        let text = Mac(octets).to_string();
        let text = if lower { text.to_lowercase() } else { text };
        text.parse().expect("a printed MAC is a MAC")
    })
}

fn name() -> impl Strategy<Value = Name> {
    "[^;\\pC\\s]([=a ]{0,4}[^;\\pC\\p{Zl}\\p{Zp}]{0,8}[^;\\pC\\s])?"
        .prop_filter_map("not a name", |text| text.parse().ok())
}

fn pair() -> impl Strategy<Value = Pair> {
    (name(), 0..=SessionId::MAX.micros()).prop_map(|(name, micros)| Pair {
        name,
        session: SessionId::from_micros(micros).expect("in range"),
    })
}

fn aged() -> impl Strategy<Value = Aged> {
    (prop_oneof![any::<u32>(), 0..20_u32], 0..=100_u8)
        .prop_map(|(age_ms, level)| Aged { age_ms, level: Percent::new(level).expect("in range") })
}

fn backlog() -> impl Strategy<Value = (Pair, Backlog)> {
    (pair(), prop::collection::vec(aged(), 1..60)).prop_map(|(pair, readings)| {
        let backlog = Backlog::gather(&pair, readings).expect("one fits");
        (pair, backlog)
    })
}

fn word() -> impl Strategy<Value = Word> {
    "[!-:<-~]{1,24}".prop_map(|text| text.parse().expect("a word"))
}

fn info() -> impl Strategy<Value = Info> {
    use prop::option::of;
    let texts = (of(word()), of(word()), of(word()));
    let counts = (of(any::<u32>()), of(any::<u32>()), of(any::<u32>()));
    (texts, of(any::<i8>()), counts, of(name())).prop_map(
        |((firmware, chip, reset), rssi, (uptime_s, free_heap, lost), wish)| Info {
            firmware,
            chip,
            reset,
            rssi,
            uptime_s,
            free_heap,
            lost,
            wish,
        },
    )
}

fn device_message() -> impl Strategy<Value = DeviceMessage> {
    prop_oneof![
        mac().prop_map(DeviceMessage::Join),
        pair().prop_map(DeviceMessage::Start),
        pair().prop_map(DeviceMessage::Leave),
        (pair(), any::<bool>()).prop_map(|(pair, on)| DeviceMessage::Led(pair, on)),
        (pair(), any::<bool>()).prop_map(|(pair, pushed)| DeviceMessage::Button(pair, pushed)),
        (pair(), 0..=100_u8).prop_map(|(pair, level)| DeviceMessage::Photoresistor(
            pair,
            Percent::new(level).expect("in range")
        )),
        backlog().prop_map(|(pair, backlog)| DeviceMessage::Backlog(pair, backlog)),
        (pair(), info()).prop_map(|(pair, info)| DeviceMessage::Info(pair, info)),
    ]
}

fn hub_message() -> impl Strategy<Value = HubMessage> {
    prop_oneof![
        (mac(), pair()).prop_map(|(mac, pair)| HubMessage::NameAssign(mac, pair)),
        (pair(), any::<bool>()).prop_map(|(pair, on)| HubMessage::LedCommand(pair, on)),
    ]
}

/// Bytes that resemble payloads, so that the parser gets past its first check.
fn payload_like() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        "[0-9a-fA-F:;.,=+é-]{0,70}".prop_map(String::into_bytes),
        (device_message(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
            |(message, index, byte)| {
                let mut payload = message.payload().into_bytes().to_vec();
                let index = index.index(payload.len());
                payload[index] = byte;
                payload
            }
        ),
    ]
}

proptest! {
    #[test]
    fn device_messages_come_back_as_they_went(message in device_message()) {
        let read = DeviceMessage::parse(message.topic(), message.payload().as_bytes());
        prop_assert_eq!(read, Ok(message));
    }

    #[test]
    fn hub_messages_come_back_as_they_went(message in hub_message()) {
        let read = HubMessage::parse(message.topic(), message.payload().as_bytes());
        prop_assert_eq!(read, Ok(message));
    }

    #[test]
    fn no_bytes_make_the_parser_panic_and_what_it_takes_is_canonical(payload in payload_like()) {
        for topic in Topic::ALL {
            if let Ok(message) = DeviceMessage::parse(topic, &payload) {
                prop_assert!(topic.is_from_device());
                prop_assert_eq!(
                    DeviceMessage::parse(topic, message.payload().as_bytes()),
                    Ok(message)
                );
            }
            if let Ok(message) = HubMessage::parse(topic, &payload) {
                prop_assert!(!topic.is_from_device());
                let printed = message.payload();
                prop_assert_eq!(printed.as_bytes(), payload.as_slice());
            }
        }
    }

    #[test]
    fn a_backlog_message_takes_as_many_readings_as_fit(
        pair in pair(),
        readings in prop::collection::vec(aged(), 0..60),
    ) {
        let gathered = Backlog::gather(&pair, readings.iter().copied());
        let taken = gathered.as_ref().map_or(0, |backlog| backlog.readings().len());
        prop_assert_eq!(taken == 0, readings.is_empty());
        let Some(backlog) = gathered else { return Ok(()) };
        prop_assert_eq!(backlog.readings(), &readings[..taken]);
        let payload = DeviceMessage::Backlog(pair, backlog).payload();
        prop_assert!(payload.len() <= BACKLOG_MAX);
        if let Some(next) = readings.get(taken) {
            prop_assert!(payload.len() + 1 + next.to_string().len() > BACKLOG_MAX);
        }
    }

    #[test]
    fn session_ids_sort_as_their_text_does(a in 0..=SessionId::MAX.micros(), b in 0..=SessionId::MAX.micros()) {
        let (a, b) = (SessionId::from_micros(a).unwrap(), SessionId::from_micros(b).unwrap());
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }
}

#[test]
fn the_customers_examples_are_read() {
    let pair = |name: &str| Pair::from_fields(name, "1743946777.603371").unwrap();
    let device = |topic, text: &str| DeviceMessage::parse(topic, text.as_bytes()).unwrap();
    assert_eq!(
        HubMessage::parse(Topic::LedCommand, b"capteur01;1743946777.603371;1"),
        Ok(HubMessage::LedCommand(pair("capteur01"), true))
    );
    assert_eq!(
        device(Topic::LedStatus, "capteur02;1743946777.603371;0"),
        DeviceMessage::Led(pair("capteur02"), false)
    );
    assert_eq!(
        device(Topic::ButtonStatus, "optimus;1743946777.603371;1"),
        DeviceMessage::Button(pair("optimus"), true)
    );
    assert_eq!(
        device(Topic::PhotoresistorStatus, "capteur01;1743946777.603371;58"),
        DeviceMessage::Photoresistor(pair("capteur01"), Percent::new(58).unwrap())
    );
    assert_eq!(
        device(Topic::Join, "61:EC:ED:3B:25:B1"),
        DeviceMessage::Join(Mac([0x61, 0xEC, 0xED, 0x3B, 0x25, 0xB1]).into())
    );
    assert_eq!(
        device(Topic::Join, "capteur02;1743946777.603371"),
        DeviceMessage::Start(pair("capteur02"))
    );
    assert_eq!(
        device(Topic::Leave, "capteur01;1743946777.603371"),
        DeviceMessage::Leave(pair("capteur01"))
    );
    assert_eq!(
        HubMessage::parse(Topic::NameAssign, b"61:EC:ED:3B:25:B1;capteur01;1743946777.603371")
            .unwrap()
            .payload()
            .as_str(),
        "61:EC:ED:3B:25:B1;capteur01;1743946777.603371"
    );
}

#[test]
fn the_longest_payload_fits_exactly() {
    let name: Name = "n".repeat(29).parse().unwrap();
    let pair = Pair { name, session: SessionId::MAX };
    assert_eq!(pair.to_string().len(), PAIR_MAX);
    assert_eq!(PAIR_MAX + 1, 48, "the customer's buffer, with its trailing zero");
    let assignment = HubMessage::NameAssign(Mac([255; 6]).into(), pair);
    assert_eq!(assignment.payload().len(), ASSIGNMENT_MAX);
}

#[test]
fn the_longest_additions_fit_too() {
    let pair = Pair { name: "n".repeat(29).parse().unwrap(), session: SessionId::MAX };
    let word: Word = "w".repeat(24).parse().unwrap();
    let info = Info {
        firmware: Some(word.clone()),
        chip: Some(word.clone()),
        reset: Some(word),
        rssi: Some(-128),
        uptime_s: Some(u32::MAX),
        free_heap: Some(u32::MAX),
        lost: Some(u32::MAX),
        wish: Some(pair.name.clone()),
    };
    let payload = DeviceMessage::Info(pair, info).payload();
    assert_eq!(payload.len(), INFO_MAX);
    assert_eq!(payload.len(), payload.capacity());
    let short = Pair { name: "n".parse().unwrap(), session: SessionId::MAX };
    let reading = Aged { age_ms: 0, level: Percent::new(0).unwrap() };
    let full = Backlog::gather(&short, [reading; READINGS_MAX + 1]).unwrap();
    assert_eq!(full.readings().len(), READINGS_MAX);
    // As many readings as the smallest take, and one byte too long in all.
    let entries = ";00,0".repeat(READINGS_MAX);
    let payload = format!("{short}{entries}");
    assert!(payload.len() > BACKLOG_MAX);
    let read = DeviceMessage::parse(Topic::PhotoresistorBacklog, payload.as_bytes());
    assert_eq!(read, Err(ParseError::Length));
}

#[test]
fn a_backlog_and_an_info_look_like_this() {
    let pair = Pair::from_fields("capteur01", "1743946777.603371").unwrap();
    let level = |level| Percent::new(level).unwrap();
    let readings =
        [Aged { age_ms: 61_000, level: level(58) }, Aged { age_ms: 1000, level: level(7) }];
    let backlog = Backlog::gather(&pair, readings).unwrap();
    let message = DeviceMessage::Backlog(pair.clone(), backlog);
    assert_eq!(message.payload(), "capteur01;1743946777.603371;61000,58;1000,7");
    assert_eq!((message.topic().as_str(), message.topic().qos()), ("photoresistor/backlog", 1));

    let info = Info {
        firmware: Some("0.1.0".parse().unwrap()),
        chip: Some("esp32c3".parse().unwrap()),
        rssi: Some(-61),
        uptime_s: Some(86_400),
        ..Info::default()
    };
    let message = DeviceMessage::Info(pair.clone(), info.clone());
    let payload = "capteur01;1743946777.603371;fw=0.1.0;chip=esp32c3;rssi=-61;up=86400";
    assert_eq!(message.payload(), payload);
    assert_eq!((message.topic().as_str(), message.topic().qos()), ("state/info", 0));
    // Firmware to come may tell more, in any order.
    let newer =
        "capteur01;1743946777.603371;cpu=160;up=86400;rssi=-61;chip=esp32c3;mood=a=b;fw=0.1.0";
    assert_eq!(
        DeviceMessage::parse(Topic::Info, newer.as_bytes()),
        Ok(DeviceMessage::Info(pair.clone(), info))
    );
    assert_eq!(
        DeviceMessage::parse(Topic::Info, b"capteur01;1743946777.603371"),
        Ok(DeviceMessage::Info(pair, Info::default()))
    );
}

#[test]
fn a_wish_is_any_name_and_may_stand_anywhere() {
    let pair = Pair::from_fields("capteur01", "1743946777.603371").unwrap();
    for wish in ["kitchen", "Küche unten", "=", "a=b", "wish=wish=", "阳台 🌱 = 1"] {
        let info = Info { lost: Some(0), wish: Some(wish.parse().unwrap()), ..Info::default() };
        let message = DeviceMessage::Info(pair.clone(), info);
        assert_eq!(message.payload(), format!("{pair};lost=0;wish={wish}").as_str());
        for payload in [message.payload().to_string(), format!("{pair};wish={wish};lost=0")] {
            let read = DeviceMessage::parse(Topic::Info, payload.as_bytes());
            assert_eq!(read.as_ref(), Ok(&message), "{payload}");
        }
    }
}

#[test]
fn names_follow_the_rules() {
    let fault = |text: &str| text.parse::<Name>().unwrap_err();
    assert_eq!(fault(""), NameError::Empty);
    assert_eq!(fault(&"n".repeat(30)), NameError::TooLong);
    assert_eq!(fault(&"é".repeat(15)), NameError::TooLong);
    assert_eq!(fault("a;b"), NameError::Separator);
    assert_eq!(fault(" a"), NameError::Blank);
    assert_eq!(fault("a\u{a0}"), NameError::Blank);
    assert_eq!(fault("a\tb"), NameError::Unprintable);
    assert_eq!(fault("a\u{200b}b"), NameError::Unprintable);
    assert_eq!(fault("a\u{2028}b"), NameError::Unprintable);
    assert_eq!(fault("61:ec:ED:3B:25:B1"), NameError::LooksLikeMac);
    for name in ["1", "LeBron", "capteur01", "Küche unten", "阳台 🌱"] {
        assert!(name.parse::<Name>().is_ok(), "{name}");
    }
}

#[test]
fn faults_are_named_from_left_to_right() {
    let fault = |topic, payload: &[u8]| DeviceMessage::parse(topic, payload).unwrap_err();
    assert_eq!(fault(Topic::Join, b"\xff"), ParseError::NotUtf8);
    assert_eq!(fault(Topic::Join, b""), ParseError::Mac);
    assert_eq!(fault(Topic::Join, b"61:EC:ED:3B:25"), ParseError::Mac);
    assert_eq!(fault(Topic::Join, b"61-EC-ED-3B-25-B1"), ParseError::Mac);
    assert_eq!(fault(Topic::Leave, b"capteur01"), ParseError::FieldCount);
    assert_eq!(fault(Topic::Leave, b";1743946777.603371"), ParseError::Name(NameError::Empty));
    assert_eq!(fault(Topic::Leave, b"a;1743946777.60337"), ParseError::Session);
    assert_eq!(fault(Topic::Leave, b"a;1743946777.603371;1"), ParseError::FieldCount);
    assert_eq!(fault(Topic::LedStatus, b"a;1743946777.603371;2"), ParseError::Value);
    for value in ["101", "-1", "+1", "1.5", "", "0058", " 58"] {
        let payload = format!("a;1743946777.603371;{value}");
        assert_eq!(fault(Topic::PhotoresistorStatus, payload.as_bytes()), ParseError::Value);
    }
    assert_eq!(fault(Topic::LedCommand, b"a;1743946777.603371;1"), ParseError::Topic);
    for (readings, error) in [
        ("", ParseError::FieldCount),
        ("5", ParseError::FieldCount),
        ("5,50;", ParseError::FieldCount),
        ("5,50;;6,50", ParseError::FieldCount),
        (",50", ParseError::Age),
        ("+5,50", ParseError::Age),
        ("-5,50", ParseError::Age),
        ("4294967296,50", ParseError::Age),
        ("5,101", ParseError::Value),
        ("5,50,50", ParseError::Value),
    ] {
        let payload = format!("a;1743946777.603371;{readings}");
        assert_eq!(fault(Topic::PhotoresistorBacklog, payload.as_bytes()), error, "{readings}");
    }
    for (facts, error) in [
        ("fw", ParseError::FieldCount),
        ("fw=", ParseError::Value),
        ("fw=one two", ParseError::Value),
        ("chip=a-name-of-twenty-five-bytes", ParseError::Value),
        ("rssi=-129", ParseError::Value),
        ("up=-1", ParseError::Value),
        ("heap=4294967296", ParseError::Value),
        ("wish=", ParseError::Name(NameError::Empty)),
        ("wish= kitchen", ParseError::Name(NameError::Blank)),
        ("wish=61:ec:ED:3B:25:B1", ParseError::Name(NameError::LooksLikeMac)),
        ("wish=a-name-that-has-thirty-bytes--", ParseError::Name(NameError::TooLong)),
    ] {
        let payload = format!("a;1743946777.603371;{facts}");
        assert_eq!(fault(Topic::Info, payload.as_bytes()), error, "{facts}");
    }
}

#[test]
fn a_session_id_does_not_show_in_debug_output() {
    let pair = Pair::from_fields("capteur01", "1743946777.603371").unwrap();
    assert!(!format!("{pair:?}").contains("603371"));
}
