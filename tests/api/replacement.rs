//! A new board in the place of an old one, and back.

use crate::{
    board::{Board, MAC, SECOND_MAC},
    hub::Hub,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn replace(hub: &Hub, device: &str, mac: &str) -> Response {
    let path = format!("/api/v1/devices/{device}/replace");
    hub.send(Method::POST, &path, &json!({ "mac": mac })).await
}

async fn undo(hub: &Hub, device: &str) -> Response {
    let path = format!("/api/v1/devices/{device}/replace");
    hub.request(Method::DELETE, &path).send().await.unwrap()
}

async fn values(hub: &Hub, device: &str) -> Vec<Value> {
    let readings = hub.json(&format!("/api/v1/devices/{device}/readings/photoresistor")).await;
    readings["points"].as_array().unwrap().iter().map(|point| point[1].clone()).collect()
}

async fn assert_refused(response: Response, status: u16, kind: &str) {
    assert_eq!(response.status(), status);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
}

#[tokio::test]
async fn a_new_board_carries_name_and_history_on_and_may_be_taken_out_again() {
    let hub = Hub::start();
    let mut old = Board::join(&hub).await;
    old.report("photoresistor", 10).await;
    old.report("led", 1).await;
    assert_refused(replace(&hub, "capteur01", SECOND_MAC).await, 409, "device-online").await;
    drop(old);
    hub.until(MAC, "offline").await;
    hub.rename(MAC, "kitchen").await;
    hub.clock.advance(60_000);
    let mut new = Board::join_as(&hub, SECOND_MAC).await;
    new.report("photoresistor", 20).await;
    new.report("led", 0).await;
    hub.clock.advance(1_000);

    let mut reader = hub.follow(None).await;
    let answer = replace(&hub, "kitchen", &SECOND_MAC.to_lowercase()).await;
    assert_eq!(answer.status(), 200);
    let device: Value = answer.json().await.unwrap();
    assert_eq!((&device["name"], &device["mac"]), (&json!("kitchen"), &json!(SECOND_MAC)));
    assert_eq!(device["replaced"]["mac"], MAC);
    assert_eq!(device["state"], "online");
    assert_eq!(device["channels"]["led"]["value"], json!(false), "the new board's");
    assert_eq!(reader.find("removed").await.data, json!({ "mac": MAC }));
    assert_eq!(reader.find("device").await.data, device);
    assert_eq!(hub.json("/api/v1/devices").await, json!({ "devices": [device] }));
    assert_eq!(hub.get("/api/v1/devices/capteur02").await.status(), 404);

    // Orders reach it at once, and it is told its new name.
    let pair = new.assigned().await;
    assert!(pair.starts_with("kitchen;"), "{pair}");
    let led = hub.request(Method::PUT, "/api/v1/devices/kitchen/led");
    let led = led.header("prefer", "respond-async").json(&json!({ "on": true }));
    assert_eq!(led.send().await.unwrap().status(), 202);
    assert_eq!(new.ordered().await, 1);
    let mut new = new.resume(&hub, pair).await;
    hub.until("kitchen", "online").await;
    new.report("photoresistor", 30).await;
    assert_eq!(values(&hub, "kitchen").await, [10, 30]);

    assert_refused(replace(&hub, "kitchen", SECOND_MAC).await, 409, "same-board").await;
    assert_refused(undo(&hub, "kitchen").await, 409, "device-online").await;
    drop(new);
    hub.until("kitchen", "offline").await;
    assert_refused(replace(&hub, "kitchen", "61:EC:ED:3B:25:B3").await, 409, "board-replaced")
        .await;

    let hub = hub.restart().await;
    assert_eq!(hub.device("kitchen").await["replaced"]["mac"], MAC);
    let answer = undo(&hub, "kitchen").await;
    assert_eq!(answer.status(), 200);
    let device: Value = answer.json().await.unwrap();
    assert_eq!((&device["mac"], &device["replaced"]), (&json!(MAC), &json!(null)));
    assert_eq!(hub.device(SECOND_MAC).await["name"], "capteur02");
    assert_eq!(values(&hub, "capteur02").await, [20], "what it was before");
    assert_eq!(values(&hub, "kitchen").await, [10, 30], "what came in between stays");
    assert_refused(undo(&hub, "kitchen").await, 404, "not-replaced").await;

    let log = hub.json("/api/v1/devices/kitchen/log").await;
    let told: Vec<_> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["event"].as_str().unwrap().starts_with("replace"))
        .map(|entry| [&entry["event"], &entry["from"], &entry["to"], &entry["by"]])
        .collect();
    let by = "anonymous@127.0.0.1";
    assert_eq!(
        told,
        [["replacement_undone", SECOND_MAC, MAC, by], ["replaced", MAC, SECOND_MAC, by]]
    );
}

#[tokio::test]
async fn a_device_is_forgotten_with_the_board_that_it_has_absorbed() {
    let hub = Hub::start();
    for mac in [MAC, SECOND_MAC] {
        let mut board = Board::join_as(&hub, mac).await;
        board.report("photoresistor", 10).await;
        drop(board);
        hub.until(mac, "offline").await;
    }
    assert_eq!(replace(&hub, "capteur01", SECOND_MAC).await.status(), 200);
    let path = format!("/api/v1/devices/{SECOND_MAC}");
    assert_eq!(hub.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(hub.json("/api/v1/devices").await, json!({ "devices": [] }));
    let hub = hub.restart().await;
    assert_eq!(hub.json("/api/v1/devices").await, json!({ "devices": [] }));
    let _board = Board::join_as(&hub, SECOND_MAC).await;
    assert_eq!(values(&hub, "capteur03").await, json!([]).as_array().unwrap().clone());
}
