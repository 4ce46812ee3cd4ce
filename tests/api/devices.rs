//! Rename, forget, and what the log says of it.

use crate::{
    board::{Board, MAC},
    hub::{DEADLINE, Hub},
};
use capteur::simulate::{Fleet, Options, Phase};
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

#[tokio::test]
async fn a_renamed_board_may_use_both_pairs_until_it_has_taken_the_new_one() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    let mut reader = hub.follow(None).await;

    let renamed = hub.rename("CAPTEUR01", "Salle été/1").await;
    assert_eq!(renamed.status(), 200);
    let new = "/api/v1/devices/Salle%20%C3%A9t%C3%A9%2F1";
    assert_eq!(hub.json(new).await["mac"], MAC);
    assert_eq!(hub.get("/api/v1/devices/capteur01").await.status(), 404);
    assert_eq!(reader.find("device").await.data["name"], "Salle été/1");

    let pair = board.assigned().await;
    assert!(pair.starts_with("Salle été/1;"), "{pair}");
    board.report("photoresistor", 41).await;
    assert_eq!(reader.find("reading").await.data["name"], "Salle été/1");

    let mut board = board.resume(&hub, pair).await;
    hub.until(MAC, "online").await;
    board.report("photoresistor", 42).await;
    let device = hub.device(MAC).await;
    assert_eq!(device["channels"]["photoresistor"]["value"], 42);

    let log = hub.json(&format!("/api/v1/devices/{MAC}/log")).await;
    let entries = log["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["event"] == "renamed").unwrap();
    assert_eq!(
        (&entry["from"], &entry["to"], &entry["by"]),
        (&json!("capteur01"), &json!("Salle été/1"), &json!("anonymous@127.0.0.1"))
    );
}

#[tokio::test]
async fn the_real_logic_takes_its_new_name_and_obeys_under_it() {
    let hub = Hub::start();
    let fleet = Fleet::start(Options::quiet(hub.mqtt.to_string(), 1)).unwrap();
    timeout(DEADLINE, fleet.all_online()).await.unwrap();
    let board = &fleet.boards()[0];
    let mac = board.mac().to_string();
    assert_eq!(hub.rename(&mac, "kitchen").await.status(), 200);
    let mut state = board.watch();
    let taken = state.wait_for(|state| {
        state.phase == Phase::Online
            && state.name.as_ref().is_some_and(|name| name.as_str() == "kitchen")
    });
    timeout(DEADLINE, taken).await.unwrap().unwrap();
    hub.until("kitchen", "online").await;
    let answer = hub.send(Method::PUT, "/api/v1/devices/kitchen/led", &json!({"on": true})).await;
    assert_eq!(answer.status(), 200);
    assert!(board.state().led);
    timeout(DEADLINE, fleet.stop()).await.unwrap();
}

#[tokio::test]
async fn a_board_is_forgotten_with_all_it_left_and_may_come_again_as_a_newcomer() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    board.report("photoresistor", 58).await;
    let path = format!("/api/v1/devices/{MAC}");
    let forget = async || hub.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(forget().await.status(), 409, "it is online");
    drop(board);
    hub.until(MAC, "offline").await;

    let mut reader = hub.follow(None).await;
    assert_eq!(forget().await.status(), 204);
    assert_eq!(reader.find("removed").await.data, json!({"mac": MAC}));
    assert_eq!(forget().await.status(), 404);
    for end in ["", "/log", "/readings/photoresistor"] {
        assert_eq!(hub.get(&format!("{path}{end}")).await.status(), 404, "{end}");
    }
    assert_eq!(hub.json("/api/v1/devices").await, json!({"devices": []}));

    hub.clock.advance(1000);
    let _board = Board::join(&hub).await;
    let device = hub.device("capteur02").await;
    assert_eq!(device["mac"], MAC, "a number is given out once");
    assert_eq!(device["channels"]["photoresistor"], json!(null));
    let readings = hub.json(&format!("{path}/readings/photoresistor")).await;
    assert_eq!(readings["points"], json!([]));
}

#[tokio::test]
async fn a_name_is_refused_where_it_is_taken_or_no_name() {
    let hub = Hub::start();
    let _board = Board::join(&hub).await;
    let fleet = Fleet::start(Options::quiet(hub.mqtt.to_string(), 1)).unwrap();
    timeout(DEADLINE, fleet.all_online()).await.unwrap();
    for (name, status) in [
        ("CAPTEUR02", 409),
        ("a;b", 422),
        ("", 422),
        (" a", 422),
        ("61:EC:ED:3B:25:B2", 422),
        ("123456789012345678901234567890", 422),
        ("Capteur01", 200),
        ("12345678901234567890123456789", 200),
    ] {
        assert_eq!(hub.rename(MAC, name).await.status(), status, "{name:?}");
    }
    timeout(DEADLINE, fleet.stop()).await.unwrap();
}
