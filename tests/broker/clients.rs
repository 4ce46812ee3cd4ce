//! rumqttc, a client of the field, at both levels.

use crate::harness::{DEADLINE, Hub};
use capteur::config::Anonymous;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn rumqttc_talks_at_level_4() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let hub = Hub::start(Anonymous::Full).await;
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", hub.address.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 100);
    client.subscribe("hello/#", QoS::ExactlyOnce).await.unwrap();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        client.publish("hello/rumqttc", qos, false, vec![qos as u8]).await.unwrap();
    }
    let (mut heard, mut completed) = (Vec::new(), 0);
    timeout(DEADLINE, async {
        while heard.len() < 3 || completed < 2 {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::Publish(publish)) => {
                    assert_eq!(publish.qos as u8, publish.payload[0]);
                    heard.push(publish.payload[0]);
                }
                Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => completed += 1,
                _ => {}
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(heard, [0, 1, 2]);
    hub.stop().await;
}

#[tokio::test]
async fn rumqttc_talks_at_level_5() {
    use rumqttc::v5::{
        AsyncClient, Event, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{Packet, PublishProperties},
        },
    };
    let hub = Hub::start(Anonymous::Full).await;
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", hub.address.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 100);
    client.subscribe("hello/#", QoS::ExactlyOnce).await.unwrap();
    let properties = PublishProperties {
        user_properties: vec![("k".into(), "v".into())],
        ..PublishProperties::default()
    };
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        client
            .publish_with_properties(
                "hello/rumqttc",
                qos,
                false,
                vec![qos as u8],
                properties.clone(),
            )
            .await
            .unwrap();
    }
    let (mut heard, mut completed) = (Vec::new(), 0);
    timeout(DEADLINE, async {
        while heard.len() < 3 || completed < 2 {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::Publish(publish)) => {
                    assert_eq!(publish.qos as u8, publish.payload[0]);
                    let got = publish.properties.unwrap();
                    assert_eq!(got.user_properties, properties.user_properties);
                    heard.push(publish.payload[0]);
                }
                Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => completed += 1,
                _ => {}
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(heard, [0, 1, 2]);
    hub.stop().await;
}
