//! Each ruling on the device protocol, as the state machine keeps it.

use super::*;
use crate::{
    model::{CommandState, DeviceState, SESSIONS_OPEN_MAX},
    registry::{commands::PENDING_MAX, error::DeviceError},
};
use capteur_protocol::{Name, ParseError};

const A: &str = "61:EC:ED:3B:25:B1";
const B: &str = "61:EC:ED:3B:25:B2";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn rename(bench: &mut Bench, mac: &str, to: &str) -> Result<Device, DeviceError> {
    bench.turn(|state, turn| state.rename(&key(mac), &name(to), "anna", turn)).0
}

fn switch(bench: &mut Bench, mac: &str, on: bool) -> Result<Command, DeviceError> {
    bench.turn(|state, turn| state.switch_led(&key(mac), on, "anna", turn)).0
}

#[test]
fn ruling_1_any_qos_on_any_topic_does_the_same() {
    let mut bench = Bench::new();
    let origin = bench.connect(1, "board");
    let say = |bench: &mut Bench, message: DeviceMessage| {
        bench.turn(|state, turn| state.message(&message, &origin, None, turn)).1
    };
    say(&mut bench, joining(A));
    let Some(HubMessage::NameAssign(_, pair)) = bench.published.pop() else { panic!() };
    say(&mut bench, DeviceMessage::Start(pair.clone()));
    assert_eq!(bench.device(A).state, DeviceState::Online);
    say(&mut bench, DeviceMessage::Led(pair.clone(), true));
    say(&mut bench, DeviceMessage::Leave(pair.clone()));
    assert_eq!(bench.device(A).state, DeviceState::Offline);
    assert_eq!(bench.push(&origin, &pair, true), Verdict::Accepted, "a button at QoS 1");
    assert_eq!(bench.disk.readings.len(), 2);
}

#[test]
fn ruling_2_names_count_up_from_the_highest_number_ever_given_out() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    assert_eq!(pair.name, name("capteur01"));
    bench.leave(&origin, &pair);
    bench.turn(|state, turn| state.forget(&key(A), "anna", turn)).0.unwrap();
    bench.restart();
    let (_, pair) = bench.dance(1, A);
    assert_eq!(pair.name, name("capteur02"), "01 is used up, though nobody has it");
}

#[test]
fn ruling_2_a_name_that_a_person_gave_is_passed_over() {
    let mut bench = Bench::new();
    bench.dance(1, A);
    rename(&mut bench, A, "CAPTEUR02").unwrap();
    let (_, pair) = bench.dance(2, B);
    assert_eq!(pair.name, name("capteur03"));
}

#[test]
fn ruling_2_names_are_unique_without_regard_to_case() {
    let mut bench = Bench::new();
    bench.dance(1, A);
    bench.dance(2, B);
    assert_eq!(rename(&mut bench, B, "Capteur01"), Err(DeviceError::NameTaken(name("Capteur01"))));
    rename(&mut bench, A, "Élodie").unwrap();
    assert!(rename(&mut bench, B, "ÉLODIE").is_err());
    rename(&mut bench, A, "élodie").unwrap();
    assert_eq!(bench.device(A).name, name("élodie"), "its own name may change its case");
    let found = bench.state.device(&DeviceKey::Name("ÉLODIE".to_owned()));
    assert_eq!(found.unwrap().mac.to_string(), A);
    rename(&mut bench, B, "capteur01").unwrap();
}

#[test]
fn ruling_2_a_device_keeps_its_name_through_sessions_and_restarts() {
    let mut bench = Bench::new();
    bench.dance(1, A);
    let (_, pair) = bench.dance(2, B);
    bench.restart();
    assert_eq!(bench.dance(3, B).1.name, pair.name);
    rename(&mut bench, B, "LeBron").unwrap();
    bench.restart();
    assert_eq!(bench.dance(3, B).1.name, name("LeBron"));
}

#[test]
fn ruling_3_session_ids_strictly_grow_through_restarts_and_clock_steps() {
    let mut bench = Bench::new();
    let mut last = None;
    for step in [0, 1_000, -3_600_000, -1_743_946_777_000, i64::MIN / 2, 0, 99_999] {
        bench.wall = bench.wall.saturating_add(step);
        let origin = bench.connect(1, "board");
        let session = bench.join(&origin, A).session;
        assert!(Some(session) > last);
        assert_eq!(session.to_string().len(), 17);
        last = Some(session);
        bench.restart();
    }
}

