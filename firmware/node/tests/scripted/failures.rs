//! How a board notices that something is wrong, and what it does then.

use crate::{
    board::{MAC, play, play_with},
    clock::now_ms,
    hub::{Did, Peer},
};
use capteur_node::Settings;
use embassy_time::{Duration, Timer};
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, PubAckReason, SubscribeReasonCode,
};

const PAIR: &str = "capteur01;1743946777.603371";
const NEXT: &str = "capteur01;1743946999.000000";

/// Half a keep-alive of 5 s until the ping, 5 s for its answer.
const SILENCE_MS: u64 = 7_500;

/// The longest of the first pauses after a failure.
const PAUSE_MS: u64 = 500;

#[test]
fn a_restarted_hub_is_joined_again_from_the_first_step() {
    play(|port, _| async move {
        for round in 0..5 {
            let pair = format!("capteur01;174394680{round}.000000");
            let mut peer = Peer::admit(&port, &pair).await;
            peer.published("photoresistor/status").await;
        }
    });
}

#[test]
fn a_board_that_is_sent_away_is_back_after_the_shortest_pause() {
    for reason in [
        DisconnectReasonCode::SessionTakenOver,
        DisconnectReasonCode::ServerShuttingDown,
        DisconnectReasonCode::KeepAliveTimeout,
        DisconnectReasonCode::AdministrativeAction,
    ] {
        play(|port, pins| async move {
            let mut peer = Peer::admit(&port, PAIR).await;
            peer.published("photoresistor/status").await;
            peer.command(PAIR, true).await;
            peer.published("led/status").await;
            let sent_away_at = now_ms();
            peer.send_away(reason).await;
            let mut peer = Peer::admit(&port, NEXT).await;
            let back_ms = now_ms() - sent_away_at;
            assert!(back_ms <= PAUSE_MS + 200, "{reason:?}: {back_ms} ms");
            // Nothing is left over of the old session, and nothing is missing.
            assert_eq!(peer.published("led/status").await, format!("{NEXT};1"));
            peer.command(NEXT, false).await;
            assert_eq!(peer.published("led/status").await, format!("{NEXT};0"));
            assert_eq!(pins.led.borrow().last(), Some(&false));
        });
    }
}

#[test]
fn two_boards_that_take_each_others_place_leave_the_hub_air_to_breathe() {
    // Each of them is online for a moment, and starts over.
    play(|port, _| async move {
        let begun = now_ms();
        for round in 0..20 {
            let pair = format!("capteur01;17439468{round:02}.000000");
            let peer = Peer::admit(&port, &pair).await;
            peer.send_away(DisconnectReasonCode::SessionTakenOver).await;
        }
        assert!(now_ms() - begun >= 19 * PAUSE_MS / 2);
    });
}

#[test]
fn a_hub_that_lets_nobody_in_is_asked_ever_more_slowly() {
    play(|port, _| async move {
        let mut refused_at = Vec::new();
        for _ in 0..8 {
            let knock = embassy_time::with_timeout(Duration::from_secs(40), Peer::accept(&port));
            let mut peer = knock.await.expect("another attempt");
            peer.connack = ConnectReturnCode::NotAuthorized;
            peer.until(|did| *did == Did::Close).await;
            refused_at.push(now_ms());
        }
        let pauses: Vec<u64> = refused_at.windows(2).map(|two| two[1] - two[0]).collect();
        // 0.5, 1, 2 … 30 s, each shortened by up to half.
        for (n, pause) in pauses.iter().enumerate() {
            let whole = (500 << n).min(30_000);
            assert!((whole / 2..=whole + 200).contains(pause), "{pauses:?}");
        }
        Peer::admit(&port, PAIR).await;
    });
}

#[test]
fn a_frozen_hub_is_noticed_while_the_board_is_idle() {
    let settings = Settings { light_interval: Duration::from_secs(3600), ..Settings::new(MAC) };
    play_with(settings, |port, _| async move {
        let mut frozen = Peer::admit(&port, PAIR).await;
        frozen.published("photoresistor/status").await;
        let frozen_at = now_ms();
        Peer::admit(&port, NEXT).await;
        let noticed_ms = now_ms() - frozen_at;
        assert!(noticed_ms <= SILENCE_MS + PAUSE_MS + 200, "{noticed_ms} ms");
        drop(frozen);
    });
}

#[test]
fn a_frozen_hub_is_noticed_while_the_board_never_stops_talking() {
    // Readings keep the client from pinging by itself.
    let interval_ms = 500;
    let light_interval = Duration::from_millis(interval_ms);
    let settings = Settings { light_interval, ..Settings::new(MAC) };
    play_with(settings, |port, _| async move {
        let mut frozen = Peer::admit(&port, PAIR).await;
        frozen.published("photoresistor/status").await;
        let frozen_at = now_ms();
        Peer::admit(&port, NEXT).await;
        let noticed_ms = now_ms() - frozen_at;
        assert!(noticed_ms <= SILENCE_MS + 2 * interval_ms + PAUSE_MS + 200, "{noticed_ms} ms");
        drop(frozen);
    });
}

