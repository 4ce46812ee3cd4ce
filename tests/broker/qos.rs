//! Acknowledgements, repetitions and resumption at QoS 1 and 2.

use crate::harness::{Connect, Hub, Packet, Peer, settings};
use capteur::{
    broker::{Outbound, Verdict},
    config::Anonymous,
};

#[tokio::test]
async fn delivery_is_at_the_lower_of_both_qos() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut publisher = Peer::connect(hub.address, &Connect::v3("publisher")).await;
    for (asked, version) in [(0, 3), (1, 5), (2, 3)] {
        let connect =
            if version == 3 { Connect::v3("subscriber") } else { Connect::v5("subscriber") };
        let mut subscriber = Peer::connect(hub.address, &connect).await;
        assert_eq!(subscriber.subscribe("t", asked).await, asked);
        for qos in 0..3 {
            publisher.publish("t", "x", qos, 1).await;
            match qos {
                1 => publisher.acked(0x40, 1).await,
                2 => {
                    publisher.acked(0x50, 1).await;
                    publisher.ack(0x62, 1).await;
                    publisher.acked(0x70, 1).await;
                }
                _ => {}
            }
            assert_eq!(subscriber.message().await.qos, qos.min(asked));
        }
        subscriber.disconnect().await;
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_repeated_qos_2_publish_is_delivered_once() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut observer = Peer::connect(hub.address, &Connect::v3("observer")).await;
    observer.subscribe("t", 0).await;
    let mut publisher = Peer::connect(hub.address, &Connect::v3("publisher")).await;
    publisher.publish("t", "A", 2, 1).await;
    publisher.acked(0x50, 1).await;
    publisher.publish_with("t", "A", 0x0c, 1, &[]).await;
    publisher.acked(0x50, 1).await;
    for (id, payload) in [(2, "B"), (3, "C")] {
        publisher.publish("t", payload, 2, id).await;
        publisher.acked(0x50, id).await;
    }
    for id in 1..=3 {
        publisher.ack(0x62, id).await;
        publisher.acked(0x70, id).await;
    }
    publisher.publish("t", "end", 0, 0).await;
    for payload in ["A", "B", "C", "end"] {
        assert_eq!(observer.message().await.payload, payload);
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_qos_2_publish_goes_on_after_a_reconnect() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut observer = Peer::connect(hub.address, &Connect::v3("observer")).await;
    observer.subscribe("t", 0).await;
    let kept = Connect::v3("publisher").kept(0);
    let mut publisher = Peer::connect(hub.address, &kept).await;
    publisher.publish("t", "A", 2, 7).await;
    publisher.acked(0x50, 7).await;
    drop(publisher);
    let (mut publisher, present) = Peer::connect_present(hub.address, &kept).await;
    assert!(present);
    publisher.publish_with("t", "A", 0x0c, 7, &[]).await;
    publisher.acked(0x50, 7).await;
    publisher.ack(0x62, 7).await;
    publisher.acked(0x70, 7).await;
    publisher.publish("t", "end", 0, 0).await;
    assert_eq!(observer.message().await.payload, "A");
    assert_eq!(observer.message().await.payload, "end");
    hub.stop().await;
}

#[tokio::test]
async fn a_repetition_on_the_next_connection_waits_until_the_first_is_stored() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let kept = Connect::v3("board").kept(0);
    let mut board = Peer::connect(hub.address, &kept).await;
    board.publish("state/join", "x", 2, 7).await;
    let ack = hub.recv().await.ack.unwrap();
    drop(board);
    let mut board = Peer::connect(hub.address, &kept).await;
    board.publish_with("state/join", "x", 0x0c, 7, &[]).await;
    board.ping().await;
    hub.client.settle(ack, Verdict::Accepted);
    board.acked(0x50, 7).await;
    board.ack(0x62, 7).await;
    board.acked(0x70, 7).await;
    hub.nothing_more().await;
    hub.stop().await;
}

#[tokio::test]
async fn a_resumed_session_gets_the_same_ids_again() {
    for connect in [Connect::v3("kept").kept(0), Connect::v5("kept").kept(100)] {
        let hub = Hub::start(Anonymous::Full).await;
        let mut kept = Peer::connect(hub.address, &connect).await;
        kept.subscribe("t", 2).await;
        let mut publisher = Peer::connect(hub.address, &Connect::v3("publisher")).await;
        for (payload, qos) in [("one", 1), ("two", 2), ("three", 2)] {
            publisher.publish("t", payload, qos, 1).await;
            let head = if qos == 1 { 0x40 } else { 0x50 };
            publisher.acked(head, 1).await;
            if qos == 2 {
                publisher.ack(0x62, 1).await;
                publisher.acked(0x70, 1).await;
            }
        }
        let mut first = Vec::new();
        for _ in 0..3 {
            first.push(kept.message().await);
        }
        kept.ack(0x50, first[1].id).await;
        kept.acked(0x62, first[1].id).await;
        drop(kept);
        let (mut kept, present) = Peer::connect_present(hub.address, &connect).await;
        assert!(present);
        let one = kept.message().await;
        assert_eq!((&*one.payload, one.id, one.duplicate), ("one", first[0].id, true));
        kept.acked(0x62, first[1].id).await;
        let three = kept.message().await;
        assert_eq!((&*three.payload, three.id, three.duplicate), ("three", first[2].id, true));
        // In any order.
        kept.ack(0x50, three.id).await;
        kept.acked(0x62, three.id).await;
        kept.ack(0x70, three.id).await;
        kept.ack(0x70, first[1].id).await;
        kept.ack(0x40, one.id).await;
        kept.ping().await;
        drop(kept);
        let mut kept = Peer::connect(hub.address, &connect).await;
        kept.ping().await;
        hub.stop().await;
    }
}

