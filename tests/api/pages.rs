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

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// What these readings come to by the `width`: `[start, min, mean, max, count]`, the mean to the
/// hundredth.
fn summed_up(readings: &[(i64, u8)], width: i64) -> Vec<Value> {
    readings
        .chunk_by(|a, b| a.0 / width == b.0 / width)
        .map(|bucket| {
            let values = || bucket.iter().map(|(_, value)| u32::from(*value));
            let count = u32::try_from(bucket.len()).unwrap();
            let mean = f64::from(values().sum::<u32>()) / f64::from(count);
            let mean = (mean * 100.0).round() / 100.0;
            let start = bucket[0].0 / width * width;
            json!([start, values().min(), mean, values().max(), count])
        })
        .collect()
}

#[tokio::test]
async fn readings_are_summed_up_by_the_minute_and_the_hour() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    // Two and a half hours that begin within a minute, three readings in two minutes.
    let mut readings = Vec::new();
    let mut now = START_MS;
    for number in 0..225_u8 {
        let value = number.wrapping_mul(37) % 101;
        board.report("photoresistor", value).await;
        readings.push((now, value));
        now += 40_000;
        hub.clock.advance(40_000);
    }
    let path = format!("/api/v1/devices/{MAC}/readings/photoresistor");
    let (minutes, hours) = (summed_up(&readings, MINUTE), summed_up(&readings, HOUR));
    assert_eq!((minutes.len(), hours.len()), (151, 3));
    for (resolution, points) in [("1m", &minutes), ("1h", &hours)] {
        for limit in [1, 3, 150, 151, 100_000] {
            if limit * 100 < points.len() {
                continue;
            }
            let query = format!("{path}?resolution={resolution}&limit={limit}");
            let mut seen = Vec::new();
            for page in pages(&hub, query).await {
                assert!(page.contains(&format!("\"resolution\":\"{resolution}\"")));
                seen.extend(array(&page, "points"));
            }
            assert_eq!(seen, *points, "{resolution}, limit {limit}");
        }
    }
    // A span that begins and ends within buckets has these as well, and whole.
    let (from, to) = (START_MS + 30 * MINUTE + 10_000, START_MS + 80 * MINUTE + 1);
    let query = format!("{path}?resolution=1m&from={from}&to={to}");
    let (first, last) = (from / MINUTE * MINUTE, to);
    let within = |point: &&Value| (first..last).contains(&point[0].as_i64().unwrap());
    let expected: Vec<_> = minutes.iter().filter(within).cloned().collect();
    assert_eq!(hub.json(&query).await["points"], json!(expected));

    let csv = hub.get(&format!("{path}?resolution=1h&format=csv&limit=1")).await;
    assert!(next(&csv).unwrap().contains("resolution=1h"));
    let text = csv.text().await.unwrap();
    let [_, min, mean, max, count] = &hours[0].as_array().unwrap()[..] else { panic!() };
    let row = format!("2025-11-22T08:00:00.000Z,{min},{mean},{max},{count}");
    assert_eq!(text, format!("time,min,mean,max,count\r\n{row}\r\n"));

    // The finest that a chart of so many points can show; where none can, the coarsest, in pages.
    for (limit, resolution, points) in [
        (225, "raw", 225),
        (224, "1m", 151),
        (151, "1m", 151),
        (150, "1h", 3),
        (3, "1h", 3),
        (2, "1h", 2),
    ] {
        let answer = hub.get(&format!("{path}?resolution=auto&limit={limit}")).await;
        assert_eq!(next(&answer).is_some(), limit == 2);
        let answer: Value = answer.json().await.unwrap();
        let shown = answer["points"].as_array().unwrap().len();
        assert_eq!((&answer["resolution"], shown), (&json!(resolution), points), "limit {limit}");
    }
    let none = hub.json(&format!("/api/v1/devices/{MAC}/readings/led?resolution=auto")).await;
    assert_eq!((&none["resolution"], &none["points"]), (&json!("raw"), &json!([])));
}

#[tokio::test]
async fn the_mean_of_a_switch_is_how_much_of_its_readings_said_on() {
    let hub = Hub::start();
    let mut board = Board::join(&hub).await;
    for value in [1, 0, 1] {
        board.report("button", value).await;
    }
    let start = START_MS / MINUTE * MINUTE;
    let points = hub.json(&format!("/api/v1/devices/{MAC}/readings/button?resolution=1m")).await;
    assert_eq!(points["points"], json!([[start, 0, 0.6667, 1, 3]]));
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
