//! How a board gets its name and starts its session.

use crate::{
    board::{MAC, MAC_TEXT, play, play_with},
    clock::now_ms,
    hub::{Did, Peer},
};
use capteur_node::Settings;
use capteur_protocol::config::BoardKey;
use embassy_time::{Duration, Timer};
use rumqttc::v5::mqttbytes::{QoS, v5::Login};

const PAIR: &str = "capteur01;1743946777.603371";

#[test]
fn a_board_joins_exactly_as_the_protocol_says() {
    play(|port, _| async move {
        let (mut peer, connect, will) = Peer::connected(&port).await;
        assert_eq!(connect.client_id, MAC_TEXT);
        assert!(connect.clean_start && connect.keep_alive == 5);
        assert_eq!((will, &peer.login), (None, &None));
        let subscription = vec![("state/nameAssign".to_owned(), QoS::ExactlyOnce)];
        assert_eq!(peer.next().await, Did::Subscribe(subscription));
        let request = Did::Publish("state/join".into(), QoS::ExactlyOnce, MAC_TEXT.into());
        assert_eq!(peer.next().await, request);
        peer.assign(PAIR).await;
        assert_eq!(peer.next().await, Did::Disconnect);
        assert_eq!(peer.next().await, Did::Close);

        let (mut peer, connect, will) = Peer::connected(&port).await;
        assert!(connect.clean_start && connect.keep_alive == 5);
        let will = will.expect("a will on the second connection");
        assert_eq!(will.topic, "state/leave");
        assert_eq!(will.message, PAIR);
        assert!(will.qos == QoS::ExactlyOnce && !will.retain);
        assert_eq!(will.properties.and_then(|p| p.delay_interval), None);
        let subscriptions = vec![
            ("state/nameAssign".to_owned(), QoS::ExactlyOnce),
            ("led/command".to_owned(), QoS::AtLeastOnce),
        ];
        assert_eq!(peer.next().await, Did::Subscribe(subscriptions));
        let published =
            |topic: &str, qos, payload: String| Did::Publish(topic.into(), qos, payload);
        let start = published("state/join", QoS::ExactlyOnce, PAIR.into());
        assert_eq!(peer.next().await, start);
        // The state of all three channels follows, once the start is acknowledged.
        for expected in [
            published("led/status", QoS::AtLeastOnce, format!("{PAIR};0")),
            published("button/status", QoS::AtMostOnce, format!("{PAIR};0")),
            published("photoresistor/status", QoS::AtMostOnce, format!("{PAIR};58")),
        ] {
            assert_eq!(peer.next().await, expected);
        }
    });
}

#[test]
fn a_board_with_a_key_shows_it_on_every_connection() {
    let settings = Settings { key: Some(BoardKey([0x5A; 32])), ..Settings::new(MAC) };
    play_with(settings, |port, _| async move {
        let (mut peer, connect, _) = Peer::connected(&port).await;
        assert_eq!(connect.client_id, MAC_TEXT);
        let login = Some(Login { username: MAC_TEXT.into(), password: "5a".repeat(32) });
        assert_eq!(peer.login, login);
        assert_eq!(peer.published("state/join").await, MAC_TEXT);
        peer.assign(PAIR).await;
        peer.until(|did| *did == Did::Disconnect).await;

        let (mut peer, _, will) = Peer::connected(&port).await;
        assert_eq!(peer.login, login);
        assert_eq!(will.expect("a will").message, PAIR.as_bytes());
        assert_eq!(peer.published("photoresistor/status").await, format!("{PAIR};58"));
    });
}

#[test]
fn a_board_asks_and_starts_once_it_can_hear_the_answer() {
    play(|port, _| async move {
        let published = |seen: &[Did]| seen.iter().any(|did| matches!(did, Did::Publish(..)));
        let (mut peer, ..) = Peer::connected(&port).await;
        peer.unsubscribed = Some(Vec::new());
        assert!(!published(&peer.watch(2_000).await));
        peer.release().await;
        assert_eq!(peer.published("state/join").await, MAC_TEXT);
        peer.assign(PAIR).await;
        peer.until(|did| *did == Did::Disconnect).await;

        let (mut peer, ..) = Peer::connected(&port).await;
        peer.unsubscribed = Some(Vec::new());
        assert!(!published(&peer.watch(2_000).await));
        peer.release().await;
        assert_eq!(peer.published("state/join").await, PAIR);
    });
}

