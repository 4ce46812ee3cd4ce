//! The logic of a Capteur board: an LED, a button and a light sensor that a hub knows by name.
//!
//! It runs unchanged on a chip, on a host and on an emulator: everything that differs is handed in.
//! A [`Node`] asks the hub for a name and a session, starts that session under a will that says
//! `name;session_id`, and from then on reports what its pins do and obeys what its LED is told.
//! Every disturbance leads back to the first step, after a pause that grows with each failure in a
//! row; nothing survives but the state of the LED.
//!
//! The clock is [`embassy_time`]'s, so the program that uses this brings a time driver.
//!
//! # Layout
//!
//! - [`node`]: the life of a board, from power-on for ever
//! - `join`: gets a name and a session
//! - `online`: starts the session, reports and obeys
//! - `link`: one MQTT connection, bounded in time
//! - `liveness`: notices a hub that has fallen silent
//! - [`io`]: what a board is made of: network, pins, sensor
//! - `led`, `button`, `pace`: the pins' state, and when the next reading is due
//! - [`settings`]: what can be chosen
//! - `backoff`: how long to wait before the next attempt
//! - [`fault`]: why a connection was given up
#![no_std]
#![forbid(unsafe_code)]

mod backoff;
mod button;
pub mod fault;
pub mod io;
mod join;
mod led;
mod link;
mod liveness;
pub mod node;
mod online;
mod pace;
pub mod settings;

pub use capteur_protocol::config::Polarity;
pub use fault::{Fault, Step};
pub use io::{Connector, LightSensor, Peripherals};
pub use node::{Node, Phase};
pub use settings::{KeepAlive, Settings};
