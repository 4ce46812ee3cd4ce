//! A new board in the place of an old one, and back.

use super::*;
use crate::{
    model::{DeviceState, ReplacedBoard},
    registry::error::DeviceError,
};
use capteur_protocol::{Name, Percent};

const OLD: &str = "61:EC:ED:3B:25:B1";
const NEW: &str = "61:EC:ED:3B:25:B2";
const OTHER: &str = "61:EC:ED:3B:25:B3";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn mac(text: &str) -> Mac {
    text.parse().unwrap()
}

fn named(text: &str) -> DeviceKey {
    DeviceKey::Name(text.to_owned())
}

fn replace(bench: &mut Bench, device: &str, board: &str) -> Result<Device, DeviceError> {
    bench.turn(|state, turn| state.replace(&named(device), mac(board), "anna", turn)).0
}

fn undo(bench: &mut Bench, device: &str) -> Result<Device, DeviceError> {
    bench.turn(|state, turn| state.undo_replacement(&named(device), "anna", turn)).0
}

fn rename(bench: &mut Bench, device: &str, to: &str) {
    bench.turn(|state, turn| state.rename(&named(device), &name(to), "anna", turn)).0.unwrap();
}

/// A board that was online, has reported that its LED is on, and has lost its power.
fn broken(bench: &mut Bench) -> (Origin, Pair) {
    let (origin, pair) = bench.dance(1, OLD);
    bench.led(&origin, &pair, true);
    bench.push(&origin, &pair, true);
    bench.leave(&origin, &pair);
    bench.wall += 60_000;
    (origin, pair)
}

fn led(device: &Device) -> Option<u8> {
    device.channels.get(Channel::Led).map(|state| state.value)
}

#[test]
fn a_board_that_nobody_has_seen_gets_name_and_history_when_it_comes() {
    let mut bench = Bench::new();
    broken(&mut bench);
    let id = bench.state.device_id(&key(OLD)).unwrap();
    let events = bench.events.len();
    let device = replace(&mut bench, "capteur01", NEW).unwrap();
    assert_eq!((device.mac, &device.name), (mac(NEW), &name("capteur01")));
    assert_eq!(device.state, DeviceState::Offline);
    let at = Timestamp::from_millis(bench.wall);
    assert_eq!(device.replaced, Some(ReplacedBoard { mac: mac(OLD), at }));
    assert_eq!(led(&device), None, "the LED of a board that has not come yet is not known");
    assert_eq!(
        bench.events[events..],
        [Event::Removed { mac: mac(OLD) }, Event::Device(device.clone())]
    );
    let by = "anna".to_owned();
    assert_eq!(
        bench.disk.log.last().unwrap().1,
        LogKind::Replaced { from: mac(OLD), to: mac(NEW), by }
    );

    let (origin, pair) = bench.dance(2, NEW);
    assert_eq!(pair.name, name("capteur01"));
    bench.led(&origin, &pair, false);
    assert_eq!(bench.state.device_id(&key(NEW)), Ok(id));
    assert_eq!(led(&bench.device(NEW)), Some(0));
    assert!(bench.disk.readings.iter().all(|reading| reading.device == id));
    assert_eq!(bench.disk.devices.len(), 1);
}

#[test]
fn a_board_that_is_online_takes_over_at_once() {
    let mut bench = Bench::new();
    let (old, stale) = broken(&mut bench);
    let (origin, pair) = bench.dance(2, NEW);
    bench.led(&origin, &pair, false);
    bench.wall += 1_000;
    let published = bench.published.len();
    let device = replace(&mut bench, "capteur01", NEW).unwrap();
    assert_eq!((device.mac, &device.name), (mac(NEW), &name("capteur01")));
    assert_eq!((device.state, device.left_at), (DeviceState::Online, None));
    assert_eq!(led(&device), Some(0), "an LED that is shown on is on");
    assert_eq!(device.channels.get(Channel::Button), None, "it has not said");
    assert_eq!(bench.state.devices(), [device]);
    assert!(bench.state.device(&named("capteur02")).is_err());
    // As after a rename (ruling 8): the pair goes on counting, and a new one is offered.
    let [HubMessage::NameAssign(to, offered)] = &bench.published[published..] else { panic!() };
    let offered = offered.clone();
    assert_eq!((to.mac(), &offered.name), (mac(NEW), &name("capteur01")));
    bench.push(&origin, &pair, true);
    assert!(bench.device(NEW).channels.get(Channel::Button).is_some());
    let next = bench.connect(2, NEW);
    bench.start(&next, &offered);
    assert_eq!(bench.device(NEW).state, DeviceState::Online);
    // The old board's pair is of nobody any more.
    let discarded = bench.discarded("stale");
    bench.led(&old, &stale, true);
    assert_eq!(bench.discarded("stale"), discarded + 1);
    assert_eq!(led(&bench.device(NEW)), Some(0));
}

