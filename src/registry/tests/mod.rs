//! The state machine on a bench: a store that remembers, and a world that writes everything down.

mod additions;
mod interleavings;
mod replacements;
mod rulings;
mod wishes;

use super::{
    effect::{Effect, Moment, Turn, When},
    state::State,
};
use crate::{
    broker::{Ack, ConnectionId, Identity, Origin, Verdict},
    config::{self, Adoption},
    model::{
        Channel, ChannelState, Command, Device, DeviceId, DeviceKey, DeviceRecord, Event,
        LateReadings, LogKind, Marks, Reading, Timestamp,
    },
    store::{Change, Contents, Recording, Urgency},
};
use capteur_protocol::{Aged, Backlog, DeviceMessage, HubMessage, Mac, MacText, Pair, Percent};
use std::{collections::BTreeMap, time::Duration};

/// How long a command waits on the bench.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a store would hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct Disk {
    devices: BTreeMap<DeviceId, DeviceRecord>,
    marks: Marks,
    last: BTreeMap<(DeviceId, Channel), ChannelState>,
    readings: Vec<Reading>,
    late: Vec<Reading>,
    log: Vec<(DeviceId, LogKind)>,
}

impl Disk {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::PutDevice(record) => {
                let known = self.devices.get(&record.id);
                assert!(known.is_none_or(|known| known.revision < record.revision));
                self.devices.insert(record.id, (**record).clone());
            }
            Change::RemoveDevice(id) => {
                self.devices.remove(id);
                self.last.retain(|(device, _), _| device != id);
                self.readings.retain(|reading| reading.device != *id);
                self.late.retain(|reading| reading.device != *id);
                self.log.retain(|(device, _)| device != id);
            }
            Change::PutMarks(marks) => self.marks = *marks,
            Change::Reading(reading) => {
                assert!(self.devices.contains_key(&reading.device), "a reading of no device");
                let key = (reading.device, reading.channel);
                let last = self.last.get(&key).copied();
                self.last.insert(key, ChannelState::updated(last, reading.value, reading.at));
                self.readings.push(*reading);
            }
            Change::Late(late) => {
                assert!(self.devices.contains_key(&late.device), "late readings of no device");
                let LateReadings { device, channel, ref readings } = *late;
                let late =
                    readings.iter().map(|&(at, value)| Reading { device, channel, value, at });
                self.late.extend(late);
            }
            Change::Log(id, entry) => {
                assert!(self.devices.contains_key(id), "a log line of no device");
                self.log.push((*id, entry.kind.clone()));
            }
        }
    }

    /// What the store tells when it is opened again.
    fn open(&mut self) -> Contents {
        self.marks.boots += 1;
        Contents {
            devices: self.devices.values().cloned().collect(),
            marks: self.marks,
            last: self.last.iter().map(|((id, channel), last)| (*id, *channel, *last)).collect(),
            ..Contents::default()
        }
    }
}

/// The state machine, its store and its world.
struct Bench {
    state: State,
    adoption: Adoption,
    disk: Disk,
    /// Changes that are not on the medium, and what waits for them.
    uncommitted: Vec<Effect>,
    /// Whether every turn is committed at once.
    commits: bool,
    wall: i64,
    uptime: Duration,
    draws: u32,
    connections: u64,
    acks: u64,
    bound: Vec<(ConnectionId, Identity)>,
    published: Vec<HubMessage>,
    settled: Vec<(Ack, Verdict)>,
    events: Vec<Event>,
    resolved: Vec<Command>,
}

impl Bench {
    fn new() -> Self {
        Self::with_adoption(Adoption::Open)
    }

    fn with_adoption(adoption: Adoption) -> Self {
        let mut disk = Disk::default();
        Self {
            state: state(disk.open(), adoption),
            adoption,
            disk,
            uncommitted: Vec::new(),
            commits: true,
            wall: 1_743_946_777_000,
            uptime: Duration::ZERO,
            draws: 0,
            connections: 0,
            acks: 0,
            bound: Vec::new(),
            published: Vec::new(),
            settled: Vec::new(),
            events: Vec::new(),
            resolved: Vec::new(),
        }
    }

    /// Makes room for readings, or takes it away.
    fn set_room(&mut self, room: bool) {
        let off = Recording::Off { needed_bytes: 1 };
        self.state.condition.recording = if room { Recording::On } else { off };
    }

