//! Filters and their options, retained messages, properties.

use crate::harness::{Connect, Hub, Packet, Peer, packet, settings, string};
use capteur::config::Anonymous;
use std::time::Duration;

async fn publish_acked(peer: &mut Peer, topic: &str, payload: &str, retain: bool, props: &[u8]) {
    peer.publish_with(topic, payload, 2 | u8::from(retain), 1, props).await;
    peer.acked(0x40, 1).await;
}

#[tokio::test]
async fn retained_messages_are_kept_replaced_and_deleted() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut publisher = Peer::connect(hub.address, &Connect::v5("publisher")).await;
    publish_acked(&mut publisher, "a/1", "old", true, &[]).await;
    publish_acked(&mut publisher, "a/1", "new", true, &[]).await;
    publish_acked(&mut publisher, "a/2", "two", true, &[]).await;
    publish_acked(&mut publisher, "a/2", "", false, &[]).await;
    publish_acked(&mut publisher, "a/3", "gone", true, &[]).await;
    publish_acked(&mut publisher, "a/3", "", true, &[]).await;
    let mut subscriber = Peer::connect(hub.address, &Connect::v3("subscriber")).await;
    // Again on every subscription.
    for _ in 0..2 {
        subscriber.subscribe("a/+", 0).await;
        let mut got = Vec::new();
        for _ in 0..2 {
            let message = subscriber.message().await;
            assert!(message.retain);
            got.push((message.topic, message.payload));
        }
        got.sort();
        assert_eq!(got, [("a/1".into(), "new".into()), ("a/2".into(), "two".into())]);
        subscriber.ping().await;
    }
    // To those who subscribe already it is a message like any other.
    publish_acked(&mut publisher, "a/1", "live", true, &[]).await;
    assert!(!subscriber.message().await.retain);
    assert_eq!(hub.stats().retained, 2);
    hub.stop().await;
}

#[tokio::test]
async fn retained_messages_are_bounded_and_expire() {
    let mut settings = settings(Anonymous::Full);
    settings.max_retained = 2;
    let hub = Hub::start_with(settings).await;
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    publish_acked(&mut peer, "a", "kept", true, &[]).await;
    publish_acked(&mut peer, "b", "short", true, &[0x02, 0, 0, 0, 1]).await;
    publish_acked(&mut peer, "c", "refused", true, &[]).await;
    assert_eq!(hub.stats().dropped_retained_full, 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    publish_acked(&mut peer, "c", "taken", true, &[]).await;
    peer.subscribe("#", 0).await;
    let mut got = [peer.message().await.payload, peer.message().await.payload];
    got.sort();
    assert_eq!(got, ["kept", "taken"]);
    peer.ping().await;
    hub.stop().await;
}

#[tokio::test]
async fn options_of_a_subscription_hold() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    publish_acked(&mut peer, "kept", "x", true, &[]).await;
    // Retain handling 2: never; 1: only if new.
    assert_eq!(peer.subscribe("kept", 0x20).await, 0);
    peer.ping().await;
    assert_eq!(peer.subscribe("kept", 0x10).await, 0);
    peer.ping().await;
    assert_eq!(peer.subscribe("+", 0x10).await, 0);
    assert!(peer.message().await.retain);
    // No-local.
    assert_eq!(peer.subscribe("mine", 0x04).await, 0);
    assert_eq!(peer.subscribe("+", 0x24).await, 0);
    publish_acked(&mut peer, "mine", "unheard", false, &[]).await;
    hub.broker.probe().await.unwrap();
    peer.ping().await;
    // Retain as published.
    assert_eq!(peer.subscribe("rap", 0x08).await, 0);
    publish_acked(&mut peer, "rap", "x", true, &[]).await;
    assert!(peer.message().await.retain);
    publish_acked(&mut peer, "rap", "x", false, &[]).await;
    assert!(!peer.message().await.retain);
    hub.stop().await;
}

#[tokio::test]
async fn overlapping_subscriptions_get_one_copy_with_all_identifiers() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    for (filter, qos, id) in [("a/#", 0, 1), ("a/b", 2, 2), ("+/b", 1, 3)] {
        peer.send_subscribe(filter, qos, &[0x0b, id]).await;
        assert_eq!(peer.packet().await.head, 0x90);
    }
    peer.publish("a/b", "x", 1, 1).await;
    let mut packets = [peer.packet().await, peer.packet().await];
    packets.sort_by_key(|packet| packet.head);
    let message = peer.read_publish(&packets[0]);
    assert_eq!(message.qos, 1);
    let mut ids: Vec<_> = message.properties.chunks(2).map(|one| (one[0], one[1])).collect();
    ids.sort_unstable();
    assert_eq!(ids, [(0x0b, 1), (0x0b, 2), (0x0b, 3)]);
    peer.ping().await;
    hub.stop().await;
}

