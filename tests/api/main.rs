//! The hub from outside, in this process: real sockets, a clock of our own, boards over MQTT, and
//! callers over HTTP.
//!
//! # Layout
//!
//! - `hub`: a hub on loopback addresses, and calls of its API
//! - `board`: a board that says what it is told to
//! - `reader`: a reader of the event stream
//! - `devices`: rename, forget, and what the log says of it
//! - `replacement`: a new board in the place of an old one, and back
//! - `led`: commands and their ends
//! - `pages`: readings and logs, page by page
//! - `transfer`: backups and exports
//! - `stream`: replay, a slow reader, a new run of the hub
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod board;
mod devices;
mod hub;
mod led;
mod pages;
mod reader;
mod replacement;
mod stream;
mod transfer;