#[test]
fn ruling_3_ids_lost_with_an_old_counter_are_not_issued_again() {
    let mut bench = Bench::new();
    let (_, pair) = bench.dance(1, A);
    bench.disk.marks = Marks::default();
    bench.wall = 0;
    bench.restart();
    let (_, next) = bench.dance(2, B);
    assert!(next.session > pair.session);
    assert_ne!(bench.state.device_id(&key(A)), bench.state.device_id(&key(B)));
    assert_ne!(next.name, pair.name);
}

#[test]
fn ruling_4_a_mac_opens_a_session_and_ends_the_older_one() {
    let mut bench = Bench::new();
    let (old, stale) = bench.dance(1, A);
    let origin = bench.connect(1, "board");
    let pair = bench.join(&origin, "61:ec:ed:3b:25:b1");
    let device = bench.device(A);
    assert_eq!((device.state, device.mac.to_string()), (DeviceState::Joining, A.to_owned()));
    assert!(device.left_at.is_some());
    assert_eq!(pair.name, stale.name);
    for message in [
        DeviceMessage::Start(stale.clone()),
        DeviceMessage::Leave(stale.clone()),
        DeviceMessage::Photoresistor(stale, Percent::new(3).unwrap()),
    ] {
        bench.say(&old, &message);
    }
    assert_eq!(bench.discarded("stale"), 3);
    assert_eq!(bench.device(A), device);
}

#[test]
fn ruling_4_each_repeat_gets_its_own_session_and_any_may_be_started() {
    for chosen in 0..3 {
        let mut bench = Bench::new();
        let origin = bench.connect(1, "board");
        let pairs = [(); 3].map(|()| bench.join(&origin, A));
        assert!(pairs[0].session < pairs[1].session && pairs[1].session < pairs[2].session);
        assert_eq!(bench.disk.devices.len(), 1);
        bench.start(&origin, &pairs[chosen]);
        assert_eq!(bench.device(A).state, DeviceState::Online);
        for other in (0..3).filter(|other| *other != chosen) {
            bench.start(&origin, &pairs[other]);
        }
        assert_eq!(bench.discarded("stale"), 2, "starting one ends the others");
        let record = bench.disk.devices.values().next().unwrap();
        assert_eq!(record.session.as_ref(), Some(&pairs[chosen]));
        assert_eq!(record.offered, []);
    }
}

#[test]
fn ruling_4_of_too_many_open_sessions_the_oldest_goes() {
    let mut bench = Bench::new();
    let origin = bench.connect(1, "board");
    let oldest = bench.join(&origin, A);
    let second = bench.join(&origin, A);
    for _ in 1..SESSIONS_OPEN_MAX {
        bench.join(&origin, A);
    }
    bench.restart();
    bench.start(&origin, &oldest);
    assert_eq!(bench.discarded("stale"), 1);
    bench.start(&origin, &second);
    assert_eq!(bench.device(A).state, DeviceState::Online);
}

#[test]
fn ruling_5_the_pair_puts_the_device_online_and_any_other_is_discarded() {
    let mut bench = Bench::new();
    let origin = bench.connect(1, "board");
    let pair = bench.join(&origin, A);
    let wrong_name = Pair { name: name("capteur99"), ..pair.clone() };
    let wrong_session = Pair { session: "1743946777.603371".parse().unwrap(), ..pair.clone() };
    for wrong in [wrong_name, wrong_session] {
        assert_eq!(bench.start(&origin, &wrong), Verdict::Accepted, "discarded, not refused");
    }
    assert_eq!(bench.device(A).state, DeviceState::Joining);
    bench.start(&origin, &pair);
    let device = bench.device(A);
    assert_eq!(device.state, DeviceState::Online);
    assert_eq!(device.joined_at, Some(device.last_seen));
    assert_eq!(device.left_at, None);
    let identity = Identity { mac: A.parse().unwrap(), pair: Some(pair) };
    assert_eq!(bench.bound.last(), Some(&(origin.connection, identity)));
}

#[test]
fn ruling_5_a_repeated_start_changes_nothing_but_where_the_device_is() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let (device, log, events) = (bench.device(A), bench.disk.log.clone(), bench.events.len());
    assert_eq!(bench.start(&origin, &pair), Verdict::Accepted);
    assert_eq!((bench.device(A), &bench.disk.log), (device, &log));
    assert_eq!(bench.events.len(), events);
    let moved = bench.connect(2, "other");
    bench.start(&moved, &pair);
    assert_eq!(bench.bound.last().unwrap().0, moved.connection);
    bench.leave(&moved, &pair);
    bench.wall += 1;
    bench.start(&moved, &pair);
    let device = bench.device(A);
    assert_eq!((device.state, device.joined_at), (DeviceState::Online, Some(device.last_seen)));
}

