//! How connections end: wills, implied leaves, take-over, time-outs, shutdown.

use crate::harness::{Connect, DEADLINE, Hub, PAIR, Packet, Peer, Will, settings, text, will};
use capteur::{
    broker::{Identity, Outbound, Verdict},
    config::Anonymous,
};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Connects a peer whose will is on a topic that only it uses.
async fn with_will(hub: &Hub, connect: Connect, payload: &str) -> Peer {
    Peer::connect(hub.address, &connect.will(will("state/leave", payload))).await
}

#[tokio::test]
async fn every_end_but_a_clean_disconnect_publishes_the_will() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let told = |payload: &str| ("state/leave".to_owned(), payload.to_owned());

    drop(with_will(&hub, Connect::v3("a"), "closed").await);
    assert_eq!(hub.take().await, told("closed"));

    with_will(&hub, Connect::v3("a"), "reset").await.reset();
    assert_eq!(hub.take().await, told("reset"));

    let mut silent = with_will(&hub, Connect::v3("a").keep_alive(1), "silent").await;
    assert_eq!(hub.take().await, told("silent"));
    assert_eq!(silent.closed().await, []);

    let mut silent = with_will(&hub, Connect::v5("a").keep_alive(1), "silent 5").await;
    assert_eq!(hub.take().await, told("silent 5"));
    assert_eq!(silent.closed().await, [Packet { head: 0xe0, body: vec![0x8d] }]);

    let mut broken = with_will(&hub, Connect::v3("a"), "broken").await;
    broken.send(&[0x00, 0x00]).await;
    assert_eq!(hub.take().await, told("broken"));

    let mut wanted = with_will(&hub, Connect::v5("a"), "wanted").await;
    wanted.send(&[0xe0, 1, 0x04]).await;
    assert_eq!(hub.take().await, told("wanted"));

    with_will(&hub, Connect::v3("a"), "clean").await.disconnect().await;
    with_will(&hub, Connect::v5("a"), "clean").await.disconnect().await;
    hub.until(|stats| stats.connections == 0).await;
    hub.nothing_more().await;
    assert_eq!(hub.stats().keep_alive_timeouts, 2);
    hub.stop().await;
}