#[test]
fn a_board_joins_over_a_stream_that_carries_one_byte_at_a_time() {
    play(|port, _| async move {
        port.set_chunk(1);
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.command(PAIR, true).await;
        let confirmed = format!("{PAIR};1");
        peer.until(|did| matches!(did, Did::Publish(_, _, payload) if *payload == confirmed)).await;
    });
}

#[test]
fn the_mac_is_repeated_until_a_late_hub_answers_and_the_newest_answer_counts() {
    play(|port, _| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        let mut asked_at = Vec::new();
        for _ in 0..4 {
            assert_eq!(peer.published("state/join").await, MAC_TEXT);
            asked_at.push(now_ms());
        }
        assert_eq!(asked_at, [0, 3_000, 6_000, 9_000]);
        // The late hub has heard all four, and gives a session to each.
        for session in 1..=4 {
            peer.assign(&format!("capteur01;000000000{session}.000000")).await;
        }
        peer.until(|did| *did == Did::Disconnect).await;
        Peer::start(&port, "capteur01;0000000004.000000").await;
    });
}

#[test]
fn answers_that_straggle_are_waited_for() {
    play(|port, _| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        for _ in 0..2 {
            peer.published("state/join").await;
        }
        peer.assign("capteur01;0000000001.000000").await;
        assert_eq!(peer.watch(150).await, []);
        peer.assign("capteur01;0000000002.000000").await;
        peer.until(|did| *did == Did::Disconnect).await;
        Peer::start(&port, "capteur01;0000000002.000000").await;
    });
}

#[test]
fn an_answer_that_comes_while_the_session_starts_is_not_taken_for_a_new_one() {
    play(|port, _| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        peer.published("state/join").await;
        peer.assign(PAIR).await;
        peer.until(|did| *did == Did::Disconnect).await;
        // On the wire behind the PUBREC, before the PUBCOMP: the board has asked to start, and the
        // hub's answer to an earlier repeat overtakes the acknowledgement.
        let mut peer = Peer::start(&port, PAIR).await;
        peer.assign("capteur01;1743946778.000000").await;
        let seen = peer.watch(1_000).await;
        assert!(!seen.contains(&Did::Disconnect), "{seen:?}");
        let led = Did::Publish("led/status".into(), QoS::AtLeastOnce, format!("{PAIR};0"));
        assert!(seen.contains(&led), "{seen:?}");
    });
}

#[test]
fn assignments_for_others_and_garbage_are_ignored() {
    play(|port, _| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        peer.published("state/join").await;
        for payload in [
            b"02:00:00:00:00:01;capteur07;1743946777.000001".as_slice(),
            b"61:EC:ED:3B:25:B1",
            b"61:EC:ED:3B:25:B1;capteur01",
            b"61:EC:ED:3B:25:B1;capteur01;soon",
            b"61:EC:ED:3B:25:B1;a name that is far too long to be one;1743946777.000001",
            b"\xff\xfe\xfd",
            b"",
        ] {
            peer.publish("state/nameAssign", QoS::ExactlyOnce, payload).await;
        }
        peer.publish("state/elsewhere", QoS::AtMostOnce, b"61:EC:ED:3B:25:B1;x;1743946777.000001")
            .await;
        assert_eq!(peer.watch(1_000).await, []);
        peer.assign(PAIR).await;
        peer.until(|did| *did == Did::Disconnect).await;
        Peer::start(&port, PAIR).await;
    });
}

#[test]
fn an_answer_in_the_boards_lower_case_spelling_is_its_own() {
    play(|port, _| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        peer.published("state/join").await;
        let payload = format!("{};{PAIR}", MAC_TEXT.to_lowercase());
        peer.publish("state/nameAssign", QoS::AtMostOnce, payload.as_bytes()).await;
        peer.until(|did| *did == Did::Disconnect).await;
        Peer::start(&port, PAIR).await;
    });
}

#[test]
fn an_absent_hub_is_knocked_at_ever_more_slowly_and_found_when_it_comes() {
    play(|port, pins| async move {
        port.set_open(false);
        Timer::after(Duration::from_secs(300)).await;
        // 0.5, 1, 2 … 30 s, each shortened by up to half.
        assert!((12..=26).contains(&port.attempts()), "{} attempts", port.attempts());
        port.set_open(true);
        drop(Peer::admit(&port, PAIR).await.watch(100).await);
        // Having been online, the board is back after the shortest pause.
        let lost_at = now_ms();
        Peer::admit(&port, "capteur01;1743946999.000000").await;
        assert!(now_ms() - lost_at <= 700, "{} ms", now_ms() - lost_at);
        assert!(pins.phases.borrow().iter().any(|(_, phase)| phase.contains("Online")));
    });
}
