//! Names that boards wish for.

use super::*;
use crate::{model::Wish, registry::wishes::BY};
use capteur_protocol::{Name, SessionId};

const A: &str = "61:EC:ED:3B:25:B1";
const B: &str = "61:EC:ED:3B:25:B2";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn tell(bench: &mut Bench, origin: &Origin, pair: &Pair, facts: &str) -> Vec<Effect> {
    let message = DeviceMessage::Info(pair.clone(), facts.parse().unwrap());
    bench.turn(|state, turn| state.message(&message, origin, None, turn)).1
}

fn wish(bench: &mut Bench, origin: &Origin, pair: &Pair, wish: &str) -> Vec<Effect> {
    tell(bench, origin, pair, &format!("chip=esp32c3;wish={wish}"))
}

/// A board that comes online and tells its wish; as it is called then.
fn boot(bench: &mut Bench, mac: &str, wished: &str) -> Name {
    let (origin, pair) = bench.dance(1, mac);
    wish(bench, &origin, &pair, wished);
    bench.leave(&origin, &pair);
    bench.device(mac).name
}

fn rename(bench: &mut Bench, mac: &str, to: &str) {
    bench.turn(|state, turn| state.rename(&key(mac), &name(to), "anna", turn)).0.unwrap();
}

fn replace(bench: &mut Bench, old: &str, new: &str) {
    let new = new.parse().unwrap();
    bench.turn(|state, turn| state.replace(&key(old), new, "anna", turn)).0.unwrap();
}

fn undo(bench: &mut Bench, new: &str) {
    bench.turn(|state, turn| state.undo_replacement(&key(new), "anna", turn)).0.unwrap();
}

/// What the logs say of names.
fn naming(bench: &Bench) -> Vec<&LogKind> {
    let of_names =
        |kind: &&LogKind| matches!(kind, LogKind::Renamed { .. } | LogKind::WishRefused { .. });
    bench.disk.log.iter().map(|(_, kind)| kind).filter(of_names).collect()
}

#[test]
fn a_wish_renames_the_device_as_a_person_does() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    let (events, published) = (bench.events.len(), bench.published.len());
    wish(&mut bench, &origin, &pair, "Küche = 1");
    let device = bench.device(A);
    assert_eq!(device.name, name("Küche = 1"));
    assert!(device.info.is_some());
    assert_eq!(bench.events[events..], [Event::Device(device)], "news, told once");
    let renamed =
        LogKind::Renamed { from: name("capteur01"), to: name("Küche = 1"), by: BY.to_owned() };
    assert_eq!(naming(&bench), [&renamed]);
    // Ruling 8: both pairs count until the new one joins.
    let [HubMessage::NameAssign(to, offered)] = &bench.published[published..] else { panic!() };
    let offered = offered.clone();
    assert_eq!((to.to_string().as_str(), &offered.name), (A, &name("Küche = 1")));
    bench.push(&origin, &pair, true);
    assert_eq!(bench.disk.readings.len(), 1);
    let next = bench.connect(1, A);
    bench.start(&next, &offered);
    bench.push(&next, &offered, false);
    assert_eq!(bench.disk.readings.len(), 2);
    bench.push(&origin, &pair, true);
    assert_eq!(bench.disk.readings.len(), 2, "the old pair has ended");
    assert_eq!(wish(&mut bench, &next, &offered, "Küche = 1").len(), 1, "the news of an info");
}

#[test]
fn what_a_person_calls_the_device_later_stands_until_the_board_wishes_otherwise() {
    let mut bench = Bench::new();
    assert_eq!(boot(&mut bench, A, "kitchen"), name("kitchen"));
    rename(&mut bench, A, "LeBron");
    for _ in 0..3 {
        assert_eq!(boot(&mut bench, A, "kitchen"), name("LeBron"));
        bench.restart();
    }
    assert_eq!(boot(&mut bench, A, "cellar"), name("cellar"));
    assert_eq!(boot(&mut bench, A, "kitchen"), name("kitchen"), "put into it once more");
    assert_eq!(naming(&bench).len(), 4);
}

#[test]
fn a_wish_for_the_name_that_the_device_has_is_remembered() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    rename(&mut bench, A, "kitchen");
    let (lines, published) = (bench.disk.log.len(), bench.published.len());
    wish(&mut bench, &origin, &pair, "kitchen");
    assert_eq!((bench.disk.log.len(), bench.published.len()), (lines, published));
    rename(&mut bench, A, "LeBron");
    bench.restart();
    assert_eq!(boot(&mut bench, A, "kitchen"), name("LeBron"));
    assert_eq!(boot(&mut bench, A, "LEBRON"), name("LEBRON"), "its own, spelled otherwise");
}

