//! The task that owns the state: the in-process client of the broker.
//!
//! It takes in what devices say in bursts, and hands each burst's changes to the store as one batch
//! of one urgency: to split a burst by urgency would let changes of one device overtake each other.
//! What may leave the hub only after the commit waits in the batch and is let out on the writer's
//! thread. The task waits for the store while the writer's queue is full, which stops the sockets
//! being read, and never for anything that waits for the task.

use super::{
    effect::{Effect, Moment, Turn, When},
    error::DeviceError,
    handle::{Issued, Registry},
    state::State,
};
use crate::{
    broker::{self, Ack, BrokerEnded, Inbound, Outbound, Verdict},
    config,
    events::{Cursor, Events},
    model::{Clock, Command, CommandId, Device, DeviceKey},
    store::{self, Change, Contents, Store, StoreError, Urgency},
};
use bytes::Bytes;
use capteur_protocol::{DeviceMessage, HubMessage, Mac, Name, Topic};
use std::{
    collections::HashMap,
    fmt,
    future::{Future, pending},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// The most messages that are taken in between two batches.
const BURST_MAX: usize = 128;

/// The most requests of the API that wait for the task.
const REQUESTS_MAX: usize = 64;

/// The most answers that wait for their commit, or a burst's if that is more.
///
/// They are let out all at once, and in-process publishers never wait for room in the broker's log:
/// a commit that took long must not be followed by more than the log can hold.
const ANSWERS_MAX: usize = 512;

/// What the registry is built from.
pub struct Parts {
    /// What the store held when it was opened.
    pub contents: Contents,
    /// Where messages come from.
    pub link: broker::Link,
    /// Where messages go.
    pub client: broker::Client,
    /// Where changes go.
    pub store: Store,
    /// Where events go.
    pub events: Events,
    /// `[devices]`.
    pub devices: config::Devices,
    /// `mqtt.anonymous`: in a general-purpose broker a connection may speak for several devices.
    pub anonymous: config::Anonymous,
    /// Whether boards have keys (`mqtt.device_key`): a connection speaks for the device alone whose
    /// MAC it has proven to be its own.
    pub keyed: bool,
    /// `[commands]`.
    pub commands: config::Commands,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where the randomness of session ids comes from; has to be good enough for secrets.
    pub entropy: Box<dyn FnMut() -> u32 + Send>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Why the registry has ended without being told to: the process has to.
#[derive(Debug, thiserror::Error)]
pub enum RegistryEnded {
    /// No message can come any more.
    #[error(transparent)]
    Broker(#[from] BrokerEnded),
    /// Nothing can be stored any more.
    #[error("the store has ended: {0}")]
    Store(#[from] StoreError),
}

/// Builds the registry. The future is its task: it ends once `shutdown` has, with everything that
/// was received on the medium.
///
/// The task takes in whatever the link still holds when `shutdown` ends, so the broker has to stop
/// its connections before.
pub fn start(
    parts: Parts,
    shutdown: impl Future<Output = ()> + Send,
) -> (Registry, impl Future<Output = Result<(), RegistryEnded>> + Send) {
    let Parts {
        contents,
        link,
        client,
        store,
        events,
        devices,
        anonymous,
        keyed,
        commands,
        clock,
        entropy,
    } = parts;
    let mut state = State::new(contents, &devices, &commands);
    state.confined = anonymous != config::Anonymous::Full;
    state.keyed = keyed;
    let state = Mutex::new(state);
    let shared = Arc::new(Shared { state, events });
    let (requests_in, requests) = mpsc::channel(REQUESTS_MAX);
    let (failed, failures) = mpsc::unbounded_channel();
    let task = Task {
        shared: Arc::clone(&shared),
        link,
        condition: store.condition(),
        outlet: Outlet::new(client, store, failed),
        clock,
        entropy,
        started: Instant::now(),
        requests,
        failures,
        waiting: HashMap::new(),
    };
    (Registry::new(shared, requests_in), task.run(shutdown))
}

/// The state, and the stream that tells about it.
///
/// Events are published under the lock and by one task only, so that a snapshot and its place in
/// the stream belong together.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    events: Events,
}

impl Shared {
    /// Locks the state; for moments only.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock has ended the task, and with it the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> (Vec<Device>, Cursor) {
        let state = self.state();
        (state.devices(), self.events.cursor())
    }
}

/// A call of the API that changes something.
#[derive(Debug)]
pub(super) enum Request {
    Rename {
        key: DeviceKey,
        name: Name,
        by: String,
        answer: oneshot::Sender<Result<Device, DeviceError>>,
    },
    Forget {
        key: DeviceKey,
        by: String,
        answer: oneshot::Sender<Result<(), DeviceError>>,
    },
    Replace {
        key: DeviceKey,
        mac: Mac,
        by: String,
        answer: oneshot::Sender<Result<Device, DeviceError>>,
    },
    UndoReplacement {
        key: DeviceKey,
        by: String,
        answer: oneshot::Sender<Result<Device, DeviceError>>,
    },
    SwitchLed {
        key: DeviceKey,
        on: bool,
        by: String,
        answer: oneshot::Sender<Result<Issued, DeviceError>>,
    },
    Probe {
        answer: oneshot::Sender<()>,
    },
}

/// Something that waits for a batch to be on the medium.
enum Deferred {
    Publish(HubMessage),
    Settle(Ack, Verdict),
    Answer(Box<dyn FnOnce() + Send>),
}

/// What one round of the task adds to the store, and what waits for that.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    urgent: bool,
    deferred: Vec<Deferred>,
}

/// Where what has been decided goes.
struct Outlet {
    client: broker::Client,
    store: Store,
    failed: mpsc::UnboundedSender<StoreError>,
    /// Permits for answers that wait for their commit.
    answers: Arc<Semaphore>,
}

impl Outlet {
    fn new(
        client: broker::Client,
        store: Store,
        failed: mpsc::UnboundedSender<StoreError>,
    ) -> Self {
        Self { client, store, failed, answers: Arc::new(Semaphore::new(ANSWERS_MAX)) }
    }

    /// Hands a batch to the store, once there is room for its answers.
    async fn submit(&self, batch: Batch) -> Result<(), StoreError> {
        let Batch { changes, urgent, deferred } = batch;
        if changes.is_empty() && deferred.is_empty() {
            return Ok(());
        }
        let answers = deferred.iter().filter(|one| matches!(one, Deferred::Publish(_))).count();
        let answers = u32::try_from(answers.min(ANSWERS_MAX)).unwrap_or(u32::MAX);
        // What waits before this is committed without anything that this task does.
        let permits = Arc::clone(&self.answers).acquire_many_owned(answers).await;
        let (client, failed) = (self.client.clone(), self.failed.clone());
        let done = move |committed: Result<(), StoreError>| {
            match committed {
                Ok(()) => deferred.into_iter().for_each(|deferred| match deferred {
                    Deferred::Publish(message) => client.publish(outbound(&message)),
                    Deferred::Settle(ack, verdict) => client.settle(ack, verdict),
                    Deferred::Answer(answer) => answer(),
                }),
                // What waits is dropped: neither an acknowledgement nor a name may go out. The task
                // is gone only when the hub has stopped.
                Err(error) => drop(failed.send(error)),
            }
            drop(permits);
        };
        let urgency = if urgent { Urgency::Now } else { Urgency::Interval };
        self.store.submit(changes, urgency, Some(Box::new(done))).await
    }
}

struct Task {
    shared: Arc<Shared>,
    link: broker::Link,
    outlet: Outlet,
    condition: watch::Receiver<store::Condition>,
    clock: Arc<dyn Clock>,
    entropy: Box<dyn FnMut() -> u32 + Send>,
    started: Instant,
    requests: mpsc::Receiver<Request>,
    failures: mpsc::UnboundedReceiver<StoreError>,
    /// Who waits for the end of a command.
    waiting: HashMap<CommandId, oneshot::Sender<Command>>,
}

impl Task {
    async fn run(mut self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RegistryEnded> {
        tokio::pin!(shutdown);
        loop {
            let mut batch = Batch::default();
            let deadline = self.shared.state().deadline();
            // A time-out beyond what an instant can hold never comes.
            let deadline = deadline.and_then(|uptime| self.started.checked_add(uptime));
            let overdue = wait_until(deadline);
            tokio::select! {
                () = &mut shutdown => break,
                Some(error) = self.failures.recv() => return Err(error.into()),
                inbound = self.link.recv() => self.take_burst(inbound?, &mut batch),
                Some(request) = self.requests.recv() => self.answer(request, &mut batch),
                () = overdue => self.turn(&mut batch, State::expire),
            }
            self.outlet.submit(batch).await?;
        }
        while let Some(inbound) = self.link.recv_rest().await? {
            let mut batch = Batch::default();
            self.take_burst(inbound, &mut batch);
            self.outlet.submit(batch).await?;
        }
        self.outlet.store.flush().await?;
        self.failures.try_recv().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Takes in a message and those that wait behind it.
    fn take_burst(&mut self, first: Inbound, batch: &mut Batch) {
        let mut burst = vec![first];
        while burst.len() < BURST_MAX
            && let Some(next) = self.link.try_recv()
        {
            burst.push(next);
        }
        self.turn(batch, |state, turn| {
            for inbound in burst {
                hear(state, &inbound, turn);
            }
        });
    }

    fn answer(&mut self, request: Request, batch: &mut Batch) {
        // An answer that nobody waits for any more is dropped.
        match request {
            Request::Rename { key, name, by, answer } => {
                let renamed = self.turn(batch, |state, turn| state.rename(&key, &name, &by, turn));
                answer_committed(batch, renamed, answer);
            }
            Request::Forget { key, by, answer } => {
                let forgotten = self.turn(batch, |state, turn| state.forget(&key, &by, turn));
                answer_committed(batch, forgotten, answer);
            }
            Request::Replace { key, mac, by, answer } => {
                let replaced = self.turn(batch, |state, turn| state.replace(&key, mac, &by, turn));
                answer_committed(batch, replaced, answer);
            }
            Request::UndoReplacement { key, by, answer } => {
                let undone =
                    self.turn(batch, |state, turn| state.undo_replacement(&key, &by, turn));
                answer_committed(batch, undone, answer);
            }
            Request::SwitchLed { key, on, by, answer } => {
                let issued = self.turn(batch, |state, turn| state.switch_led(&key, on, &by, turn));
                let issued = issued.map(|command| {
                    let (ended, outcome) = oneshot::channel();
                    self.waiting.insert(command.id, ended);
                    Issued { command, outcome }
                });
                drop(answer.send(issued));
            }
            Request::Probe { answer } => drop(answer.send(())),
        }
    }

    /// Feeds the state machine and applies what it asks for.
    fn turn<T>(
        &mut self,
        batch: &mut Batch,
        feed: impl FnOnce(&mut State, &mut Turn<'_>) -> T,
    ) -> T {
        // Before the time itself: a time that was told as a guess is never taken for more.
        let condition = *self.condition.borrow();
        let now = Moment { wall: self.clock.now(), uptime: self.started.elapsed() };
        let mut effects = Vec::new();
        let mut state = self.shared.state();
        state.condition = condition;
        let answer =
            feed(&mut state, &mut Turn { now, entropy: &mut *self.entropy, effects: &mut effects });
        let rest = effects.into_iter().filter_map(|effect| match effect {
            Effect::Event(event) => {
                self.shared.events.publish(event);
                None
            }
            effect => Some(effect),
        });
        let rest: Vec<_> = rest.collect();
        drop(state);
        for effect in rest {
            self.apply(effect, batch);
        }
        answer
    }

    fn apply(&mut self, effect: Effect, batch: &mut Batch) {
        let client = &self.outlet.client;
        match effect {
            Effect::Store(change, urgency) => {
                batch.urgent |= urgency == Urgency::Now;
                batch.changes.push(change);
            }
            Effect::Bind(connection, identity) => client.bind(connection, identity),
            Effect::Publish(message, When::AtOnce) => client.publish(outbound(&message)),
            Effect::Publish(message, When::Committed) => {
                batch.deferred.push(Deferred::Publish(message));
            }
            Effect::Settle(ack, verdict, When::AtOnce) => client.settle(ack, verdict),
            Effect::Settle(ack, verdict, When::Committed) => {
                batch.deferred.push(Deferred::Settle(ack, verdict));
            }
            // Published under the lock already.
            Effect::Event(_) => {}
            Effect::Resolve(command) => {
                if let Some(waiting) = self.waiting.remove(&command.id) {
                    drop(waiting.send(command));
                }
            }
        }
    }
}

/// Feeds one message to the state machine.
fn hear(state: &mut State, inbound: &Inbound, turn: &mut Turn<'_>) {
    let topic = std::str::from_utf8(&inbound.topic)
        .ok()
        .and_then(|topic| topic.parse().ok())
        .filter(|topic: &Topic| topic.is_from_device());
    let (Some(topic), Some(origin)) = (topic, &inbound.origin) else {
        // Not of the protocol, or our own voice: nothing to store, so nothing to wait for.
        turn.settle(inbound.ack, Verdict::Accepted, When::AtOnce);
        return;
    };
    match DeviceMessage::parse(topic, &inbound.payload) {
        Ok(DeviceMessage::Leave(pair)) if inbound.implied => {
            state.connection_ended(&pair, origin, turn);
        }
        Ok(message) => state.message(&message, origin, inbound.ack, turn),
        Err(error) => state.malformed(error, inbound.ack, turn),
    }
}

/// Answers a call at once where it failed, else once what it did is on the medium.
fn answer_committed<T: Send + 'static>(
    batch: &mut Batch,
    result: Result<T, DeviceError>,
    answer: oneshot::Sender<Result<T, DeviceError>>,
) {
    if result.is_err() {
        drop(answer.send(result));
    } else {
        batch.deferred.push(Deferred::Answer(Box::new(move || drop(answer.send(result)))));
    }
}

fn outbound(message: &HubMessage) -> Outbound {
    let topic = message.topic();
    let payload = Bytes::copy_from_slice(message.payload().as_bytes());
    Outbound { topic: topic.as_str(), payload, qos: topic.qos() }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{broker::Broker, config::Settings};
    use std::time::Duration;

    /// Boards that ask for a name while a commit takes its time are all answered at once.
    #[tokio::test]
    async fn answers_to_thousands_of_joins_fit_the_log() {
        let settings = Settings::load(None, []).unwrap();
        let (broker, mut link) = Broker::start(&settings.mqtt).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = crate::store::Options {
            commit_interval: Duration::from_millis(100),
            ..crate::store::Options::default()
        };
        let (store, _) = Store::open(dir.path(), &options).unwrap();
        let (failed, _failures) = mpsc::unbounded_channel();
        let outlet = Outlet::new(broker.client(), store.clone(), failed);
        let pair = "capteur01;1743946777.603371".parse().unwrap();
        let message = HubMessage::NameAssign("61:EC:ED:3B:25:B1".parse().unwrap(), pair);
        let mark = Change::PutMarks(crate::model::Marks::default());
        let consumer = tokio::spawn(async move { link.recv().await });
        for _ in 0..32 {
            // The joins come through the log, too.
            broker.probe().await.unwrap();
            let deferred = (0..BURST_MAX).map(|_| Deferred::Publish(message.clone())).collect();
            let batch = Batch { changes: vec![mark.clone()], urgent: false, deferred };
            outlet.submit(batch).await.unwrap();
        }
        store.flush().await.unwrap();
        broker.probe().await.unwrap();
        consumer.abort();
        let stats = broker.stats();
        assert_eq!(stats.lost_in_log, 0);
        assert_eq!(stats.dropped_no_addressee, 32 * BURST_MAX as u64);
    }
}
