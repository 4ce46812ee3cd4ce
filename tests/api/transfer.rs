//! Backups and exports over HTTP.

use crate::{
    board::{Board, MAC},
    hub::{Hub, START_MS},
};
use capteur::{
    model::Timestamp,
    store::{
        backup::{self, Checked},
        offline,
    },
};
use reqwest::Method;
use serde_json::{Value, json};

async fn backup_of(hub: &Hub) -> Vec<u8> {
    let answer = hub.get("/api/v1/backup").await.error_for_status().unwrap();
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    let disposition = answer.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.ends_with("-20251122T082640Z.capteur\""), "{disposition}");
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_backup_of_a_running_hub_is_whole_and_holds_what_the_hub_shows() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    for number in 0..50_u8 {
        board.report("photoresistor", number).await;
    }
    let bytes = backup_of(&hub).await;
    let Checked { header, holding, .. } = backup::check(&bytes[..], "the answer").unwrap();
    assert_eq!(header.created, Timestamp::from_millis(START_MS));
    assert_eq!((holding.devices, holding.readings, holding.log_lines), (1, 50, 2));

    // Another hub, on the store that it makes, shows the same.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, &bytes).unwrap();
    offline::restore(&folder.path().join("store"), &file, header.created).unwrap();
    let paths = [
        format!("/api/v1/devices/{MAC}/readings/photoresistor"),
        format!("/api/v1/devices/{MAC}/log"),
    ];
    let mut shown = Vec::new();
    for path in &paths {
        shown.push(hub.json(path).await);
    }
    let copy = Hub::start_on(folder);
    for (path, shown) in paths.iter().zip(shown) {
        assert_eq!(copy.json(path).await, shown);
    }
    assert_eq!(copy.device(MAC).await["name"], hub.device(MAC).await["name"]);
    // The board goes on with the session that it has.
    let pair = board.pair.clone();
    let mut board = board.resume(&copy, pair).await;
    board.report("photoresistor", 77).await;
    copy.until(MAC, "online").await;
}

#[tokio::test]
async fn headers_alone_are_no_backup_and_take_no_place() {
    let hub = Hub::start();
    for _ in 0..5 {
        let head = hub.request(Method::HEAD, "/api/v1/backup").send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["content-type"], "application/octet-stream");
    }
    backup_of(&hub).await;
}

#[tokio::test]
async fn an_export_has_every_reading_of_every_board_in_all_formats() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    assert_eq!(hub.rename(MAC, "Salle \"é\", 1").await.status(), 200);
    for number in 0..5_u8 {
        board.report("photoresistor", number).await;
        hub.clock.advance(1);
    }
    board.report("led", 1).await;

    let row = |at: i64, channel: &str, value: Value| {
        let time = Timestamp::from_millis(START_MS + at).to_string();
        json!({"time": time, "mac": MAC, "name": "Salle \"é\", 1", "channel": channel, "value": value})
    };
    let light = |at: i64| row(at, "photoresistor", at.into());
    let all = [row(5, "led", true.into()), light(0), light(1), light(2), light(3), light(4)];
    assert_eq!(hub.json("/api/v1/export?format=json").await, json!(all));

    let lines = hub.get("/api/v1/export?format=ndjson").await;
    assert_eq!(lines.headers()["content-type"], "application/x-ndjson");
    let lines = lines.text().await.unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all);

    let table = hub.get("/api/v1/export").await;
    assert_eq!(table.headers()["content-type"], "text/csv; charset=utf-8; header=present");
    let disposition = &table.headers()["content-disposition"];
    assert_eq!(disposition, "attachment; filename=\"capteur-readings.csv\"");
    let table = table.text().await.unwrap();
    let (head, rest) = table.split_once("\r\n").unwrap();
    assert_eq!(head, "time,mac,name,channel,value");
    let first = format!("2025-11-22T08:26:40.005Z,{MAC},\"Salle \"\"é\"\", 1\",led,true\r\n");
    assert!(rest.starts_with(&first), "{rest}");

    let some = format!(
        "/api/v1/export?format=json&channel=photoresistor&device=salle%20%22%C3%A9%22%2C%201&from={}&to={}",
        START_MS + 1,
        START_MS + 3
    );
    assert_eq!(hub.json(&some).await, json!([light(1), light(2)]));
    assert_eq!(hub.get("/api/v1/export?device=nobody").await.status(), 404);
    for query in ["channel=sound", "format=xml", "from=2&to=1", "limit=3"] {
        assert_eq!(hub.get(&format!("/api/v1/export?{query}")).await.status(), 400, "{query}");
    }
}
