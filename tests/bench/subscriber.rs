//! The session protocol over rumqttc: what stands behind mosquitto.
//!
//! It does what the hub's registry does and no more: names, sessions, presence, commands and the
//! check of every reading's pair, in memory. Nothing is stored, served or shown, which favours it.

use crate::{Outcome, board, line::qos};
use capteur_protocol::{DeviceMessage, HubMessage, Mac, Name, Pair, SessionId, Topic};
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Packet, Publish},
    },
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{oneshot, watch},
    time::timeout,
};

/// The name of the thread that it runs on.
pub(crate) const THREAD: &str = "subscriber";

/// More requests than all boards together cause at once, so that handing one over never waits.
const REQUESTS_MAX: usize = 100_000;

/// How long a command may wait for its confirmation: the hub's default.
const CONFIRM_WITHIN: Duration = Duration::from_secs(2);

/// A client that knows who is who.
#[derive(Debug)]
pub(crate) struct Subscriber {
    client: AsyncClient,
    roster: Arc<Mutex<Roster>>,
    online: watch::Receiver<usize>,
    readings: watch::Receiver<u64>,
    runtime: Option<Runtime>,
}

impl Subscriber {
    /// Connects, subscribes, and waits until the broker has acknowledged it.
    pub(crate) async fn start(broker: SocketAddr) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD)
            .enable_all()
            .build()?;
        let mut options = MqttOptions::new("subscriber", broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(30)).set_outgoing_inflight_upper_limit(1_000);
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, events) = AsyncClient::new(options, REQUESTS_MAX);
        for topic in Topic::ALL.into_iter().filter(|topic| topic.is_from_device()) {
            // Readings come at the quality of service at which the boards send them.
            let most =
                if topic == Topic::PhotoresistorStatus { QoS::AtLeastOnce } else { qos(topic) };
            client.try_subscribe(topic.as_str(), most)?;
        }
        let roster = Arc::new(Mutex::new(Roster::default()));
        let (online_count, online) = watch::channel(0);
        let (readings_count, readings) = watch::channel(0);
        let (ready, subscribed) = oneshot::channel();
        runtime.spawn(run(Work {
            client: client.clone(),
            events,
            roster: Arc::clone(&roster),
            online: online_count,
            readings: readings_count,
            ready: Some(ready),
        }));
        timeout(Duration::from_secs(10), subscribed).await??;
        Ok(Self { client, roster, online, readings, runtime: Some(runtime) })
    }

    /// Switches a board's LED and waits for the confirmation.
    pub(crate) async fn switch(&self, board: u32, on: bool) -> Outcome<()> {
        let (confirm, confirmed) = oneshot::channel();
        let pair = {
            let mut roster = lock(&self.roster);
            let pair = roster.pairs.get(&board::mac(board)).cloned();
            let pair = pair.ok_or_else(|| format!("board {board} has no session"))?;
            roster.commands.insert((pair.clone(), on), confirm);
            pair
        };
        publish(&self.client, &HubMessage::LedCommand(pair, on))?;
        timeout(CONFIRM_WITHIN, confirmed)
            .await
            .map_err(|_| format!("the LED of board {board} was not confirmed"))??;
        Ok(())
    }

    /// How many boards have started a session.
    pub(crate) fn online(&self) -> watch::Receiver<usize> {
        self.online.clone()
    }

    /// How many light readings were taken.
    pub(crate) fn readings(&self) -> watch::Receiver<u64> {
        self.readings.clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // A runtime may not be dropped where it would wait for its tasks.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Who is who.
#[derive(Debug, Default)]
struct Roster {
    names: HashMap<Mac, Name>,
    /// The pair that a board was given last, or has started.
    pairs: HashMap<Mac, Pair>,
    /// Pairs that may be started, and whether they were.
    sessions: HashMap<Pair, (Mac, bool)>,
    online: usize,
    last_session: u64,
    commands: HashMap<(Pair, bool), oneshot::Sender<()>>,
}

impl Roster {
    /// A new session for the board, under its old name if it has one.
    fn open(&mut self, mac: Mac) -> Option<Pair> {
        let number = self.names.len() + 1;
        let name = match self.names.get(&mac) {
            Some(name) => name.clone(),
            None => format!("capteur{number:02}").parse().ok()?,
        };
        self.names.insert(mac, name.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_micros();
        self.last_session = u64::try_from(now).ok()?.max(self.last_session + 1);
        let pair = Pair { name, session: SessionId::from_micros(self.last_session)? };
        self.sessions.insert(pair.clone(), (mac, false));
        if let Some(old) = self.pairs.insert(mac, pair.clone()) {
            self.end(&old);
        }
        Some(pair)
    }

    fn start(&mut self, pair: &Pair) {
        if let Some((mac, started @ false)) = self.sessions.get_mut(pair) {
            *started = true;
            self.online += 1;
            self.pairs.insert(*mac, pair.clone());
        }
    }

    fn end(&mut self, pair: &Pair) {
        if let Some((_, started @ true)) = self.sessions.get_mut(pair) {
            *started = false;
            self.online -= 1;
        }
    }
}

/// What the subscriber's task works with.
struct Work {
    client: AsyncClient,
    events: EventLoop,
    roster: Arc<Mutex<Roster>>,
    online: watch::Sender<usize>,
    readings: watch::Sender<u64>,
    ready: Option<oneshot::Sender<()>>,
}

async fn run(mut work: Work) {
    loop {
        match work.events.poll().await {
            Ok(Event::Incoming(Packet::Publish(message))) => work.take(&message),
            // The broker acknowledges in order; the last subscription is no later than the first
            // board.
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                if let Some(ready) = work.ready.take() {
                    // Nobody waits any more after a time-out.
                    let _ = ready.send(());
                }
            }
            Ok(_) => {}
            Err(error) => {
                eprintln!("bench: the subscriber has lost mosquitto: {error}");
                return;
            }
        }
    }
}

impl Work {
    fn take(&self, message: &Publish) {
        let topic = std::str::from_utf8(&message.topic).ok().and_then(|topic| topic.parse().ok());
        let Some(topic) = topic else { return };
        let Ok(said) = DeviceMessage::parse(topic, &message.payload) else { return };
        let mut roster = lock(&self.roster);
        match said {
            DeviceMessage::Join(spelled) => {
                if let Some(pair) = roster.open(spelled.mac()) {
                    // The queue is longer than what all boards ask for.
                    let _ = publish(&self.client, &HubMessage::NameAssign(spelled, pair));
                }
            }
            DeviceMessage::Start(pair) => roster.start(&pair),
            DeviceMessage::Leave(pair) => roster.end(&pair),
            DeviceMessage::Led(pair, on) => {
                if let Some(confirm) = roster.commands.remove(&(pair, on)) {
                    // Nobody waits any more after a time-out.
                    let _ = confirm.send(());
                }
            }
            DeviceMessage::Photoresistor(pair, _) => {
                if roster.sessions.contains_key(&pair) {
                    self.readings.send_modify(|count| *count += 1);
                }
            }
            DeviceMessage::Button(..) | DeviceMessage::Backlog(..) | DeviceMessage::Info(..) => {}
        }
        self.online.send_if_modified(|online| {
            let changed = *online != roster.online;
            *online = roster.online;
            changed
        });
    }
}

fn publish(client: &AsyncClient, message: &HubMessage) -> Outcome<()> {
    let payload = message.payload().as_bytes().to_vec();
    client.try_publish(message.topic().as_str(), qos(message.topic()), false, payload)?;
    Ok(())
}

fn lock(roster: &Mutex<Roster>) -> MutexGuard<'_, Roster> {
    // What a panic left behind would show in the figures; there is nothing to protect.
    roster.lock().unwrap_or_else(PoisonError::into_inner)
}
