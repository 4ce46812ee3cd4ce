//! One MQTT connection, bounded in time.

use crate::{
    fault::{Fault, Step},
    identity::Identity,
    io::Connector,
    liveness::{Liveness, Wire},
    settings::Settings,
};
use capteur_protocol::{DeviceMessage, HubMessage, ParseError, Topic};
use core::fmt::Debug;
use embassy_time::{Duration, Instant, with_deadline, with_timeout};
use embedded_io_async::{Read, Write};
use minimq::{
    ConfigBuilder, Connection, Error, Op, PeerError, PubError, Publication, QoS, ReasonCode,
    Session, SubscriptionOptions, TopicFilter, Will,
};

/// Room for one incoming packet. The largest of the protocol, an assignment at QoS 2, has 90 bytes;
/// the rest is for properties. The broker is told, and keeps anything larger to itself.
const RX_LEN: usize = 256;

/// Room for seven unacknowledged packets of at most 70 bytes, one of the backlog's 230 and what is
/// written at the moment, at most the 245 of `state/info`; the will keeps its own.
const TX_LEN: usize = 1024;

/// What the MQTT client works in. Lives as long as the board and is lent to each connection.
#[derive(Debug)]
pub(crate) struct Buffers {
    rx: [u8; RX_LEN],
    tx: [u8; TX_LEN],
}

impl Buffers {
    pub(crate) const fn new() -> Self {
        Self { rx: [0; RX_LEN], tx: [0; TX_LEN] }
    }
}

/// The MQTT session of one connection.
///
/// A new one for each: it keeps its will for life. `will` is what the broker publishes on
/// `state/leave` when the connection is lost.
pub(crate) fn session<'b>(
    buffers: &'b mut Buffers,
    identity: &'b Identity,
    settings: &Settings,
    will: Option<&'b [u8]>,
) -> Result<Session<'b>, Fault> {
    let mut config = ConfigBuilder::new(minimq::Buffers::new(&mut buffers.rx, &mut buffers.tx))
        .client_id(identity.client_id())
        .map_err(|_| Fault::Capacity)?
        .keepalive_interval(settings.keep_alive.as_secs());
    if let Some((user_name, password)) = identity.credentials() {
        config = config.auth(user_name, password).map_err(|_| Fault::Capacity)?;
    }
    let Some(payload) = will else { return Ok(Session::new(config)) };
    Will::new(Topic::Leave.as_str(), payload, &[])
        .and_then(|will| config.will(will.qos(qos(Topic::Leave))))
        .map(Session::new)
        .map_err(|_| Fault::Capacity)
}