#[test]
fn an_order_to_the_new_board_is_confirmed_across_the_replacement() {
    let mut bench = Bench::new();
    broken(&mut bench);
    let (origin, pair) = bench.dance(2, NEW);
    let switch = |state: &mut State, turn: &mut Turn<'_>| {
        state.switch_led(&named("capteur02"), true, "anna", turn)
    };
    let command = bench.turn(switch).0.unwrap();
    replace(&mut bench, "capteur01", NEW).unwrap();
    assert_eq!(bench.resolved, []);
    bench.led(&origin, &pair, true);
    let [ended] = &bench.resolved[..] else { panic!("{:?}", bench.resolved) };
    assert_eq!((ended.id, ended.device), (command.id, mac(NEW)));
    assert!(ended.confirmed_at.is_some());
}

#[test]
fn an_order_that_the_old_board_did_not_confirm_is_not_the_new_ones() {
    let mut bench = Bench::new();
    let (old, pair) = bench.dance(1, OLD);
    let switch =
        |state: &mut State, turn: &mut Turn<'_>| state.switch_led(&key(OLD), true, "anna", turn);
    bench.turn(switch).0.unwrap();
    bench.leave(&old, &pair);
    replace(&mut bench, "capteur01", NEW).unwrap();
    assert_eq!(bench.resolved.len(), 1, "it has come to its end");
    assert_eq!(bench.resolved[0].confirmed_at, None);
}

#[test]
fn a_replaced_board_that_joins_again_is_a_newcomer() {
    let mut bench = Bench::new();
    let (old, pair) = bench.dance(1, OLD);
    bench.leave(&old, &pair);
    // Even where it was about to join when it was replaced, on the connection that it has.
    let waiting = bench.connect(1, "waiting");
    let offered = bench.join(&waiting, OLD);
    replace(&mut bench, "capteur01", NEW).unwrap();
    bench.start(&waiting, &offered);
    assert_eq!(bench.discarded("stale"), 1);
    let pair = bench.join(&waiting, OLD);
    assert_eq!(pair.name, name("capteur02"));
    assert_eq!(bench.device(OLD).replaced, None);
    assert_eq!(bench.state.devices().len(), 2);
    let taken = DeviceError::MacTaken { mac: mac(OLD), holder: name("capteur02") };
    assert_eq!(undo(&mut bench, "capteur01"), Err(taken));
}

#[test]
fn a_replacement_is_refused_where_it_makes_no_sense() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, OLD);
    let capteur01 = || name("capteur01");
    assert_eq!(replace(&mut bench, "capteur01", NEW), Err(DeviceError::Online(capteur01())));
    bench.leave(&origin, &pair);
    let same = DeviceError::SameBoard { name: capteur01(), mac: mac(OLD) };
    assert_eq!(replace(&mut bench, "capteur01", OLD), Err(same));
    assert_eq!(undo(&mut bench, "capteur01"), Err(DeviceError::NotReplaced(capteur01())));
    assert!(matches!(replace(&mut bench, "nobody", NEW), Err(DeviceError::Unknown(_))));
    assert!(matches!(undo(&mut bench, "nobody"), Err(DeviceError::Unknown(_))));
    let (disk, devices) = (bench.disk.clone(), bench.state.devices());

    replace(&mut bench, "capteur01", NEW).unwrap();
    let replaced = || Err(DeviceError::Replaced(capteur01()));
    assert_eq!(replace(&mut bench, "capteur01", OTHER), replaced());
    let (other, pair) = bench.dance(3, OTHER);
    bench.leave(&other, &pair);
    assert_eq!(replace(&mut bench, "capteur02", NEW), replaced(), "it has a history to go back to");
    let (new, pair) = bench.dance(2, NEW);
    assert_eq!(undo(&mut bench, "capteur01"), Err(DeviceError::Online(capteur01())));
    bench.leave(&new, &pair);
    undo(&mut bench, "capteur01").unwrap();
    assert_eq!(bench.state.device(&key(OLD)).unwrap().name, devices[0].name);
    assert!(bench.state.device(&key(NEW)).is_err());
    assert!(disk.devices.keys().all(|id| bench.disk.devices.contains_key(id)));
}

