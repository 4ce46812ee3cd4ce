//! Readings and logs, page by page.

use crate::{
    board::{Board, MAC},
    hub::{Hub, START_MS},
};
use reqwest::Response;
use serde_json::{Value, json};

/// The path of the next page, where there is one.
fn next(answer: &Response) -> Option<String> {
    let link = answer.headers().get("link")?.to_str().unwrap();
    let (target, relation) = link.split_once("; ").unwrap();
    assert_eq!(relation, "rel=\"next\"");
    Some(target.trim_start_matches('<').trim_end_matches('>').to_owned())
}

/// Every page from `path` on, as text.
async fn pages(hub: &Hub, path: String) -> Vec<String> {
    let (mut pages, mut path) = (Vec::new(), Some(path));
    while let Some(page) = path.take() {
        let answer = hub.get(&page).await.error_for_status().unwrap();
        path = next(&answer);
        pages.push(answer.text().await.unwrap());
        assert!(pages.len() <= 100, "the pages have no end");
    }
    pages
}

fn array(page: &str, field: &str) -> Vec<Value> {
    let page: Value = serde_json::from_str(page).unwrap();
    page[field].as_array().unwrap().clone()
}

#[tokio::test]
async fn readings_come_once_each_and_in_order_whatever_the_page() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    // Four in each millisecond, so that pages end between readings of the same time.
    let mut points = Vec::new();
    for number in 0..23_u8 {
        board.report("photoresistor", number).await;
        points.push(json!([START_MS + i64::from(number / 4), number]));
        if number % 4 == 3 {
            hub.clock.advance(1);
        }
    }
    let path = format!("/api/v1/devices/{MAC}/readings/photoresistor");
    for limit in [1, 3, 4, 22, 23, 100_000] {
        let mut seen = Vec::new();
        for page in pages(&hub, format!("{path}?limit={limit}")).await {
            let page = array(&page, "points");
            assert!(page.len() <= limit);
            seen.extend(page);
        }
        assert_eq!(seen, points, "limit {limit}");
    }

    let mut lines = Vec::new();
    for page in pages(&hub, format!("{path}?limit=5&format=csv")).await {
        let page = page.strip_prefix("time,value\r\n").unwrap();
        lines.extend(page.split_terminator("\r\n").map(str::to_owned));
    }
    assert_eq!(lines.len(), points.len());
    assert_eq!(lines[22], "2025-11-22T08:26:40.005Z,22");

    // From a time on, to before a time, in both spellings.
    for query in [
        format!("from={}&to={}", START_MS + 1, START_MS + 3),
        "from=2025-11-22T08:26:40.001Z&to=2025-11-22T09:26:40.003%2B01:00".to_owned(),
    ] {
        let mut seen = Vec::new();
        for page in pages(&hub, format!("{path}?{query}&limit=3")).await {
            seen.extend(array(&page, "points"));
        }
        assert_eq!(seen, points[4..12], "{query}");
    }
    let none = hub.json(&format!("{path}?from={}", START_MS + 6)).await;
    assert_eq!(none["points"], json!([]));
}

#[tokio::test]
async fn a_log_comes_newest_first_and_once_each() {
    let hub = Hub::start();
    let _board = Board::join(&hub).await;
    for number in 0..9 {
        assert_eq!(hub.rename(MAC, &format!("name{number}")).await.status(), 200);
        if number % 3 == 2 {
            hub.clock.advance(1);
        }
    }
    let path = format!("/api/v1/devices/{MAC}/log");
    let all = array(&hub.get(&path).await.text().await.unwrap(), "entries");
    let events: Vec<_> = all.iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events, [vec!["renamed"; 9], vec!["joined", "discovered"]].concat());
    assert_eq!(all[0]["to"], "name8");
    for limit in [1, 2, 3, 11] {
        let mut seen = Vec::new();
        for page in pages(&hub, format!("{path}?limit={limit}")).await {
            seen.extend(array(&page, "entries"));
        }
        assert_eq!(seen, all, "limit {limit}");
    }
    let before = array(
        &hub.get(&format!("{path}?before={}", START_MS + 2)).await.text().await.unwrap(),
        "entries",
    );
    assert_eq!(before, all[3..], "before excludes its own millisecond");
}
