//! A session: what the server keeps for a client, over all its connections (section 4.1).

use super::{
    Ack,
    access::Role,
    lock::lock,
    outbound::{Delivery, Outbound},
    packet::Reason,
    receipts::Receipts,
    stats::Counters,
};
use capteur_protocol::Topic;
use futures_util::task::AtomicWaker;
use std::{
    cmp::Ordering,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    task::Context,
};
use tokio::sync::oneshot;

/// A session. Equal to itself alone.
#[derive(Debug)]
pub(crate) struct Session {
    serial: u64,
    pub(crate) client_id: Arc<str>,
    /// What the connection that made it may do; another role never resumes it.
    pub(crate) role: Role,
    state: Mutex<State>,
    /// Wakes the connection's task.
    waker: AtomicWaker,
    woken: AtomicBool,
}

/// What changes in a session.
#[derive(Debug, Default)]
pub(crate) struct State {
    connected: bool,
    /// Whether the session outlives its connection.
    outlives: bool,
    /// Why the connection has to end.
    kick: Option<Kick>,
    /// Connections that wait until this one has left.
    successors: Vec<oneshot::Sender<()>>,
    pub(crate) receipts: Receipts,
    pub(crate) outbound: Outbound,
    /// What the index of subscriptions has of this session.
    pub(crate) filters: Vec<Box<str>>,
    /// A device's subscriptions, which are in no index: its messages are looked up by identity.
    name_assign: Option<DeviceSubscription>,
    led_command: Option<DeviceSubscription>,
}

/// A device's subscription to a topic of the hub.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeviceSubscription {
    pub(crate) qos: u8,
    pub(crate) identifier: Option<u32>,
    pub(crate) retain_as_published: bool,
}

/// Why a connection has to end though its client did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kick {
    /// Another connection came with the same client id.
    TakenOver,
    /// The server stops.
    ShuttingDown,
}

impl Session {
    pub(crate) fn new(serial: u64, client_id: Arc<str>, role: Role) -> Self {
        Self {
            serial,
            client_id,
            role,
            state: Mutex::default(),
            waker: AtomicWaker::new(),
            woken: AtomicBool::new(false),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Makes the connection's task look at the session.
    pub(crate) fn wake(&self) {
        self.woken.store(true, Release);
        self.waker.wake();
    }

    /// Whether the session was woken since the last call; if not, it will wake this task.
    pub(crate) fn poll_woken(&self, context: &Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.woken.swap(false, AcqRel)
    }

    pub(crate) fn connect(&self, outlives: bool) {
        let mut state = self.state();
        state.connected = true;
        state.outlives = outlives;
        drop(state);
        // What waits is to be sent.
        self.wake();
    }

    /// The connection has ended. Lets its successors in when dropped.
    pub(crate) fn disconnect(&self, outlives: bool) -> Vec<oneshot::Sender<()>> {
        let mut state = self.state();
        state.connected = false;
        // Not when the next one connects: it may have been told to leave by then.
        state.kick = None;
        state.outlives = outlives;
        state.receipts.disconnect();
        state.outbound.disconnect();
        std::mem::take(&mut state.successors)
    }

    /// Ends the connection for another one, which waits for the end of what is returned.
    pub(crate) fn succeed(&self) -> oneshot::Receiver<()> {
        let (left, has_left) = oneshot::channel();
        self.state().successors.push(left);
        self.kick(Kick::TakenOver);
        has_left
    }

    pub(crate) fn kick(&self, why: Kick) {
        self.state().kick = Some(why);
        self.wake();
    }

    /// Queues a message, unless the client is absent and would not get it on its return.
    pub(crate) fn deliver(&self, delivery: Delivery, max_queued: usize, counters: &Counters) {
        let mut state = self.state();
        let absent = !state.connected;
        if absent && (delivery.qos == 0 || !state.outlives) {
            return;
        }
        if state.outbound.push(delivery, max_queued).is_err() {
            counters.dropped_queue_full.increment();
        }
        drop(state);
        if !absent {
            self.wake();
        }
    }

    /// Tells the publisher of a message what became of it. True if this session still awaits the
    /// settlement of other messages of that connection.
    pub(crate) fn settle(&self, ack: Ack, reason: Reason) -> bool {
        let mut state = self.state();
        if state.receipts.settle(ack, reason) {
            self.wake();
        }
        state.receipts.awaits(ack.connection)
    }
}

impl State {
    pub(crate) const fn kicked(&self) -> Option<Kick> {
        self.kick
    }

    /// A device's subscription to a topic of the hub.
    pub(crate) fn device_subscription(
        &mut self,
        topic: Topic,
    ) -> Option<&mut Option<DeviceSubscription>> {
        match topic {
            Topic::NameAssign => Some(&mut self.name_assign),
            Topic::LedCommand => Some(&mut self.led_command),
            _ => None,
        }
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl Eq for Session {}

impl PartialOrd for Session {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Session {
    fn cmp(&self, other: &Self) -> Ordering {
        self.serial.cmp(&other.serial)
    }
}
