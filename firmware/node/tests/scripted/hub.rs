//! The hub's end of a connection, on a real MQTT 5 codec.

use crate::{
    air::{End, Port},
    board::MAC_TEXT,
};
use bytes::{Buf, BytesMut};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Read, Write};
use rumqttc::v5::mqttbytes::{
    Error, QoS,
    v5::{
        ConnAck, Connect, ConnectReturnCode, Disconnect, DisconnectReasonCode, LastWill, Login,
        Packet, PingResp, PubAck, PubAckReason, PubComp, PubRec, PubRel, Publish, SubAck,
        SubscribeReasonCode,
    },
};

/// What a board did.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Did {
    Connect(Connect, Option<LastWill>),
    Subscribe(Vec<(String, QoS)>),
    Publish(String, QoS, String),
    Ping,
    Disconnect,
    /// The stream ended.
    Close,
}

/// A connected board, as the hub sees it.
pub(crate) struct Peer {
    stream: End,
    buffer: BytesMut,
    next_id: u16,
    /// What the hub answers to CONNECT.
    pub(crate) connack: ConnectReturnCode,
    /// What the board has shown to be let in.
    pub(crate) login: Option<Login>,
    /// What the hub answers to QoS 1 publications.
    pub(crate) puback: PubAckReason,
    /// What the hub answers to a backlog, where that is something else.
    pub(crate) backlog_puback: Option<PubAckReason>,
    /// Whether the hub leaves backlogs unacknowledged.
    pub(crate) forgets_backlogs: bool,
    /// What the hub answers to SUBSCRIBE.
    pub(crate) suback: Option<SubscribeReasonCode>,
    /// Subscriptions that the hub keeps the board waiting for, if it does so.
    pub(crate) unsubscribed: Option<Vec<SubAck>>,
    /// Publications at QoS 1 and 2 that the hub keeps the board waiting for, if it does so.
    pub(crate) withheld: Option<Vec<(u16, QoS)>>,
}

impl Peer {
    /// Waits for a board to open a stream.
    pub(crate) async fn accept(port: &Port) -> Self {
        Self {
            stream: port.accept().await,
            buffer: BytesMut::new(),
            next_id: 0,
            connack: ConnectReturnCode::Success,
            login: None,
            puback: PubAckReason::Success,
            backlog_puback: None,
            forgets_backlogs: false,
            suback: None,
            unsubscribed: None,
            withheld: None,
        }
    }

    /// Waits for a board to connect, for at most a minute, and lets it in.
    pub(crate) async fn connected(port: &Port) -> (Self, Connect, Option<LastWill>) {
        let accepted = with_timeout(Duration::from_secs(60), Self::accept(port)).await;
        let mut peer = accepted.expect("a board connects within a minute");
        match peer.next().await {
            Did::Connect(connect, will) => (peer, connect, will),
            other => panic!("a CONNECT comes first, not {other:?}"),
        }
    }

    /// Gives a board a name and a session, up to where its pair is on `state/join`.
    pub(crate) async fn admit(port: &Port, pair: &str) -> Self {
        Self::name(port, pair).await;
        Self::start(port, pair).await
    }

    /// Gives a board a name and a session, up to where it hangs up to come again with its will.
    pub(crate) async fn name(port: &Port, pair: &str) {
        let (mut peer, _, will) = Self::connected(port).await;
        assert_eq!(will, None);
        assert_eq!(peer.published("state/join").await, MAC_TEXT);
        peer.assign(pair).await;
        peer.until(|did| *did == Did::Disconnect).await;
    }

    /// Waits for a board that has its pair already to start its session.
    pub(crate) async fn start(port: &Port, pair: &str) -> Self {
        let (mut peer, _, will) = Self::connected(port).await;
        assert_eq!(will.expect("a will").message, pair.as_bytes());
        assert_eq!(peer.published("state/join").await, pair);
        peer
    }

