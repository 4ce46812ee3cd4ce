//! A board against a scripted hub, in virtual time.
//!
//! # Layout
//!
//! - `clock`: the time driver: time stands still until every task waits for it
//! - `world`: the executor that moves it on
//! - `air`: streams in memory, between board and hub
//! - `hub`: the hub's end of a connection, on a real MQTT 5 codec
//! - `board`: a board with pins that the story reads and moves
//! - `joining`, `commands`, `renaming`, `readings`, `backlog`, `failures`, `life`: the stories
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod air;
mod backlog;
mod board;
mod clock;
mod commands;
mod failures;
mod hub;
mod joining;
mod life;
mod readings;
mod renaming;
mod world;