#[tokio::test]
async fn what_goes_out_does_not_keep_a_silent_client_alive() {
    let mut hub = Hub::start(Anonymous::Full).await;
    let connect = Connect::v3("silent").keep_alive(2).will(will("state/leave", "gone"));
    let mut silent = Peer::connect(hub.address, &connect).await;
    silent.subscribe("ticks", 0).await;
    let since = Instant::now();
    let mut ticker = Peer::connect(hub.address, &Connect::v3("ticker")).await;
    let ticking = tokio::spawn(async move {
        loop {
            ticker.publish("ticks", "tick", 0, 0).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(hub.take().await.1, "gone");
    assert!(since.elapsed() >= Duration::from_secs(2), "{:?}", since.elapsed());
    ticking.abort();
    assert!(!silent.closed().await.is_empty());
    hub.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let mut settings = settings(Anonymous::Full);
    settings.write_timeout_ms = 500;
    settings.max_queued_messages = 100_000;
    let mut hub = Hub::start_with(settings).await;
    let connect = Connect::v3("stuck").keep_alive(0).will(will("state/leave", "stuck"));
    let mut stuck = Peer::connect(hub.address, &connect).await;
    stuck.subscribe("flood", 0).await;
    let mut flood = Peer::connect(hub.address, &Connect::v3("flood")).await;
    let large = "x".repeat(100_000);
    let flooding = tokio::spawn(async move {
        loop {
            flood.publish("flood", &large, 1, 1).await;
            flood.acked(0x40, 1).await;
        }
    });
    assert_eq!(hub.take().await.1, "stuck");
    flooding.abort();
    assert_eq!(hub.stats().write_timeouts, 1);
    hub.stop().await;
}

#[tokio::test]
async fn a_take_over_publishes_the_will_of_the_old_connection_alone() {
    for connect in [Connect::v3("same"), Connect::v5("same"), Connect::v5("same").kept(100)] {
        let mut hub = Hub::start(Anonymous::Full).await;
        let mut observer = Peer::connect(hub.address, &Connect::v3("observer")).await;
        observer.subscribe("will", 2).await;
        let mut old = Peer::connect(hub.address, &connect.clone().will(will("will", "old"))).await;
        let new = Peer::connect(hub.address, &connect.clone().will(will("will", "new"))).await;
        assert_eq!(observer.message().await.payload, "old");
        let told = if connect.v5 { vec![Packet { head: 0xe0, body: vec![0x8e] }] } else { vec![] };
        assert_eq!(old.closed().await, told);
        drop(new);
        let kept = connect.v5 && !connect.properties.is_empty();
        assert_eq!(observer.message().await.payload, "new", "kept: {kept}");
        assert_eq!(hub.stats().take_overs, 1);
        hub.nothing_more().await;
        hub.stop().await;
    }
}

#[tokio::test]
async fn a_will_of_the_old_connection_precedes_what_the_new_one_publishes() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let mut previous = None;
    for round in 0..20 {
        let mut peer = with_will(&hub, Connect::v3("same"), &format!("will {round}")).await;
        peer.publish("state/join", &format!("join {round}"), 0, 0).await;
        if let Some(previous) = previous {
            let payload = hub.take().await.1;
            assert_eq!(payload, format!("will {previous}"));
        }
        assert_eq!(hub.take().await.1, format!("join {round}"));
        previous = Some(round);
    }
    hub.stop().await;
}

#[tokio::test]
async fn quick_reconnects_publish_no_will_after_disconnect_and_each_after_a_cut() {
    let mut hub = Hub::start(Anonymous::Full).await;
    let mut observer = Peer::connect(hub.address, &Connect::v3("observer")).await;
    observer.subscribe("will/#", 1).await;
    for round in 0..100 {
        let connect = Connect::v3("quick").will(will("will/spurious", &round.to_string()));
        let mut peer = Peer::connect(hub.address, &connect).await;
        peer.send(&[0xe0, 0]).await;
    }
    for round in 0..50 {
        let connect = Connect::v3("quick").will(will("will/cut", &round.to_string()));
        drop(Peer::connect(hub.address, &connect).await);
    }
    for round in 0..50 {
        let message = observer.message().await;
        assert_eq!((&*message.topic, &*message.payload), ("will/cut", &*round.to_string()));
        observer.ack(0x40, message.id).await;
    }
    hub.until(|stats| stats.connections == 1).await;
    hub.broker.probe().await.unwrap();
    observer.ping().await;
    assert_eq!(hub.stats().wills, 50);
    hub.nothing_more().await;
    hub.stop().await;
}

#[tokio::test]
async fn a_will_waits_for_its_delay_and_a_resumption_cancels_it() {
    let mut hub = Hub::start(Anonymous::Full).await;
    let delayed =
        |payload: &str, delay| Will { delay: Some(delay), ..will("state/leave", payload) };
    let kept = |id: &str, seconds| Connect::v5(id).kept(seconds);
    // Resumed: never sent.
    drop(Peer::connect(hub.address, &kept("a", 60).will(delayed("cancelled", 1))).await);
    hub.until(|stats| stats.connections == 0).await;
    let (resumed, present) = Peer::connect_present(hub.address, &kept("a", 60)).await;
    assert!(present);
    // Waits.
    let since = Instant::now();
    drop(Peer::connect(hub.address, &kept("b", 60).will(delayed("later", 1))).await);
    assert_eq!(hub.take().await.1, "later");
    assert!(since.elapsed() >= Duration::from_secs(1));
    // The session ends first.
    drop(Peer::connect(hub.address, &Connect::v5("c").will(delayed("no session", 3600))).await);
    assert_eq!(hub.take().await.1, "no session");
    drop(Peer::connect(hub.address, &kept("d", 1).will(delayed("expired", 3600))).await);
    assert_eq!(hub.take().await.1, "expired");
    // A clean start ends it.
    drop(Peer::connect(hub.address, &kept("e", 60).will(delayed("clean start", 3600))).await);
    hub.until(|stats| stats.connections == 1).await;
    let fresh = Peer::connect(hub.address, &Connect::v5("e")).await;
    assert_eq!(hub.take().await.1, "clean start");
    drop((resumed, fresh));
    hub.nothing_more().await;
    hub.stop().await;
}

#[tokio::test]
async fn a_connection_that_spoke_under_a_pair_leaves_it_when_it_ends() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let leave = ("state/leave".to_owned(), PAIR.to_owned());
    let other = "capteur02;1743946777.603372";

    // Cut, without a will: after everything that it published.
    let mut board = Peer::connect(hub.address, &Connect::v3("")).await;
    board.publish("state/join", PAIR, 0, 0).await;
    for _ in 0..100 {
        board.publish("button/status", &format!("{PAIR};1"), 0, 0).await;
    }
    drop(board);
    assert_eq!(hub.take().await.0, "state/join");
    for _ in 0..100 {
        assert_eq!(hub.take().await.0, "button/status");
    }
    let inbound = hub.recv().await;
    assert_eq!((text(&inbound.topic), text(&inbound.payload)), leave);
    assert!(inbound.origin.is_some() && inbound.ack.is_none());

    // A clean DISCONNECT is an end, too.
    let mut board = Peer::connect(hub.address, &Connect::v3("")).await;
    board.publish("led/status", &format!("{PAIR};1"), 0, 0).await;
    board.disconnect().await;
    assert_eq!(hub.take().await.0, "led/status");
    assert_eq!(hub.take().await, leave);

    // Its will says it already.
    let mut board = with_will(&hub, Connect::v3(""), PAIR).await;
    board.publish("state/join", PAIR, 0, 0).await;
    drop(board);
    assert_eq!(hub.take().await.0, "state/join");
    assert_eq!(hub.take().await, leave);

    // It said it itself.
    let mut board = with_will(&hub, Connect::v3(""), PAIR).await;
    board.publish("state/join", PAIR, 0, 0).await;
    board.publish("state/leave", PAIR, 0, 0).await;
    board.disconnect().await;
    assert_eq!(hub.take().await.0, "state/join");
    assert_eq!(hub.take().await, leave);
    hub.until(|stats| stats.connections == 0).await;
    hub.nothing_more().await;

    // Its will is for another pair, or comes later.
    let delayed = Will { delay: Some(3600), ..will("state/leave", PAIR) };
    for will in [will("state/leave", other), delayed] {
        let connect = Connect::v5("kept").kept(100).will(will.clone());
        let mut board = Peer::connect(hub.address, &connect).await;
        board.publish("state/join", PAIR, 0, 0).await;
        drop(board);
        assert_eq!(hub.take().await.0, "state/join");
        if will.delay.is_none() {
            assert_eq!(hub.take().await.1, other);
        }
        assert_eq!(hub.take().await, leave);
        hub.nothing_more().await;
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_connection_leaves_the_pair_that_it_is_known_under() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let mut board = Peer::connect(hub.address, &Connect::v3("")).await;
    board.publish("state/join", PAIR, 2, 1).await;
    let join = hub.recv().await;
    let connection = join.origin.unwrap().connection;
    let pair = Some(PAIR.parse().unwrap());
    hub.client.bind(connection, Identity { mac: "61:EC:ED:3B:25:B1".parse().unwrap(), pair });
    hub.client.settle(join.ack.unwrap(), Verdict::Accepted);
    let stale = "capteur01;1743946000.000000";
    board.publish("button/status", &format!("{stale};1"), 0, 0).await;
    drop(board);
    assert_eq!(hub.take().await.0, "button/status");
    let left = [hub.take().await.1, hub.take().await.1];
    assert_eq!(left, [PAIR.to_owned(), stale.to_owned()]);
    hub.nothing_more().await;
    hub.stop().await;
}

#[tokio::test]
async fn no_pair_hides_behind_another() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let other = "capteur02;1743946777.603372";
    let mut board = Peer::connect(hub.address, &Connect::v3("")).await;
    // Whether the first pair counts is decided only after the connection has ended.
    board.publish("state/join", PAIR, 0, 0).await;
    board.publish("button/status", &format!("{other};1"), 0, 0).await;
    drop(board);
    assert_eq!(hub.take().await.0, "state/join");
    assert_eq!(hub.take().await.0, "button/status");
    let left = [hub.take().await.1, hub.take().await.1];
    assert_eq!(left, [PAIR.to_owned(), other.to_owned()]);
    hub.nothing_more().await;
    hub.stop().await;
}

#[tokio::test]
async fn who_speaks_under_more_pairs_than_a_board_can_have_is_closed() {
    let mut hub = Hub::start(Anonymous::Device).await;
    hub.drain();
    let mut board = Peer::connect(hub.address, &Connect::v5("guess")).await;
    for number in 0..=128 {
        board.publish("led/status", &format!("capteur01;1743946777.{number:06};1"), 0, 0).await;
    }
    assert!(matches!(&board.closed().await[..], [Packet { head: 0xe0, .. }]));
    hub.until(|stats| stats.implied_leaves == 128).await;
    hub.stop().await;
}

#[tokio::test]
async fn a_will_that_sounds_alive_is_followed_by_a_leave() {
    let mut hub = Hub::start(Anonymous::Device).await;
    for delay in [None, Some(1)] {
        let alive = Will { delay, ..will("button/status", &format!("{PAIR};1")) };
        let board = Peer::connect(hub.address, &Connect::v5("a").kept(100).will(alive)).await;
        drop(board);
        assert_eq!(hub.take().await.0, "button/status");
        assert_eq!(hub.take().await, ("state/leave".to_owned(), PAIR.to_owned()));
    }
    hub.stop().await;
}

#[tokio::test]
async fn shutdown_tells_clients_and_publishes_wills() {
    let hub = Hub::start(Anonymous::Device).await;
    let mut new = with_will(&hub, Connect::v5("new"), "new").await;
    let mut old = with_will(&hub, Connect::v3("old"), "old").await;
    let silent = Peer::open(hub.address).await;
    let broker = hub.broker.clone();
    let address = hub.address;
    let stopping = tokio::spawn(hub.stop());
    assert_eq!(new.closed().await, [Packet { head: 0xe0, body: vec![0x8b] }]);
    assert_eq!(old.closed().await, []);
    drop((new, old, silent));
    timeout(DEADLINE, stopping).await.unwrap().unwrap();
    assert_eq!(broker.stats().wills, 2);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    // The router goes on: what is published now harms nobody.
    broker.client().publish(Outbound { topic: "led/command", payload: "x".into(), qos: 1 });
    broker.probe().await.unwrap();
}
