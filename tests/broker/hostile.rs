//! Malformed and malicious clients.

use crate::harness::{Connect, DEADLINE, Hub, Packet, Peer, packet, settings, string, will};
use capteur::config::Anonymous;
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What the server says to these bytes before it closes.
async fn answer(hub: &Hub, bytes: &[u8]) -> Vec<Packet> {
    let mut peer = Peer::open(hub.address).await;
    peer.send(bytes).await;
    peer.closed().await
}

/// What the server says to these bytes of a client that has been let in.
async fn answer_within(hub: &Hub, connect: &Connect, bytes: &[u8]) -> Vec<Packet> {
    let mut peer = Peer::connect(hub.address, connect).await;
    peer.send(bytes).await;
    peer.closed().await
}

#[tokio::test]
async fn what_is_no_connect_gets_no_session() {
    let hub = Hub::start(Anonymous::Full).await;
    let connack = |body: &[u8]| vec![Packet { head: 0x20, body: body.to_vec() }];
    let level = |level: u8| packet(0x10, &[&string("MQTT")[..], &[level, 2, 0, 0, 0, 0]].concat());
    assert_eq!(answer(&hub, &level(3)).await, connack(&[0, 1]));
    assert_eq!(answer(&hub, &level(0x84)).await, connack(&[0, 1]));
    assert_eq!(answer(&hub, &level(6)).await, connack(&[0, 0x84, 0]));
    let old = packet(0x10, &[&string("MQIsdp")[..], &[3, 2, 0, 0, 0, 0]].concat());
    assert_eq!(answer(&hub, &old).await, connack(&[0, 1]));
    assert_eq!(answer(&hub, b"GET / HTTP/1.1\r\n\r\n").await, []);
    assert_eq!(answer(&hub, &[0xc0, 0]).await, []);
    assert_eq!(answer(&hub, &[0x10, 0xff, 0xff, 0xff, 0x7f]).await, []);
    // Malformed at level 5: flags that contradict each other; an authentication that we don't know.
    let flags = packet(0x10, &[&string("MQTT")[..], &[5, 1, 0, 0, 0, 0, 0]].concat());
    assert_eq!(answer(&hub, &flags).await, connack(&[0, 0x81, 0]));
    let method = [&[0x15][..], &string("SCRAM")].concat();
    let authenticated = Connect::v5("a").property(&method);
    assert_eq!(answer(&hub, &authenticated.packet()).await, connack(&[0, 0x8c, 0]));
    let wildcard = Connect::v5("a").will(will("a/#", "x"));
    assert_eq!(answer(&hub, &wildcard.packet()).await, connack(&[0, 0x90, 0]));
    hub.broker.probe().await.unwrap();
    hub.stop().await;
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_why_and_closed() {
    let hub = Hub::start(Anonymous::Full).await;
    let publish = |topic: &str| packet(0x30, &[&string(topic)[..], &[0], b"x"].concat());
    for (bytes, reason) in [
        (publish("a/+"), 0x90),
        (publish("#"), 0x90),
        (publish(""), 0x90),
        (publish("a\0b"), 0x81),
        (packet(0x36, &[0, 1, b't', 0, 1, 0]), 0x81),
        (packet(0x32, &[0, 1, b't', 0, 0, 0]), 0x82),
        (packet(0x80, &[0, 1, 0, 0, 1, b't', 0]), 0x81),
        (packet(0x82, &[0, 1, 0]), 0x82),
        (packet(0x20, &[0, 0, 0]), 0x82),
        (packet(0xf0, &[0x18, 0]), 0x82),
        (packet(0x00, &[]), 0x81),
        (vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81),
        (vec![0x30, 0xff, 0xff, 0xff, 0x7f], 0x95),
        (Connect::v5("again").packet(), 0x82),
    ] {
        let told = [Packet { head: 0xe0, body: vec![reason] }];
        assert_eq!(answer_within(&hub, &Connect::v5("new"), &bytes).await, told, "{bytes:?}");
    }
    for bytes in [packet(0x30, &[&string("a/+")[..], b"x"].concat()), packet(0x00, &[])] {
        assert_eq!(answer_within(&hub, &Connect::v3("old"), &bytes).await, []);
    }
    let stats = hub.until(|stats| stats.connections == 0).await;
    assert_eq!(stats.violations, 16);
    hub.stop().await;
}

#[tokio::test]
async fn a_silent_socket_is_closed_and_blocks_nobody() {
    let mut settings = settings(Anonymous::Full);
    settings.connect_timeout_ms = 300;
    let hub = Hub::start_with(settings).await;
    let mut silent = Peer::open(hub.address).await;
    let mut slow = Peer::open(hub.address).await;
    slow.send(&Connect::v3("slow").packet()[..5]).await;
    Peer::connect(hub.address, &Connect::v3("quick")).await.disconnect().await;
    assert_eq!(silent.closed().await, []);
    assert_eq!(slow.closed().await, []);
    assert_eq!(hub.stats().refused_timeout, 2);
    hub.stop().await;
}

#[tokio::test]
async fn a_trickled_packet_does_not_keep_a_client_alive() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut peer = Peer::connect(hub.address, &Connect::v3("trickle").keep_alive(1)).await;
    let trickling = async {
        let bytes = packet(0x30, &[&string("t")[..], &[b'x'; 10_000]].concat());
        for byte in bytes {
            if peer.stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("was never closed");
    };
    timeout(DEADLINE, trickling).await.unwrap();
    assert_eq!(hub.stats().keep_alive_timeouts, 1);
    hub.stop().await;
}

#[tokio::test]
async fn packets_are_taken_in_any_pieces() {
    let hub = Hub::start(Anonymous::Full).await;
    let mut bytes = Connect::v3("pieces").packet();
    bytes.extend(packet(0x82, &[&[0, 7][..], &string("t"), &[1]].concat()));
    bytes.extend(packet(0x32, &[&string("t")[..], &[0, 1], b"hello"].concat()));
    bytes.extend([0xc0, 0, 0xe0, 0]);
    for piece in [1, 2, 3, 7, bytes.len()] {
        let mut peer = Peer::open(hub.address).await;
        for piece in bytes.chunks(piece) {
            peer.send(piece).await;
            tokio::task::yield_now().await;
        }
        let heads: Vec<_> = peer.closed().await.iter().map(|packet| packet.head).collect();
        for head in [0x20, 0x90, 0x40, 0xd0] {
            assert!(heads.contains(&head), "{heads:x?}");
        }
    }
    hub.stop().await;
}

/// One packet that is nearly right: valid, or with a few bytes changed, or noise.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let topic = prop_oneof![
        "[a-c+#$/é]{0,6}",
        Just("state/join".to_owned()),
        Just("led/status".to_owned()),
        Just("$share/g/t".to_owned()),
    ];
    let properties = prop_oneof![
        Just(vec![0]),
        Just(vec![3, 0x23, 0, 1]),
        Just(vec![5, 0x02, 0, 0, 0, 1]),
        vec(any::<u8>(), 0..12),
    ];
    let body = (topic, any::<u16>(), properties, vec(any::<u8>(), 0..40));
    let valid = (any::<u8>(), body).prop_map(|(head, (topic, id, properties, payload))| {
        let id = id.to_be_bytes();
        let topic = string(&topic);
        match head % 8 {
            0 => packet(0x30 | head >> 4 & 0x0f, &[topic, properties, payload].concat()),
            1 => {
                packet(0x32 | head >> 4 & 0x0d, &[&topic[..], &id, &properties, &payload].concat())
            }
            2 => packet(0x34, &[&topic[..], &id, &properties, &payload].concat()),
            3 => packet(0x82, &[&id[..], &properties, &topic, &[head >> 4 & 2]].concat()),
            4 => packet(0xa2, &[&id[..], &properties, &topic].concat()),
            5 => packet([0x40, 0x50, 0x62, 0x70][usize::from(head >> 6)], &id),
            6 => packet(0xc0, &[]),
            _ => packet(head, &payload),
        }
    });
    (valid, vec((any::<prop::sample::Index>(), any::<u8>()), 0..2)).prop_map(
        |(mut bytes, changes)| {
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            bytes
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bytes_harm_the_broker() {
    let mut hub = Hub::start(Anonymous::Full).await;
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]),
    );
    hub.drain();
    let address = hub.address;
    let connections = vec(packets(), 1..30);
    let attacks: Vec<_> =
        (0..400).map(|_| connections.new_tree(&mut runner).unwrap().current().concat()).collect();
    let attacking = tokio::spawn(async move {
        for (round, bytes) in attacks.iter().enumerate() {
            // Few ids, so that sessions are resumed and taken over.
            let id = format!("fuzz {}", round % 3);
            let connect = match round % 4 {
                0 => Connect::v3(&id).kept(0),
                1 => Connect::v5(&id).kept(10),
                2 => Connect::v5(&id).will(will("a", "x")),
                _ => Connect::v3(""),
            };
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut all = if round % 10 == 9 { Vec::new() } else { connect.packet() };
            all.extend(bytes);
            if stream.write_all(&all).await.is_err() {
                continue;
            }
            if round % 2 == 0 {
                let _ = stream.shutdown().await;
                let mut sink = Vec::new();
                let reading = stream.read_to_end(&mut sink);
                let _ = timeout(DEADLINE, reading).await.expect("never closed");
            }
        }
    });
    timeout(3 * DEADLINE, attacking).await.unwrap().unwrap();
    // Nothing is left of them, and the next client is served.
    let mut honest = Peer::connect(hub.address, &Connect::v5("honest")).await;
    honest.subscribe("t", 2).await;
    honest.publish("t", "x", 0, 0).await;
    assert_eq!(honest.message().await.payload, "x");
    honest.disconnect().await;
    let stats = hub.until(|stats| stats.connections == 0).await;
    assert_eq!(stats.lost_in_log, 0);
    assert!(stats.violations > 50, "{stats:?}");
    hub.stop().await;
}

#[tokio::test]
async fn what_a_board_makes_the_broker_keep_is_bounded() {
    let hub = Hub::start(Anonymous::Device).await;
    let long = "x".repeat(1025);
    for connect in [Connect::v5(&long), Connect::v5("a").will(will("state/leave", &long))] {
        let (mut peer, connack) = Peer::try_connect(hub.address, &connect).await;
        assert!(connack.body[1] >= 0x80, "{connack:?}");
        assert!(peer.closed().await.is_empty());
    }
    // An alias is kept although nothing may be published on its topic.
    let mut peer = Peer::connect(hub.address, &Connect::v5("a")).await;
    for alias in 1..=4 {
        let property = [0x23, 0, alias];
        let body = [string(&long), vec![3], property.to_vec()].concat();
        peer.send(&packet(0x30, &body)).await;
    }
    let told = peer.closed().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].head, told[0].body[0]), (0xe0, 0x97));
    hub.stop().await;
}
