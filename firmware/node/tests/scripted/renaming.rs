//! What a board does when it is given another pair while online.

use crate::{
    board::play,
    hub::{Did, Peer},
};

const OLD: &str = "capteur01;1743946777.603371";
const NEW: &str = "LeBron;1743946800.000000";

#[test]
fn a_renamed_board_comes_back_under_its_new_pair_with_its_led_as_it_was() {
    play(|port, _| async move {
        let mut peer = Peer::admit(&port, OLD).await;
        peer.published("photoresistor/status").await;
        peer.command(OLD, true).await;
        peer.published("led/status").await;
        peer.assign(NEW).await;
        // In order: no will for the old pair.
        peer.until(|did| *did == Did::Disconnect).await;
        // Without asking for a name again: the will and the first message are the new pair.
        let mut peer = Peer::start(&port, NEW).await;
        assert_eq!(peer.published("led/status").await, format!("{NEW};1"));
        peer.command(NEW, false).await;
        assert_eq!(peer.published("led/status").await, format!("{NEW};0"));
    });
}

#[test]
fn a_command_between_assignment_and_departure_is_obeyed() {
    play(|port, pins| async move {
        let mut peer = Peer::admit(&port, OLD).await;
        peer.published("photoresistor/status").await;
        peer.assign(NEW).await;
        peer.command(OLD, true).await;
        assert_eq!(peer.published("led/status").await, format!("{OLD};1"));
        peer.until(|did| *did == Did::Disconnect).await;
        let mut peer = Peer::start(&port, NEW).await;
        assert_eq!(peer.published("led/status").await, format!("{NEW};1"));
        assert_eq!(pins.led.borrow().last(), Some(&true));
    });
}

#[test]
fn of_two_renames_at_once_the_later_counts() {
    play(|port, _| async move {
        let mut peer = Peer::admit(&port, OLD).await;
        peer.published("photoresistor/status").await;
        peer.assign("Shaq;1743946790.000000").await;
        peer.assign(NEW).await;
        peer.until(|did| *did == Did::Disconnect).await;
        Peer::start(&port, NEW).await;
    });
}

#[test]
fn a_new_session_under_the_same_name_is_taken_up_once_online() {
    play(|port, _| async move {
        let mut peer = Peer::admit(&port, OLD).await;
        peer.published("photoresistor/status").await;
        let fresh = "capteur01;1743946801.000000";
        peer.assign(fresh).await;
        peer.until(|did| *did == Did::Disconnect).await;
        Peer::start(&port, fresh).await;
    });
}

#[test]
fn older_assignments_and_those_of_others_change_nothing() {
    play(|port, _| async move {
        let mut peer = Peer::admit(&port, OLD).await;
        peer.published("photoresistor/status").await;
        peer.assign("capteur01;1743946777.603370").await;
        peer.assign(OLD).await;
        let others = b"02:00:00:00:00:01;LeBron;1743946800.000000";
        peer.publish("state/nameAssign", rumqttc::v5::mqttbytes::QoS::ExactlyOnce, others).await;
        let seen = peer.watch(10_000).await;
        assert!(!seen.contains(&Did::Disconnect), "{seen:?}");
    });
}