    /// Feeds the state machine; returns what it asked for.
    fn turn<T>(&mut self, feed: impl FnOnce(&mut State, &mut Turn<'_>) -> T) -> (T, Vec<Effect>) {
        let mut effects = Vec::new();
        let draws = &mut self.draws;
        let mut entropy = move || {
            // A sequence that jumps about, as numbers of the generator of Numerical Recipes do.
            *draws = draws.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *draws >> 7
        };
        let now = Moment { wall: Timestamp::from_millis(self.wall), uptime: self.uptime };
        let mut turn = Turn { now, entropy: &mut entropy, effects: &mut effects };
        let answer = feed(&mut self.state, &mut turn);
        for effect in &effects {
            match effect.clone() {
                effect @ (Effect::Store(..)
                | Effect::Publish(_, When::Committed)
                | Effect::Settle(_, _, When::Committed)) => self.uncommitted.push(effect),
                effect => self.release(effect),
            }
        }
        if self.commits {
            self.commit();
        }
        (answer, effects)
    }

    /// Everything gets on the medium, and what waits for it leaves.
    fn commit(&mut self) {
        let effects = std::mem::take(&mut self.uncommitted);
        for effect in &effects {
            if let Effect::Store(change, _) = effect {
                self.disk.apply(change);
            }
        }
        for effect in effects {
            if !matches!(effect, Effect::Store(..)) {
                self.release(effect);
            }
        }
    }

    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Store(..) => panic!("a change is not released"),
            Effect::Bind(connection, identity) => self.bound.push((connection, identity)),
            Effect::Publish(message, _) => self.published.push(message),
            Effect::Settle(ack, verdict, _) => self.settled.push((ack, verdict)),
            Effect::Event(event) => self.events.push(event),
            Effect::Resolve(command) => self.resolved.push(command),
        }
    }

    /// The hub dies and starts again: what was not committed is lost, and so is every connection.
    fn restart(&mut self) {
        self.uncommitted.clear();
        self.state = state(self.disk.open(), self.adoption);
        self.uptime = Duration::ZERO;
    }

    /// A new connection from 192.168.1.`host`.
    fn connect(&mut self, host: u8, client_id: &str) -> Origin {
        self.connections += 1;
        Origin {
            connection: ConnectionId(self.connections),
            client_id: client_id.into(),
            address: [192, 168, 1, host].into(),
            mac: None,
        }
    }

    fn ack(&mut self, origin: &Origin) -> Ack {
        self.acks += 1;
        Ack { connection: origin.connection, number: self.acks }
    }

    /// A message whose publisher waits; returns its verdict, which has to come exactly once.
    fn say(&mut self, origin: &Origin, message: &DeviceMessage) -> Verdict {
        let ack = self.ack(origin);
        self.turn(|state, turn| state.message(message, origin, Some(ack), turn));
        let mut verdicts = self.settled.iter().filter(|(settled, _)| *settled == ack);
        let verdict = verdicts.next().expect("the publisher waits").1;
        assert_eq!(verdicts.next(), None, "settled twice");
        verdict
    }

    /// `state/join` with a MAC; returns the pair of the answer.
    fn join(&mut self, origin: &Origin, mac: &str) -> Pair {
        let before = self.published.len();
        assert_eq!(self.say(origin, &joining(mac)), Verdict::Accepted);
        let [HubMessage::NameAssign(spelling, pair)] = &self.published[before..] else {
            panic!("no nameAssign: {:?}", &self.published[before..]);
        };
        assert_eq!(spelling.to_string(), mac);
        pair.clone()
    }

    fn start(&mut self, origin: &Origin, pair: &Pair) -> Verdict {
        self.say(origin, &DeviceMessage::Start(pair.clone()))
    }

    fn leave(&mut self, origin: &Origin, pair: &Pair) -> Verdict {
        self.say(origin, &DeviceMessage::Leave(pair.clone()))
    }

    fn led(&mut self, origin: &Origin, pair: &Pair, on: bool) -> Verdict {
        self.say(origin, &DeviceMessage::Led(pair.clone(), on))
    }

    fn push(&mut self, origin: &Origin, pair: &Pair, pushed: bool) -> Verdict {
        self.say(origin, &DeviceMessage::Button(pair.clone(), pushed))
    }

    /// Readings of a backlog: age in ms and level.
    fn hand_in(&mut self, origin: &Origin, pair: &Pair, readings: &[(u32, u8)]) -> Verdict {
        let readings = readings
            .iter()
            .map(|&(age_ms, level)| Aged { age_ms, level: Percent::new(level).unwrap() });
        let backlog = Backlog::gather(pair, readings).expect("readings");
        self.say(origin, &DeviceMessage::Backlog(pair.clone(), backlog))
    }

    /// The whole dance: MAC on one connection, pair on the next. Returns that and the pair.
    fn dance(&mut self, host: u8, mac: &str) -> (Origin, Pair) {
        let first = self.connect(host, mac);
        let pair = self.join(&first, mac);
        let second = self.connect(host, mac);
        assert_eq!(self.start(&second, &pair), Verdict::Accepted);
        (second, pair)
    }

    fn device(&self, mac: &str) -> Device {
        self.state.device(&key(mac)).expect("known")
    }

    /// How many messages were discarded for this reason.
    fn discarded(&self, reason: &str) -> u64 {
        self.state.stats().discarded.get(reason).copied().unwrap_or(0)
    }

    fn expire(&mut self) {
        self.turn(State::expire);
    }
}

fn state(contents: Contents, adoption: Adoption) -> State {
    let devices = config::Devices { name_prefix: "capteur".to_owned(), adoption };
    let confirm_timeout_ms = u64::try_from(TIMEOUT.as_millis()).unwrap();
    State::new(contents, &devices, &config::Commands { confirm_timeout_ms })
}

fn joining(mac: &str) -> DeviceMessage {
    DeviceMessage::Join(mac.parse::<MacText>().unwrap())
}

fn key(mac: &str) -> DeviceKey {
    mac.parse::<Mac>().unwrap().into()
}

fn stores(effects: &[Effect]) -> Vec<(&Change, Urgency)> {
    let stored = |effect| match effect {
        &Effect::Store(ref change, urgency) => Some((change, urgency)),
        _ => None,
    };
    effects.iter().filter_map(stored).collect()
}
