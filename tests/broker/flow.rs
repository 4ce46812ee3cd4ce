//! Slow receivers, slow senders, many messages.

use crate::harness::{Connect, DEADLINE, Hub, Peer, packet, string, text};
use capteur::{
    broker::{Outbound, Verdict},
    config::Anonymous,
};
use std::{collections::HashMap, time::Duration};
use tokio::time::timeout;

/// Publishers, and what each publishes.
const PUBLISHERS: usize = 10;
const MESSAGES: usize = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_process_loses_nothing() {
    let mut hub = Hub::start(Anonymous::Full).await;
    let mut publishing = Vec::new();
    for publisher in 0..PUBLISHERS {
        let id = format!("p{publisher}");
        let mut peer = Peer::connect(hub.address, &Connect::v3(&id).keep_alive(1)).await;
        publishing.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                let body = [&string("button/status")[..], number.to_string().as_bytes()].concat();
                peer.send(&packet(0x30, &body)).await;
            }
            peer
        }));
    }
    // Nobody receives: the sockets are no longer read, and nobody is taken for dead for that.
    let before = hub.until(|stats| stats.received_qos0 > 500).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stalled = hub.stats();
    assert!(stalled.received_qos0 < 20_000, "{stalled:?}");
    assert_eq!(stalled.keep_alive_timeouts, before.keep_alive_timeouts);
    // In-process publishers go on.
    for _ in 0..1000 {
        let payload = "61:EC:ED:3B:25:B1;capteur01;1743946777.603371".into();
        hub.client.publish(Outbound { topic: "state/nameAssign", payload, qos: 2 });
    }
    timeout(DEADLINE, hub.broker.probe()).await.unwrap().unwrap();
    let mut next: HashMap<String, usize> = HashMap::new();
    for _ in 0..PUBLISHERS * MESSAGES {
        let inbound = hub.recv().await;
        let publisher = inbound.origin.unwrap().client_id.to_string();
        let expected = next.entry(publisher).or_default();
        assert_eq!(text(&inbound.payload), expected.to_string());
        *expected += 1;
    }
    for peer in publishing {
        peer.await.unwrap().ping().await;
    }
    let stats = hub.stats();
    assert_eq!(stats.lost_in_log, 0);
    assert_eq!(stats.received_qos0 as usize, PUBLISHERS * MESSAGES);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_at_qos_1_is_taken_and_acknowledged_in_order() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let mut peer = Peer::connect(hub.address, &Connect::v3("p")).await;
    let publishing = tokio::spawn(async move {
        for round in 0..50 {
            let mut burst = Vec::new();
            for number in 0..100u16 {
                let id = (round * 100 + number + 1).to_be_bytes();
                burst.extend(packet(0x32, &[&string("led/status")[..], &id, b"x"].concat()));
            }
            peer.send(&burst).await;
            for number in 0..100 {
                peer.acked(0x40, round * 100 + number + 1).await;
            }
        }
    });
    let mut seen = 0;
    while seen < 5_000 {
        let mut burst = vec![hub.recv().await];
        while let Some(inbound) = hub.link().try_recv() {
            burst.push(inbound);
        }
        seen += burst.len();
        // The later ones first.
        for inbound in burst.iter().rev() {
            hub.client.settle(inbound.ack.unwrap(), Verdict::Accepted);
        }
    }
    timeout(DEADLINE, publishing).await.unwrap().unwrap();
    assert_eq!(hub.stats().lost_in_log, 0);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_harms_nobody_else() {
    let mut hub = Hub::start(Anonymous::Full).await;
    hub.drain();
    let mut slow = Peer::connect(hub.address, &Connect::v3("slow")).await;
    slow.subscribe("t", 0).await;
    let mut quick = Peer::connect(hub.address, &Connect::v3("quick")).await;
    quick.subscribe("t", 1).await;
    let mut publisher = Peer::connect(hub.address, &Connect::v3("publisher")).await;
    let payload = "x".repeat(20_000);
    for number in 0..2_000u16 {
        publisher.publish("t", &payload, 1, number + 1).await;
        publisher.acked(0x40, number + 1).await;
        let message = quick.message().await;
        assert_eq!(message.payload.len(), payload.len());
        quick.ack(0x40, message.id).await;
    }
    assert!(hub.stats().dropped_queue_full > 0);
    assert!(slow.message().await.payload.len() == payload.len());
    hub.stop().await;
}

#[tokio::test]
async fn a_packet_larger_than_the_window_goes_through() {
    let mut hub = Hub::start(Anonymous::Full).await;
    hub.drain();
    let mut peer = Peer::connect(hub.address, &Connect::v5("peer")).await;
    peer.subscribe("t", 0).await;
    let payload = "x".repeat(200_000);
    for _ in 0..20 {
        peer.publish("t", &payload, 0, 0).await;
        assert_eq!(peer.message().await.payload.len(), payload.len());
    }
    assert_eq!(hub.stats().lost_in_log, 0);
    hub.stop().await;
}
