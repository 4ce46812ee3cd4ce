//! A board's side of one MQTT 5 connection.
//!
//! Much leaner than a client library: this process plays thousands of boards on the machine that
//! is measured.

use crate::Outcome;
use bytes::{Bytes, BytesMut};
use capteur_protocol::{DeviceMessage, Mac, Topic};
use rumqttc::v5::mqttbytes::{
    Error as WireError, QoS,
    v5::{
        Connect, ConnectReturnCode, Disconnect, DisconnectReasonCode, Filter, LastWill, Packet,
        PingReq, PubAck, PubAckReason, PubComp, PubRec, PubRecReason, PubRel, Publish, Subscribe,
    },
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

/// The protocol wants it strictly below 6 s.
const KEEP_ALIVE_S: u16 = 5;

/// A board pings when it has said nothing for half a keep-alive, as the firmware does.
const PING_AFTER: Duration = Duration::from_millis(2_500);

/// As much as any packet of the protocol takes, many times over.
const PACKET_MAX: u32 = 4_096;

/// A connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    inbox: BytesMut,
    outbox: BytesMut,
    last_id: u16,
    /// How many of our publishes at QoS 1 and 2 may be unacknowledged, and how many are.
    receive_maximum: u16,
    in_flight: u16,
    ping_at: Instant,
}

impl Line {
    /// Connects with a clean session under the MAC as client id, and waits for the CONNACK.
    pub(crate) async fn connect(
        broker: SocketAddr,
        mac: Mac,
        will: Option<&DeviceMessage>,
    ) -> Outcome<Self> {
        let stream = TcpStream::connect(broker).await?;
        stream.set_nodelay(true)?;
        let mut line = Self {
            stream,
            inbox: BytesMut::with_capacity(512),
            outbox: BytesMut::with_capacity(256),
            last_id: 0,
            receive_maximum: u16::MAX,
            in_flight: 0,
            ping_at: Instant::now() + PING_AFTER,
        };
        let connect = Connect {
            keep_alive: KEEP_ALIVE_S,
            client_id: mac.to_string(),
            clean_start: true,
            properties: None,
        };
        let will = will.map(|message| {
            let payload = message.payload().as_bytes().to_vec();
            LastWill::new(message.topic().as_str(), payload, qos(message.topic()), false, None)
        });
        line.push(&Packet::Connect(connect, will, None))?;
        line.flush().await?;
        match line.next().await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {
                let limit = answer.properties.and_then(|properties| properties.receive_max);
                line.receive_maximum = limit.unwrap_or(u16::MAX);
                Ok(line)
            }
            other => Err(format!("CONNECT was answered with {other:?}").into()),
        }
    }

    /// How many more publishes at QoS 1 and 2 the other side has room for.
    pub(crate) const fn room(&self) -> u16 {
        self.receive_maximum.saturating_sub(self.in_flight)
    }

    /// Subscribes and waits for the SUBACK.
    pub(crate) async fn subscribe(&mut self, topics: &[Topic]) -> Outcome<()> {
        let filters = topics.iter().map(|topic| Filter::new(topic.as_str(), qos(*topic)));
        let mut subscribe = Subscribe::new_many(filters, None);
        subscribe.pkid = self.next_id();
        self.push(&Packet::Subscribe(subscribe))?;
        self.flush().await?;
        loop {
            match self.next().await? {
                Packet::SubAck(_) => return Ok(()),
                packet => self.answer(&packet)?,
            }
        }
    }

    /// Writes a message to what the next flush sends; the answer is its packet id, 0 at QoS 0.
    pub(crate) fn publish(&mut self, message: &DeviceMessage, qos: QoS) -> Outcome<u16> {
        let payload = Bytes::copy_from_slice(message.payload().as_bytes());
        let mut publish = Publish::new(message.topic().as_str(), qos, payload, None);
        if qos != QoS::AtMostOnce {
            publish.pkid = self.next_id();
            self.in_flight += 1;
        }
        let id = publish.pkid;
        self.push(&Packet::Publish(publish))?;
        Ok(id)
    }

    /// Writes what a handshake asks for: PUBACK, PUBREC, PUBREL or PUBCOMP.
    pub(crate) fn answer(&mut self, packet: &Packet) -> Outcome<()> {
        if matches!(packet, Packet::PubAck(_) | Packet::PubComp(_)) {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        match packet {
            Packet::Publish(publish) => match publish.qos {
                QoS::AtMostOnce => Ok(()),
                QoS::AtLeastOnce => self.push(&Packet::PubAck(PubAck::new(publish.pkid, None))),
                QoS::ExactlyOnce => self.push(&Packet::PubRec(PubRec::new(publish.pkid, None))),
            },
            Packet::PubRel(release) => {
                self.push(&Packet::PubComp(PubComp::new(release.pkid, None)))
            }
            Packet::PubRec(received) => match received.reason {
                PubRecReason::Success | PubRecReason::NoMatchingSubscribers => {
                    self.push(&Packet::PubRel(PubRel::new(received.pkid, None)))
                }
                reason => Err(format!("a publish was refused: {reason:?}").into()),
            },
            Packet::PubAck(PubAck { reason, .. })
                if !matches!(
                    reason,
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers
                ) =>
            {
                Err(format!("a publish was refused: {reason:?}").into())
            }
            Packet::Disconnect(disconnect) => {
                Err(format!("disconnected: {:?}", disconnect.reason_code).into())
            }
            _ => Ok(()),
        }
    }

    /// When a ping is due.
    pub(crate) const fn ping_at(&self) -> Instant {
        self.ping_at
    }

    pub(crate) fn ping(&mut self) -> Outcome<()> {
        self.push(&Packet::PingReq(PingReq))
    }

    /// Sends what was written.
    pub(crate) async fn flush(&mut self) -> Outcome<()> {
        if !self.outbox.is_empty() {
            self.stream.write_all_buf(&mut self.outbox).await?;
            self.ping_at = Instant::now() + PING_AFTER;
        }
        Ok(())
    }

    /// The next packet. May be cancelled.
    pub(crate) async fn next(&mut self) -> Outcome<Packet> {
        loop {
            if let Some(packet) = self.try_next()? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err("the connection was closed".into());
            }
        }
    }

    /// The next packet, if it has come already.
    pub(crate) fn try_next(&mut self) -> Outcome<Option<Packet>> {
        match Packet::read(&mut self.inbox, Some(PACKET_MAX)) {
            Ok(packet) => Ok(Some(packet)),
            Err(WireError::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Says good-bye: no will.
    pub(crate) async fn disconnect(mut self) -> Outcome<()> {
        self.push(&Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)))?;
        self.flush().await?;
        self.stream.shutdown().await?;
        Ok(())
    }

    fn push(&mut self, packet: &Packet) -> Outcome<()> {
        packet.write(&mut self.outbox, None)?;
        Ok(())
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

/// The quality of service that the protocol recommends for the topic.
pub(crate) const fn qos(topic: Topic) -> QoS {
    match topic.qos() {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
