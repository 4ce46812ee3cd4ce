//! The hub's live stream, to see boards come online as the page sees them.

use crate::{Outcome, hub::Hub};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::HashSet;
use tokio::{sync::watch, task::JoinHandle};

/// Follows the stream until it is dropped.
#[derive(Debug)]
pub(crate) struct Observer {
    online: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Observer {
    pub(crate) async fn start(hub: &Hub) -> Outcome<Self> {
        let mut stream = hub.events().await?.bytes_stream();
        let (count, online) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut text = Vec::new();
            let mut roll = HashSet::new();
            while let Some(Ok(chunk)) = stream.next().await {
                text.extend_from_slice(&chunk);
                // An event ends with an empty line (HTML standard, 9.2.5).
                while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                    let event: Vec<u8> = text.drain(..end + 2).collect();
                    read(&String::from_utf8_lossy(&event), &mut roll);
                }
                count.send_replace(roll.len());
            }
        });
        Ok(Self { online, task })
    }

    /// How many boards the hub holds as online.
    pub(crate) fn online(&self) -> watch::Receiver<usize> {
        self.online.clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Brings the roll of boards that are online up to date with one event.
fn read(event: &str, online: &mut HashSet<String>) {
    let field = |name| event.lines().find_map(|line: &str| line.strip_prefix(name)).map(str::trim);
    let (Some(kind), Some(data)) = (field("event:"), field("data:")) else { return };
    let Ok(data) = serde_json::from_str::<Value>(data) else { return };
    let mut enter = |device: &Value| {
        let Some(mac) = device["mac"].as_str() else { return };
        if device["state"] == "online" {
            online.insert(mac.to_owned());
        } else {
            online.remove(mac);
        }
    };
    match kind {
        "device" => enter(&data),
        "snapshot" => data["devices"].as_array().into_iter().flatten().for_each(enter),
        _ => {}
    }
}
