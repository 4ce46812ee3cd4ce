//! The in-process client: receives what devices publish, publishes, binds and settles.

use super::{
    Ack, ConnectionId, Identity, Inbound, Outbound, Verdict,
    dispatch::Gaps,
    error::BrokerEnded,
    front::Front,
    lock::lock,
    message::{Draft, Sender},
    packet::Reason,
    router::{Entry, Reader},
    window::Side,
};
use capteur_protocol::Topic;
use std::{fmt, sync::Arc};

/// The receiving end of the in-process client: the five topics that devices publish on.
pub struct Link {
    front: Arc<Front>,
    reader: Reader,
    gaps: Gaps,
    /// The offset up to which messages were returned, and now count as consumed.
    returned: Option<u64>,
}

impl Link {
    pub(super) fn new(front: Arc<Front>, reader: Reader) -> Self {
        Self { front, reader, gaps: Gaps::default(), returned: None }
    }

    /// The next message, in the order in which the router took them. What is returned counts as
    /// consumed when this or [`try_recv`](Self::try_recv) is called again; while much is not
    /// consumed, the sockets are not read. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`BrokerEnded`] when the router has died.
    pub async fn recv(&mut self) -> Result<Inbound, BrokerEnded> {
        self.consume();
        loop {
            // A reader that is never empty never waits: others have to get their turn.
            tokio::task::consume_budget().await;
            let entry = self.reader.next().await?;
            if let Some(inbound) = self.open(entry) {
                return Ok(inbound);
            }
        }
    }

    /// Like [`recv`](Self::recv), but `None` at once where nothing waits: lets the caller take a
    /// burst as one.
    pub fn try_recv(&mut self) -> Option<Inbound> {
        self.consume();
        loop {
            let entry = self.reader.try_next()?;
            if let Some(inbound) = self.open(entry) {
                return Some(inbound);
            }
        }
    }

    /// Like [`recv`](Self::recv), but `None` once everything was received that had been published
    /// by then: nothing waits in the router's thread any more, as something may where
    /// [`try_recv`](Self::try_recv) finds nothing.
    ///
    /// # Errors
    ///
    /// [`BrokerEnded`] when the router has died.
    pub async fn recv_rest(&mut self) -> Result<Option<Inbound>, BrokerEnded> {
        self.consume();
        while self.gaps.next() < self.front.window.end() {
            let entry = self.reader.next().await?;
            if let Some(inbound) = self.open(entry) {
                return Ok(Some(inbound));
            }
        }
        Ok(None)
    }

    fn consume(&mut self) {
        if let Some(offset) = self.returned.take() {
            self.front.window.consumed(Side::Process, offset);
        }
    }

    /// What the client gets of an entry; what is not for it is consumed at once.
    fn open(&mut self, entry: Entry) -> Option<Inbound> {
        let Entry { offset, sealed } = entry;
        self.front.counters.lost_in_log.add(self.gaps.before(offset));
        let is_from_device = std::str::from_utf8(&sealed.topic)
            .is_ok_and(|topic| topic.parse().is_ok_and(Topic::is_from_device));
        let parcel = if is_from_device {
            self.front.sealer.open(sealed.topic, sealed.payload)
        } else {
            None
        };
        let Some(parcel) = parcel else {
            self.front.window.consumed(Side::Process, offset + 1);
            return None;
        };
        self.returned = Some(offset + 1);
        Some(Inbound {
            origin: match parcel.sender {
                Sender::Client(origin) => Some(origin),
                Sender::Process | Sender::Probe(_) => None,
            },
            topic: parcel.message.topic,
            payload: parcel.message.payload,
            ack: parcel.ack,
            implied: parcel.implied,
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.front.window.leave(Side::Process);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// What in-process code may do with the broker; cheap to clone.
#[derive(Clone)]
pub struct Client {
    front: Arc<Front>,
}

impl Client {
    pub(super) const fn new(front: Arc<Front>) -> Self {
        Self { front }
    }

    /// Publishes; never waits. After the router's end it does nothing, which the receiving end
    /// and [`serve`](super::Broker::serve) tell.
    pub fn publish(&self, message: Outbound) {
        let Outbound { topic, payload, qos } = message;
        let draft = Draft {
            topic,
            payload: &payload,
            properties: &[],
            qos: qos.min(2),
            retain: false,
            expires: None,
            ack: None,
            implied: false,
        };
        let sealed = self.front.sealer.seal(&Sender::Process, &draft);
        let _ = self.front.window.append_overdrawn(sealed);
    }

    /// Says who a connection is. Holds for what is published after it. Replaces what the
    /// connection was; an address (MAC, pair) moves from the connection that had it. Does nothing
    /// for a connection that has ended.
    pub fn bind(&self, connection: ConnectionId, identity: Identity) {
        lock(&self.front.addressing).bind(connection, identity);
    }

    /// Sends the PUBACK or PUBREC that a publisher waits for. They leave a connection in the order
    /// of its publishes, whatever the order of these calls. Does nothing for a connection that
    /// has ended, except that a QoS 2 exchange of a session that goes on is remembered as settled.
    pub fn settle(&self, ack: Ack, verdict: Verdict) {
        let reason = match verdict {
            Verdict::Accepted => Reason::SUCCESS,
            Verdict::NotAuthorized => Reason::NOT_AUTHORIZED,
            Verdict::PayloadFormatInvalid => Reason::PAYLOAD_FORMAT_INVALID,
            Verdict::QuotaExceeded => Reason::QUOTA_EXCEEDED,
        };
        lock(&self.front.addressing).settle(ack, reason);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Broker, Origin, tests::settings};

    #[tokio::test]
    async fn what_was_published_before_the_end_is_received_to_the_last() {
        let (broker, mut link) = Broker::start(&settings()).unwrap();
        let origin = Origin {
            connection: ConnectionId(1),
            client_id: "a".into(),
            address: [127, 0, 0, 1].into(),
            mac: None,
        };
        let payload = b"capteur01;1743946777.603371";
        let leave = Draft {
            topic: Topic::Leave.as_str(),
            payload,
            properties: &[],
            qos: 0,
            retain: false,
            expires: None,
            ack: None,
            implied: false,
        };
        // More than the router hands over at once, and not all of it for the client.
        for _ in 0..1000 {
            let other = Draft { topic: "other", ..leave };
            for draft in [leave, other] {
                let sealed = broker.front.sealer.seal(&Sender::Client(origin.clone()), &draft);
                broker.front.window.append_overdrawn(sealed).unwrap();
            }
        }
        let mut received = 0;
        while link.recv_rest().await.unwrap().is_some() {
            received += 1;
        }
        assert_eq!(received, 1000);
    }
}
