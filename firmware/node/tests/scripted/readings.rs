//! What a board reports of its button and its photoresistor.

use crate::{
    board::{MAC, play, play_with},
    clock::now_ms,
    hub::{Did, Peer},
};
use capteur_node::{KeepAlive, Polarity, Settings};
use embassy_time::{Duration, Timer};

const PAIR: &str = "capteur01;1743946777.603371";

fn button_reports(seen: &[Did]) -> Vec<&str> {
    seen.iter()
        .filter_map(|did| match did {
            Did::Publish(topic, _, payload) if topic == "button/status" => {
                payload.rsplit(';').next()
            }
            _ => None,
        })
        .collect()
}

#[test]
fn light_is_reported_at_regular_intervals_whether_it_changes_or_not() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        let mut times = Vec::new();
        for level in [58, 58, 0, 100] {
            pins.light.set(Some(level));
            assert_eq!(peer.published("photoresistor/status").await, format!("{PAIR};{level}"));
            times.push(now_ms());
        }
        let steps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(steps, [2_000; 3]);
    });
}

#[test]
fn a_sensor_that_fails_costs_readings_and_nothing_else() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.published("photoresistor/status").await;
        pins.light.set(None);
        let seen = peer.watch(20_000).await;
        assert!(seen.iter().all(|did| *did == Did::Ping), "{seen:?}");
        pins.light.set(Some(7));
        assert_eq!(peer.published("photoresistor/status").await, format!("{PAIR};7"));
    });
}

#[test]
fn a_sensor_that_hangs_costs_readings_and_nothing_else() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.published("photoresistor/status").await;
        pins.light_hangs.set(true);
        for on in [true, false, true, false] {
            peer.watch(5_000).await;
            let commanded_at = now_ms();
            peer.command(PAIR, on).await;
            assert_eq!(peer.published("led/status").await, format!("{PAIR};{}", u8::from(on)));
            assert!(now_ms() - commanded_at <= 1_000);
        }
        pins.light_hangs.set(false);
        pins.light.set(Some(7));
        assert_eq!(peer.published("photoresistor/status").await, format!("{PAIR};7"));
    });
}

#[test]
fn a_button_that_bounces_is_pressed_once_and_released_once() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.published("photoresistor/status").await;
        for end in [true, false] {
            for bounce in [end, !end, end, !end, end] {
                pins.set_pressed(bounce);
                Timer::after(Duration::from_millis(3)).await;
            }
            let seen = peer.watch(500).await;
            assert_eq!(button_reports(&seen), [if end { "1" } else { "0" }]);
        }
    });
}

#[test]
fn a_button_that_gives_the_high_level_is_released_while_it_is_low() {
    let button = Polarity::ActiveHigh;
    play_with(Settings { button, ..Settings::new(MAC) }, |port, pins| async move {
        pins.set_low(true);
        let mut peer = Peer::admit(&port, PAIR).await;
        assert_eq!(peer.published("button/status").await, format!("{PAIR};0"));
        for pressed in [true, false] {
            pins.set_low(!pressed);
            let report = format!("{PAIR};{}", u8::from(pressed));
            assert_eq!(peer.published("button/status").await, report);
        }
    });
}

#[test]
fn a_spike_on_the_buttons_wire_is_not_a_press() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.published("photoresistor/status").await;
        pins.set_pressed(true);
        Timer::after(Duration::from_millis(5)).await;
        pins.set_pressed(false);
        assert!(button_reports(&peer.watch(500).await).is_empty());
    });
}

#[test]
fn a_press_is_noticed_under_a_steady_stream_of_commands() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.published("photoresistor/status").await;
        pins.set_pressed(true);
        let mut seen = Vec::new();
        // More often than the button's level takes to settle.
        for round in 0..10 {
            peer.command(PAIR, round % 2 == 0).await;
            seen.extend(peer.watch(10).await);
        }
        assert_eq!(button_reports(&seen), ["1"]);
    });
}

#[test]
fn a_button_held_while_the_board_joins_is_reported_as_held() {
    play(|port, pins| async move {
        pins.set_pressed(true);
        let mut peer = Peer::admit(&port, PAIR).await;
        assert_eq!(peer.published("button/status").await, format!("{PAIR};1"));
    });
}

#[test]
fn a_keep_alive_of_six_seconds_can_not_be_asked_for() {
    assert_eq!(KeepAlive::from_secs(6), None);
    assert_eq!(KeepAlive::from_secs(0), None);
    let keep_alive = KeepAlive::from_secs(4).unwrap();
    play_with(Settings { keep_alive, ..Settings::new(MAC) }, |port, _| async move {
        let (_, connect, _) = Peer::connected(&port).await;
        assert_eq!(connect.keep_alive, 4);
    });
}