#[test]
fn ruling_6_the_current_pair_leaves_and_any_other_does_not() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let stale = Pair { session: "1743946777.603371".parse().unwrap(), ..pair.clone() };
    bench.leave(&origin, &stale);
    assert_eq!(bench.device(A).state, DeviceState::Online);
    bench.wall += 5_000;
    bench.leave(&origin, &pair);
    let device = bench.device(A);
    assert_eq!(device.state, DeviceState::Offline);
    assert_eq!(device.left_at, Some(Timestamp::from_millis(bench.wall)));
    assert!(device.last_seen < device.left_at.unwrap(), "a will is no sign of life");
    let log: Vec<_> = bench.disk.log.iter().map(|(_, kind)| kind.clone()).collect();
    assert_eq!(log, [LogKind::Discovered, LogKind::Joined, LogKind::Left]);
    bench.wall += 5_000;
    bench.leave(&origin, &pair);
    assert_eq!(bench.device(A), device, "it has left already");
}

#[test]
fn ruling_6_what_is_said_for_a_connection_that_ended_before_a_new_session_is_stale() {
    let mut bench = Bench::new();
    let (old, stale) = bench.dance(1, A);
    let (_, _) = bench.dance(1, A);
    bench.turn(|state, turn| {
        state.message(&DeviceMessage::Leave(stale.clone()), &old, None, turn);
    });
    assert_eq!(bench.device(A).state, DeviceState::Online);
}

#[test]
fn ruling_10_a_bridge_in_a_general_purpose_broker_speaks_for_several_devices() {
    let mut bench = Bench::new();
    bench.state.confined = false;
    let bridge = bench.connect(1, "bridge");
    for mac in [A, B] {
        let pair = bench.join(&bridge, mac);
        assert_eq!(bench.start(&bridge, &pair), Verdict::Accepted);
        bench.led(&bridge, &pair, true);
        bench.turn(|state, turn| state.connection_ended(&pair, &bridge, turn));
        assert_eq!(bench.device(mac).state, DeviceState::Offline);
    }
}

#[test]
fn a_connection_speaks_for_the_board_alone_that_it_has_proven_to_be() {
    for confined in [true, false] {
        let mut bench = Bench::new();
        bench.state.keyed = true;
        bench.state.confined = confined;
        let board = Origin { mac: Some(A.parse().unwrap()), ..bench.connect(1, "board") };
        let other = Origin { mac: Some(B.parse().unwrap()), ..bench.connect(1, "other") };
        let stranger = bench.connect(1, "stranger");
        assert_eq!(bench.say(&stranger, &joining(A)), Verdict::NotAuthorized);
        assert_eq!(bench.say(&other, &joining(A)), Verdict::NotAuthorized);
        let pair = bench.join(&board, A);
        for thief in [&stranger, &other] {
            assert_eq!(bench.start(thief, &pair), Verdict::NotAuthorized);
            assert_eq!(bench.led(thief, &pair, true), Verdict::NotAuthorized);
            assert_eq!(bench.hand_in(thief, &pair, &[(1000, 5)]), Verdict::NotAuthorized);
        }
        assert_eq!(bench.start(&board, &pair), Verdict::Accepted);
        for thief in [&stranger, &other] {
            bench.leave(thief, &pair);
            assert_eq!(bench.device(A).state, DeviceState::Online);
        }
        assert_eq!(bench.led(&board, &pair, true), Verdict::Accepted);
        assert_eq!(bench.disk.readings.len(), 1);
        bench.turn(|state, turn| state.connection_ended(&pair, &board, turn));
        assert_eq!(bench.device(A).state, DeviceState::Offline);
    }
}

#[test]
fn ruling_6_a_device_is_online_as_long_as_a_connection_of_its_session_lives() {
    let mut bench = Bench::new();
    let (first, pair) = bench.dance(1, A);
    let second = bench.connect(1, "another");
    bench.led(&second, &pair, true);
    let ended = |bench: &mut Bench, origin: &Origin| {
        let effects = bench.turn(|state, turn| state.connection_ended(&pair, origin, turn)).1;
        let bound = effects.into_iter().find_map(|effect| match effect {
            Effect::Bind(connection, _) => Some(connection),
            _ => None,
        });
        (bench.device(A).state, bound)
    };
    assert_eq!(
        ended(&mut bench, &second),
        (DeviceState::Online, Some(first.connection)),
        "it is spoken to where it still lives"
    );
    let third = bench.connect(1, "yet another");
    bench.led(&third, &pair, false);
    assert_eq!(ended(&mut bench, &first), (DeviceState::Online, None), "it has moved on");
    assert_eq!(ended(&mut bench, &third), (DeviceState::Offline, None));
    assert_eq!(ended(&mut bench, &third), (DeviceState::Offline, None));
}

