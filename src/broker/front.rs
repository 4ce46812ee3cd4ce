//! What all connections share.

use super::{
    ConnectionId,
    addressing::Addressing,
    error::BrokerEnded,
    lock::lock,
    message::{Draft, Message, Parcel, Sealer, Sender},
    outbound::Delivery,
    packet::Reason,
    retained::Retained,
    session::Session,
    sessions::{Ended, Sessions},
    stats::{Counters, Stats},
    subscriptions::Subscriptions,
    will::DueWill,
    window::Window,
};
use crate::config;
use capteur_protocol::Topic;
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};
use tokio::sync::{Notify, watch};

/// The shared state of the front.
///
/// Locks are taken in this order, and a session's own lock last: `sessions`, `topics`,
/// `addressing`. None is held over an await.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) settings: config::Mqtt,
    pub(crate) sealer: Sealer,
    pub(crate) window: Window,
    pub(crate) sessions: Mutex<Sessions>,
    pub(crate) topics: Mutex<Topics>,
    pub(crate) addressing: Mutex<Addressing>,
    pub(crate) counters: Counters,
    /// Something became due earlier than before.
    pub(crate) rescheduled: Notify,
    /// Sockets that are open, with or without a CONNECT.
    pub(crate) sockets: watch::Sender<usize>,
    /// The server stops.
    stopping: watch::Sender<bool>,
    /// The number of the last probe that came back; closed when the router has ended.
    pub(crate) probes: watch::Sender<u64>,
    next_probe: AtomicU64,
    next_connection: AtomicU64,
    /// Makes client ids that nobody can guess.
    ids: RandomState,
}

/// What topics lead to.
#[derive(Debug)]
pub(crate) struct Topics {
    pub(crate) subscriptions: Subscriptions<Arc<Session>>,
    pub(crate) retained: Retained,
}

impl Front {
    pub(crate) fn new(settings: config::Mqtt, window: Window) -> Self {
        Self {
            sealer: Sealer::new(Instant::now()),
            window,
            sessions: Mutex::new(Sessions::new(settings.max_connections)),
            topics: Mutex::new(Topics {
                subscriptions: Subscriptions::default(),
                retained: Retained::new(settings.max_retained),
            }),
            addressing: Mutex::default(),
            counters: Counters::default(),
            rescheduled: Notify::new(),
            sockets: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            probes: watch::Sender::new(0),
            next_probe: AtomicU64::new(1),
            next_connection: AtomicU64::new(1),
            ids: RandomState::new(),
            settings,
        }
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Relaxed))
    }

    /// A client id for a client that gave none. It can't be guessed, since whoever knows an id can
    /// take its connection over.
    pub(crate) fn assigned_client_id(&self, connection: ConnectionId) -> Arc<str> {
        format!("auto-{:016x}", self.ids.hash_one(connection.0)).into()
    }

    pub(crate) fn stats(&self) -> Stats {
        let (connections, sessions) = {
            let sessions = lock(&self.sessions);
            (sessions.connected(), sessions.len())
        };
        Stats {
            connections: connections as u64,
            sessions: sessions as u64,
            retained: lock(&self.topics).retained.len() as u64,
            ..self.counters.snapshot()
        }
    }

    /// Sends a message through the router that comes back to the front alone.
    pub(crate) async fn probe(&self) -> Result<(), BrokerEnded> {
        let number = self.next_probe.fetch_add(1, Relaxed);
        let mut answers = self.probes.subscribe();
        let draft = Draft {
            topic: "",
            payload: &[],
            properties: &[],
            qos: 0,
            retain: false,
            expires: None,
            ack: None,
            implied: false,
        };
        let sealed = self.sealer.seal(&Sender::Probe(number), &draft);
        self.window.append_overdrawn(sealed)?;
        // The last number of all tells that the router has ended.
        match answers.wait_for(|last| *last >= number).await.as_deref() {
            Ok(&u64::MAX) | Err(_) => Err(BrokerEnded),
            Ok(_) => Ok(()),
        }
    }

    /// The router has ended: whoever waits is told.
    pub(crate) fn end(&self) {
        self.window.close();
        self.probes.send_replace(u64::MAX);
    }

    /// Returns once the router has ended.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = self.probes.subscribe().wait_for(|last| *last == u64::MAX).await;
    }

    /// Tells every connection to end, and lets nobody in from now on.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
        lock(&self.sessions).close();
    }

    /// Returns once the server stops.
    pub(crate) async fn stopping(&self) {
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Publishes a will, as soon as the log has room.
    pub(crate) async fn publish_will(&self, due: DueWill) {
        self.counters.wills.increment();
        let sender = Sender::Client(due.origin);
        let draft = due.will.draft(Instant::now());
        let sealed = self.sealer.seal(&sender, &draft);
        // If the router has ended, so will the process.
        let _ = self.window.append_when_room(sealed).await;
        if let Some(pair) = due.will.speaks_for() {
            // What sounds alive comes from a connection that has ended.
            self.publish_leave(&sender, &pair.to_string()).await;
        }
    }

    /// Publishes a leave on behalf of a device whose connection has ended.
    pub(crate) async fn publish_leave(&self, sender: &Sender, pair: &str) {
        self.counters.implied_leaves.increment();
        let draft = Draft {
            topic: Topic::Leave.as_str(),
            payload: pair.as_bytes(),
            properties: &[],
            qos: Topic::Leave.qos(),
            retain: false,
            expires: None,
            ack: None,
            implied: true,
        };
        let sealed = self.sealer.seal(sender, &draft);
        let _ = self.window.append_when_room(sealed).await;
    }

    /// Forgets the subscriptions of a session that has ended, and publishes its will.
    pub(crate) async fn finish(&self, ended: Ended) {
        if let Some(session) = ended.session {
            let filters = std::mem::take(&mut session.state().filters);
            if !filters.is_empty() {
                let mut topics = lock(&self.topics);
                for filter in filters {
                    topics.subscriptions.remove(&filter, &session);
                }
            }
        }
        if let Some(will) = ended.will {
            self.publish_will(will).await;
        }
    }

    /// Ends sessions and publishes wills when their time comes; never returns.
    pub(crate) async fn keep_house(&self) {
        loop {
            let rescheduled = self.rescheduled.notified();
            let next = {
                let mut sessions = lock(&self.sessions);
                match sessions.expire(Instant::now()) {
                    Some(ended) => Err(ended),
                    None => Ok(sessions.next_deadline()),
                }
            };
            match next {
                Err(ended) => self.finish(ended).await,
                Ok(None) => rescheduled.await,
                Ok(Some(at)) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {}
                        () = rescheduled => {}
                    }
                }
            }
        }
    }

    /// Gives a message that came back from the router to whom it is for.
    pub(crate) fn dispatch(&self, parcel: Parcel) {
        let Parcel { sender, ack, message, .. } = parcel;
        if let Sender::Probe(number) = sender {
            // Probes may overtake each other on their way into the log, and never the end.
            self.probes.send_if_modified(|last| {
                let newer = number > *last;
                *last = number.max(*last);
                newer
            });
            return;
        }
        let message = Arc::new(message);
        let Ok(topic) = std::str::from_utf8(&message.topic) else {
            return;
        };
        let now = Instant::now();
        let known = topic.parse::<Topic>().ok();
        let addressee = match known {
            Some(topic) if !topic.is_from_device() => {
                let addressee = lock(&self.addressing).addressee(topic, &message.payload);
                // A client of the full role hears by its subscriptions.
                addressee.filter(|to| to.role.is_device()).map(|to| (topic, to))
            }
            _ => None,
        };
        let deliveries = {
            let mut topics = lock(&self.topics);
            if message.retain && topics.retained.keep(&message, now).is_err() {
                self.counters.dropped_retained_full.increment();
            }
            matching(&topics.subscriptions, topic, &sender, &message)
        };
        let nobody = addressee.is_none() && deliveries.is_empty();
        if nobody && known.is_some_and(|topic| !topic.is_from_device()) {
            self.counters.dropped_no_addressee.increment();
        }
        for (session, delivery) in deliveries {
            session.deliver(delivery, self.settings.max_queued_messages, &self.counters);
        }
        if let Some((topic, session)) = addressee {
            self.deliver_to_device(topic, &session, &message);
        }
        if let Some(ack) = ack
            && !known.is_some_and(Topic::is_from_device)
        {
            // Nobody but the front has to take this one.
            lock(&self.addressing).settle(ack, Reason::SUCCESS);
        }
    }

    fn deliver_to_device(&self, topic: Topic, session: &Arc<Session>, message: &Arc<Message>) {
        let subscription = session.state().device_subscription(topic).and_then(|one| *one);
        let Some(subscription) = subscription else {
            self.counters.dropped_no_addressee.increment();
            return;
        };
        let delivery = Delivery {
            message: Arc::clone(message),
            qos: message.qos.min(subscription.qos),
            retain: message.retain && subscription.retain_as_published,
            identifiers: subscription.identifier.into_iter().collect(),
        };
        session.deliver(delivery, self.settings.max_queued_messages, &self.counters);
    }
}

