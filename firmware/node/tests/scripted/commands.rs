//! How a board's LED obeys.

use crate::{
    board::{MAC, play, play_with},
    hub::{Did, Peer},
};
use capteur_node::{Polarity, Settings};
use capteur_protocol::{Info, config::BoardKey};
use embassy_time::{Duration, Timer};
use rumqttc::v5::mqttbytes::QoS;

const PAIR: &str = "capteur01;1743946777.603371";

/// Lets the first reports pass.
async fn online(peer: &mut Peer) {
    peer.published("photoresistor/status").await;
}

#[test]
fn of_sixty_commands_in_a_burst_none_is_lost_and_the_last_is_confirmed() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        online(&mut peer).await;
        pins.led.borrow_mut().clear();
        let commands: Vec<bool> = (0..60).map(|n| n % 3 != 1).collect();
        for on in &commands {
            peer.command(PAIR, *on).await;
        }
        let confirmations: Vec<String> = peer
            .watch(1_000)
            .await
            .into_iter()
            .filter_map(|did| match did {
                Did::Publish(topic, _, payload) if topic == "led/status" => Some(payload),
                _ => None,
            })
            .collect();
        assert_eq!(*pins.led.borrow(), commands);
        let last = format!("{PAIR};{}", u8::from(commands[59]));
        assert_eq!(confirmations.last(), Some(&last));
    });
}

#[test]
fn commands_are_obeyed_while_the_hub_acknowledges_nothing() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        online(&mut peer).await;
        pins.led.borrow_mut().clear();
        peer.withheld = Some(Vec::new());
        let commands: Vec<bool> = (0..61).map(|n| n % 2 == 0).collect();
        for on in &commands {
            peer.command(PAIR, *on).await;
            peer.watch(1).await;
        }
        assert_eq!(*pins.led.borrow(), commands);
        // The board has as many reports under way as it can keep, and the last is not among them.
        assert_eq!(peer.withheld.as_ref().map(Vec::len), Some(8));
        peer.release().await;
        assert_eq!(peer.published("led/status").await, format!("{PAIR};1"));
        let more = peer.watch(1_000).await;
        assert!(!more.iter().any(|did| matches!(did, Did::Publish(t, ..) if t == "led/status")));
    });
}

#[test]
fn the_longest_name_leaves_room_for_all_that_can_be_under_way() {
    let second = Duration::from_secs(1);
    let settings = Settings {
        light_interval: second,
        away_interval: second,
        info_interval: second,
        key: Some(BoardKey([0x5A; 32])),
        wish: "w".repeat(29).parse().ok(),
        ..Settings::new(MAC)
    };
    play_with(settings, |port, pins| async move {
        let word = "w".repeat(24);
        *pins.info.borrow_mut() = Some(Info {
            firmware: word.parse().ok(),
            chip: word.parse().ok(),
            reset: word.parse().ok(),
            rssi: Some(i8::MIN),
            uptime_s: Some(u32::MAX),
            free_heap: Some(u32::MAX),
            lost: None,
            wish: None,
        });
        port.set_open(false);
        Timer::after(Duration::from_secs(100)).await;
        port.set_open(true);
        let pair = format!("{};1743946777.603371", "n".repeat(29));
        let mut peer = Peer::admit(&port, &pair).await;
        // A backlog is on its way already, and nothing more is acknowledged.
        peer.withheld = Some(Vec::new());
        pins.led.borrow_mut().clear();
        for n in 0..60 {
            peer.command(&pair, n % 2 == 0).await;
            let seen = peer.watch(100).await;
            assert!(!seen.contains(&Did::Close) && !seen.contains(&Did::Disconnect), "at {n}");
        }
        assert_eq!(pins.led.borrow().len(), 60);
        let sent = peer.withheld.as_ref().map_or(0, Vec::len);
        assert!(sent >= 8, "{sent}");
        peer.release().await;
        let more = peer.watch(5_000).await;
        let backlogs = more.iter().filter(
            |did| matches!(did, Did::Publish(topic, ..) if topic == "photoresistor/backlog"),
        );
        assert!(backlogs.count() > 3);
    });
}

#[test]
fn a_command_that_changes_nothing_is_confirmed_too() {
    play(|port, _| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        online(&mut peer).await;
        for on in [true, true, false, false] {
            peer.command(PAIR, on).await;
            let confirmed = peer.published("led/status").await;
            assert_eq!(confirmed, format!("{PAIR};{}", u8::from(on)));
        }
    });
}

#[test]
fn commands_for_others_and_garbage_are_ignored() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        online(&mut peer).await;
        pins.led.borrow_mut().clear();
        for payload in [
            "capteur02;1743946777.603371;1",
            "capteur01;1743946777.603370;1",
            "capteur01;1743946777.603371;2",
            "capteur01;1743946777.603371;",
            "capteur01;1743946777.603371",
            "capteur01;1743946777.603371;1;1",
            "1",
            "",
        ] {
            peer.publish("led/command", QoS::AtLeastOnce, payload.as_bytes()).await;
        }
        peer.publish("led/command", QoS::AtLeastOnce, &[0xff; 60]).await;
        let seen = peer.watch(1_000).await;
        assert!(!seen.iter().any(|did| matches!(did, Did::Publish(t, ..) if t == "led/status")));
        assert!(pins.led.borrow().is_empty());
        peer.command(PAIR, true).await;
        assert_eq!(peer.published("led/status").await, format!("{PAIR};1"));
    });
}

#[test]
fn a_command_that_comes_right_behind_the_start_is_obeyed() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.command(PAIR, true).await;
        assert_eq!(peer.published("led/status").await, format!("{PAIR};1"));
        assert_eq!(pins.led.borrow().last(), Some(&true));
    });
}

#[test]
fn the_pin_is_off_before_the_hub_is_there_and_low_shines_where_it_is_wired_so() {
    for (led, on) in [(Polarity::ActiveHigh, true), (Polarity::ActiveLow, false)] {
        play_with(Settings { led, ..Settings::new(MAC) }, |port, pins| async move {
            port.set_open(false);
            Timer::after(Duration::from_millis(1)).await;
            assert_eq!(*pins.led.borrow(), [!on]);
            port.set_open(true);
            let mut peer = Peer::admit(&port, PAIR).await;
            assert_eq!(peer.published("led/status").await, format!("{PAIR};0"));
            peer.command(PAIR, true).await;
            assert_eq!(peer.published("led/status").await, format!("{PAIR};1"));
            assert_eq!(pins.led.borrow().last(), Some(&on));
        });
    }
}

#[test]
fn the_led_keeps_its_state_when_the_hub_restarts() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        online(&mut peer).await;
        peer.command(PAIR, true).await;
        peer.published("led/status").await;
        drop(peer);
        let pair = "capteur01;1743946999.000000";
        let mut peer = Peer::admit(&port, pair).await;
        assert_eq!(peer.published("led/status").await, format!("{pair};1"));
        assert_eq!(pins.led.borrow().last(), Some(&true));
    });
}
