//! A broker on a loopback address, and a client that writes its packets byte by byte.

use capteur::{
    broker::{Broker, BrokerEnded, Client, Inbound, Link, Stats, Verdict},
    config::{Anonymous, Mqtt},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// Longer than anything takes, however busy the machine is.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) const MAC: &str = "61:EC:ED:3B:25:B1";
pub(crate) const PAIR: &str = "capteur01;1743946777.603371";

pub(crate) fn settings(anonymous: Anonymous) -> Mqtt {
    Mqtt {
        listen: "127.0.0.1:0".parse().unwrap(),
        anonymous,
        device_key: None,
        max_connections: 1000,
        max_packet_bytes: 256 * 1024,
        connect_timeout_ms: 10_000,
        write_timeout_ms: 10_000,
        max_session_expiry_s: 3600,
        max_queued_messages: 1000,
        max_retained: 100,
    }
}

/// A running broker with its in-process client.
pub(crate) struct Hub {
    pub(crate) address: SocketAddr,
    pub(crate) broker: Broker,
    pub(crate) client: Client,
    /// Until it is drained.
    link: Option<Link>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), BrokerEnded>>,
}

impl Hub {
    pub(crate) async fn start(anonymous: Anonymous) -> Self {
        Self::start_with(settings(anonymous)).await
    }

    pub(crate) async fn start_with(settings: Mqtt) -> Self {
        let (broker, link) = Broker::start(&settings).unwrap();
        let listener = TcpListener::bind(settings.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let front = broker.clone();
        let served = tokio::spawn(async move {
            front
                .serve(listener, async {
                    let _ = stopped.await;
                })
                .await
        });
        let client = broker.client();
        Self { address, broker, client, link: Some(link), stop, served }
    }

    pub(crate) const fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("is drained")
    }

    /// From now on, takes and settles whatever comes.
    pub(crate) fn drain(&mut self) {
        let mut link = self.link.take().expect("is drained already");
        let client = self.client.clone();
        tokio::spawn(async move {
            while let Ok(inbound) = link.recv().await {
                if let Some(ack) = inbound.ack {
                    client.settle(ack, Verdict::Accepted);
                }
            }
        });
    }

    /// The next message of a device.
    pub(crate) async fn recv(&mut self) -> Inbound {
        timeout(DEADLINE, self.link().recv()).await.expect("no message came").unwrap()
    }

    /// The next message of a device, as text, settled.
    pub(crate) async fn take(&mut self) -> (String, String) {
        let inbound = self.recv().await;
        if let Some(ack) = inbound.ack {
            self.client.settle(ack, Verdict::Accepted);
        }
        (text(&inbound.topic), text(&inbound.payload))
    }

    /// Nothing more has been published: a message of our own comes next.
    pub(crate) async fn nothing_more(&mut self) {
        self.client.publish(capteur::broker::Outbound {
            topic: "state/leave",
            payload: "marker".into(),
            qos: 0,
        });
        let inbound = self.recv().await;
        assert_eq!((inbound.origin, text(&inbound.payload)), (None, "marker".into()));
    }

    pub(crate) fn stats(&self) -> Stats {
        self.broker.stats()
    }

    /// Waits until the counters are as they should be.
    pub(crate) async fn until(&self, mut holds: impl FnMut(&Stats) -> bool) -> Stats {
        timeout(DEADLINE, async {
            loop {
                let stats = self.stats();
                if holds(&stats) {
                    return stats;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("never came to hold: {:?}", self.stats()))
    }

    pub(crate) async fn stop(mut self) {
        // As the registry does until the end.
        if self.link.is_some() {
            self.drain();
        }
        self.stop.send(()).unwrap();
        timeout(DEADLINE, self.served).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A client of raw bytes.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    v5: bool,
}

/// A packet that the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) head: u8,
    pub(crate) body: Vec<u8>,
}

/// A PUBLISH that the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) duplicate: bool,
    pub(crate) id: u16,
    pub(crate) properties: Vec<u8>,
}

/// What a CONNECT is made of.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) v5: bool,
    pub(crate) id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    /// MQTT 5 properties, without their length.
    pub(crate) properties: Vec<u8>,
    pub(crate) will: Option<Will>,
}

#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) delay: Option<u32>,
}

