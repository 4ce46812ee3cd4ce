//! Fleets against a scripted hub in the same process.

mod hub;

use super::{Board, Cut, Fleet, Options, Phase};
use capteur_protocol::{DeviceMessage, Name, Percent};
use hub::{Hub, Said};
use std::{collections::HashMap, time::Duration};
use tokio::time::timeout;

/// Far more than anything takes: only a fault lets it pass.
const GENEROUS: Duration = Duration::from_mins(1);

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(GENEROUS, work).await.expect("in time")
}

async fn online(board: &Board, online: bool) {
    let mut state = board.watch();
    in_time(state.wait_for(|state| (state.phase == Phase::Online) == online)).await.unwrap();
}

/// One board that is online, its fleet and its hub.
async fn one_board() -> (Hub, Fleet, Board) {
    let hub = Hub::start().await;
    let fleet = Fleet::start(Options::quiet(hub.address(), 1)).unwrap();
    in_time(fleet.all_online()).await;
    let board = fleet.boards()[0].clone();
    (hub, fleet, board)
}

#[tokio::test]
async fn two_hundred_boards_that_are_switched_on_at_once_all_come_online() {
    let hub = Hub::start().await;
    let fleet = Fleet::start(Options::quiet(hub.address(), 200)).unwrap();
    in_time(fleet.all_online()).await;
    assert_eq!(fleet.online(), 200);
    for board in fleet.boards() {
        assert_eq!(board.state().name, Some(hub::name(board.mac())));
        assert_eq!(board.counts().onlines, 1);
    }
    in_time(fleet.stop()).await;
}

#[tokio::test]
async fn a_boards_led_obeys_and_is_seen_to() {
    let (mut hub, fleet, board) = one_board().await;
    for on in [true, false, true] {
        hub.command(board.mac(), on);
        let wanted = |said: &Said| matches!(said.message, DeviceMessage::Led(_, led) if led == on);
        in_time(hub.hears(wanted)).await;
        assert_eq!(board.state().led, on);
    }
    in_time(fleet.stop()).await;
}

#[tokio::test]
async fn a_press_and_a_light_are_reported() {
    let (mut hub, fleet, board) = one_board().await;
    board.press();
    let pressed = |said: &Said| matches!(said.message, DeviceMessage::Button(_, true));
    in_time(hub.hears(pressed)).await;
    board.release();
    let released = |said: &Said| matches!(said.message, DeviceMessage::Button(_, false));
    in_time(hub.hears(released)).await;
    let level = Percent::new(73);
    board.set_light(level);
    let lit = |said: &Said| matches!(said.message, DeviceMessage::Photoresistor(_, l) if Some(l) == level);
    in_time(hub.hears(lit)).await;
    assert!(board.counts().readings >= 2);
    in_time(fleet.stop()).await;
}

#[tokio::test]
async fn the_first_boards_wish_for_the_names_that_are_given() {
    let mut hub = Hub::start().await;
    let names: Vec<Name> = ["kitchen", "a = b"].map(|name| name.parse().unwrap()).into();
    let fleet =
        Fleet::start(Options { names: names.clone(), ..Options::quiet(hub.address(), 3) }).unwrap();
    let mut wishes = HashMap::new();
    while wishes.len() < 3 {
        let told = in_time(hub.hears(|said| matches!(said.message, DeviceMessage::Info(..)))).await;
        if let DeviceMessage::Info(pair, info) = told.message {
            wishes.insert(pair.name, info.wish);
        }
    }
    let [first, second, third] = [0, 1, 2].map(|at| hub::name(fleet.boards()[at].mac()));
    assert_eq!(wishes[&first].as_ref(), Some(&names[0]));
    assert_eq!(wishes[&second].as_ref(), Some(&names[1]));
    assert_eq!(wishes[&third], None);
    in_time(fleet.stop()).await;
}

#[tokio::test]
async fn a_board_whose_network_is_cut_comes_back() {
    let (_hub, fleet, board) = one_board().await;
    for (times, cut) in [(2, Cut::Drop), (3, Cut::Stall)] {
        board.cut(cut);
        online(&board, false).await;
        assert_eq!(fleet.online(), 0);
        online(&board, true).await;
        assert_eq!(board.counts().onlines, times);
    }
    in_time(fleet.stop()).await;
}

#[tokio::test]
async fn a_flaky_network_cuts_and_fingers_press_by_themselves() {
    let mut hub = Hub::start().await;
    let often = Some(Duration::from_millis(300));
    let options =
        Options { press_every: often, cut_every: often, ..Options::quiet(hub.address(), 3) };
    let fleet = Fleet::start(options).unwrap();
    let pressed = |said: &Said| matches!(said.message, DeviceMessage::Button(_, true));
    in_time(hub.hears(pressed)).await;
    for board in fleet.boards() {
        let mut state = board.watch();
        in_time(state.wait_for(|_| board.counts().onlines >= 2)).await.unwrap();
    }
    in_time(fleet.stop()).await;
}

#[tokio::test]
async fn running_a_fleet_ends_when_it_is_told_to() {
    let mut hub = Hub::start().await;
    let options = Options::quiet(hub.address(), 2);
    let two_online = async {
        for _ in 0..2 {
            hub.hears(|said| matches!(said.message, DeviceMessage::Start(_))).await;
        }
    };
    in_time(super::run(options, two_online)).await.unwrap();
}