#[test]
fn ruling_6_a_leave_from_any_of_its_connections_puts_a_device_offline() {
    let mut bench = Bench::new();
    let (first, pair) = bench.dance(1, A);
    let second = bench.connect(1, "another");
    bench.led(&second, &pair, true);
    bench.leave(&first, &pair);
    assert_eq!(bench.device(A).state, DeviceState::Offline);
    bench.led(&second, &pair, true);
    assert_eq!(bench.device(A).state, DeviceState::Online, "ruling 7");
    bench.turn(|state, turn| state.connection_ended(&pair, &second, turn));
    assert_eq!(bench.device(A).state, DeviceState::Offline, "the first has left");
}

#[test]
fn ruling_7_readings_are_recorded_whatever_the_state() {
    let mut bench = Bench::new();
    let origin = bench.connect(1, "board");
    let pair = bench.join(&origin, A);
    bench.led(&origin, &pair, true);
    assert_eq!(bench.device(A).state, DeviceState::Joining, "it has not started its session");
    bench.start(&origin, &pair);
    bench.wall += 10;
    bench.led(&origin, &pair, true);
    bench.wall += 10;
    bench.led(&origin, &pair, false);
    bench.say(&origin, &DeviceMessage::Photoresistor(pair, Percent::new(58).unwrap()));
    let values: Vec<_> = bench.disk.readings.iter().map(|reading| reading.value).collect();
    assert_eq!(values, [1, 1, 0, 58]);
    let channels = bench.device(A).channels;
    let led = channels.get(Channel::Led).unwrap();
    assert_eq!((led.value, led.at), (0, led.changed_at));
    assert_eq!(channels.get(Channel::Photoresistor).unwrap().value, 58);
    assert_eq!(channels.get(Channel::Button), None);
    assert_eq!(bench.device(A).last_seen, led.at);
}

#[test]
fn ruling_7_a_reading_after_a_leave_means_alive_on_its_connection() {
    let mut bench = Bench::new();
    let (old, pair) = bench.dance(1, A);
    bench.leave(&old, &pair);
    let joined_at = bench.device(A).joined_at;
    bench.wall += 60_000;
    let new = bench.connect(7, "board");
    bench.push(&new, &pair, true);
    let device = bench.device(A);
    assert_eq!((device.state, device.left_at), (DeviceState::Online, None));
    assert_eq!(device.joined_at, joined_at, "the session is the same");
    assert_eq!(bench.bound.last().unwrap().0, new.connection);
    assert_eq!(bench.disk.log.last().unwrap().1, LogKind::Joined);
    // The connection that it was on holds nothing any more: ruling 12 goes by the new one.
    let stranger = bench.connect(1, "stranger");
    bench.say(&stranger, &joining(A));
    assert_eq!(bench.discarded("mac_in_use"), 1);
}

#[test]
fn ruling_7_a_reading_brings_an_online_device_to_the_connection_it_came_from() {
    let mut bench = Bench::new();
    let (_, pair) = bench.dance(1, A);
    let new = bench.connect(1, "board");
    let before = (bench.bound.len(), bench.disk.log.len());
    bench.push(&new, &pair, true);
    bench.push(&new, &pair, false);
    assert_eq!(
        bench.bound[before.0..],
        [(new.connection, Identity { mac: A.parse().unwrap(), pair: Some(pair.clone()) })]
    );
    assert_eq!(bench.disk.log.len(), before.1);
    let elsewhere = bench.connect(7, "board");
    bench.push(&elsewhere, &pair, true);
    let stranger = bench.connect(1, "stranger");
    bench.say(&stranger, &joining(A));
    assert_eq!(bench.discarded("mac_in_use"), 1, "ruling 12 goes by where it is now");
}