fn qos(topic: Topic) -> QoS {
    match topic.qos() {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// One MQTT connection.
///
/// Only [`next`](Self::next) reads from it, so no message can be lost in a place that waits for
/// something else; and it may stand in a `select`. The others write, may not be cancelled, and
/// end in time by themselves. After any [`Fault`] the link must be dropped.
pub(crate) struct Link<'s, 'b, S> {
    connection: Connection<'s, 'b, Wire<'s, S>>,
    liveness: &'s Liveness,
    timeout: Duration,
    step: Step,
    /// Whether the hub has said that it has no room, and nobody has asked since.
    full: bool,
}

impl<'s, 'b, S: Read + Write> Link<'s, 'b, S> {
    /// Opens a stream and makes the MQTT handshake on it.
    pub(crate) async fn connect<C: Connector<Stream<'s> = S>>(
        connector: &'s mut C,
        session: &'s mut Session<'b>,
        liveness: &'s Liveness,
        settings: &Settings,
        step: Step,
    ) -> Result<Self, Fault> {
        let stream = match with_timeout(settings.open_timeout, connector.open()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                log::debug!("no stream: {error:?}");
                return Err(Fault::Unreachable);
            }
            Err(_) => return Err(Fault::TimedOut(Step::Open)),
        };
        let timeout = settings.io_timeout;
        let handshake = session.connect(Wire::new(stream, liveness));
        let connection = bounded(timeout, Step::Connect, handshake).await?;
        Ok(Self { connection, liveness, timeout, step, full: false })
    }

    /// Tells the link what the board is doing, for the faults to come.
    pub(crate) fn enter(&mut self, step: Step) {
        self.step = step;
    }

    /// Sends a SUBSCRIBE for these topics.
    pub(crate) async fn subscribe<const N: usize>(
        &mut self,
        topics: [Topic; N],
    ) -> Result<Op, Fault> {
        let filters = topics.map(|topic| {
            let options = SubscriptionOptions::default().maximum_qos(qos(topic));
            TopicFilter::new(topic.as_str()).options(options)
        });
        bounded(self.timeout, self.step, self.connection.subscribe(&filters, &[])).await
    }

    /// Whether the broker has not yet answered this.
    pub(crate) fn is_pending(&self, op: Op) -> bool {
        self.connection.is_pending(&op)
    }

    /// Whether [`publish`](Self::publish) has room for a message on this topic. If not,
    /// [`next`](Self::next) will return when that may have changed.
    pub(crate) fn can_publish(&self, topic: Topic) -> bool {
        self.connection.can_publish(qos(topic))
    }

    /// Publishes at the quality of service that the protocol gives to the topic; returns what to
    /// ask [`is_pending`](Self::is_pending) for, at QoS 1 and 2.
    pub(crate) async fn publish(&mut self, message: &DeviceMessage) -> Result<Option<Op>, Fault> {
        self.liveness.check(Instant::now())?;
        let topic = message.topic();
        let payload = message.payload();
        let publication = Publication::text(topic.as_str(), &payload).qos(qos(topic));
        let written = async {
            self.connection.publish(publication).await.map_err(|error| match error {
                PubError::Session(error) => error,
                // The payload has no room.
                PubError::Payload(()) => Error::NotReady,
            })
        };
        bounded(self.timeout, self.step, written).await
    }

    /// Waits for the next message of the hub. `None` stands for anything else that happened: an
    /// acknowledgement, a ping, a message that can't be understood.
    pub(crate) async fn next(&mut self) -> Result<Option<HubMessage>, Fault> {
        let step = self.step;
        let event = loop {
            let Some(idle_at) = self.liveness.idle_at() else { break self.connection.poll().await };
            if Instant::now() < idle_at {
                break match with_deadline(idle_at, self.connection.poll()).await {
                    Ok(event) => event,
                    Err(_) => return Ok(None),
                };
            }
            // Anything that changes nothing and can be cancelled would do.
            self.subscribe([Topic::NameAssign]).await?;
        };
        if matches!(event, Err(Error::Peer(PeerError::Rejected(ReasonCode::QuotaExceeded)))) {
            // The connection goes on, and what was reported was heard.
            self.full = true;
            return Ok(None);
        }
        let Some(message) = event.map_err(|error| fault(step, &error))? else {
            return Ok(None);
        };
        let read = |topic: Topic| HubMessage::parse(topic, message.payload());
        match message.topic().parse().and_then(read) {
            Ok(message) => Ok(Some(message)),
            Err(error) => {
                ignored(message.topic(), error);
                Ok(None)
            }
        }
    }

    /// Whether the hub has just refused something because it has no room for readings.
    pub(crate) fn take_full(&mut self) -> bool {
        core::mem::take(&mut self.full)
    }

    /// Publishes one more message and waits until the hub has it, or until it takes too long.
    pub(crate) async fn say_last(&mut self, message: &DeviceMessage) {
        let timeout = self.timeout;
        let said = async {
            while !self.can_publish(message.topic()) {
                self.next().await?;
            }
            let op = self.publish(message).await?;
            while op.is_some_and(|op| self.is_pending(op)) {
                self.next().await?;
            }
            Ok::<_, Fault>(())
        };
        // The connection ends either way, and its will says the same.
        let _ = with_timeout(timeout, said).await;
    }

    /// Ends the connection in order: the broker forgets the will.
    pub(crate) async fn disconnect(mut self) {
        // Nothing more is wanted of this connection, so a failure changes nothing.
        let _ = bounded(self.timeout, self.step, self.connection.disconnect()).await;
    }
}

/// The payload itself may hold a session id, and stays out of the log.
fn ignored(topic: &str, error: ParseError) {
    log::warn!("ignored a message on {topic}: {error}");
}

async fn bounded<T, E: Debug>(
    timeout: Duration,
    step: Step,
    work: impl Future<Output = Result<T, Error<E>>>,
) -> Result<T, Fault> {
    match with_timeout(timeout, work).await {
        Ok(done) => done.map_err(|error| fault(step, &error)),
        Err(_) => Err(Fault::TimedOut(step)),
    }
}

fn fault<E: Debug>(step: Step, error: &Error<E>) -> Fault {
    log::debug!("{step}: {error:?}");
    match error {
        Error::Peer(PeerError::Rejected(_)) => Fault::Refused(step),
        Error::NotReady | Error::Resource(_) | Error::InvalidRequest => Fault::Capacity,
        _ => Fault::Lost(step),
    }
}
