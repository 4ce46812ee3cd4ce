//! What boards do, as `mqtt.anonymous = "device"` lets them.

use crate::harness::{Connect, Hub, MAC, PAIR, Packet, Peer, text, will};
use capteur::{
    broker::{Identity, Outbound, Verdict},
    config::Anonymous,
};

#[tokio::test]
async fn a_board_joins_gets_its_name_and_obeys() {
    let mut hub = Hub::start(Anonymous::Device).await;
    for connect in [Connect::v3(""), Connect::v5("")] {
        let mut board = Peer::connect(hub.address, &connect).await;
        assert_eq!(board.subscribe("state/nameAssign", 2).await, 2);
        board.publish("state/join", MAC, 2, 1).await;
        let join = hub.recv().await;
        assert_eq!((text(&join.topic), text(&join.payload)), ("state/join".into(), MAC.into()));
        let origin = join.origin.unwrap();
        assert!(origin.address.is_loopback());
        assert!(!origin.client_id.is_empty());
        let mac = MAC.parse().unwrap();
        hub.client.bind(origin.connection, Identity { mac, pair: None });
        hub.client.publish(Outbound {
            topic: "state/nameAssign",
            payload: format!("{MAC};{PAIR}").into(),
            qos: 2,
        });
        hub.client.settle(join.ack.unwrap(), Verdict::Accepted);
        let mut packets = [board.packet().await, board.packet().await];
        packets.sort_by_key(|packet| packet.head);
        assert_eq!(packets[1], Packet { head: 0x50, body: vec![0, 1] });
        let name = board.read_publish(&packets[0]);
        assert_eq!((name.topic, name.qos), ("state/nameAssign".into(), 2));
        assert_eq!(name.payload, format!("{MAC};{PAIR}"));
        board.ack(0x62, 1).await;
        board.acked(0x70, 1).await;

        board.publish("state/join", PAIR, 2, 2).await;
        assert_eq!(board.subscribe("led/command", 1).await, 1);
        let start = hub.recv().await;
        let pair = Some(PAIR.parse().unwrap());
        hub.client.bind(start.origin.unwrap().connection, Identity { mac, pair });
        hub.client.settle(start.ack.unwrap(), Verdict::Accepted);
        board.acked(0x50, 2).await;
        hub.client.publish(Outbound {
            topic: "led/command",
            payload: format!("{PAIR};1").into(),
            qos: 1,
        });
        let command = board.message().await;
        assert_eq!((command.payload, command.qos), (format!("{PAIR};1"), 1));
        drop(board);
        // The connection ended without a will.
        assert_eq!(hub.take().await, ("state/leave".into(), PAIR.into()));
    }
    let stats = hub.until(|stats| stats.connections == 0).await;
    assert_eq!((stats.implied_leaves, stats.wills, stats.lost_in_log), (2, 0, 0));
    hub.broker.probe().await.unwrap();
    hub.stop().await;
}

#[tokio::test]
async fn a_board_hands_in_its_backlog_and_tells_what_it_is() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let mut board = Peer::connect(hub.address, &Connect::v5("")).await;
    let verdicts =
        [(Verdict::Accepted, 0x00), (Verdict::QuotaExceeded, 0x97), (Verdict::NotAuthorized, 0x87)];
    for ((verdict, reason), id) in verdicts.into_iter().zip(1_u8..) {
        let backlog = format!("{PAIR};61000,58;51000,59");
        board.publish("photoresistor/backlog", &backlog, 1, id.into()).await;
        let inbound = hub.recv().await;
        assert_eq!(text(&inbound.topic), "photoresistor/backlog");
        assert_eq!(text(&inbound.payload), backlog);
        // Nothing is acknowledged before it is settled.
        hub.broker.probe().await.unwrap();
        hub.client.settle(inbound.ack.unwrap(), verdict);
        let ack = board.packet().await;
        assert_eq!((ack.head, &ack.body[..2]), (0x40, &[0, id][..]));
        assert_eq!(ack.body.get(2).copied().unwrap_or(0), reason);
    }
    board.publish("state/info", &format!("{PAIR};chip=esp32c3"), 0, 0).await;
    let info = hub.recv().await;
    assert_eq!((text(&info.topic), info.ack), ("state/info".into(), None));
    // Nobody but the hub may listen.
    assert_eq!(board.subscribe("photoresistor/backlog", 1).await, 0x87);
    drop(board);
    assert_eq!(hub.take().await, ("state/leave".into(), PAIR.into()));
    hub.stop().await;
}

#[tokio::test]
async fn only_the_addressee_hears() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let mut boards = Vec::new();
    for number in 0..10 {
        let mut board = Peer::connect(hub.address, &Connect::v3("")).await;
        board.subscribe("state/nameAssign", 1).await;
        board.subscribe("led/command", 1).await;
        board.publish("state/join", &format!("00:00:00:00:00:0{number}"), 0, 0).await;
        let join = hub.recv().await;
        let identity = Identity {
            mac: text(&join.payload).parse().unwrap(),
            pair: Some(format!("n{number};1743946777.60337{number}").parse().unwrap()),
        };
        hub.client.bind(join.origin.unwrap().connection, identity);
        boards.push(board);
    }
    for number in 0..10 {
        let payload = format!("00:00:00:00:00:0{number};n{number};1743946777.60337{number}");
        hub.client.publish(Outbound { topic: "state/nameAssign", payload: payload.into(), qos: 0 });
        let payload = format!("n{number};1743946777.60337{number};0");
        hub.client.publish(Outbound { topic: "led/command", payload: payload.into(), qos: 0 });
    }
    hub.client.publish(Outbound { topic: "led/command", payload: "stranger".into(), qos: 0 });
    hub.broker.probe().await.unwrap();
    for (number, board) in boards.iter_mut().enumerate() {
        let name = board.message().await.payload;
        assert!(name.starts_with(&format!("00:00:00:00:00:0{number};")), "{name}");
        let command = board.message().await.payload;
        assert!(command.starts_with(&format!("n{number};")), "{command}");
        board.ping().await;
    }
    assert_eq!(hub.stats().dropped_no_addressee, 1);
    hub.stop().await;
}

