//! MQTT control packets, read from and written to bytes.
//!
//! Packets that come in are borrowed from the socket's buffer: nothing is allocated for a packet
//! before it has been checked from end to end. Section numbers are those of MQTT 5.0 unless they
//! say 3.1.1.
//!
//! # Layout
//!
//! - `reason`: reason codes; also what decoding fails with
//! - `reader`: the data representations of section 1.5
//! - `frame`: the fixed header of section 2.1
//! - `property`: the property lists of section 2.2.2
//! - `connect`: CONNECT, which decides the protocol level of a connection
//! - `decode`: every other packet that a client sends
//! - `encode`: the packets that a server sends

pub(crate) mod connect;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod frame;
pub(crate) mod property;
pub(crate) mod reader;
pub(crate) mod reason;

pub(crate) use connect::{Connect, ConnectError, WillPacket};
pub(crate) use decode::{FilterRequest, Packet, Publish, Subscribe};
pub(crate) use encode::Reply;
pub(crate) use frame::Frame;
pub(crate) use reason::Reason;

/// The protocol level of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1, level 4.
    V3,
    /// MQTT 5.0, level 5.
    V5,
}