#[test]
fn ruling_8_a_rename_holds_at_once_and_both_pairs_count_until_the_new_one_is_started() {
    let mut bench = Bench::new();
    let (origin, old) = bench.dance(1, A);
    let device = rename(&mut bench, A, "LeBron").unwrap();
    assert_eq!(device.name, name("LeBron"));
    assert_eq!(device.state, DeviceState::Online);
    assert_eq!(bench.disk.devices.values().next().unwrap().name, name("LeBron"));
    let Some(HubMessage::NameAssign(spelling, new)) = bench.published.last().cloned() else {
        panic!("no nameAssign")
    };
    assert_eq!((spelling.to_string(), &new.name), (A.to_owned(), &name("LeBron")));
    let Some(Event::Device(event)) = bench.events.last() else { panic!("no event") };
    assert_eq!(*event, device);

    bench.push(&origin, &old, true);
    switch(&mut bench, A, true).unwrap();
    let command = HubMessage::LedCommand(old.clone(), true);
    assert_eq!(bench.published.last(), Some(&command), "it still goes by the old pair");
    let next = bench.connect(1, "board");
    bench.push(&next, &new, false);
    assert_eq!(bench.disk.readings.len(), 2);
    assert_eq!(bench.discarded("stale"), 0);

    bench.start(&next, &new);
    bench.push(&origin, &old, true);
    assert_eq!((bench.disk.readings.len(), bench.discarded("stale")), (2, 1));
}

#[test]
fn ruling_8_a_device_that_starts_under_an_old_name_is_told_the_new_one_again() {
    let mut bench = Bench::new();
    let first = bench.connect(1, "board");
    let pair = bench.join(&first, A);
    rename(&mut bench, A, "LeBron").unwrap();
    let published = bench.published.len();
    let second = bench.connect(1, "board");
    bench.start(&second, &pair);
    assert_eq!(bench.device(A).state, DeviceState::Online);
    let [HubMessage::NameAssign(_, renewed)] = &bench.published[published..] else {
        panic!("{:?}", &bench.published[published..])
    };
    assert_eq!(renewed.name, name("LeBron"));
    let renewed = renewed.clone();
    bench.start(&second, &renewed);
    assert_eq!(bench.published.len(), published + 1);
}

#[test]
fn ruling_8_the_answer_keeps_the_spelling_of_the_device() {
    let mut bench = Bench::new();
    let origin = bench.connect(1, "board");
    bench.join(&origin, "61:ec:ed:3b:25:b1");
    rename(&mut bench, A, "LeBron").unwrap();
    let Some(HubMessage::NameAssign(spelling, _)) = bench.published.last() else { panic!() };
    assert_eq!(spelling.to_string(), "61:ec:ed:3b:25:b1");
}

#[test]
fn ruling_9_after_a_restart_every_device_is_offline_and_its_session_still_counts() {
    let mut bench = Bench::new();
    let (_, started) = bench.dance(1, A);
    let (origin, kept) = bench.dance(2, B);
    bench.wall += 10;
    bench.push(&origin, &kept, true);
    let seen = bench.device(B).last_seen;
    bench.restart();
    for mac in [A, B] {
        assert_eq!(bench.device(mac).state, DeviceState::Offline);
    }
    assert_eq!(bench.device(B).last_seen, seen, "the reading is newer than the record");
    let origin = bench.connect(1, "board");
    bench.start(&origin, &started);
    let origin = bench.connect(2, "board");
    bench.push(&origin, &kept, false);
    for mac in [A, B] {
        assert_eq!(bench.device(mac).state, DeviceState::Online);
    }
}

#[test]
fn ruling_9_a_start_that_a_crash_swallowed_is_made_good_by_a_reading() {
    let mut bench = Bench::new();
    let origin = bench.connect(1, "board");
    let pair = bench.join(&origin, A);
    bench.commits = false;
    bench.turn(|state, turn| {
        state.message(&DeviceMessage::Start(pair.clone()), &origin, None, turn);
    });
    bench.restart();
    bench.commits = true;
    let origin = bench.connect(1, "board");
    bench.push(&origin, &pair, true);
    assert_eq!(bench.device(A).state, DeviceState::Online);
    assert_eq!(bench.disk.devices.values().next().unwrap().session, Some(pair));
}

#[test]
fn ruling_9_malformed_payloads_are_counted_by_reason_and_refused() {
    let mut bench = Bench::new();
    let origin = bench.connect(1, "board");
    let ack = bench.ack(&origin);
    bench.turn(|state, turn| state.malformed(ParseError::Mac, Some(ack), turn));
    bench.turn(|state, turn| state.malformed(ParseError::Mac, None, turn));
    assert_eq!(bench.settled, [(ack, Verdict::PayloadFormatInvalid)]);
    assert_eq!(bench.state.stats().malformed["mac"], 2);
}

