//! The MQTT server: our own front over rumqttd's router.
//!
//! The front owns sockets, both protocol levels, sessions, wills, QoS, retained messages and
//! access. Every message goes through one log of the router, which two readers follow: the front,
//! which delivers to its sessions, and the in-process client. So both see one order, and an
//! acknowledgement can wait for the in-process client to say that a message is stored.
//!
//! # Layout
//!
//! From a socket inwards:
//!
//! - `listener`: accepts sockets; the server's start and stop
//! - `handshake`: from an open socket to a session
//! - `connection`: one client's task: bytes in, bytes out, time-outs
//! - `ending`: how connections end
//! - `handler`: what each packet does
//! - `packet`: packets from and to bytes
//! - `access`: who may do what
//!
//! What a client has:
//!
//! - `session`, `sessions`: state over all connections of a client; take-over and expiry
//! - `receipts`: what it published and waits for
//! - `outbound`: what waits for it
//! - `will`, `presence`: what is published when it is gone
//!
//! Messages:
//!
//! - `message`: messages, and how they are sealed for the router
//! - `router`: the one file that names rumqttd's router
//! - `window`: permits, so that the router's log never wraps over what was not consumed
//! - `front`, `dispatch`: what all connections share; messages to their receivers
//! - `topic`, `subscriptions`, `retained`: names, filters, and what they lead to
//! - `addressing`: messages that name one device
//! - `link`: the in-process client
//!
//! - `stats`, `error`, `lock`: counters, errors, locks

mod access;
mod addressing;
mod connection;
mod dispatch;
mod ending;
mod error;
mod front;
mod handler;
mod handshake;
mod link;
mod listener;
mod lock;
mod message;
mod outbound;
mod packet;
mod presence;
mod receipts;
mod retained;
mod router;
mod session;
mod sessions;
mod stats;
mod subscriptions;
mod topic;
mod will;
mod window;

pub use error::{BrokerEnded, StartError};
pub use link::{Client, Link};
pub use stats::Stats;

use crate::{config, model::MasterKey};
use bytes::Bytes;
use capteur_protocol::{Mac, Pair};
use front::Front;
use std::{fmt, future::Future, net::IpAddr, sync::Arc};
use tokio::{net::TcpListener, runtime::Handle};
use tracing::warn;
use window::Window;

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
    /// The MAC that the client has proven to be its own, where boards have to.
    pub mac: Option<Mac>,
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
    /// Whether the front says this on behalf of a connection that ended without saying it: a leave
    /// (`state/leave`) for a pair that was spoken under on that connection.
    pub implied: bool,
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
    /// Refused: there is no room to store it (0x97, MQTT 5 sections 3.4.2.1 and 3.5.2.1).
    ///
    /// 3.1.1 can't refuse, and an acknowledgement would say that it is stored: there is none, and
    /// after a while the connection is closed, as for any transient error ([MQTT-4.8.0-2] there),
    /// so that the client sends it again.
    QuotaExceeded,
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

/// The MQTT server.
#[derive(Clone)]
pub struct Broker {
    front: Arc<Front>,
}

impl Broker {
    /// Starts the router and ties the front and one in-process client to it.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the router refuses, or outside a Tokio runtime.
    pub fn start(settings: &config::Mqtt) -> Result<(Self, Link), StartError> {
        if settings.device_key.as_ref().is_some_and(MasterKey::is_short) {
            warn!("the setting `mqtt.device_key` is so short that it can be found by trying");
        }
        let runtime = Handle::try_current().map_err(|error| StartError(error.to_string()))?;
        let (writer, [reader, process]) = router::start()?;
        let front = Arc::new(Front::new(settings.clone(), Window::new(writer)));
        runtime.spawn(dispatch::run(Arc::clone(&front), reader));
        runtime.spawn(dispatch::keep_house(Arc::clone(&front)));
        let pacer = Arc::clone(&front);
        runtime.spawn(async move { pacer.window.keep_pace().await });
        let link = Link::new(Arc::clone(&front), process);
        Ok((Self { front }, link))
    }

    /// Accepts connections until `shutdown`, then tells every client, publishes the wills and
    /// closes. Returns even if some connection can't be closed within a few seconds, as happens
    /// when nobody receives from the [`Link`] any more.
    ///
    /// # Errors
    ///
    /// [`BrokerEnded`] when the router has died.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), BrokerEnded> {
        listener::serve(&self.front, listener, shutdown).await
    }

    /// Sends a message of our own through the router and waits until it comes back: proof that
    /// router and front make progress.
    ///
    /// # Errors
    ///
    /// [`BrokerEnded`] when the router has died.
    pub async fn probe(&self) -> Result<(), BrokerEnded> {
        self.front.probe().await
    }

    /// The handle through which in-process code publishes and settles.
    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.front))
    }

    /// What has been counted so far.
    pub fn stats(&self) -> Stats {
        self.front.stats()
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Anonymous;
    use message::Sealed;

    pub(super) fn settings() -> config::Mqtt {
        config::Mqtt {
            listen: ([127, 0, 0, 1], 0).into(),
            anonymous: Anonymous::Full,
            device_key: None,
            max_connections: 10,
            max_packet_bytes: 1024,
            connect_timeout_ms: 10_000,
            write_timeout_ms: 10_000,
            max_session_expiry_s: 10,
            max_queued_messages: 10,
            max_retained: 10,
        }
    }

    #[tokio::test]
    async fn everybody_is_told_when_the_router_dies() {
        let (broker, mut link) = Broker::start(&settings()).unwrap();
        let listener = TcpListener::bind(settings().listen).await.unwrap();
        let front = broker.clone();
        let served =
            tokio::spawn(async move { front.serve(listener, std::future::pending()).await });
        broker.probe().await.unwrap();
        // A topic that the router's own matching panics on; nothing else would let it through.
        let deadly = Sealed { topic: "é".into(), payload: "x".into() };
        broker.front.window.append_overdrawn(deadly).unwrap();
        assert!(link.recv().await.is_err());
        assert!(served.await.unwrap().is_err());
        assert!(broker.probe().await.is_err());
    }

    #[test]
    fn starting_outside_a_runtime_is_an_error() {
        assert!(Broker::start(&settings()).is_err());
    }
}