pub(crate) fn will(topic: &str, payload: &str) -> Will {
    Will { topic: topic.into(), payload: payload.into(), qos: 1, retain: false, delay: None }
}

impl Connect {
    pub(crate) fn v3(id: &str) -> Self {
        Self {
            v5: false,
            id: id.into(),
            clean: true,
            keep_alive: 60,
            properties: Vec::new(),
            will: None,
        }
    }

    pub(crate) fn v5(id: &str) -> Self {
        Self { v5: true, ..Self::v3(id) }
    }

    pub(crate) fn will(self, will: Will) -> Self {
        Self { will: Some(will), ..self }
    }

    pub(crate) fn keep_alive(self, keep_alive: u16) -> Self {
        Self { keep_alive, ..self }
    }

    /// Wants the session to be kept: `clean_session=0`, or an expiry at level 5.
    pub(crate) fn kept(self, seconds: u32) -> Self {
        let mut properties = self.properties;
        if self.v5 {
            properties.push(0x11);
            properties.extend(seconds.to_be_bytes());
        }
        Self { clean: false, properties, ..self }
    }

    pub(crate) fn property(mut self, bytes: &[u8]) -> Self {
        self.properties.extend_from_slice(bytes);
        self
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        if let Some(will) = &self.will {
            flags |= 4 | will.qos << 3 | u8::from(will.retain) << 5;
        }
        let mut body = string("MQTT");
        body.push(if self.v5 { 5 } else { 4 });
        body.push(flags);
        body.extend(self.keep_alive.to_be_bytes());
        if self.v5 {
            body.push(self.properties.len() as u8);
            body.extend(&self.properties);
        }
        body.extend(string(&self.id));
        if let Some(will) = &self.will {
            if self.v5 {
                match will.delay {
                    Some(delay) => {
                        body.extend([5, 0x18]);
                        body.extend(delay.to_be_bytes());
                    }
                    None => body.push(0),
                }
            }
            body.extend(string(&will.topic));
            body.extend(string(&will.payload));
        }
        packet(0x10, &body)
    }
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    let mut len = body.len();
    loop {
        let digit = (len % 128) as u8;
        len /= 128;
        bytes.push(if len > 0 { digit | 0x80 } else { digit });
        if len == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

impl Peer {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new(), v5: false }
    }

    /// Connects; gives the CONNACK too, whatever it says.
    pub(crate) async fn try_connect(address: SocketAddr, connect: &Connect) -> (Self, Packet) {
        let mut peer = Self::open(address).await;
        peer.v5 = connect.v5;
        peer.send(&connect.packet()).await;
        let connack = peer.packet().await;
        assert_eq!(connack.head, 0x20);
        (peer, connack)
    }

    /// Connects and is let in; says whether a session was present.
    pub(crate) async fn connect_present(address: SocketAddr, connect: &Connect) -> (Self, bool) {
        let (peer, connack) = Self::try_connect(address, connect).await;
        assert_eq!(connack.body[1], 0, "refused");
        (peer, connack.body[0] == 1)
    }