#[test]
fn ruling_10_what_is_published_under_another_identity_is_refused() {
    let mut bench = Bench::new();
    let (origin, a) = bench.dance(1, A);
    let (_, b) = bench.dance(1, B);
    let joined = bench.connect(1, "joined");
    bench.leave(&origin, &a);
    bench.join(&joined, A);
    let before = (bench.device(A), bench.device(B), bench.disk.clone());
    for speaker in [&origin, &joined] {
        for message in [
            joining(B),
            joining("00:00:00:00:00:01"),
            DeviceMessage::Start(b.clone()),
            DeviceMessage::Leave(b.clone()),
            DeviceMessage::Led(b.clone(), true),
            DeviceMessage::Led(Pair { session: a.session, ..b.clone() }, true),
        ] {
            assert_eq!(bench.say(speaker, &message), Verdict::NotAuthorized, "{message:?}");
        }
    }
    assert_eq!((bench.device(A), bench.device(B), bench.disk.clone()), before);
    assert_eq!(bench.discarded("foreign_identity"), 12);
}

#[test]
fn ruling_10_a_connection_without_an_identity_takes_the_first_that_it_validly_claims() {
    let mut bench = Bench::new();
    let (_, a) = bench.dance(1, A);
    let (_, b) = bench.dance(1, B);
    let origin = bench.connect(1, "new");
    let stale = Pair { session: "1743946777.603371".parse().unwrap(), ..a };
    assert_eq!(bench.push(&origin, &stale, true), Verdict::Accepted);
    bench.push(&origin, &b, true);
    assert_eq!(bench.say(&origin, &joining(A)), Verdict::NotAuthorized);
    assert_eq!(bench.push(&origin, &stale, true), Verdict::NotAuthorized);
    assert_eq!(bench.push(&origin, &b, false), Verdict::Accepted);
}

#[test]
fn ruling_10_the_connection_that_a_device_is_online_on_stays_bound() {
    let mut bench = Bench::new();
    let (owner, _) = bench.dance(1, A);
    rename(&mut bench, A, "LeBron").unwrap();
    let Some(HubMessage::NameAssign(_, new)) = bench.published.pop() else { panic!() };
    for _ in 0..10 {
        let another = bench.connect(1, "another");
        bench.push(&another, &new, true);
    }
    assert_eq!(bench.say(&owner, &joining(B)), Verdict::NotAuthorized);
}

#[test]
fn ruling_10_a_leave_binds_nothing() {
    let mut bench = Bench::new();
    let (_, pair) = bench.dance(1, A);
    let ended = bench.connect(1, "ended");
    let bound = bench.bound.len();
    bench.leave(&ended, &pair);
    assert_eq!(bench.bound.len(), bound);
}

#[test]
fn ruling_11_a_command_is_done_when_the_status_with_its_value_comes_back() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let command = switch(&mut bench, A, true).unwrap();
    assert_eq!(bench.published.last(), Some(&HubMessage::LedCommand(pair.clone(), true)));
    assert_eq!((command.state, command.id.to_string().as_str()), (CommandState::Sent, "1-1"));
    bench.uptime += Duration::from_millis(30);
    bench.led(&origin, &pair, false);
    bench.push(&origin, &pair, true);
    assert_eq!(bench.resolved, []);
    bench.led(&origin, &pair, true);
    let [ended] = &bench.resolved[..] else { panic!("{:?}", bench.resolved) };
    assert_eq!(ended.state, CommandState::Confirmed);
    assert!(ended.confirmed_at.is_some());
    assert_eq!(bench.state.command(command.id).as_ref(), Some(ended));
    assert!(bench.events.contains(&Event::Command(ended.clone())));
    let LogKind::Command { outcome, by, .. } = &bench.disk.log.last().unwrap().1 else { panic!() };
    assert_eq!((*outcome, by.as_str()), (CommandState::Confirmed, "anna"));
    let stats = bench.state.stats();
    assert_eq!(stats.confirm_latency.sum, Duration::from_millis(30));
    bench.led(&origin, &pair, true);
    assert_eq!(bench.resolved.len(), 1);
}

