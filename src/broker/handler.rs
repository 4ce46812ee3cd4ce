//! What each packet of a client does.

use super::{
    Ack,
    connection::{Connection, TOPIC_ALIAS_MAXIMUM},
    ending::End,
    lock::lock,
    message::Draft,
    outbound::Delivery,
    packet::{
        FilterRequest, Packet, Publish, Reason, Reply, Subscribe, decode::RetainHandling, encode,
    },
    receipts::Arrival,
    router::Pace,
    session::DeviceSubscription,
    subscriptions::Options,
    topic,
};
use capteur_protocol::Topic;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How many filters a session may have.
const FILTERS_MAX: usize = 1000;

/// How long the topics that a client's aliases stand for may be together, in bytes.
const ALIASED_BYTES_MAX: usize = 4096;

impl Connection {
    /// Does what a packet asks for, and writes what answers it at once.
    pub(super) fn handle(
        &mut self,
        packet: Packet<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        let version = self.wire.version;
        match packet {
            Packet::Publish(publish) => return self.publish(&publish, now),
            Packet::PubAck { id } => self.session.state().outbound.acknowledge(id),
            Packet::PubRec { id, reason } => {
                if let Some(reason) = self.session.state().outbound.receive(id, reason) {
                    encode::reply(out, version, Reply::PubRel, id, reason);
                }
            }
            Packet::PubRel { id } => {
                let known = self.session.state().receipts.release(id);
                let reason = if known { Reason::SUCCESS } else { Reason::PACKET_ID_NOT_FOUND };
                encode::reply(out, version, Reply::PubComp, id, reason);
            }
            Packet::PubComp { id } => self.session.state().outbound.complete(id),
            Packet::Subscribe(subscribe) => {
                let codes = self.subscribe(&subscribe, now);
                encode::suback(out, version, subscribe.id, &codes);
            }
            Packet::Unsubscribe { id, filters } => {
                let codes: Vec<_> =
                    filters.into_iter().map(|filter| self.unsubscribe(filter)).collect();
                encode::unsuback(out, version, id, &codes);
            }
            Packet::PingReq => encode::pingresp(out),
            Packet::Disconnect { reason, session_expiry } => {
                return Err(self.disconnect(reason, session_expiry));
            }
        }
        Ok(())
    }

    fn publish(&mut self, publish: &Publish<'_>, now: Instant) -> Result<(), End> {
        let aliased;
        let topic = if publish.topic.is_empty() {
            aliased = self.aliased(publish.topic_alias)?;
            &*aliased
        } else {
            publish.topic
        };
        if !topic::is_valid_name(topic) {
            return Err(Reason::TOPIC_NAME_INVALID.into());
        }
        if let Some(alias) = publish.topic_alias
            && !publish.topic.is_empty()
        {
            self.set_alias(alias, topic)?;
        }
        let allowed = self.session.role.may_publish(topic);
        let device_topic = topic.parse().ok().filter(|topic: &Topic| topic.is_from_device());
        let mut ack = None;
        if publish.qos > 0 {
            let state = if !allowed {
                Ok(Reason::NOT_AUTHORIZED)
            } else if device_topic.is_some() || publish.retain {
                // A retained message is acknowledged once whoever subscribes next will get it.
                Err(self.next_ack())
            } else {
                Ok(Reason::SUCCESS)
            };
            let arrival = self.session.state().receipts.publish(
                self.wire.version,
                publish.id,
                publish.qos,
                state,
            );
            match arrival {
                Arrival::New => ack = state.err().map(|ack| ack.number),
                Arrival::Repeated => return Ok(()),
                Arrival::TooMany => return Err(Reason::RECEIVE_MAXIMUM_EXCEEDED.into()),
            }
        }
        if !allowed {
            self.front.counters.dropped_not_authorized.increment();
            return Ok(());
        }
        self.front.counters.received(publish.qos).increment();
        if let Some(topic) = device_topic {
            let observed = self.presence.observe(topic, publish.payload);
            if observed.is_err() && self.session.role.is_device() {
                // Nobody could be told of the end of what it says from now on.
                return Err(Reason::NOT_AUTHORIZED.into());
            }
        }
        let draft = Draft {
            topic,
            payload: publish.payload,
            properties: &publish.properties,
            qos: publish.qos,
            retain: publish.retain,
            expires: publish
                .message_expiry
                .and_then(|seconds| now.checked_add(Duration::from_secs(seconds.into()))),
            ack,
            implied: false,
        };
        let sealed = self.front.sealer.seal(&self.sender, &draft);
        let in_a_series = device_topic == Some(Topic::PhotoresistorStatus) && publish.qos == 0;
        self.route(sealed, if in_a_series { Pace::Soon } else { Pace::Now })
    }