    pub(crate) async fn connect(address: SocketAddr, connect: &Connect) -> Self {
        Self::connect_present(address, connect).await.0
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// Publishes; `properties` without their length.
    pub(crate) async fn publish_with(
        &mut self,
        topic: &str,
        payload: &str,
        flags: u8,
        id: u16,
        properties: &[u8],
    ) {
        let mut body = string(topic);
        if flags & 6 != 0 {
            body.extend(id.to_be_bytes());
        }
        if self.v5 {
            body.push(properties.len() as u8);
            body.extend(properties);
        }
        body.extend(payload.as_bytes());
        self.send(&packet(0x30 | flags, &body)).await;
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, qos: u8, id: u16) {
        self.publish_with(topic, payload, qos << 1, id, &[]).await;
    }

    /// Subscribes one filter; gives the code that is granted.
    pub(crate) async fn subscribe(&mut self, filter: &str, options: u8) -> u8 {
        self.send_subscribe(filter, options, &[]).await;
        let suback = self.packet().await;
        assert_eq!(suback.head, 0x90);
        *suback.body.last().unwrap()
    }

    pub(crate) async fn send_subscribe(&mut self, filter: &str, options: u8, properties: &[u8]) {
        let mut body = vec![0, 77];
        if self.v5 {
            body.push(properties.len() as u8);
            body.extend(properties);
        }
        body.extend(string(filter));
        body.push(options);
        self.send(&packet(0x82, &body)).await;
    }

    /// The next packet.
    pub(crate) async fn packet(&mut self) -> Packet {
        timeout(DEADLINE, self.next()).await.expect("no packet came").expect("closed")
    }

    /// Waits until the server has closed; gives what it said before.
    pub(crate) async fn closed(&mut self) -> Vec<Packet> {
        let mut said = Vec::new();
        while let Some(packet) = timeout(DEADLINE, self.next()).await.expect("never closed") {
            said.push(packet);
        }
        said
    }

    /// The next packet, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.split() {
                return Some(packet);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    fn split(&mut self) -> Option<Packet> {
        let mut len = 0;
        for index in 1..self.received.len().min(5) {
            let byte = usize::from(self.received[index]);
            len |= (byte & 0x7f) << (7 * (index - 1));
            if byte & 0x80 == 0 {
                let end = index + 1 + len;
                if self.received.len() < end {
                    return None;
                }
                let packet: Vec<u8> = self.received.drain(..end).collect();
                return Some(Packet { head: packet[0], body: packet[index + 1..].to_vec() });
            }
        }
        None
    }

    /// The next packet, which is a PUBLISH.
    pub(crate) async fn message(&mut self) -> Publish {
        let packet = self.packet().await;
        self.read_publish(&packet)
    }

    pub(crate) fn read_publish(&self, packet: &Packet) -> Publish {
        assert_eq!(packet.head >> 4, 3, "not a PUBLISH: {packet:?}");
        let Packet { head, body } = packet;
        let len = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = text(&body[2..2 + len]);
        let mut at = 2 + len;
        let qos = head >> 1 & 3;
        let mut id = 0;
        if qos > 0 {
            id = u16::from_be_bytes([body[at], body[at + 1]]);
            at += 2;
        }
        let mut properties = Vec::new();
        if self.v5 {
            let len = usize::from(body[at]);
            assert!(len < 128, "the tests' properties are short");
            properties = body[at + 1..=at + len].to_vec();
            at += 1 + len;
        }
        Publish {
            topic,
            payload: text(&body[at..]),
            qos,
            retain: head & 1 != 0,
            duplicate: head & 8 != 0,
            id,
            properties,
        }
    }

    /// Acknowledges: PUBACK 0x40, PUBREC 0x50, PUBREL 0x62, PUBCOMP 0x70.
    pub(crate) async fn ack(&mut self, head: u8, id: u16) {
        self.send(&packet(head, &id.to_be_bytes())).await;
    }

    /// Waits for an acknowledgement without a reason.
    pub(crate) async fn acked(&mut self, head: u8, id: u16) {
        assert_eq!(self.packet().await, Packet { head, body: id.to_be_bytes().to_vec() });
    }

    /// A round trip: whatever was sent before has been processed.
    pub(crate) async fn ping(&mut self) {
        self.send(&[0xc0, 0]).await;
        assert_eq!(self.packet().await, Packet { head: 0xd0, body: vec![] });
    }

    pub(crate) async fn disconnect(mut self) {
        self.send(&[0xe0, 0]).await;
        assert_eq!(self.closed().await, []);
    }

    /// Closes with RST, as a crash of the peer's machine may look like.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}
