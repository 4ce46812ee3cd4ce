//! Who is who: the session protocol, and the in-process client that feeds it.
//!
//! The protocol is a state machine without I/O: time and randomness come in as values, what has to
//! happen in the world goes out as effects. One task owns it, ties it to the broker, the store and
//! the live stream, and answers the API through [`Registry`].
//!
//! # Layout
//!
//! - `state`: who is who, and the steps that all inputs share
//! - `messages`: what devices say: the rules of the session protocol
//! - `requests`: what people ask for: renames, LED commands and their end
//! - `wishes`: names that boards wish for
//! - `replacements`: a new board in the place of an old one, and back
//! - `roster`: every device, and the ways to find it
//! - `entry`: a device in memory, and the board that it is
//! - `issuer`: device numbers, names and session ids that are given out once
//! - `commands`: orders that wait for their confirmation, and the last that did
//! - `effect`: what the state machine is told and what it asks for
//! - `stats`: what was counted
//! - `error`: why a call failed
//! - `handle`: what the API may ask
//! - `client`: the task

pub mod client;
mod commands;
mod effect;
mod entry;
pub mod error;
pub mod handle;
mod issuer;
mod messages;
mod replacements;
mod requests;
mod roster;
mod state;
pub mod stats;
#[cfg(test)]
mod tests;
mod wishes;

pub use client::{Parts, RegistryEnded, start};
pub use error::DeviceError;
pub use handle::{Issued, Registry};
pub use stats::Stats;