#[test]
fn ruling_11_a_command_times_out_or_gives_way_to_a_newer_one() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let first = switch(&mut bench, A, true).unwrap();
    let second = switch(&mut bench, A, true).unwrap();
    assert_eq!(bench.resolved, [Command { state: CommandState::Superseded, ..first }]);
    // The time-out follows the hub's own time, not the clock on the wall.
    bench.wall += 3_600_000;
    bench.expire();
    assert_eq!(bench.resolved.len(), 1);
    bench.leave(&origin, &pair);
    assert_eq!(bench.resolved.len(), 1, "a device that goes may be back in time");
    bench.wall -= 7_200_000;
    bench.uptime = bench.state.deadline().unwrap();
    bench.expire();
    assert_eq!(bench.resolved[1], Command { state: CommandState::TimedOut, ..second });
    assert_eq!(bench.state.deadline(), None);
}

#[test]
fn ruling_11_only_an_online_device_is_given_commands() {
    let mut bench = Bench::new();
    assert_eq!(switch(&mut bench, A, true), Err(DeviceError::Unknown(key(A))));
    let origin = bench.connect(1, "board");
    let pair = bench.join(&origin, A);
    let not_online = Err(DeviceError::NotOnline(name("capteur01")));
    assert_eq!(switch(&mut bench, A, true), not_online);
    bench.start(&origin, &pair);
    switch(&mut bench, A, true).unwrap();
    bench.leave(&origin, &pair);
    assert_eq!(switch(&mut bench, A, true), not_online);
}

#[test]
fn ruling_11_commands_that_wait_are_bounded_and_the_ended_are_remembered_for_a_while() {
    let mut bench = Bench::new();
    let macs: Vec<_> =
        (0..=PENDING_MAX).map(|n| format!("00:00:00:00:{:02X}:{:02X}", n >> 8, n & 255)).collect();
    for mac in &macs {
        let (origin, pair) = bench.dance(1, mac);
        switch(&mut bench, mac, true).unwrap();
        bench.led(&origin, &pair, true);
    }
    let confirmed = bench.resolved.len();
    let first = switch(&mut bench, &macs[0], true).unwrap();
    for mac in &macs[1..PENDING_MAX] {
        switch(&mut bench, mac, true).unwrap();
    }
    assert_eq!(switch(&mut bench, &macs[PENDING_MAX], true), Err(DeviceError::Busy));
    switch(&mut bench, &macs[0], false).expect("it takes the place of its own");
    assert_eq!(bench.state.command(first.id).unwrap().state, CommandState::Superseded);
    bench.uptime += TIMEOUT;
    bench.expire();
    assert_eq!(bench.resolved.len() - confirmed, PENDING_MAX + 1);
    assert_eq!(bench.state.command(first.id), None, "1,024 others have ended since");
}

#[test]
fn ruling_12_a_mac_in_use_is_not_taken_from_another_address() {
    let mut bench = Bench::new();
    let (owner, pair) = bench.dance(1, A);
    let device = bench.device(A);
    let stranger = bench.connect(2, "stranger");
    let published = bench.published.len();
    assert_eq!(bench.say(&stranger, &joining(A)), Verdict::Accepted, "ignored, not refused");
    assert_eq!((bench.device(A), bench.published.len()), (device, published));
    assert_eq!(bench.discarded("mac_in_use"), 1);
    bench.leave(&owner, &pair);
    bench.join(&stranger, A);
}

#[test]
fn ruling_12_the_same_address_or_the_same_client_id_takes_a_mac_at_once() {
    for (host, client_id) in [(1, "another"), (2, A)] {
        let mut bench = Bench::new();
        let (old, stale) = bench.dance(1, A);
        let origin = bench.connect(host, client_id);
        let pair = bench.join(&origin, A);
        assert_eq!(bench.device(A).state, DeviceState::Joining);
        bench.leave(&old, &stale);
        bench.push(&old, &stale, true);
        assert_eq!(bench.device(A).state, DeviceState::Joining);
        assert_eq!(bench.discarded("stale"), 2);
        bench.start(&origin, &pair);
        assert_eq!(bench.device(A).state, DeviceState::Online);
    }
}

#[test]
fn a_name_leaves_and_an_acknowledgement_too_only_after_the_commit() {
    let mut bench = Bench::new();
    bench.commits = false;
    let origin = bench.connect(1, "board");
    let ack = bench.ack(&origin);
    bench.turn(|state, turn| state.message(&joining(A), &origin, Some(ack), turn));
    assert_eq!((bench.published.len(), bench.settled.len()), (0, 0));
    bench.commit();
    assert_eq!((bench.published.len(), bench.settled.len()), (1, 1));
}

