//! Why a connection was given up.

use core::fmt;

/// What the board was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Opening a stream to the hub.
    Open,
    /// The MQTT handshake.
    Connect,
    /// Waiting for a name and a session.
    Join,
    /// Starting the session.
    Start,
    /// Being online.
    Online,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "opening a stream",
            Self::Connect => "connecting",
            Self::Join => "joining",
            Self::Start => "starting the session",
            Self::Online => "online",
        })
    }
}

/// Why a connection was given up. Each of them leads back to the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No stream could be opened.
    Unreachable,
    /// The connection broke.
    Lost(Step),
    /// The broker answered with a reason code of failure.
    Refused(Step),
    /// Something took longer than [`Settings`](crate::Settings) allow.
    TimedOut(Step),
    /// The connection stands, but nothing has come over it for too long.
    Silent,
    /// A pin could not be read or set.
    Pin,
    /// A packet of ours does not fit its buffer.
    Capacity,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the hub can't be reached"),
            Self::Lost(step) => write!(f, "the connection broke while {step}"),
            Self::Refused(step) => write!(f, "the hub refused while {step}"),
            Self::TimedOut(step) => write!(f, "out of time while {step}"),
            Self::Silent => f.write_str("the hub has fallen silent"),
            Self::Pin => f.write_str("a pin failed"),
            Self::Capacity => f.write_str("a packet does not fit its buffer"),
        }
    }
}

impl core::error::Error for Fault {}
