//! Kept sessions, their expiry, and what waits in them.

use crate::harness::{Connect, Hub, Peer, packet, settings};
use capteur::config::Anonymous;
use std::time::Duration;

async fn publish(hub: &Hub, topic: &str, payload: &str, qos: u8, properties: &[u8]) {
    let mut publisher = Peer::connect(hub.address, &Connect::v5("publisher")).await;
    publisher.publish_with(topic, payload, qos << 1, 1, properties).await;
    if qos == 1 {
        publisher.acked(0x40, 1).await;
    }
    publisher.disconnect().await;
    hub.broker.probe().await.unwrap();
}

#[tokio::test]
async fn a_kept_session_keeps_subscriptions_and_messages_above_qos_0() {
    let hub = Hub::start(Anonymous::Full).await;
    for connect in [Connect::v3("kept").kept(0), Connect::v5("kept 5").kept(100)] {
        let (mut peer, present) = Peer::connect_present(hub.address, &connect).await;
        assert!(!present);
        peer.subscribe("t/+", 1).await;
        peer.disconnect().await;
        hub.until(|stats| stats.connections == 0).await;
        publish(&hub, "t/1", "waits", 1, &[]).await;
        publish(&hub, "t/1", "lost", 0, &[]).await;
        publish(&hub, "t/1", "short", 1, &[0x02, 0, 0, 0, 1]).await;
        publish(&hub, "t/1", "waits too", 1, &[]).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let (mut peer, present) = Peer::connect_present(hub.address, &connect).await;
        assert!(present);
        for payload in ["waits", "waits too"] {
            let message = peer.message().await;
            assert_eq!((&*message.payload, message.duplicate), (payload, false));
            peer.ack(0x40, message.id).await;
        }
        peer.ping().await;
        peer.disconnect().await;
        // A clean start forgets.
        let clean = Connect { clean: true, ..connect.clone() };
        let (mut peer, present) = Peer::connect_present(hub.address, &clean).await;
        assert!(!present);
        publish(&hub, "t/1", "unheard", 1, &[]).await;
        peer.ping().await;
        peer.disconnect().await;
        hub.until(|stats| stats.connections == 0).await;
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let mut settings = settings(Anonymous::Full);
    settings.max_session_expiry_s = 1;
    let hub = Hub::start_with(settings).await;
    // More than the server keeps, which it says in CONNACK.
    let connect = Connect::v5("kept").kept(u32::MAX);
    let (peer, connack) = Peer::try_connect(hub.address, &connect).await;
    assert_eq!(connack.body[3..8], [0x11, 0, 0, 0, 1]);
    peer.disconnect().await;
    let old = Connect::v3("old").kept(0);
    Peer::connect(hub.address, &old).await.disconnect().await;
    hub.until(|stats| stats.sessions == 0).await;
    assert!(!Peer::connect_present(hub.address, &connect).await.1);
    assert!(!Peer::connect_present(hub.address, &old).await.1);
    hub.stop().await;
}

#[tokio::test]
async fn disconnect_changes_the_expiry() {
    let hub = Hub::start(Anonymous::Full).await;
    let connect = Connect::v5("peer").kept(100);
    let mut peer = Peer::connect(hub.address, &connect).await;
    peer.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 0])).await;
    assert_eq!(peer.closed().await, []);
    hub.until(|stats| stats.sessions == 0).await;
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    peer.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9])).await;
    let said = peer.closed().await;
    assert_eq!((said[0].head, &*said[0].body), (0xe0, &[0x82][..]));
    hub.until(|stats| stats.sessions == 0).await;
    hub.stop().await;
}

#[tokio::test]
async fn a_client_without_an_id_gets_one() {
    let hub = Hub::start(Anonymous::Full).await;
    let (_one, connack) = Peer::try_connect(hub.address, &Connect::v5("")).await;
    assert_eq!(connack.body[1], 0);
    let at = connack.body.windows(7).position(|bytes| &bytes[..3] == b"\x12\0\x15").unwrap();
    assert_eq!(&connack.body[at + 3..at + 8], b"auto-");
    let _two = Peer::connect(hub.address, &Connect::v3("")).await;
    assert_eq!(hub.stats().connections, 2);
    let nameless = Connect::v3("").kept(0);
    let (mut peer, connack) = Peer::try_connect(hub.address, &nameless).await;
    assert_eq!(connack.body, [0, 2]);
    assert_eq!(peer.closed().await, []);
    hub.stop().await;
}

#[tokio::test]
async fn a_client_in_excess_is_told_so() {
    let mut settings = settings(Anonymous::Device);
    settings.max_connections = 2;
    let hub = Hub::start_with(settings).await;
    let one = Peer::connect(hub.address, &Connect::v3("1")).await;
    let _two = Peer::connect(hub.address, &Connect::v3("2")).await;
    for (connect, code) in [(Connect::v3("3"), 3), (Connect::v5("3"), 0x97)] {
        let (mut peer, connack) = Peer::try_connect(hub.address, &connect).await;
        assert_eq!(connack.body[1], code);
        assert_eq!(peer.closed().await, []);
    }
    // One that comes again is not in excess.
    let again = Peer::connect(hub.address, &Connect::v3("1")).await;
    drop((one, again));
    hub.until(|stats| stats.connections == 1).await;
    Peer::connect(hub.address, &Connect::v3("3")).await.disconnect().await;
    assert_eq!(hub.stats().refused_full, 2);
    hub.stop().await;
}
