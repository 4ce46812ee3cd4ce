//! The MQTT server: our own front over rumqttd's router. (Stub: replaced by the broker room.)

use crate::config;
use bytes::Bytes;
use capteur_protocol::{Mac, Pair};
use std::{future::Future, net::IpAddr, sync::Arc};
use tokio::net::TcpListener;

/// A connection's number: never used again within one run of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Who published a message that came in through the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The connection that it came in on (for a will: the one that ended).
    pub connection: ConnectionId,
    /// The client id in CONNECT, or the one that was assigned.
    pub client_id: Arc<str>,
    /// The client's network address.
    pub address: IpAddr,
}

/// A message as the in-process client receives it.
#[derive(Debug)]
pub struct Inbound {
    /// Who published it; `None` for in-process publishers.
    pub origin: Option<Origin>,
    /// The topic: valid UTF-8 without wildcards.
    pub topic: Bytes,
    /// The payload.
    pub payload: Bytes,
    /// To be settled once what the message carries is on the medium; `None` where the publisher
    /// waits for nothing (QoS 0, wills, in-process).
    pub ack: Option<Ack>,
}

/// A publisher that waits for its PUBACK or PUBREC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The connection that waits.
    pub connection: ConnectionId,
    /// Which of its publishes: counts up from 1 on each connection.
    pub number: u64,
}

/// What the publisher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Taken, and on the medium where it had to be (reason code 0x00).
    Accepted,
    /// Refused: published under another's identity (0x87, MQTT 5 section 2.4).
    NotAuthorized,
    /// Refused: not a payload of the protocol (0x99).
    PayloadFormatInvalid,
}

/// Who a device connection is, as the registry tells the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `state/nameAssign` for this MAC goes to this connection.
    pub mac: Mac,
    /// `led/command` for this pair goes to this connection.
    pub pair: Option<Pair>,
}

/// A message of an in-process publisher.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// The topic.
    pub topic: &'static str,
    /// The payload.
    pub payload: Bytes,
    /// The QoS at which it is delivered where the subscription allows: 0, 1 or 2.
    pub qos: u8,
}

/// The router or the front has ended: the process has to.
#[derive(Debug, thiserror::Error)]
#[error("the broker has ended")]
pub struct BrokerEnded;

/// The broker could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

/// The MQTT server.
#[derive(Debug, Clone)]
pub struct Broker {}

impl Broker {
    /// Starts the router and ties the front and one in-process client to it.
    pub fn start(settings: &config::Mqtt) -> Result<(Self, Link), StartError> {
        let _ = settings;
        Err(StartError("stub".into()))
    }

    /// Accepts connections until `shutdown`, then tells every client and closes.
    ///
    /// # Errors
    ///
    /// [`BrokerEnded`] when the router has died.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), BrokerEnded> {
        let _ = (listener, shutdown);
        Err(BrokerEnded)
    }

    /// Sends a message of our own through the router and waits until it comes back: proof that
    /// router and front make progress.
    pub async fn probe(&self) -> Result<(), BrokerEnded> {
        Err(BrokerEnded)
    }

    /// The handle through which in-process code publishes and settles.
    pub fn client(&self) -> Client {
        Client {}
    }
}

/// The receiving end of the in-process client.
#[derive(Debug)]
pub struct Link {}

impl Link {
    /// The next message, in the order in which the router took them. What is returned counts as
    /// consumed when `recv` is called again.
    ///
    /// # Errors
    ///
    /// [`BrokerEnded`] when the router has died.
    pub async fn recv(&mut self) -> Result<Inbound, BrokerEnded> {
        Err(BrokerEnded)
    }

    /// Like [`recv`](Self::recv), but `None` at once where nothing waits: lets the caller take a burst as one.
    pub fn try_recv(&mut self) -> Option<Inbound> {
        None
    }
}

/// What in-process code may do with the broker; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {}

impl Client {
    /// Publishes; never waits.
    pub fn publish(&self, message: Outbound) {
        let _ = message;
    }

    /// Says who a connection is. Holds for what is published after it. Replaces what the
    /// connection was; an address (MAC, pair) moves from the connection that had it.
    pub fn bind(&self, connection: ConnectionId, identity: Identity) {
        let _ = (connection, identity);
    }

    /// Sends the PUBACK or PUBREC that a publisher waits for. PUBACKs leave a connection in the order of its
    /// publishes, whatever the order of these calls.
    pub fn settle(&self, ack: Ack, verdict: Verdict) {
        let _ = (ack, verdict);
    }
}