#[test]
fn what_is_undone_is_as_it_was_but_for_the_readings_in_between() {
    let mut bench = Bench::new();
    broken(&mut bench);
    let (origin, pair) = bench.dance(2, NEW);
    bench.led(&origin, &pair, false);
    let (one, two) = (bench.device(OLD), bench.device(NEW));
    let ids = [OLD, NEW].map(|board| bench.state.device_id(&key(board)).unwrap());
    bench.wall += 1_000;
    replace(&mut bench, "capteur01", NEW).unwrap();
    rename(&mut bench, "capteur01", "LeBron");
    bench.say(&origin, &DeviceMessage::Photoresistor(pair.clone(), Percent::new(58).unwrap()));
    bench.leave(&origin, &pair);
    for restarted in [false, true] {
        if restarted {
            bench.restart();
            replace(&mut bench, "LeBron", NEW).unwrap();
            bench.restart();
        }
        let (events, published) = (bench.events.len(), bench.published.len());
        let device = undo(&mut bench, "LeBron").unwrap();
        assert_eq!((device.mac, &device.name), (mac(OLD), &name("LeBron")));
        assert_eq!((device.state, device.replaced), (DeviceState::Offline, None));
        for channel in [Channel::Led, Channel::Button] {
            assert_eq!(device.channels.get(channel), one.channels.get(channel));
        }
        assert_eq!(device.channels.get(Channel::Photoresistor).unwrap().value, 58);
        let again = bench.device(NEW);
        assert_eq!((&again.name, again.first_seen), (&two.name, two.first_seen));
        assert_eq!((again.channels, again.joined_at), (two.channels, two.joined_at));
        assert_eq!(again.state, DeviceState::Offline);
        assert!(again.left_at.is_some());
        assert_eq!(ids, [OLD, NEW].map(|board| bench.state.device_id(&key(board)).unwrap()));
        assert_eq!(bench.events[events..], [Event::Device(again), Event::Device(device)]);
        let [HubMessage::NameAssign(to, offered)] = &bench.published[published..] else { panic!() };
        assert_eq!((to.mac(), &offered.name), (mac(NEW), &name("capteur02")));
    }
    // Its pair still counts, as its own.
    let back = bench.connect(2, NEW);
    bench.push(&back, &pair, true);
    assert_eq!(bench.device(NEW).state, DeviceState::Online);
    assert_eq!(bench.disk.readings.last().unwrap().device, ids[1]);
    let undone = LogKind::ReplacementUndone { from: mac(NEW), to: mac(OLD), by: "anna".into() };
    assert!(bench.disk.log.contains(&(ids[0], undone)));
}

#[test]
fn a_replacement_holds_through_a_restart() {
    let mut bench = Bench::new();
    broken(&mut bench);
    let (origin, pair) = bench.dance(2, NEW);
    bench.led(&origin, &pair, false);
    bench.wall += 1_000;
    let before = replace(&mut bench, "capteur01", NEW).unwrap();
    bench.restart();
    let device = bench.device(NEW);
    assert_eq!((&device.name, device.replaced), (&before.name, before.replaced));
    assert_eq!(device.channels, before.channels);
    assert_eq!(bench.state.devices().len(), 1);
    let origin = bench.connect(2, NEW);
    bench.push(&origin, &pair, true);
    assert_eq!(bench.device(NEW).state, DeviceState::Online);
    bench.restart();
    assert_eq!(led(&bench.device(NEW)), Some(0), "of the time before the replacement");
    assert!(bench.device(NEW).channels.get(Channel::Button).is_some(), "of the time after it");
}

#[test]
fn an_undoing_needs_the_name_that_the_new_board_had() {
    let mut bench = Bench::new();
    broken(&mut bench);
    let (origin, pair) = bench.dance(2, NEW);
    replace(&mut bench, "capteur01", NEW).unwrap();
    bench.leave(&origin, &pair);
    rename(&mut bench, "capteur01", "Capteur02");
    let taken = DeviceError::FormerNameTaken { name: name("capteur02"), mac: mac(NEW) };
    assert_eq!(undo(&mut bench, "capteur02"), Err(taken));
    rename(&mut bench, "capteur02", "LeBron");
    undo(&mut bench, "LeBron").unwrap();
    assert_eq!(bench.device(NEW).name, name("capteur02"));
}

#[test]
fn a_device_is_forgotten_with_the_one_that_it_has_absorbed() {
    let mut bench = Bench::new();
    broken(&mut bench);
    let (origin, pair) = bench.dance(2, NEW);
    bench.push(&origin, &pair, true);
    replace(&mut bench, "capteur01", NEW).unwrap();
    bench.leave(&origin, &pair);
    bench.turn(|state, turn| state.forget(&key(NEW), "anna", turn)).0.unwrap();
    assert_eq!((bench.disk.devices.len(), bench.disk.readings.len()), (0, 0));
    assert_eq!(bench.events.last(), Some(&Event::Removed { mac: mac(NEW) }));
    assert_eq!(bench.state.devices(), []);
    assert_eq!(bench.dance(1, OLD).1.name, name("capteur03"));
}
