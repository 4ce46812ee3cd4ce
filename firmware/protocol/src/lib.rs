//! The wire protocol between Capteur's hub and its boards: topics, payloads and limits.
//!
//! Used by the hub and by the firmware alike, so it is `no_std`, allocates nothing and does no
//! I/O. Whatever bytes arrive, parsing answers with a value or a [`ParseError`]; it never panics.
//!
//! # Layout
//!
//! - [`topic`]: the channels and who may publish on them
//! - [`mac`]: a board's MAC address, and the spelling it arrived in
//! - [`name`]: the name that the hub gives to a board
//! - [`session`]: the session id that tells one life of a board from the next
//! - [`pair`]: name and session together, as they open every message
//! - [`message`]: whole payloads, parsed and printed
//! - [`backlog`]: light readings that were taken while the hub was away
//! - [`info`]: what a board tells about itself
//! - [`config`]: a board's settings as they lie in its flash
//! - [`error`]: why a payload was refused
#![no_std]
#![forbid(unsafe_code)]

pub mod backlog;
pub mod config;
pub mod error;
pub mod info;
pub mod mac;
pub mod message;
pub mod name;
pub mod pair;
pub mod session;
pub mod topic;

pub use backlog::{Aged, Backlog};
pub use config::Config;
pub use error::ParseError;
pub use info::{Info, Word};
pub use mac::{Mac, MacText};
pub use message::{DeviceMessage, HubMessage, PAYLOAD_MAX, Payload, Percent};
pub use name::{NAME_MAX, Name, NameError};
pub use pair::{PAIR_MAX, Pair};
pub use session::{SESSION_LEN, SessionId};
pub use topic::Topic;