#[tokio::test]
async fn a_board_is_told_when_what_it_sent_is_stored() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let mut board = Peer::connect(hub.address, &Connect::v5("board")).await;
    for id in 1..=3 {
        board.publish("led/status", &format!("{PAIR};1"), 1, id).await;
    }
    // Nothing is acknowledged before it is settled: the answer to a ping overtakes.
    board.ping().await;
    let mut acks = Vec::new();
    for _ in 0..3 {
        acks.push(hub.recv().await.ack.unwrap());
    }
    assert_eq!(acks.iter().map(|ack| ack.number).collect::<Vec<_>>(), [1, 2, 3]);
    hub.client.settle(acks[2], Verdict::Accepted);
    hub.client.settle(acks[1], Verdict::NotAuthorized);
    board.ping().await;
    hub.client.settle(acks[0], Verdict::PayloadFormatInvalid);
    assert_eq!(board.packet().await, Packet { head: 0x40, body: vec![0, 1, 0x99] });
    assert_eq!(board.packet().await, Packet { head: 0x40, body: vec![0, 2, 0x87] });
    assert_eq!(board.packet().await, Packet { head: 0x40, body: vec![0, 3] });
    hub.stop().await;
}

#[tokio::test]
async fn a_reading_that_there_is_no_room_for_is_refused_at_level_5_and_asked_for_again_at_level_4()
{
    let mut hub = Hub::start(Anonymous::Device).await;
    let reading = format!("{PAIR};1");
    let mut board = Peer::connect(hub.address, &Connect::v5("board")).await;
    for (qos, head) in [(1, 0x40), (2, 0x50)] {
        board.publish("led/status", &reading, qos, 7).await;
        let ack = hub.recv().await.ack.unwrap();
        hub.client.settle(ack, Verdict::QuotaExceeded);
        assert_eq!(board.packet().await, Packet { head, body: vec![0, 7, 0x97] });
    }
    board.disconnect().await;
    assert_eq!(hub.take().await.0, "state/leave");

    let kept = Connect::v3("board").kept(0);
    let mut board = Peer::connect(hub.address, &kept).await;
    for (id, qos) in [(1, 1), (2, 2), (3, 1)] {
        board.publish("led/status", &reading, qos, id).await;
        let ack = hub.recv().await.ack.unwrap();
        let room = id == 3;
        let verdict = if room { Verdict::Accepted } else { Verdict::QuotaExceeded };
        hub.client.settle(ack, verdict);
    }
    board.acked(0x40, 3).await;
    // It lives on for a while, so that its other messages get through, and is then to try again.
    board.ping().await;
    assert_eq!(board.closed().await, [], "3.1.1 has no word for it");
    assert_eq!(hub.stats().closed_without_room, 1);
    assert_eq!(hub.take().await.0, "state/leave");
    let mut board = Peer::connect(hub.address, &kept).await;
    for (id, head) in [(1, 0x40), (2, 0x50)] {
        let flags = if id == 1 { 0x0a } else { 0x0c };
        board.publish_with("led/status", &reading, flags, id, &[]).await;
        let ack = hub.recv().await.ack.expect("it is taken in once more");
        hub.client.settle(ack, Verdict::Accepted);
        board.acked(head, id).await;
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_board_may_do_what_boards_do_and_nothing_else() {
    let mut hub = Hub::start(Anonymous::Device).await;
    let mut old = Peer::connect(hub.address, &Connect::v3("old")).await;
    assert_eq!(old.subscribe("#", 1).await, 0x80);
    assert_eq!(old.subscribe("state/join", 1).await, 0x80);
    old.publish("state/nameAssign", "x", 1, 1).await;
    old.acked(0x40, 1).await;
    let mut new = Peer::connect(hub.address, &Connect::v5("new")).await;
    assert_eq!(new.subscribe("led/+", 1).await, 0x87);
    assert_eq!(new.subscribe("$share/g/led/command", 1).await, 0x9e);
    new.publish("led/command", "x", 1, 1).await;
    assert_eq!(new.packet().await, Packet { head: 0x40, body: vec![0, 1, 0x87] });
    new.publish("other", "x", 2, 2).await;
    assert_eq!(new.packet().await, Packet { head: 0x50, body: vec![0, 2, 0x87] });
    for (connect, code) in [(Connect::v3("w"), 5), (Connect::v5("w"), 0x87)] {
        let connect = connect.will(will("led/command", "x"));
        let (mut peer, connack) = Peer::try_connect(hub.address, &connect).await;
        assert_eq!(connack.body[1], code);
        assert_eq!(peer.closed().await, []);
    }
    assert_eq!(hub.stats().dropped_not_authorized, 3);
    hub.nothing_more().await;
    hub.stop().await;
}

#[tokio::test]
async fn nobody_is_let_in_where_anonymous_clients_are_not() {
    let hub = Hub::start(Anonymous::None).await;
    for (connect, code) in [(Connect::v3("a"), 5), (Connect::v5("a"), 0x87)] {
        let (mut peer, connack) = Peer::try_connect(hub.address, &connect).await;
        assert_eq!(connack.body[1], code);
        assert_eq!(peer.closed().await, []);
    }
    hub.stop().await;
}