#[tokio::test]
async fn properties_reach_level_5_and_are_kept_from_level_4() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut new = Peer::connect(hub.address, &Connect::v5("new")).await;
    let mut old = Peer::connect(hub.address, &Connect::v3("old")).await;
    new.subscribe("t", 0).await;
    old.subscribe("t", 0).await;
    let user = [&[0x26][..], &string("k"), &string("v")].concat();
    let kept = [&[0x01, 1][..], &user, &[0x03], &string("type"), &user].concat();
    let sent = [&[0x02, 0, 0, 0, 100][..], &kept].concat();
    new.publish_with("t", "x", 0, 0, &sent).await;
    let message = new.message().await;
    assert_eq!(message.properties[..kept.len()], kept);
    let expiry = &message.properties[kept.len()..];
    assert_eq!(expiry[..4], [0x02, 0, 0, 0]);
    assert!((1..=100).contains(&expiry[4]));
    assert_eq!(old.message().await.payload, "x");
    hub.stop().await;
}

#[tokio::test]
async fn an_alias_stands_for_the_topic_that_it_was_set_to() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    peer.subscribe("t/+", 0).await;
    for (topic, alias, heard) in
        [("t/1", 1, "t/1"), ("", 1, "t/1"), ("t/2", 1, "t/2"), ("", 1, "t/2")]
    {
        peer.publish_with(topic, "x", 0, 0, &[0x23, 0, alias]).await;
        let message = peer.message().await;
        assert_eq!((&*message.topic, message.properties), (heard, vec![]));
    }
    for (topic, alias, reason) in [("t", 0, 0x94), ("t", 17, 0x94), ("", 5, 0x82)] {
        let mut peer = Peer::connect(hub.address, &Connect::v5("wrong")).await;
        peer.publish_with(topic, "x", 0, 0, &[0x23, 0, alias]).await;
        assert_eq!(peer.closed().await, [Packet { head: 0xe0, body: vec![reason] }]);
    }
    hub.stop().await;
}

#[tokio::test]
async fn what_was_published_before_a_subscription_does_not_come_back() {
    let hub = Hub::start(Anonymous::Full).await;
    for round in 0..50 {
        let id = format!("peer {round}");
        let mut peer = Peer::connect(hub.address, &Connect::v3(&id)).await;
        let topic = format!("t/{round}");
        peer.publish(&topic, "before", 0, 0).await;
        peer.publish_with(&topic, "retained", 1, 0, &[]).await;
        assert_eq!(peer.subscribe(&topic, 0).await, 0);
        peer.publish(&topic, "after", 0, 0).await;
        let retained = peer.message().await;
        assert_eq!((&*retained.payload, retained.retain), ("retained", true));
        assert_eq!(peer.message().await.payload, "after");
        peer.disconnect().await;
    }
    hub.stop().await;
}

#[tokio::test]
async fn unsubscribing_ends_delivery_and_tells_what_was_not_there() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    peer.subscribe("a", 0).await;
    let filters = [string("a"), string("b")].concat();
    peer.send(&packet(0xa2, &[&[0, 9, 0][..], &filters].concat())).await;
    assert_eq!(peer.packet().await, Packet { head: 0xb0, body: vec![0, 9, 0, 0, 0x11] });
    peer.publish("a", "x", 0, 0).await;
    hub.broker.probe().await.unwrap();
    peer.ping().await;
    let mut old = Peer::connect(hub.address, &Connect::v3("old")).await;
    old.send(&packet(0xa2, &[&[0, 9][..], &filters].concat())).await;
    assert_eq!(old.packet().await, Packet { head: 0xb0, body: vec![0, 9] });
    hub.stop().await;
}

#[tokio::test]
async fn topics_of_the_server_and_shared_subscriptions_are_refused() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    peer.publish("$SYS/x", "x", 1, 1).await;
    assert_eq!(peer.packet().await, Packet { head: 0x40, body: vec![0, 1, 0x87] });
    for (filter, code) in
        [("$SYS/#", 0x87), ("$share/g/t", 0x9e), ("a/#/b", 0x8f), ("a+", 0x8f), ("", 0x8f)]
    {
        assert_eq!(peer.subscribe(filter, 0).await, code, "{filter}");
    }
    let mut old = Peer::connect(hub.address, &Connect::v3("old")).await;
    assert_eq!(old.subscribe("$share/g/t", 0).await, 0x80);
    // Any topic that MQTT allows, as those of other alphabets, is one for us.
    peer.subscribe("é/#", 0).await;
    old.publish("é/ü", "x", 0, 0).await;
    assert_eq!(peer.message().await.topic, "é/ü");
    hub.stop().await;
}

#[tokio::test]
async fn a_session_has_a_bounded_number_of_filters() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    for number in 0..1000 {
        assert_eq!(peer.subscribe(&format!("t/{number}"), 0).await, 0);
    }
    assert_eq!(peer.subscribe("one/more", 0).await, 0x97);
    assert_eq!(peer.subscribe("t/7", 1).await, 1);
    hub.stop().await;
}