    /// The topic that an alias stands for (section 3.3.2.3.4).
    fn aliased(&self, alias: Option<u16>) -> Result<Arc<str>, Reason> {
        let alias = alias.ok_or(Reason::TOPIC_NAME_INVALID)?;
        if !(1..=TOPIC_ALIAS_MAXIMUM).contains(&alias) {
            return Err(Reason::TOPIC_ALIAS_INVALID);
        }
        self.aliases.get(&alias).cloned().ok_or(Reason::PROTOCOL_ERROR)
    }

    fn set_alias(&mut self, alias: u16, topic: &str) -> Result<(), Reason> {
        if !(1..=TOPIC_ALIAS_MAXIMUM).contains(&alias) {
            return Err(Reason::TOPIC_ALIAS_INVALID);
        }
        self.aliases.insert(alias, topic.into());
        // Also of topics that the client may not publish on: what it makes us keep is bounded.
        let bytes: usize = self.aliases.values().map(|topic| topic.len()).sum();
        if bytes > ALIASED_BYTES_MAX { Err(Reason::QUOTA_EXCEEDED) } else { Ok(()) }
    }

    /// The acknowledgement that the next message asks for. Numbers of repetitions stay unused.
    fn next_ack(&mut self) -> Ack {
        self.acks += 1;
        Ack { connection: self.id, number: self.acks }
    }

    fn subscribe(&mut self, subscribe: &Subscribe<'_>, now: Instant) -> Vec<Reason> {
        let filters = subscribe.filters.iter();
        filters
            .map(|request| {
                let granted = self.subscribe_one(request, subscribe.identifier, now);
                granted.map_or_else(|reason| reason, |()| Reason(request.qos))
            })
            .collect()
    }

    fn subscribe_one(
        &mut self,
        request: &FilterRequest<'_>,
        identifier: Option<u32>,
        now: Instant,
    ) -> Result<(), Reason> {
        self.session.role.may_subscribe(request.filter)?;
        if self.session.role.is_device() {
            let mut state = self.session.state();
            let topic = request.filter.parse().ok();
            if let Some(subscription) = topic.and_then(|topic| state.device_subscription(topic)) {
                *subscription = Some(DeviceSubscription {
                    qos: request.qos,
                    identifier,
                    retain_as_published: request.retain_as_published,
                });
            }
            return Ok(());
        }
        let options = Options {
            qos: request.qos,
            no_local: request.no_local,
            retain_as_published: request.retain_as_published,
            identifier,
        };
        let retained = {
            let mut topics = lock(&self.front.topics);
            let mut state = self.session.state();
            if state.filters.len() >= FILTERS_MAX
                && !state.filters.iter().any(|known| **known == *request.filter)
            {
                return Err(Reason::QUOTA_EXCEEDED);
            }
            let session = Arc::clone(&self.session);
            let new = topics.subscriptions.insert(request.filter, session, options);
            if new {
                state.filters.push(request.filter.into());
            }
            drop(state);
            match request.retain_handling {
                RetainHandling::DontSend => Vec::new(),
                RetainHandling::SendIfNew if !new => Vec::new(),
                _ => topics.retained.matching(request.filter, now),
            }
        };
        for message in retained {
            let delivery = Delivery {
                qos: message.qos.min(request.qos),
                retain: true,
                identifiers: identifier.into_iter().collect(),
                message,
            };
            let max_queued = self.front.settings.max_queued_messages;
            self.session.deliver(delivery, max_queued, &self.front.counters);
        }
        Ok(())
    }

    fn unsubscribe(&self, filter: &str) -> Reason {
        let removed = if self.session.role.is_device() {
            let mut state = self.session.state();
            let topic = filter.parse().ok();
            topic
                .and_then(|topic| state.device_subscription(topic))
                .and_then(Option::take)
                .is_some()
        } else {
            let removed = lock(&self.front.topics).subscriptions.remove(filter, &self.session);
            self.session.state().filters.retain(|known| **known != *filter);
            removed
        };
        if removed { Reason::SUCCESS } else { Reason::NO_SUBSCRIPTION_EXISTED }
    }

    fn disconnect(&mut self, reason: Reason, session_expiry: Option<u32>) -> End {
        if let Some(seconds) = session_expiry {
            // A session that was to end can't be kept after all ([MQTT-3.14.2-2] and after it).
            if self.session_expiry == 0 && seconds > 0 {
                return Reason::PROTOCOL_ERROR.into();
            }
            self.session_expiry = seconds.min(self.front.settings.max_session_expiry_s);
        }
        if reason == Reason::SUCCESS { End::Left } else { End::LeftWithWill }
    }
}
