//! The logic of a Capteur board: an LED, a button and a light sensor that a hub knows by name.
//!
//! It runs unchanged on a chip, on a host and on an emulator: everything that differs is handed in.
//! A [`Node`] asks the hub for a name and a session, starts that session under a will that says
//! `name;session_id`, and from then on reports what its pins do and obeys what its LED is told.
//! Every disturbance leads back to the first step, after a pause that grows with each failure in a
//! row; nothing survives but the state of the LED and the light readings that the hub has not got.
//!
//! Light is measured while the hub is away as well. Those readings wait in memory with their age,
//! the oldest making room where there are too many, and go out on `photoresistor/backlog` as soon as
//! the board is online again: one message at a time, so that LED commands never wait for them, each
//! reading until the hub has acknowledged it.
//!
//! The clock is [`embassy_time`]'s, so the program that uses this brings a time driver.
//!
//! # Layout
//!
//! - [`node`]: the life of a board, from power-on until it is told to stop
//! - [`supervisor`]: what it tells the program that runs it, and asks of it
//! - `join`: gets a name and a session
//! - `online`: starts the session and obeys
//! - `reports`: what it has to say while it is online
//! - `link`: one MQTT connection, bounded in time
//! - `identity`: who it says it is
//! - `liveness`: notices a hub that has fallen silent
//! - [`io`]: what a board is made of: network, pins, sensor
//! - `led`, `button`, `light`, `pace`: the pins' state, and when the next reading is due
//! - `backlog`: light readings that the hub has not got
//! - [`settings`]: what can be chosen
//! - `backoff`: how long to wait before the next attempt
//! - `stop`: the wish that the board stops
//! - [`fault`]: why a connection was given up
#![no_std]
#![forbid(unsafe_code)]

mod backlog;
mod backoff;
mod button;
pub mod fault;
mod identity;
pub mod io;
mod join;
mod led;
mod light;
mod link;
mod liveness;
pub mod node;
mod online;
mod pace;
mod reports;
pub mod settings;
mod stop;
pub mod supervisor;

pub use capteur_protocol::config::Polarity;
pub use fault::{Fault, Step};
pub use io::{Connector, LightSensor, Peripherals};
pub use node::{BACKLOG_LEN, Node};
pub use settings::{KeepAlive, Settings};
pub use supervisor::{Phase, Supervisor};
