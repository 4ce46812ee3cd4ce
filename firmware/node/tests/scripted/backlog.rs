//! What becomes of the readings that a board takes while its hub is away.

use crate::{
    air::Port,
    board::{MAC, play, play_with},
    clock::{begin_at, now_ms},
    hub::{Did, Peer},
};
use capteur_node::{BACKLOG_LEN, Settings};
use embassy_time::{Duration, Timer};
use rumqttc::v5::mqttbytes::v5::PubAckReason;

const PAIR: &str = "capteur01;1743946777.603371";
const NEXT: &str = "capteur01;1743946999.000000";

/// A reading of a backlog: when it was taken, in milliseconds, and the level.
type Taken = (u64, u8);

/// What a message of the backlog tells, as of now.
fn readings(payload: &str) -> Vec<Taken> {
    assert!(payload.len() <= 200, "{payload}");
    payload
        .split(';')
        .skip(2)
        .map(|reading| {
            let (age, level) = reading.split_once(',').expect("age,value");
            (now_ms() - age.parse::<u64>().unwrap(), level.parse().unwrap())
        })
        .collect()
}

/// All of the backlog that comes within so many milliseconds, message by message.
async fn backlog(peer: &mut Peer, ms: u64) -> Vec<Vec<Taken>> {
    let mut messages = Vec::new();
    let end = now_ms() + ms;
    while now_ms() < end {
        let wait = Duration::from_millis(end - now_ms());
        match embassy_time::with_timeout(wait, peer.next()).await {
            Ok(Did::Publish(topic, _, payload)) if topic == "photoresistor/backlog" => {
                messages.push(readings(&payload));
            }
            Ok(Did::Close) => panic!("the board hung up"),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    messages
}

/// Brings a board online, takes its first readings and cuts the line; gives the time of the cut.
async fn cut(port: &Port) -> u64 {
    let mut peer = Peer::admit(port, PAIR).await;
    peer.published("photoresistor/status").await;
    // Long enough for the reading to count as arrived.
    peer.watch(4_500).await;
    port.set_open(false);
    now_ms()
}

fn slow() -> Settings {
    Settings { light_interval: Duration::from_secs(10), ..Settings::new(MAC) }
}

#[test]
fn an_hour_without_a_hub_loses_no_reading() {
    play_with(slow(), |port, pins| async move {
        let cut_at = cut(&port).await;
        for level in 0..360_u32 {
            pins.light.set(Some((level % 101) as u8));
            Timer::after(Duration::from_secs(10)).await;
        }
        port.set_open(true);
        let mut peer = Peer::admit(&port, NEXT).await;
        let messages = backlog(&mut peer, 5_000).await;
        let taken = messages.concat();
        assert!(taken.len() >= 360, "{} readings", taken.len());
        // The first came an interval after the last one that was published.
        assert!(taken[0].0 >= cut_at && taken[0].0 < cut_at + 10_000);
        for (n, pair) in taken.windows(2).enumerate() {
            let [before, after] = [pair[0], pair[1]];
            assert!((9_999..=10_001).contains(&(after.0 - before.0)), "reading {n}: {pair:?}");
        }
        for (n, (_, level)) in taken.iter().take(360).enumerate() {
            assert_eq!(usize::from(*level), n % 101);
        }
        // Full messages, and nothing twice.
        assert!(messages.iter().rev().skip(1).all(|message| message.len() >= 14));
        assert!(backlog(&mut peer, 60_000).await.is_empty());
    });
}

#[test]
fn of_more_readings_than_there_is_room_for_the_oldest_are_dropped_and_counted() {
    play_with(slow(), |port, pins| async move {
        *pins.info.borrow_mut() = Some(capteur_protocol::Info::default());
        cut(&port).await;
        Timer::after(Duration::from_secs(10 * (BACKLOG_LEN as u64 + 100))).await;
        port.set_open(true);
        let mut peer = Peer::admit(&port, NEXT).await;
        let info = peer.published("state/info").await;
        let lost: usize = info.split("lost=").nth(1).unwrap().parse().unwrap();
        assert!((99..=105).contains(&lost), "{info}");
        let taken = backlog(&mut peer, 5_000).await.concat();
        assert_eq!(taken.len(), BACKLOG_LEN);
        assert!(now_ms() - taken[0].0 < 10_000 * (BACKLOG_LEN as u64 + 5));
    });
}

#[test]
fn a_fast_board_keeps_a_reading_every_ten_seconds() {
    play(|port, _| async move {
        cut(&port).await;
        Timer::after(Duration::from_secs(300)).await;
        port.set_open(true);
        let mut peer = Peer::admit(&port, NEXT).await;
        let taken = backlog(&mut peer, 1_000).await.concat();
        assert!((29..=34).contains(&taken.len()), "{} readings", taken.len());
    });
}

#[test]
fn light_is_measured_on_every_step_of_the_way_to_the_hub() {
    let second = Duration::from_secs(1);
    let settings = Settings { light_interval: second, away_interval: second, ..Settings::new(MAC) };
    play_with(settings, |port, _| async move {
        let cut_at = cut(&port).await;
        port.set_open(true);
        // A hub that does not give a name,
        let (mut mute, ..) = Peer::connected(&port).await;
        mute.watch(10_000).await;
        drop(mute);
        // then one that leaves the second CONNECT unanswered,
        Peer::name(&port, PAIR).await;
        let silent = Peer::accept(&port).await;
        Timer::after(Duration::from_millis(5_100)).await;
        drop(silent);
        // and one that does not acknowledge the start.
        Peer::name(&port, PAIR).await;
        let (mut deaf, ..) = Peer::connected(&port).await;
        deaf.withheld = Some(Vec::new());
        deaf.watch(5_100).await;
        drop(deaf);
        let mut peer = Peer::admit(&port, NEXT).await;
        let back_at = now_ms();
        let taken = backlog(&mut peer, 5_000).await.concat();
        assert!(taken[0].0 <= cut_at + 1_000 && taken[taken.len() - 1].0 + 1_000 >= back_at);
        assert!(taken.windows(2).all(|two| two[1].0 - two[0].0 <= 1_001), "{taken:?}");
    });
}

#[test]
fn a_short_interruption_after_a_proven_reading_has_no_backlog() {
    play_with(slow(), |port, _| async move {
        let mut peer = Peer::admit(&port, PAIR).await;
        for _ in 0..5 {
            peer.published("photoresistor/status").await;
        }
        // Long enough for the reading to count as arrived.
        peer.watch(4_500).await;
        drop(peer);
        let mut peer = Peer::admit(&port, NEXT).await;
        assert!(backlog(&mut peer, 5_000).await.is_empty());
    });
}

#[test]
fn commands_are_obeyed_at_once_while_a_backlog_goes_out() {
    play_with(slow(), |port, pins| async move {
        cut(&port).await;
        Timer::after(Duration::from_secs(3_000)).await;
        port.set_open(true);
        let mut peer = Peer::admit(&port, NEXT).await;
        pins.led.borrow_mut().clear();
        let (mut batches, mut commands, mut confirmed) = (0, Vec::new(), Vec::new());
        while batches < 15 {
            match peer.next().await {
                Did::Publish(topic, ..) if topic == "photoresistor/backlog" => {
                    batches += 1;
                    for n in 0..4 {
                        commands.push((batches + n) % 2 == 0);
                        peer.command(NEXT, (batches + n) % 2 == 0).await;
                    }
                }
                // Between one message of the backlog and the next.
                Did::Publish(topic, ..) if topic == "led/status" && batches > 0 => {
                    confirmed.push(batches);
                }
                _ => {}
            }
        }
        peer.watch(100).await;
        assert_eq!(*pins.led.borrow(), commands);
        // None waited for more than the message that was on its way.
        assert!(
            confirmed[0] <= 2 && confirmed.windows(2).all(|two| two[1] - two[0] <= 1),
            "{confirmed:?}"
        );
        assert!(confirmed.len() >= 13, "{confirmed:?}");
    });
}

#[test]
fn what_was_not_acknowledged_is_sent_again_and_what_was_is_not() {
    play_with(slow(), |port, _| async move {
        cut(&port).await;
        Timer::after(Duration::from_secs(600)).await;
        port.set_open(true);
        let mut all = Vec::new();
        // The acknowledgement of the second message is lost, twice.
        for round in 0..2 {
            let mut peer = Peer::admit(&port, &format!("capteur01;174394690{round}.000000")).await;
            let acknowledged = readings(&peer.published("photoresistor/backlog").await);
            peer.forgets_backlogs = true;
            let doubted = readings(&peer.published("photoresistor/backlog").await);
            // No other message goes out before this one is acknowledged.
            assert!(backlog(&mut peer, 3_000).await.is_empty());
            all.push((acknowledged, doubted));
        }
        let mut peer = Peer::admit(&port, NEXT).await;
        let rest = backlog(&mut peer, 5_000).await.concat();
        let mut taken: Vec<Taken> = Vec::new();
        for (acknowledged, doubted) in &all {
            taken.extend(acknowledged);
            assert!(!doubted.is_empty());
        }
        // The doubted are the first of what comes next, with the same times.
        assert_eq!(all[0].1[0], all[1].0[0]);
        assert_eq!(all[1].1[0], rest[0]);
        taken.extend(rest);
        assert!(taken.windows(2).all(|pair| pair[0].0 < pair[1].0), "{taken:?}");
        assert!(taken.len() >= 60);
    });
}

#[test]
fn readings_that_went_into_a_frozen_hub_are_sent_again() {
    play(|port, pins| async move {
        let mut frozen = Peer::admit(&port, PAIR).await;
        frozen.published("photoresistor/status").await;
        frozen.watch(3_000).await;
        let frozen_at = now_ms();
        for level in 1..=3 {
            pins.light.set(Some(level));
            Timer::after(Duration::from_secs(2)).await;
        }
        let mut peer = Peer::admit(&port, NEXT).await;
        let taken = backlog(&mut peer, 1_000).await.concat();
        let levels: Vec<u8> = taken.iter().map(|(_, level)| *level).collect();
        assert!(taken.windows(2).all(|pair| pair[0].0 < pair[1].0), "{taken:?}");
        assert!([1, 2, 3].iter().all(|level| levels.contains(level)), "{levels:?}");
        assert!(taken.iter().all(|(at, _)| *at + 1_100 + 2_000 >= frozen_at), "{taken:?}");
        drop(frozen);
    });
}

#[test]
fn a_board_that_measures_ten_times_a_second_loses_nothing_to_a_frozen_hub() {
    let light_interval = Duration::from_millis(100);
    play_with(Settings { light_interval, ..Settings::new(MAC) }, |port, _| async move {
        let mut frozen = Peer::admit(&port, PAIR).await;
        frozen.published("photoresistor/status").await;
        frozen.watch(3_000).await;
        let frozen_at = now_ms();
        let mut peer = Peer::admit(&port, NEXT).await;
        let taken = backlog(&mut peer, 5_000).await.concat();
        assert!(taken[0].0 <= frozen_at && taken.len() >= 50, "{taken:?}");
        assert!(taken.windows(2).all(|two| two[1].0 - two[0].0 <= 101), "{taken:?}");
        drop(frozen);
    });
}

#[test]
fn a_hub_that_refuses_backlogs_is_left_in_peace_after_three() {
    play_with(slow(), |port, _| async move {
        cut(&port).await;
        Timer::after(Duration::from_secs(100)).await;
        port.set_open(true);
        for _ in 0..3 {
            let mut peer = Peer::admit(&port, NEXT).await;
            peer.backlog_puback = Some(PubAckReason::NotAuthorized);
            peer.published("photoresistor/backlog").await;
            peer.until(|did| *did == Did::Close).await;
        }
        let mut peer = Peer::admit(&port, NEXT).await;
        assert!(backlog(&mut peer, 60_000).await.is_empty());
    });
}

#[test]
fn a_hub_without_room_is_asked_again_and_loses_nothing() {
    play_with(slow(), |port, _| async move {
        cut(&port).await;
        Timer::after(Duration::from_secs(100)).await;
        port.set_open(true);
        let mut peer = Peer::admit(&port, NEXT).await;
        // It refuses every report; the board stays, and what it says is heard.
        peer.puback = PubAckReason::QuotaExceeded;
        let refused = readings(&peer.published("photoresistor/backlog").await);
        let refused_at = now_ms();
        peer.command(NEXT, true).await;
        assert_eq!(peer.published("led/status").await, format!("{NEXT};1"));
        assert!(backlog(&mut peer, 30_000).await.is_empty());
        peer.puback = PubAckReason::Success;
        let taken = backlog(&mut peer, 60_000).await.concat();
        assert_eq!(taken[0], refused[0]);
        assert!(taken.len() >= 10 && now_ms() - refused_at >= 60_000);
    });
}

#[test]
fn ages_are_right_when_32_bits_of_milliseconds_run_over() {
    begin_at((1 << 32) - 30_000);
    play_with(slow(), |port, _| async move {
        let cut_at = cut(&port).await;
        Timer::after(Duration::from_secs(100)).await;
        assert!(cut_at < 1 << 32 && now_ms() > 1 << 32);
        port.set_open(true);
        let mut peer = Peer::admit(&port, NEXT).await;
        let taken = backlog(&mut peer, 1_000).await.concat();
        assert!(taken.len() >= 9);
        assert!(taken.iter().all(|(at, _)| *at > cut_at && *at <= now_ms()), "{taken:?}");
    });
}
