//! What the state machine is told, and what it asks for.

use crate::{
    broker::{Ack, ConnectionId, Identity, Verdict},
    model::{Command, Event, Timestamp},
    store::{Change, Urgency},
};
use capteur_protocol::HubMessage;
use std::time::Duration;

/// The time, told twice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The time of day: what people see. It may step.
    pub(super) wall: Timestamp,
    /// How long the hub has been running: what time-outs are measured with. It never steps.
    pub(super) uptime: Duration,
}

/// When an effect may leave the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Now.
    AtOnce,
    /// Once every change that comes before it is on the medium.
    Committed,
}

/// Something that has to happen outside the state machine. Effects are applied in their order.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// Store a change.
    Store(Change, Urgency),
    /// Tell the front who a connection is.
    Bind(ConnectionId, Identity),
    /// Publish a message.
    Publish(HubMessage, When),
    /// Answer a publisher that waits.
    Settle(Ack, Verdict, When),
    /// Tell the live stream.
    Event(Event),
    /// A command has come to its end: tell whoever waits for it.
    Resolve(Command),
}

/// What one input is handled with.
pub(super) struct Turn<'a> {
    /// When the input came.
    pub(super) now: Moment,
    /// Where randomness comes from.
    pub(super) entropy: &'a mut (dyn FnMut() -> u32 + Send),
    /// Where effects go.
    pub(super) effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    pub(super) fn store(&mut self, change: Change, urgency: Urgency) {
        self.effects.push(Effect::Store(change, urgency));
    }

    pub(super) fn bind(&mut self, connection: ConnectionId, identity: Identity) {
        self.effects.push(Effect::Bind(connection, identity));
    }

    pub(super) fn publish(&mut self, message: HubMessage, when: When) {
        self.effects.push(Effect::Publish(message, when));
    }

    /// Does nothing where the publisher waits for nothing.
    pub(super) fn settle(&mut self, ack: Option<Ack>, verdict: Verdict, when: When) {
        self.effects.extend(ack.map(|ack| Effect::Settle(ack, verdict, when)));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.effects.push(Effect::Event(event));
    }

    pub(super) fn resolve(&mut self, command: Command) {
        self.effects.push(Effect::Resolve(command));
    }
}