#[test]
fn a_wish_for_a_name_that_is_taken_is_in_the_log_once_and_over() {
    let mut bench = Bench::new();
    bench.dance(2, B);
    rename(&mut bench, B, "Kitchen");
    for _ in 0..3 {
        assert_eq!(boot(&mut bench, A, "kitchen"), name("capteur02"));
        bench.restart();
    }
    rename(&mut bench, B, "sofa");
    assert_eq!(boot(&mut bench, A, "kitchen"), name("capteur02"));
    let refused: Vec<_> = bench
        .disk
        .log
        .iter()
        .filter(|(_, kind)| *kind == LogKind::WishRefused { name: name("kitchen") })
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(refused, [bench.state.device_id(&key(A)).unwrap()]);
    assert_eq!(bench.device(B).name, name("sofa"));
}

#[test]
fn of_one_session_the_first_wish_counts() {
    let mut bench = Bench::new();
    let (origin, pair) = bench.dance(1, A);
    wish(&mut bench, &origin, &pair, "wish0");
    for n in 1..100 {
        assert!(wish(&mut bench, &origin, &pair, &format!("wish{n}")).is_empty());
    }
    assert_eq!((bench.device(A).name, naming(&bench).len()), (name("wish0"), 1));
    // Nor do sessions that are only offered count, of which a board has as many as it asks for.
    let next = bench.connect(1, A);
    for n in 0..10 {
        let offered = bench.join(&next, A);
        let lines = bench.disk.log.len();
        wish(&mut bench, &next, &offered, &format!("offered{n}"));
        assert_eq!(bench.disk.log.len(), lines);
    }
    assert_eq!(bench.device(A).name, name("wish0"));
    assert_eq!(boot(&mut bench, A, "wish1"), name("wish1"));
}

#[test]
fn a_wish_that_finds_no_session_id_is_not_over() {
    let mut bench = Bench::new();
    let (_, pair) = bench.dance(1, A);
    bench.disk.marks.last_session = Some(SessionId::MAX);
    bench.restart();
    let origin = bench.connect(1, A);
    wish(&mut bench, &origin, &pair, "kitchen");
    let record = bench.disk.devices.values().next().unwrap();
    assert_eq!((&record.name, &record.wish), (&name("capteur01"), &Wish::Open));
    assert!(naming(&bench).is_empty());
}

#[test]
fn a_known_board_takes_what_it_has_wished_for_to_its_new_place_and_back() {
    let mut bench = Bench::new();
    assert_eq!(boot(&mut bench, A, "kitchen"), name("kitchen"));
    assert_eq!(boot(&mut bench, B, "sofa"), name("sofa"));
    rename(&mut bench, A, "LeBron");
    replace(&mut bench, A, B);
    bench.restart();
    assert_eq!(boot(&mut bench, B, "sofa"), name("LeBron"), "as a person has wanted it");
    assert_eq!(boot(&mut bench, B, "cellar"), name("cellar"), "new settings");
    undo(&mut bench, B);
    bench.restart();
    assert_eq!(bench.device(B).name, name("sofa"));
    assert_eq!(boot(&mut bench, A, "kitchen"), name("cellar"));
    assert_eq!(boot(&mut bench, B, "cellar"), name("sofa"));
    assert_eq!(boot(&mut bench, A, "den"), name("den"));
}

#[test]
fn a_board_of_the_same_wish_takes_over_without_a_word() {
    let mut bench = Bench::new();
    assert_eq!(boot(&mut bench, A, "kitchen"), name("kitchen"));
    assert_eq!(boot(&mut bench, B, "kitchen"), name("capteur02"));
    replace(&mut bench, A, B);
    let lines = naming(&bench).len();
    assert_eq!(boot(&mut bench, B, "kitchen"), name("kitchen"));
    assert_eq!(naming(&bench).len(), lines);
}

#[test]
fn what_an_unknown_board_wishes_for_gives_way_to_its_place() {
    for restarted in [false, true] {
        let mut bench = Bench::new();
        assert_eq!(boot(&mut bench, A, "kitchen"), name("kitchen"));
        replace(&mut bench, A, B);
        if restarted {
            bench.restart();
        }
        assert_eq!(boot(&mut bench, B, "sofa"), name("kitchen"), "put into it before, or may be");
        assert_eq!(boot(&mut bench, B, "cellar"), name("cellar"), "put into it since");
        undo(&mut bench, B);
        assert_eq!(boot(&mut bench, A, "kitchen"), name("cellar"));
        assert_eq!(boot(&mut bench, B, "sofa"), name("sofa"), "a newcomer's");
    }
}

#[test]
fn what_is_put_into_a_board_that_was_seen_without_a_wish_counts() {
    let mut bench = Bench::new();
    boot(&mut bench, A, "kitchen");
    replace(&mut bench, A, B);
    let (origin, pair) = bench.dance(1, B);
    tell(&mut bench, &origin, &pair, "chip=esp32c3");
    assert!(tell(&mut bench, &origin, &pair, "chip=esp32c3").is_empty(), "nothing to remember");
    bench.restart();
    assert_eq!(boot(&mut bench, B, "cellar"), name("cellar"));
}
