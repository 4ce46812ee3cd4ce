//! Commands and their ends.

use crate::{
    board::{Board, MAC},
    hub::{DEADLINE, Hub},
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::timeout};

/// Switches the LED in the background, and hands out the answer.
fn switch(hub: &Arc<Hub>, on: bool) -> JoinHandle<Response> {
    let hub = Arc::clone(hub);
    tokio::spawn(async move { hub.send(Method::PUT, &path(), &json!({ "on": on })).await })
}

fn path() -> String {
    format!("/api/v1/devices/{MAC}/led")
}

async fn settled(answer: JoinHandle<Response>) -> (u16, Value) {
    let answer = timeout(DEADLINE, answer).await.unwrap().unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_command_is_done_when_the_board_says_so() {
    let hub = Arc::new(Hub::start());
    let mut board = Board::join(&hub).await;
    let mut reader = hub.follow(None).await;
    let answer = switch(&hub, true);
    assert_eq!(board.ordered().await, 1);
    assert_eq!(reader.find("command").await.data["state"], "sent");
    board.report("led", 0).await;
    assert!(!answer.is_finished(), "the other value confirms nothing");
    hub.clock.advance(7);
    board.report("led", 1).await;
    let (status, command) = settled(answer).await;
    assert_eq!((status, &command["state"]), (200, &json!("confirmed")));
    assert_eq!(command["issued_by"], "anonymous@127.0.0.1");
    assert!(command["confirmed_at"].as_str().unwrap().ends_with("0.007Z"), "{command}");
    assert_eq!(reader.find("command").await.data, command);
    let id = command["id"].as_str().unwrap();
    assert_eq!(hub.json(&format!("/api/v1/commands/{id}")).await, command);
}

#[tokio::test]
async fn a_newer_command_takes_the_place_of_one_that_waits() {
    let hub = Arc::new(Hub::start());
    let mut board = Board::join(&hub).await;
    let older = switch(&hub, true);
    assert_eq!(board.ordered().await, 1);
    let newer = switch(&hub, false);
    let (status, problem) = settled(older).await;
    assert_eq!((status, &problem["command"]["state"]), (409, &json!("superseded")));
    assert_eq!(board.ordered().await, 0);
    board.report("led", 0).await;
    assert_eq!(settled(newer).await.0, 200);
}

#[tokio::test]
async fn a_caller_that_does_not_wait_asks_later() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    let request = hub.request(Method::PUT, &path()).header("prefer", "respond-async");
    let answer = request.json(&json!({"on": true})).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(answer.json::<Value>().await.unwrap()["state"], "sent");
    assert_eq!(hub.json(&location).await["state"], "sent");
    assert_eq!(board.ordered().await, 1);
    board.report("led", 1).await;
    assert_eq!(hub.json(&location).await["state"], "confirmed");
}

#[tokio::test]
async fn a_board_that_stays_silent_or_is_away_is_told_of() {
    let hub = Arc::new(Hub::start_with(Duration::from_millis(50)));
    let board = Board::join(&hub).await;
    let (status, problem) = settled(switch(&hub, true)).await;
    assert_eq!((status, &problem["command"]["state"]), (504, &json!("timed_out")));
    let id = problem["command"]["id"].as_str().unwrap();
    assert_eq!(hub.json(&format!("/api/v1/commands/{id}")).await, problem["command"]);
    drop(board);
    hub.until(MAC, "offline").await;
    let (status, problem) = settled(switch(&hub, true)).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/device-offline")));
}
