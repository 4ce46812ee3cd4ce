//! The broker from outside: real sockets, raw bytes and real clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod devices;
mod harness;