#[test]
fn what_nobody_waits_for_is_committed_in_its_time() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let push = DeviceMessage::Button(pair.clone(), true);
    let leave = DeviceMessage::Leave(pair);
    for (message, acked, expected) in [
        (&push, false, Urgency::Interval),
        (&push, true, Urgency::Now),
        (&leave, false, Urgency::Interval),
        (&push, false, Urgency::Interval),
        (&leave, true, Urgency::Now),
    ] {
        let ack = bench.ack(&origin);
        let ((), effects) = bench.turn(|state, turn| {
            state.message(message, &origin, acked.then_some(ack), turn);
        });
        let stored = stores(&effects);
        assert!(!stored.is_empty());
        assert!(stored.iter().all(|(_, urgency)| *urgency == expected), "{message:?} {stored:?}");
    }
}

#[test]
fn readings_do_not_write_the_record_again() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let push = DeviceMessage::Button(pair, true);
    let ((), effects) = bench.turn(|state, turn| state.message(&push, &origin, None, turn));
    assert!(matches!(stores(&effects)[..], [(Change::Reading(_), _)]));
}

#[test]
fn closed_adoption_ignores_strangers_and_knows_its_own() {
    for adoption in [Adoption::Closed, Adoption::Approve] {
        let mut bench = Bench::new();
        bench.dance(1, A);
        bench.adoption = adoption;
        bench.restart();
        bench.dance(1, A);
        let stranger = bench.connect(2, "stranger");
        assert_eq!(bench.say(&stranger, &joining(B)), Verdict::Accepted);
        assert_eq!(bench.discarded("unknown_mac"), 1);
        assert_eq!(bench.state.devices().len(), 1);
        assert_eq!(bench.disk.devices.len(), 1);
    }
}

#[test]
fn a_forgotten_device_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let forget =
        |bench: &mut Bench| bench.turn(|state, turn| state.forget(&key(A), "anna", turn)).0;
    assert_eq!(forget(&mut bench), Err(DeviceError::Online(name("capteur01"))));
    switch(&mut bench, A, true).unwrap();
    bench.led(&origin, &pair, false);
    bench.leave(&origin, &pair);
    forget(&mut bench).unwrap();
    assert_eq!(bench.resolved.len(), 1, "the command has come to its end");
    assert_eq!((bench.disk.devices.len(), bench.disk.log.len()), (0, 0));
    assert_eq!((bench.disk.readings.len(), bench.disk.last.len()), (0, 0));
    assert_eq!(bench.events.last(), Some(&Event::Removed { mac: A.parse().unwrap() }));
    assert_eq!(forget(&mut bench), Err(DeviceError::Unknown(key(A))));
    bench.push(&origin, &pair, true);
    assert_eq!(bench.discarded("stale"), 1);
    bench.join(&origin, B);
}

#[test]
fn devices_are_listed_by_name_and_counted_by_state() {
    let mut bench = Bench::new();
    bench.dance(1, A);
    let origin = bench.connect(2, "board");
    bench.join(&origin, B);
    rename(&mut bench, A, "Zoë").unwrap();
    let names: Vec<_> = bench.state.devices().into_iter().map(|device| device.name).collect();
    assert_eq!(names, [name("capteur02"), name("Zoë")]);
    let stats = bench.state.stats();
    assert_eq!((stats.devices["online"], stats.devices["joining"]), (1, 1));
    assert_eq!((stats.sessions_opened, stats.joins, stats.accepted["state/join"]), (2, 1, 3));
}

#[test]
fn a_device_takes_a_few_hundred_bytes() {
    assert!(size_of::<crate::registry::entry::Entry>() <= 512);
}

#[test]
fn a_reading_that_there_is_no_room_for_is_shown_and_not_acknowledged() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    bench.leave(&origin, &pair);
    bench.set_room(false);
    let events = bench.events.len();
    assert_eq!(bench.led(&origin, &pair, true), Verdict::QuotaExceeded);
    assert_eq!(bench.disk.readings.len(), 0);
    assert_eq!(bench.device(A).state, DeviceState::Online, "it is alive all the same");
    assert!(bench.device(A).channels.get(Channel::Led).is_some_and(|led| led.value == 1));
    let shown = |event: &Event| matches!(event, Event::Reading { value: 1, .. });
    assert!(bench.events[events..].iter().any(shown));
    assert_eq!(bench.state.stats().not_recorded, 1);
    assert_eq!(bench.leave(&origin, &pair), Verdict::Accepted, "that is stored");

    bench.set_room(true);
    assert_eq!(bench.led(&origin, &pair, false), Verdict::Accepted);
    assert_eq!(bench.disk.readings.len(), 1);
}
