//! What boards may say beside the customer's protocol: their backlog, and what they are.

use super::*;
use crate::model::{DeviceState, Info};

const A: &str = "61:EC:ED:3B:25:B1";
const B: &str = "61:EC:ED:3B:25:B2";
const DAY_MS: u32 = 86_400_000;

fn tell(bench: &mut Bench, origin: &Origin, pair: &Pair, facts: &str) {
    let info = facts.parse().unwrap();
    let message = DeviceMessage::Info(pair.clone(), info);
    bench.turn(|state, turn| state.message(&message, origin, None, turn));
}

/// How many `device` events there were.
fn announcements(bench: &Bench) -> usize {
    bench.events.iter().filter(|event| matches!(event, Event::Device(_))).count()
}

#[test]
fn a_backlog_is_dated_by_its_ages_and_recorded_before_it_is_acknowledged() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    bench.commits = false;
    let ack = bench.ack(&origin);
    let readings = [(60_000, 58), (50_000, 59)]
        .map(|(age_ms, level)| Aged { age_ms, level: Percent::new(level).unwrap() });
    let backlog = Backlog::gather(&pair, readings).unwrap();
    let message = DeviceMessage::Backlog(pair.clone(), backlog);
    bench.turn(|state, turn| state.message(&message, &origin, Some(ack), turn));
    assert!(!bench.settled.iter().any(|(settled, _)| *settled == ack));
    bench.commit();
    assert!(bench.settled.contains(&(ack, Verdict::Accepted)));
    let dated: Vec<_> =
        bench.disk.late.iter().map(|one| (bench.wall - one.at.millis(), one.value)).collect();
    assert_eq!(dated, [(60_000, 58), (50_000, 59)]);
    assert!(bench.disk.late.iter().all(|one| one.channel == Channel::Photoresistor));
}

#[test]
fn a_backlog_is_history_and_not_what_is_shown() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let level = Percent::new(70).unwrap();
    bench.say(&origin, &DeviceMessage::Photoresistor(pair.clone(), level));
    let (before, events) = (bench.device(A).channels, bench.events.len());
    bench.wall += 1_000;
    assert_eq!(bench.hand_in(&origin, &pair, &[(0, 1), (500, 2), (5_000, 3)]), Verdict::Accepted);
    assert_eq!(bench.device(A).channels, before);
    assert_eq!(bench.events.len(), events);
    assert_eq!(bench.device(A).last_seen.millis(), bench.wall, "it was heard now");
    bench.restart();
    assert_eq!(bench.device(A).channels, before);
}

#[test]
fn a_reading_of_an_age_that_no_board_keeps_is_dropped_and_counted() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let readings = [(u32::MAX, 1), (31 * DAY_MS + 1, 2), (31 * DAY_MS, 3), (7, 4)];
    assert_eq!(bench.hand_in(&origin, &pair, &readings), Verdict::Accepted);
    let kept: Vec<_> = bench.disk.late.iter().map(|one| one.value).collect();
    assert_eq!(kept, [3, 4]);
    assert_eq!(bench.discarded("too_old"), 2);
}

#[test]
fn a_backlog_under_another_pair_is_refused_so_that_the_board_keeps_it() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let (other, foreign) = bench.dance(2, B);
    let stale = Pair { name: pair.name.clone(), session: foreign.session };
    assert_eq!(bench.hand_in(&origin, &stale, &[(1, 1)]), Verdict::NotAuthorized);
    assert_eq!(bench.hand_in(&other, &pair, &[(1, 1)]), Verdict::NotAuthorized);
    assert!(bench.disk.late.is_empty());
}

#[test]
fn a_backlog_without_room_for_readings_is_refused_so_that_the_board_keeps_it() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    bench.set_room(false);
    assert_eq!(bench.hand_in(&origin, &pair, &[(1, 1)]), Verdict::QuotaExceeded);
    assert!(bench.disk.late.is_empty());
    bench.set_room(true);
    assert_eq!(bench.hand_in(&origin, &pair, &[(1, 1)]), Verdict::Accepted);
    assert_eq!(bench.disk.late.len(), 1);
}

