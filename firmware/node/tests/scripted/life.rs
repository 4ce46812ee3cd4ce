//! What a board tells about itself, how it feeds a watchdog, and how it stops.

use crate::{
    board::{MAC, play, play_with},
    clock::now_ms,
    hub::{Did, Peer},
};
use capteur_node::Settings;
use capteur_protocol::{Info, NAME_MAX, config::BoardKey};
use embassy_time::{Duration, Timer};
use rumqttc::v5::mqttbytes::QoS;

const PAIR: &str = "capteur01;1743946777.603371";

/// The longest time between two signs of progress with the usual settings.
const PROGRESS_MS: u64 = 20_000;

#[test]
fn a_board_tells_about_itself_when_it_comes_online_and_every_five_minutes() {
    play(|port, pins| async move {
        *pins.info.borrow_mut() =
            Some(Info { chip: Some("esp32c3".parse().unwrap()), ..Info::default() });
        let mut peer = Peer::admit(&port, PAIR).await;
        let mut told_at = Vec::new();
        while told_at.len() < 3 {
            if let Did::Publish(topic, qos, payload) = peer.next().await
                && topic == "state/info"
            {
                assert_eq!(
                    (qos, payload),
                    (QoS::AtMostOnce, format!("{PAIR};chip=esp32c3;lost=0"))
                );
                told_at.push(now_ms() / 1_000);
            }
        }
        assert_eq!([told_at[1] - told_at[0], told_at[2] - told_at[1]], [300, 300]);
    });
}

#[test]
fn a_board_that_has_nothing_to_tell_about_itself_is_silent() {
    play(|port, _| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        let seen = peer.watch(400_000).await;
        assert!(!seen.iter().any(|did| matches!(did, Did::Publish(t, ..) if t == "state/info")));
    });
}

#[test]
fn a_wish_for_a_name_goes_with_what_a_board_tells_in_each_session() {
    let settings = Settings { wish: Some("Küche = 1".parse().unwrap()), ..Settings::new(MAC) };
    play_with(settings, |port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        // Also where it has nothing else to tell.
        assert_eq!(peer.published("state/info").await, format!("{PAIR};lost=0;wish=Küche = 1"));
        // Its wish is the supervisor's as little as its losses are.
        let info = Info { wish: Some("sofa".parse().unwrap()), ..Info::default() };
        *pins.info.borrow_mut() = Some(info);
        let next = "Küche = 1;1743946800.000000";
        peer.assign(next).await;
        peer.until(|did| *did == Did::Disconnect).await;
        let mut peer = Peer::start(&port, next).await;
        assert_eq!(peer.published("state/info").await, format!("{next};lost=0;wish=Küche = 1"));
    });
}

#[test]
fn the_longest_info_has_room_beside_all_that_the_hub_has_not_acknowledged() {
    let name = "n".repeat(NAME_MAX);
    let settings = Settings {
        key: Some(BoardKey([0x5A; 32])),
        wish: Some(name.parse().unwrap()),
        info_interval: Duration::from_secs(10),
        ..Settings::new(MAC)
    };
    play_with(settings, |port, pins| async move {
        let word = || Some("w".repeat(24).parse().unwrap());
        *pins.info.borrow_mut() = Some(Info {
            firmware: word(),
            chip: word(),
            reset: word(),
            rssi: Some(-128),
            uptime_s: Some(u32::MAX),
            free_heap: Some(u32::MAX),
            ..Info::default()
        });
        let [pair, next] =
            ["1743946777.603371", "1743946999.000000"].map(|s| format!("{name};{s}"));
        drop(Peer::admit(&port, &pair).await);
        port.set_open(false);
        Timer::after(Duration::from_secs(600)).await;
        port.set_open(true);
        let mut peer = Peer::admit(&port, &next).await;
        peer.withheld = Some(Vec::new());
        peer.published("photoresistor/backlog").await;
        for n in 0..20 {
            peer.command(&next, n % 2 == 0).await;
            peer.watch(1).await;
        }
        let told = peer.published("state/info").await;
        assert!(told.ends_with(&format!(";lost=0;wish={name}")), "{told}");
        let kept = peer.withheld.as_ref().unwrap().iter().filter(|(_, qos)| *qos > QoS::AtMostOnce);
        assert_eq!(kept.count(), 8, "as many as the board can keep");
    });
}

#[test]
fn a_watchdog_is_fed_whatever_the_network_does() {
    let settings = Settings { light_interval: Duration::from_secs(3600), ..Settings::new(MAC) };
    play_with(settings, |port, pins| async move {
        // No network, no hub, one that says nothing, one that never assigns, one that freezes, one that lives.
        port.set_silent(true);
        Timer::after(Duration::from_secs(200)).await;
        port.set_silent(false);
        port.set_open(false);
        Timer::after(Duration::from_secs(200)).await;
        port.set_open(true);
        let silent = embassy_time::with_timeout(Duration::from_secs(40), Peer::accept(&port)).await;
        Timer::after(Duration::from_secs(4)).await;
        drop(silent);
        let (mut mute, ..) = Peer::connected(&port).await;
        mute.watch(59_000).await;
        drop(mute);
        let mut frozen = Peer::admit(&port, PAIR).await;
        frozen.watch(10_000).await;
        Timer::after(Duration::from_secs(7)).await;
        drop(frozen);
        Peer::admit(&port, PAIR).await.watch(100_000).await;
        let progress = pins.progress.borrow();
        let longest = progress.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= PROGRESS_MS, "{longest} ms");
        assert!(now_ms() - progress.last().unwrap() <= PROGRESS_MS);
    });
}

#[test]
fn a_board_that_is_told_to_stop_leaves_in_order() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.published("photoresistor/status").await;
        pins.stop();
        let leave = Did::Publish("state/leave".into(), QoS::ExactlyOnce, PAIR.into());
        assert_eq!(peer.next().await, leave);
        assert_eq!(peer.next().await, Did::Disconnect);
        assert_eq!(peer.next().await, Did::Close);
        assert!(pins.stopped.get());
    });
}

#[test]
fn a_farewell_is_waited_for_until_the_hub_has_it() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.published("photoresistor/status").await;
        peer.withheld = Some(Vec::new());
        pins.stop();
        assert_eq!(peer.published("state/leave").await, PAIR);
        assert!(!peer.watch(2_000).await.contains(&Did::Disconnect));
        peer.release().await;
        peer.until(|did| *did == Did::Disconnect).await;
    });
}

#[test]
fn a_board_that_can_not_say_its_farewell_stops_nevertheless() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.published("photoresistor/status").await;
        peer.withheld = Some(Vec::new());
        let told_at = now_ms();
        pins.stop();
        peer.until(|did| *did == Did::Disconnect).await;
        assert!(now_ms() - told_at <= 5_000);
        assert_eq!(peer.next().await, Did::Close);
        assert!(pins.stopped.get());
    });
}

#[test]
fn a_board_stops_wherever_it_is() {
    // While it looks for its hub, waits for an answer to CONNECT, for a name, or to try again.
    for moment in [0, 1, 2, 3] {
        play(|port, pins| async move {
            port.set_open(moment != 3);
            let mut peer = None;
            match moment {
                1 => peer = Some(Peer::accept(&port).await),
                2 => peer = Some(Peer::connected(&port).await.0),
                _ => {}
            }
            Timer::after(Duration::from_millis(100)).await;
            pins.stop();
            Timer::after(Duration::from_millis(1)).await;
            assert!(pins.stopped.get(), "at {moment}");
            drop(peer);
        });
    }
}