    /// What the board does next; the hub has answered it already, as the standard asks.
    pub(crate) async fn next(&mut self) -> Did {
        loop {
            match self.read().await {
                None => return Did::Close,
                Some(Packet::Connect(connect, will, login)) => {
                    self.login = login;
                    let code = self.connack;
                    let ack = ConnAck { session_present: false, code, properties: None };
                    self.write(Packet::ConnAck(ack)).await;
                    return Did::Connect(connect, will);
                }
                Some(Packet::Subscribe(subscribe)) => {
                    let granted = |qos| self.suback.unwrap_or(SubscribeReasonCode::Success(qos));
                    let return_codes = subscribe.filters.iter().map(|f| granted(f.qos)).collect();
                    let ack = SubAck { pkid: subscribe.pkid, return_codes, properties: None };
                    match &mut self.unsubscribed {
                        Some(unsubscribed) => unsubscribed.push(ack),
                        None => self.write(Packet::SubAck(ack)).await,
                    }
                    let filters = subscribe.filters.into_iter().map(|f| (f.path, f.qos));
                    return Did::Subscribe(filters.collect());
                }
                Some(Packet::Publish(publish)) => {
                    assert!(!publish.retain && !publish.dup);
                    let usual = self.puback;
                    let is_backlog = publish.topic == "photoresistor/backlog";
                    match &mut self.withheld {
                        Some(withheld) => withheld.push((publish.pkid, publish.qos)),
                        None if is_backlog && self.forgets_backlogs => {}
                        None => {
                            self.puback =
                                self.backlog_puback.filter(|_| is_backlog).unwrap_or(usual);
                            self.acknowledge(publish.pkid, publish.qos).await;
                            self.puback = usual;
                        }
                    }
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    return Did::Publish(text(&publish.topic), publish.qos, text(&publish.payload));
                }
                Some(Packet::PubRec(rec)) => {
                    self.write(Packet::PubRel(PubRel::new(rec.pkid, None))).await;
                }
                Some(Packet::PubRel(rel)) => {
                    self.write(Packet::PubComp(PubComp::new(rel.pkid, None))).await;
                }
                Some(Packet::PingReq(_)) => {
                    self.write(Packet::PingResp(PingResp)).await;
                    return Did::Ping;
                }
                Some(Packet::Disconnect(_)) => return Did::Disconnect,
                Some(Packet::PubAck(_) | Packet::PubComp(_)) => {}
                Some(other) => panic!("a board does not send {other:?}"),
            }
        }
    }

    /// Sends the board away, and hangs up.
    pub(crate) async fn send_away(mut self, reason_code: DisconnectReasonCode) {
        self.write(Packet::Disconnect(Disconnect { reason_code, properties: None })).await;
    }

    /// Acknowledges what was withheld, and withholds nothing more.
    pub(crate) async fn release(&mut self) {
        for ack in self.unsubscribed.take().unwrap_or_default() {
            self.write(Packet::SubAck(ack)).await;
        }
        for (id, qos) in self.withheld.take().unwrap_or_default() {
            self.acknowledge(id, qos).await;
        }
    }

    async fn acknowledge(&mut self, id: u16, qos: QoS) {
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => {
                let mut ack = PubAck::new(id, None);
                ack.reason = self.puback;
                self.write(Packet::PubAck(ack)).await;
            }
            QoS::ExactlyOnce => self.write(Packet::PubRec(PubRec::new(id, None))).await,
        }
    }

    /// Reads on until the board has done this; a minute at most.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Did) -> bool) -> Did {
        let search = async {
            loop {
                let did = self.next().await;
                if wanted(&did) {
                    return did;
                }
                assert_ne!(did, Did::Close, "the board hung up");
            }
        };
        with_timeout(Duration::from_secs(60), search).await.expect("within a minute")
    }

    /// The payload of the next publication on this topic.
    pub(crate) async fn published(&mut self, wanted: &str) -> String {
        match self.until(|did| matches!(did, Did::Publish(topic, ..) if topic == wanted)).await {
            Did::Publish(_, _, payload) => payload,
            _ => unreachable!(),
        }
    }

    /// Everything that the board does in the next so many milliseconds.
    pub(crate) async fn watch(&mut self, ms: u64) -> Vec<Did> {
        let mut all = Vec::new();
        let _ = with_timeout(Duration::from_millis(ms), async {
            loop {
                all.push(self.next().await);
                if all.last() == Some(&Did::Close) {
                    std::future::pending::<()>().await;
                }
            }
        })
        .await;
        all
    }

    /// Answers the board's MAC.
    pub(crate) async fn assign(&mut self, pair: &str) {
        let payload = format!("{MAC_TEXT};{pair}");
        self.publish("state/nameAssign", QoS::ExactlyOnce, payload.as_bytes()).await;
    }

    /// Tells the board's LED what to do.
    pub(crate) async fn command(&mut self, pair: &str, on: bool) {
        let payload = format!("{pair};{}", u8::from(on));
        self.publish("led/command", QoS::AtLeastOnce, payload.as_bytes()).await;
    }

    pub(crate) async fn publish(&mut self, topic: &str, qos: QoS, payload: &[u8]) {
        self.next_id += 1;
        let mut publish = Publish::new(topic, qos, payload.to_vec(), None);
        publish.pkid = if qos == QoS::AtMostOnce { 0 } else { self.next_id };
        self.write(Packet::Publish(publish)).await;
    }

    async fn read(&mut self) -> Option<Packet> {
        loop {
            // A DISCONNECT that leaves out its reason (MQTT 5, 3.14.2.1), which the codec refuses.
            if self.buffer.starts_with(&[0xE0, 0x00]) {
                self.buffer.advance(2);
                let reason_code = DisconnectReasonCode::NormalDisconnection;
                return Some(Packet::Disconnect(Disconnect { reason_code, properties: None }));
            }
            match Packet::read(&mut self.buffer, None) {
                Ok(packet) => return Some(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("the board sent a bad packet: {error:?}"),
            }
            let mut chunk = [0; 256];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }

    async fn write(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).expect("a packet that can be written");
        // The board may have hung up meanwhile: the next read tells.
        let _ = self.stream.write_all(&bytes).await;
    }
}
