//! A hub of one kind of answer: every board is given a name and a session, and heard.

use bytes::BytesMut;
use capteur_protocol::{DeviceMessage, HubMessage, Mac, Name, Pair, SessionId, Topic};
use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{
        ConnAck, ConnectReturnCode, Packet, PingResp, PubAck, PubComp, PubRec, PubRel, Publish,
        SubAck, SubscribeReasonCode,
    },
};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc},
};

/// Something that a board published.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) message: DeviceMessage,
}

/// A hub that runs until it is dropped.
pub(super) struct Hub {
    address: String,
    said: mpsc::UnboundedReceiver<Said>,
    commands: broadcast::Sender<(Mac, bool)>,
}

impl Hub {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (say, said) = mpsc::unbounded_channel();
        let (commands, _) = broadcast::channel(16);
        let orders = commands.clone();
        tokio::spawn(async move {
            while !say.is_closed() {
                let (stream, _) = listener.accept().await.unwrap();
                let (say, orders) = (say.clone(), orders.subscribe());
                tokio::spawn(
                    Line { stream, say, orders, buffer: BytesMut::new(), pair: None }.serve(),
                );
            }
        });
        Self { address, said, commands }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Commands the LED of an online board.
    pub(super) fn command(&self, mac: Mac, on: bool) {
        self.commands.send((mac, on)).unwrap();
    }

    /// Waits until a board says this.
    pub(super) async fn hears(&mut self, wanted: impl Fn(&Said) -> bool) -> Said {
        loop {
            let said = self.said.recv().await.unwrap();
            if wanted(&said) {
                return said;
            }
        }
    }
}

/// The name that this hub gives.
pub(super) fn name(mac: Mac) -> Name {
    let [.., a, b] = mac.0;
    format!("board{}", u16::from_be_bytes([a, b])).parse().unwrap()
}

/// The connection of one board.
struct Line {
    stream: TcpStream,
    say: mpsc::UnboundedSender<Said>,
    orders: broadcast::Receiver<(Mac, bool)>,
    buffer: BytesMut,
    pair: Option<Pair>,
}

impl Line {
    async fn serve(mut self) {
        loop {
            while let Ok(packet) = Packet::read(&mut self.buffer, None) {
                self.answer(packet).await;
            }
            // Ready means: cut off, or told to hang up.
            let done = tokio::select! {
                read = self.stream.read_buf(&mut self.buffer) => !matches!(read, Ok(1..)),
                order = self.orders.recv() => match (order, &self.pair) {
                    (Ok((mac, on)), Some(pair)) if name(mac) == pair.name => {
                        let message = HubMessage::LedCommand(pair.clone(), on);
                        self.publish(&message, QoS::AtLeastOnce).await;
                        false
                    }
                    (order, _) => order.is_err(),
                },
            };
            if done {
                return;
            }
        }
    }

    async fn answer(&mut self, packet: Packet) {
        match packet {
            Packet::Connect(..) => {
                let code = ConnectReturnCode::Success;
                let ack = ConnAck { session_present: false, code, properties: None };
                self.write(Packet::ConnAck(ack)).await;
            }
            Packet::Subscribe(subscribe) => {
                let granted = SubscribeReasonCode::Success(QoS::ExactlyOnce);
                let return_codes = vec![granted; subscribe.filters.len()];
                let pkid = subscribe.pkid;
                self.write(Packet::SubAck(SubAck { pkid, return_codes, properties: None })).await;
            }
            Packet::Publish(publish) => self.hear(&publish).await,
            Packet::PubRec(rec) => self.write(Packet::PubRel(PubRel::new(rec.pkid, None))).await,
            Packet::PubRel(rel) => self.write(Packet::PubComp(PubComp::new(rel.pkid, None))).await,
            Packet::PingReq(_) => self.write(Packet::PingResp(PingResp)).await,
            _ => {}
        }
    }

    async fn hear(&mut self, publish: &Publish) {
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.write(Packet::PubAck(PubAck::new(publish.pkid, None))).await,
            QoS::ExactlyOnce => self.write(Packet::PubRec(PubRec::new(publish.pkid, None))).await,
        }
        let topic: Topic = std::str::from_utf8(&publish.topic).unwrap().parse().unwrap();
        let message = DeviceMessage::parse(topic, &publish.payload).unwrap();
        match &message {
            DeviceMessage::Join(mac) => {
                static SESSION: AtomicU64 = AtomicU64::new(1);
                let micros = SESSION.fetch_add(1, Ordering::Relaxed);
                let session = SessionId::from_micros(micros).unwrap();
                let pair = Pair { name: name(mac.mac()), session };
                self.publish(&HubMessage::NameAssign(*mac, pair), QoS::ExactlyOnce).await;
            }
            DeviceMessage::Start(pair) => self.pair = Some(pair.clone()),
            _ => assert_eq!(message.pair(), self.pair.as_ref()),
        }
        // Nobody listens any more once the hub is dropped.
        let _ = self.say.send(Said { message });
    }

    async fn publish(&mut self, message: &HubMessage, qos: QoS) {
        let payload = message.payload().as_bytes().to_vec();
        let mut publish = Publish::new(message.topic().as_str(), qos, payload, None);
        // Each connection has at most one message in flight.
        publish.pkid = 1;
        self.write(Packet::Publish(publish)).await;
    }

    async fn write(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        // A board that has hung up is noticed by the next read.
        let _ = self.stream.write_all(&bytes).await;
    }
}