/// One delivery for each session with a matching subscription, at the highest QoS of those that
/// match and with all their identifiers (section 3.3.4).
fn matching(
    subscriptions: &Subscriptions<Arc<Session>>,
    topic: &str,
    sender: &Sender,
    message: &Arc<Message>,
) -> Vec<(Arc<Session>, Delivery)> {
    let publisher = match sender {
        Sender::Client(origin) => Some(&origin.client_id),
        _ => None,
    };
    let mut matches = Vec::new();
    subscriptions.matching(topic, |session, options| {
        if !(options.no_local && publisher == Some(&session.client_id)) {
            matches.push((session, options));
        }
    });
    matches.sort_unstable_by_key(|(session, _)| *session);
    matches
        .chunk_by(|(one, _), (other, _)| one == other)
        .filter_map(|matches| {
            let (session, _) = matches.first()?;
            let options = || matches.iter().map(|(_, options)| options);
            let qos = options().map(|options| options.qos).max()?;
            let delivery = Delivery {
                message: Arc::clone(message),
                qos: message.qos.min(qos),
                retain: message.retain && options().any(|options| options.retain_as_published),
                identifiers: options().filter_map(|options| options.identifier).collect(),
            };
            Some((Arc::clone(session), delivery))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{router, tests::settings};

    #[tokio::test]
    async fn a_probe_that_was_overtaken_takes_nothing_back() {
        let front = Front::new(settings(), Window::new(router::start().unwrap().0));
        let probe = |number| Parcel {
            sender: Sender::Probe(number),
            implied: false,
            ack: None,
            message: Message {
                topic: "other".into(),
                payload: "".into(),
                properties: "".into(),
                qos: 0,
                retain: false,
                expires: None,
            },
        };
        front.dispatch(probe(2));
        front.dispatch(probe(1));
        assert_eq!(*front.probes.borrow(), 2);
        front.end();
        front.dispatch(probe(3));
        front.ended().await;
    }
}
