//! What a board's logic tells the program that runs it, and asks of it.

use crate::fault::Fault;
use capteur_protocol::{Info, Name};
use embassy_time::Duration;

/// Where a board stands, for a status light, a log or a simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase<'a> {
    /// It looks for the hub.
    Connecting,
    /// It waits for a name and a session.
    Joining,
    /// It has a name, and starts its session.
    Starting(&'a Name),
    /// The hub has taken note of the session.
    Online(&'a Name),
    /// Something failed; it tries again after this pause.
    Waiting(Fault, Duration),
}

/// The program that runs a board's logic. A closure that takes a [`Phase`] is one.
pub trait Supervisor {
    /// The board has come to be in another phase.
    fn phase(&mut self, phase: Phase<'_>);

    /// The board has got somewhere: the hub was heard, a step of the join is done or has failed in
    /// time, or it waits for the next attempt as it should.
    ///
    /// Feed a watchdog here, and nowhere else. With the usual settings it comes at least every 20
    /// seconds, whatever the network does; a board that hangs does not call it.
    fn progress(&mut self) {}

    /// What the board tells the hub about itself; `None`: nothing, unless it wishes for a name. `lost`
    /// and `wish` are filled in.
    fn info(&mut self) -> Option<Info> {
        None
    }
}

impl<F: FnMut(Phase<'_>)> Supervisor for F {
    fn phase(&mut self, phase: Phase<'_>) {
        self(phase);
    }
}
