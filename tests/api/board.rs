//! A board that says what it is told to.

use crate::hub::{DEADLINE, Hub};
use rumqttc::v5::{
    AsyncClient, Event, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};
use std::time::Duration;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

pub(crate) const MAC: &str = "61:EC:ED:3B:25:B1";
pub(crate) const SECOND_MAC: &str = "61:EC:ED:3B:25:B2";

pub(crate) struct Board {
    mac: &'static str,
    client: AsyncClient,
    /// Topic and payload of what the hub said.
    heard: mpsc::UnboundedReceiver<(String, String)>,
    /// One for each of our packets that the hub has acknowledged.
    acknowledged: mpsc::UnboundedReceiver<()>,
    /// Name and session.
    pub(crate) pair: String,
    connection: JoinHandle<()>,
}

impl Board {
    /// A board that asks for a session and starts it.
    pub(crate) async fn join(hub: &Hub) -> Self {
        Self::join_as(hub, MAC).await
    }

    /// A board with this MAC that asks for a session and starts it.
    pub(crate) async fn join_as(hub: &Hub, mac: &'static str) -> Self {
        let mut board = Self::connect(hub, mac).await;
        board.publish("state/join", mac).await;
        board.pair = board.assigned().await;
        board.start().await;
        board
    }

    /// A board that reconnects, and starts a session that it was given before.
    pub(crate) async fn resume(self, hub: &Hub, pair: String) -> Self {
        let mac = self.mac;
        drop(self);
        let mut board = Self::connect(hub, mac).await;
        board.pair = pair;
        board.start().await;
        board
    }

    async fn connect(hub: &Hub, mac: &'static str) -> Self {
        let mut options = MqttOptions::new(mac, "127.0.0.1", hub.mqtt.port());
        options.set_keep_alive(Duration::from_mins(5));
        let (client, mut events) = AsyncClient::new(options, 100);
        let (hear, heard) = mpsc::unbounded_channel();
        let (acknowledge, acknowledged) = mpsc::unbounded_channel();
        let connection = tokio::spawn(async move {
            // An error means that the hub has gone: it comes out where something is awaited.
            while let Ok(event) = events.poll().await {
                // Nobody listens any more once the board is dropped.
                let _ = match event {
                    Event::Incoming(Packet::Publish(publish)) => {
                        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                        hear.send((text(&publish.topic), text(&publish.payload))).is_ok()
                    }
                    Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_) | Packet::SubAck(_)) => {
                        acknowledge.send(()).is_ok()
                    }
                    _ => true,
                };
            }
        });
        let pair = String::new();
        let mut board = Self { mac, client, heard, acknowledged, pair, connection };
        for topic in ["state/nameAssign", "led/command"] {
            board.client.subscribe(topic, QoS::ExactlyOnce).await.unwrap();
            board.acknowledged().await;
        }
        board
    }

    async fn start(&mut self) {
        let pair = self.pair.clone();
        self.publish("state/join", &pair).await;
    }

    /// Publishes at QoS 2, and waits until the hub has taken it in.
    async fn publish(&mut self, topic: &str, payload: &str) {
        self.client.publish(topic, QoS::ExactlyOnce, false, payload.to_owned()).await.unwrap();
        self.acknowledged().await;
    }

    /// Reports a value under the pair that the board goes by; the hub has it on the medium on return.
    pub(crate) async fn report(&mut self, channel: &str, value: u8) {
        let payload = format!("{};{value}", self.pair);
        self.publish(&format!("{channel}/status"), &payload).await;
    }

    /// Reports a value without waiting for anything.
    pub(crate) async fn mention(&self, channel: &str, value: u8) {
        let (topic, payload) = (format!("{channel}/status"), format!("{};{value}", self.pair));
        self.client.publish(topic, QoS::AtMostOnce, false, payload).await.unwrap();
    }

    /// The pair that the hub assigns next.
    pub(crate) async fn assigned(&mut self) -> String {
        let (topic, payload) = self.hears().await;
        assert_eq!(topic, "state/nameAssign");
        payload.strip_prefix(&format!("{};", self.mac)).unwrap().to_owned()
    }

    /// What the hub orders next.
    pub(crate) async fn ordered(&mut self) -> u8 {
        let (topic, payload) = self.hears().await;
        assert_eq!(topic, "led/command");
        payload.strip_prefix(&format!("{};", self.pair)).unwrap().parse().unwrap()
    }

    async fn hears(&mut self) -> (String, String) {
        timeout(DEADLINE, self.heard.recv()).await.expect("nothing came").unwrap()
    }

    async fn acknowledged(&mut self) {
        timeout(DEADLINE, self.acknowledged.recv()).await.expect("no acknowledgement").unwrap();
    }
}

/// Cuts the connection without a word.
impl Drop for Board {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
