//! Replay, a slow reader, a new run of the hub.

use crate::{
    board::{Board, MAC},
    hub::{DEADLINE, Hub},
    reader::Message,
};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::sync::atomic::Ordering;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    let mut reader = hub.follow(None).await;
    let snapshot = reader.next().await;
    assert_eq!(snapshot.event, "snapshot");
    assert_eq!(snapshot.data, hub.json("/api/v1/devices").await);
    drop(reader);

    for value in 1..=5_u8 {
        board.report("photoresistor", value).await;
    }
    let mut reader = hub.follow(Some(&snapshot.id)).await;
    let (boot, sequence) = snapshot.place();
    for value in 1..=5_u8 {
        let message = reader.next().await;
        assert_eq!(message.place(), (boot, sequence + u64::from(value)));
        assert_eq!(message.event, "reading");
        let reading = &message.data;
        assert_eq!(reading["value"], value);
        assert_eq!(
            (&reading["mac"], &reading["name"], &reading["channel"]),
            (&json!(MAC), &json!("capteur01"), &json!("photoresistor"))
        );
        assert_eq!(reading["at"], "2025-11-22T08:26:40.000Z");
    }
    // And goes on from there.
    board.report("button", 1).await;
    let message = reader.next().await;
    assert_eq!(message.place(), (boot, sequence + 6));
    assert_eq!(message.data["value"], true);

    for strange in ["nonsense", "-", &format!("{}-1", boot + 1), &format!("{boot}-999999")] {
        let first = hub.follow(Some(strange)).await.next().await;
        assert_eq!((first.event.as_str(), first.place()), ("snapshot", (boot, sequence + 6)));
    }
}

#[tokio::test]
async fn a_new_run_of_the_hub_begins_with_a_snapshot() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    board.report("photoresistor", 58).await;
    let last = hub.follow(None).await.next().await;
    drop(board);
    let hub = hub.restart().await;
    let first = hub.follow(Some(&last.id)).await.next().await;
    assert_eq!(first.event, "snapshot");
    assert!(first.place().0 > last.place().0, "{} after {}", first.id, last.id);
    let device = &first.data["devices"][0];
    assert_eq!((&device["name"], &device["state"]), (&json!("capteur01"), &json!("offline")));
    assert_eq!(device["channels"]["photoresistor"]["value"], 58);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_given_a_new_snapshot() {
    const READINGS: u32 = 12_000;
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;

    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&hub.http.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(socket.into()).unwrap();
    // HTTP/1.0, so that the stream comes without the frames of chunks.
    let request = format!("GET /api/v1/events HTTP/1.0\r\nHost: {}\r\n\r\n", hub.http);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    while !text.windows(8).any(|bytes| bytes == b"snapshot") {
        timeout(DEADLINE, stream.read_buf(&mut text)).await.unwrap().unwrap();
    }

    // More than the ring and all buffers on the way hold.
    for number in 0..READINGS {
        board.mention("photoresistor", u8::try_from(number % 100).unwrap()).await;
    }
    board.report("button", 1).await;
    let last = hub.follow(None).await.next().await.place();

    let (mut place, mut snapshots, mut missed, mut parsed) = (None, 0, 0, 0);
    while place != Some(last.1) {
        timeout(DEADLINE, stream.read_buf(&mut text)).await.unwrap().unwrap();
        while let Some(end) = text[parsed..].windows(2).position(|bytes| bytes == b"\n\n") {
            let message = std::str::from_utf8(&text[parsed..parsed + end]).unwrap();
            parsed += end + 2;
            let Some(message) = Message::parse(message) else { continue };
            let (_, sequence) = message.place();
            if message.event == "snapshot" {
                snapshots += 1;
                missed += place.map_or(0, |place| sequence - place);
            } else {
                assert_eq!(Some(sequence), place.map(|place| place + 1), "a gap or a double");
            }
            place = Some(sequence);
        }
    }
    assert!(snapshots >= 2, "everything was in a buffer somewhere");
    assert!(missed > 4096, "a ring was still there, and {missed} events were passed over");
}

#[tokio::test]
async fn readers_are_told_when_the_time_becomes_uncertain_and_when_it_is_known() {
    let hub = Hub::start();
    let mut reader = hub.follow(None).await;
    assert_eq!(reader.find("snapshot").await.data["devices"], json!([]));
    for uncertain in [true, false] {
        hub.clock.uncertain.store(uncertain, Ordering::SeqCst);
        let told = reader.find("storage").await.data;
        assert_eq!(
            (&told["time_uncertain"], &told["recording"]),
            (&json!(uncertain), &json!(true))
        );
        let health = hub.get("/api/v1/health").await;
        assert_eq!(health.status(), 200, "it does its work all the same");
        let health: Value = health.json().await.unwrap();
        assert_eq!(health["storage"]["time_uncertain"], json!(uncertain));
        // Whoever comes now is told with the snapshot, where there is anything to tell.
        let mut other = hub.follow(None).await;
        other.find("snapshot").await;
        if uncertain {
            assert_eq!(other.find("storage").await.data["time_uncertain"], json!(true));
        }
    }
}