#[test]
fn a_hub_that_only_listens_is_pinged_and_kept() {
    for (chunk, interval_ms) in [(usize::MAX, 500), (1, 500), (usize::MAX, 10_000), (1, 2_000)] {
        let light_interval = Duration::from_millis(interval_ms);
        let settings = Settings { light_interval, ..Settings::new(MAC) };
        play_with(settings, |port, _| async move {
            port.set_chunk(chunk);
            let mut peer = Peer::admit(&port, PAIR).await;
            peer.published("photoresistor/status").await;
            let seen = peer.watch(60_000).await;
            let pings = seen.iter().filter(|did| **did == Did::Ping).count();
            assert!((12..=30).contains(&pings), "{pings} pings at {interval_ms} ms");
            assert!(!seen.contains(&Did::Close) && !seen.contains(&Did::Disconnect));
        });
    }
}

#[test]
fn a_network_that_does_not_answer_is_given_up_in_time_and_asked_again() {
    play(|port, _| async move {
        port.set_silent(true);
        Timer::after(Duration::from_secs(60)).await;
        // 10 s for each, and ever longer pauses between.
        assert!((4..=6).contains(&port.attempts()), "{} attempts", port.attempts());
        port.set_silent(false);
        Peer::admit(&port, PAIR).await;
    });
}

#[test]
fn a_hub_that_does_not_answer_connect_is_given_up_in_time() {
    play(|port, _| async move {
        let silent = Peer::accept(&port).await;
        let begun = now_ms();
        Peer::admit(&port, PAIR).await;
        assert!(now_ms() - begun <= 5_000 + PAUSE_MS + 200);
        drop(silent);
    });
}

#[test]
fn a_start_that_is_never_acknowledged_is_given_up_in_time() {
    play(|port, pins| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        peer.published("state/join").await;
        peer.assign(PAIR).await;
        peer.until(|did| *did == Did::Disconnect).await;
        let (mut deaf, ..) = Peer::connected(&port).await;
        deaf.withheld = Some(Vec::new());
        let begun = now_ms();
        assert_eq!(deaf.published("state/join").await, PAIR);
        // Nothing but pings before the session has started.
        let seen = deaf.watch(10_000).await;
        assert!(seen.iter().all(|did| matches!(did, Did::Ping | Did::Close)), "{seen:?}");
        assert!(!pins.phases.borrow().iter().any(|(_, phase)| phase.contains("Online")));
        let gave_up = pins.phases.borrow().last().map(|(at, _)| *at);
        assert!(gave_up.is_some_and(|at| at - begun <= 5_000 + PAUSE_MS), "{gave_up:?}");
        Peer::admit(&port, NEXT).await;
    });
}

#[test]
fn a_hub_that_stops_taking_bytes_is_given_up_in_time() {
    play(|port, _| async move {
        // Enough for the handshakes; the readings then fill it.
        port.set_capacity(400);
        let mut stuck = Peer::admit(&port, PAIR).await;
        stuck.published("photoresistor/status").await;
        Peer::admit(&port, NEXT).await;
        drop(stuck);
    });
}

#[test]
fn a_hub_that_never_assigns_is_left_and_tried_again() {
    play(|port, _| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        let mut requests = 0;
        loop {
            match peer.next().await {
                Did::Publish(..) => requests += 1,
                Did::Close => break,
                _ => {}
            }
        }
        assert_eq!((requests, now_ms()), (20, 60_000));
        Peer::admit(&port, PAIR).await;
    });
}

#[test]
fn a_report_that_the_hub_refuses_leads_back_to_the_first_step() {
    play(|port, _| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        peer.puback = PubAckReason::NotAuthorized;
        peer.published("led/status").await;
        peer.until(|did| *did == Did::Close).await;
        Peer::admit(&port, NEXT).await;
    });
}

#[test]
fn a_subscription_that_the_hub_refuses_is_tried_again() {
    play(|port, _| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        peer.suback = Some(SubscribeReasonCode::NotAuthorized);
        peer.until(|did| *did == Did::Close).await;
        Peer::admit(&port, PAIR).await;
    });
}

#[test]
fn a_connection_that_breaks_right_after_the_assignment_costs_no_second_join() {
    play(|port, _| async move {
        let (mut peer, ..) = Peer::connected(&port).await;
        peer.published("state/join").await;
        peer.assign(PAIR).await;
        Timer::after(Duration::from_millis(1)).await;
        drop(peer);
        Peer::start(&port, PAIR).await;
    });
}

#[test]
fn failures_without_end_are_outlived() {
    play(|port, pins| async move {
        for _ in 0..100 {
            // Longer than the longest pause.
            let knock = embassy_time::with_timeout(Duration::from_secs(40), Peer::accept(&port));
            drop(knock.await.expect("another attempt"));
        }
        Peer::admit(&port, PAIR).await.published("photoresistor/status").await;
        assert!(pins.phases.borrow().last().unwrap().1.contains("Online"));
    });
}