#[test]
fn a_backlog_from_before_the_hubs_start_waits_until_the_time_is_known() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    bench.state.condition.time_uncertain = true;
    bench.uptime = Duration::from_secs(30);
    let readings = [(3_600_000, 1), (10_000, 2)];
    assert_eq!(bench.hand_in(&origin, &pair, &readings), Verdict::QuotaExceeded);
    assert_eq!(bench.device(A).last_seen.millis(), bench.wall, "it was heard");
    assert!(bench.disk.late.is_empty());
    assert_eq!(bench.discarded("undated"), 1);
    // What was taken while the hub was running lies right beside what the hub recorded itself.
    assert_eq!(bench.hand_in(&origin, &pair, &[(29_000, 3)]), Verdict::Accepted);
    bench.state.condition.time_uncertain = false;
    bench.wall += 7_200_000;
    assert_eq!(bench.hand_in(&origin, &pair, &readings), Verdict::Accepted);
    let ages: Vec<_> =
        bench.disk.late[1..].iter().map(|late| bench.wall - late.at.millis()).collect();
    assert_eq!(ages, [3_600_000, 10_000]);
}

#[test]
fn a_hub_that_nobody_tells_the_time_takes_a_backlog_in_the_end() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    bench.state.condition.time_uncertain = true;
    bench.uptime = Duration::from_mins(10);
    assert_eq!(bench.hand_in(&origin, &pair, &[(3_600_000, 1)]), Verdict::Accepted);
    assert_eq!(bench.disk.late.len(), 1);
}

#[test]
fn a_backlog_and_an_info_mean_that_the_device_is_alive() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    bench.leave(&origin, &pair);
    bench.hand_in(&origin, &pair, &[(1, 1)]);
    assert_eq!(bench.device(A).state, DeviceState::Online);
    bench.leave(&origin, &pair);
    tell(&mut bench, &origin, &pair, "chip=esp32c3");
    assert_eq!(bench.device(A).state, DeviceState::Online);
}

#[test]
fn what_a_board_tells_about_itself_is_shown_and_news_is_announced() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    assert_eq!(bench.device(A).info, None);
    let before = announcements(&bench);
    tell(&mut bench, &origin, &pair, "fw=0.1.0;chip=esp32c3;reset=power-on;rssi=-61;up=5;lost=0");
    let expected = Info {
        firmware: Some("0.1.0".into()),
        chip: Some("esp32c3".into()),
        reset: Some("power-on".into()),
        rssi: Some(-61),
        uptime_s: Some(5),
        free_heap: None,
        lost_readings: Some(0),
    };
    assert_eq!(bench.device(A).info.as_deref(), Some(&expected));
    assert_eq!(announcements(&bench), before + 1);
    tell(&mut bench, &origin, &pair, "fw=0.1.0;chip=esp32c3;reset=power-on;rssi=-70;up=305;lost=0");
    let later = Info { rssi: Some(-70), uptime_s: Some(305), ..expected };
    assert_eq!(bench.device(A).info.as_deref(), Some(&later));
    assert_eq!(announcements(&bench), before + 1, "a weaker signal is no news");
    tell(&mut bench, &origin, &pair, "fw=0.1.0;chip=esp32c3;reset=power-on;rssi=-70;up=605;lost=9");
    assert_eq!(announcements(&bench), before + 2);
}

#[test]
fn what_a_board_told_ends_with_its_session() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    tell(&mut bench, &origin, &pair, "fw=0.1.0");
    bench.leave(&origin, &pair);
    assert!(bench.device(A).info.is_some(), "who looks for the reason wants to know");
    bench.dance(1, A);
    assert_eq!(bench.device(A).info, None, "it may run other firmware now");
}

#[test]
fn what_a_board_tells_under_another_pair_is_discarded() {
    let mut bench = Bench::new();
    let (_, pair) = bench.dance(1, A);
    let (other, _) = bench.dance(2, B);
    tell(&mut bench, &other, &pair, "fw=0.6.6");
    assert_eq!((bench.device(A).info, bench.device(B).info), (None, None));
    assert_eq!(bench.discarded("foreign_identity"), 1);
}
