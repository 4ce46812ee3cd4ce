//! Readings that come late, on real files.

use super::*;
use crate::model::{LateReadings, Width};

const LIGHT: Channel = Channel::Photoresistor;

fn late(device: u32, readings: &[(i64, u8)]) -> Change {
    let readings = readings.iter().map(|&(millis, value)| (at(millis), value)).collect();
    Change::Late(LateReadings { device: DeviceId(device), channel: LIGHT, readings })
}

/// Stores changes and waits until they are on the medium.
async fn commit(store: &Store, changes: Vec<Change>) {
    put(store, changes).await;
    store.flush().await.unwrap();
}

/// A minute of an hour ago, a reading every ten seconds.
fn minute() -> Vec<(i64, u8)> {
    (0..6).map(|n| (n * 10_000, 7)).collect()
}

fn last(contents: &Contents) -> Vec<(u32, Channel, i64, u8)> {
    let shown = |&(id, channel, last): &(DeviceId, Channel, ChannelState)| {
        (id.0, channel, last.at.millis() - at(0).millis(), last.value)
    };
    contents.last.iter().map(shown).collect()
}

#[tokio::test]
async fn late_readings_are_found_where_they_belong_and_do_not_count_as_the_last() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![Change::PutDevice(Box::new(record(1)))]).await;
    commit(&store, vec![reading(1, LIGHT, -5_000, 9), reading(1, LIGHT, 70_000, 8)]).await;
    commit(&store, vec![late(1, &minute())]).await;
    let expected = [vec![(-5_000, 9)], minute(), vec![(70_000, 8)]].concat();
    assert_eq!(all(&store, 1, LIGHT).await, expected);
    let limited = store.readings(DeviceId(1), LIGHT, ALL.0, ALL.1, 3).await.unwrap();
    assert_eq!(limited.len(), 3);
    let width = Width::Minute;
    let buckets = store.buckets(DeviceId(1), LIGHT, width, ALL.0, ALL.1, 100).await.unwrap();
    assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 8);
    let coverage = store.coverage(DeviceId(1), LIGHT).await.unwrap();
    assert_eq!(coverage.raw, Some(at(-5_000)));
    store.close().await.unwrap();

    let (store, contents) = open(&dir);
    assert_eq!(last(&contents), [(1, LIGHT, 70_000, 8)]);
    assert_eq!(all(&store, 1, LIGHT).await, expected);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_message_that_comes_again_is_stored_once_also_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![Change::PutDevice(Box::new(record(1)))]).await;
    let again: Vec<_> = minute().iter().map(|&(at, value)| (at + 130, value)).collect();
    // In one commit, in the next, and after a restart.
    commit(&store, vec![late(1, &minute()), late(1, &again)]).await;
    commit(&store, vec![late(1, &again)]).await;
    assert_eq!(all(&store, 1, LIGHT).await, minute());
    store.close().await.unwrap();
    let (store, _) = open(&dir);
    commit(&store, vec![late(1, &again), late(1, &[(60_130, 7)])]).await;
    assert_eq!(all(&store, 1, LIGHT).await, [minute(), vec![(60_130, 7)]].concat());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_reading_that_had_come_in_its_time_does_not_come_late_as_well() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![Change::PutDevice(Box::new(record(1)))]).await;
    commit(&store, vec![reading(1, LIGHT, 20, 7)]).await;
    commit(&store, vec![late(1, &minute())]).await;
    let mut expected = minute();
    expected[0].0 = 20;
    assert_eq!(all(&store, 1, LIGHT).await, expected);
    store.close().await.unwrap();
}

#[tokio::test]
async fn doubles_of_sealed_readings_are_found() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![Change::PutDevice(Box::new(record(1)))]).await;
    // More than a head holds, live and late.
    let second = |n: i64| (n * 1_000, u8::try_from(n % 2).unwrap());
    for start in (0..5_000).step_by(40) {
        let readings: Vec<_> = (start..start + 40).map(second).collect();
        put(&store, vec![late(1, &readings)]).await;
    }
    store.flush().await.unwrap();
    for start in [0, 1_000, 2_040, 4_960] {
        let again: Vec<_> =
            (start..start + 40).map(second).map(|(at, value)| (at + 90, value)).collect();
        put(&store, vec![late(1, &again)]).await;
    }
    store.flush().await.unwrap();
    assert_eq!(all(&store, 1, LIGHT).await, (0..5_000).map(second).collect::<Vec<_>>());
    store.close().await.unwrap();
    let (store, _) = open(&dir);
    assert_eq!(all(&store, 1, LIGHT).await.len(), 5_000);
    store.close().await.unwrap();
}

#[tokio::test]
async fn late_readings_go_with_their_device() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(&dir);
    put(&store, vec![Change::PutDevice(Box::new(record(1)))]).await;
    commit(&store, vec![late(1, &minute())]).await;
    commit(&store, vec![Change::RemoveDevice(DeviceId(1)), late(1, &minute())]).await;
    assert!(all(&store, 1, LIGHT).await.is_empty());
    store.close().await.unwrap();
    let (store, contents) = open(&dir);
    assert!(all(&store, 1, LIGHT).await.is_empty() && contents.last.is_empty());
    store.close().await.unwrap();
}
