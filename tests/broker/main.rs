//! The broker from outside: real sockets, raw bytes and real clients.
//!
//! # Layout
//!
//! - `harness`: a broker on a loopback address, and a client that writes its packets byte by byte
//! - `devices`: what boards do, and who hears them
//! - `ends`: wills, implied leaves, take-over, time-outs, shutdown
//! - `qos`: acknowledgements, repetitions and resumption at QoS 1 and 2
//! - `subscriptions`: filters, options, retained messages, properties
//! - `sessions`: kept sessions, their expiry, and what waits in them
//! - `flow`: slow receivers, slow senders, many messages
//! - `hostile`: malformed and malicious clients
//! - `clients`: rumqttc at both levels
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::cast_possible_truncation)]

mod clients;
mod devices;
mod ends;
mod flow;
mod harness;
mod hostile;
mod qos;
mod sessions;
mod subscriptions;