#[tokio::test]
async fn acknowledgements_of_nothing_are_answered_as_such() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut new = Peer::connect(hub.address, &Connect::v5("new")).await;
    new.ack(0x62, 9).await;
    assert_eq!(new.packet().await, Packet { head: 0x70, body: vec![0, 9, 0x92] });
    new.ack(0x50, 9).await;
    assert_eq!(new.packet().await, Packet { head: 0x62, body: vec![0, 9, 0x92] });
    new.ack(0x40, 9).await;
    new.ack(0x70, 9).await;
    new.ping().await;
    let mut old = Peer::connect(hub.address, &Connect::v3("old")).await;
    old.ack(0x62, 9).await;
    old.acked(0x70, 9).await;
    old.ack(0x50, 9).await;
    old.acked(0x62, 9).await;
    old.ack(0x40, 9).await;
    old.ping().await;
    hub.stop().await;
}

#[tokio::test]
async fn more_than_receive_maximum_is_refused_at_level_5_and_waits_at_level_4() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let mut new = Peer::connect(hub.address, &Connect::v5("new")).await;
    for id in 1..=65 {
        new.publish("state/join", "x", 1, id).await;
    }
    assert_eq!(new.closed().await, [Packet { head: 0xe0, body: vec![0x93] }]);
    for _ in 0..64 {
        hub.recv().await;
    }
    let mut old = Peer::connect(hub.address, &Connect::v3("old")).await;
    for id in 1..=100 {
        old.publish("state/join", "x", 1, id).await;
    }
    let mut acks = Vec::new();
    for _ in 0..64 {
        acks.push(hub.recv().await.ack.unwrap());
    }
    hub.nothing_more().await;
    for ack in acks {
        hub.client.settle(ack, Verdict::Accepted);
    }
    for _ in 0..36 {
        let ack = hub.recv().await.ack.unwrap();
        hub.client.settle(ack, Verdict::Accepted);
    }
    for id in 1..=100 {
        old.acked(0x40, id).await;
    }
    hub.stop().await;
}

#[tokio::test]
async fn the_clients_receive_maximum_and_packet_size_are_kept() {
    let hub = Hub::start(Anonymous::Full).await;
    // Receive Maximum 2, Maximum Packet Size 40.
    let connect = Connect::v5("small").property(&[0x21, 0, 2, 0x27, 0, 0, 0, 40]);
    let mut small = Peer::connect(hub.address, &connect).await;
    small.subscribe("t", 1).await;
    let mut publisher = Peer::connect(hub.address, &Connect::v3("publisher")).await;
    let large = "x".repeat(100);
    for payload in ["1", &large, "2", "3", "4"] {
        publisher.publish("t", payload, 1, 1).await;
        publisher.acked(0x40, 1).await;
    }
    hub.until(|stats| stats.sent_qos1 == 2).await;
    hub.broker.probe().await.unwrap();
    let one = small.message().await;
    let two = small.message().await;
    assert_eq!((&*one.payload, &*two.payload), ("1", "2"));
    small.ping().await;
    small.ack(0x40, two.id).await;
    assert_eq!(small.message().await.payload, "3");
    small.ack(0x40, one.id).await;
    assert_eq!(small.message().await.payload, "4");
    assert_eq!(hub.stats().dropped_too_large, 1);
    hub.stop().await;
}

#[tokio::test]
async fn when_too_much_waits_the_oldest_at_qos_0_goes() {
    let mut settings = settings(Anonymous::Full);
    settings.max_queued_messages = 3;
    let hub = Hub::start_with(settings).await;
    let kept = Connect::v5("kept").kept(100).property(&[0x21, 0, 1]);
    let mut peer = Peer::connect(hub.address, &kept).await;
    peer.subscribe("t", 1).await;
    for (payload, qos) in [("in flight", 1), ("a", 1), ("b", 0), ("c", 1), ("d", 1), ("e", 1)] {
        hub.client.publish(Outbound { topic: "led/command", payload: "x".into(), qos: 0 });
        let mut publisher = Peer::connect(hub.address, &Connect::v3("publisher")).await;
        publisher.publish("t", payload, qos, 1).await;
        if qos == 1 {
            publisher.acked(0x40, 1).await;
        }
        publisher.disconnect().await;
        hub.broker.probe().await.unwrap();
    }
    for payload in ["in flight", "a", "c", "d"] {
        let message = peer.message().await;
        assert_eq!(message.payload, payload);
        peer.ack(0x40, message.id).await;
    }
    peer.ping().await;
    assert_eq!(hub.stats().dropped_queue_full, 2);
    hub.stop().await;
}
