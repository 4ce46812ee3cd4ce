//! Whatever boards, people, clocks and crashes do, in whatever order, what has to hold holds.

use super::*;
use crate::{
    model::{CommandId, CommandState, DeviceState, Wish},
    registry::{messages::is_reading, wishes::BY},
};
use capteur_protocol::{Name, SessionId};
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

const MACS: [&str; 3] = ["00:00:00:00:00:0a", "00:00:00:00:00:0B", "00:00:00:00:00:0C"];
const NAMES: [&str; 4] = ["LeBron", "lebron", "capteur02", "Capteur01"];

/// Which pair a board speaks under.
#[derive(Debug, Clone, Copy)]
enum Which {
    /// The last that its hub assigned to it.
    Latest,
    /// Any that was ever assigned to anyone.
    Any(usize),
    /// The session of one and the name of the other.
    Mixed(usize, usize),
}

#[derive(Debug, Clone, Copy)]
enum Op {
    /// A board connects: which, from which address, under which client id.
    Connect(usize, u8, usize),
    /// It sends its MAC, or another's.
    Join(usize, Option<usize>),
    Start(usize, Which, bool),
    /// A leave, also of a connection that has ended: a will.
    Leave(usize, Which, bool),
    Read(usize, Which, Channel, u8, bool),
    /// Readings of a backlog, of this age in milliseconds.
    HandIn(usize, Which, u32),
    /// A board tells about itself: how strong its signal is, its firmware, and a name that it
    /// wishes for.
    Tell(usize, Which, i8, bool, Option<usize>),
    /// A connection ends.
    End(usize),
    /// The hub takes in what waits.
    Hear(usize),
    Commit,
    Rename(usize, usize),
    Forget(usize),
    /// The device of a board gets another board, or its old one back.
    Replace(usize, usize),
    Undo(usize),
    Switch(usize, bool),
    Crash,
    /// The clock on the wall steps, in seconds.
    Step(i64),
    /// Time passes, in milliseconds.
    Pass(u16),
    /// Whether there is room to record readings, from now on.
    Room(bool),
}

fn which() -> impl Strategy<Value = Which> {
    let index = any::<usize>();
    prop_oneof![
        16 => Just(Which::Latest),
        4 => index.prop_map(Which::Any),
        1 => (index, index).prop_map(|(session, name)| Which::Mixed(session, name)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let (board, connection) = (0..MACS.len(), any::<usize>());
    let channel = prop::sample::select(&Channel::ALL[..]);
    let foreign = prop::option::weighted(0.1, 0..MACS.len());
    prop_oneof![
        4 => (board.clone(), 0..2_u8, 0..4_usize).prop_map(|(b, a, c)| Op::Connect(b, a, c)),
        6 => (connection, foreign).prop_map(|(c, mac)| Op::Join(c, mac)),
        8 => (connection, which(), any::<bool>()).prop_map(|(c, p, q)| Op::Start(c, p, q)),
        2 => (connection, which(), any::<bool>()).prop_map(|(c, p, q)| Op::Leave(c, p, q)),
        8 => (connection, which(), channel, 0..2_u8, any::<bool>())
            .prop_map(|(c, p, channel, v, q)| Op::Read(c, p, channel, v, q)),
        2 => (connection, which(), 0..4_000_000_000_u32).prop_map(|(c, p, age)| Op::HandIn(c, p, age)),
        4 => (connection, which(), any::<i8>(), any::<bool>(), prop::option::of(0..NAMES.len()))
            .prop_map(|(c, p, rssi, new, wish)| Op::Tell(c, p, rssi, new, wish)),
        2 => connection.prop_map(Op::End),
        12 => (1..4_usize).prop_map(Op::Hear),
        8 => Just(Op::Commit),
        2 => (board.clone(), 0..NAMES.len()).prop_map(|(b, n)| Op::Rename(b, n)),
        1 => board.clone().prop_map(Op::Forget),
        2 => (board.clone(), board.clone()).prop_map(|(b, new)| Op::Replace(b, new)),
        2 => board.clone().prop_map(Op::Undo),
        3 => (board, any::<bool>()).prop_map(|(b, on)| Op::Switch(b, on)),
        1 => Just(Op::Crash),
        1 => prop_oneof![-100_000..100_000_i64, -2..3_i64].prop_map(Op::Step),
        3 => (0..1_500_u16).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Room),
    ]
}

struct Connection {
    origin: Origin,
    board: usize,
    alive: bool,
}

/// The pairs of a device that count, as the rulings have it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Pairs {
    started: Option<Pair>,
    offered: Vec<Pair>,
}

impl Pairs {
    fn of(record: &DeviceRecord) -> Self {
        Self { started: record.session.clone(), offered: record.offered.clone() }
    }

    fn count(&self, pair: &Pair) -> bool {
        self.started.as_ref() == Some(pair) || self.offered.contains(pair)
    }

    fn start(&mut self, pair: &Pair) {
        if self.started.as_ref() != Some(pair) {
            *self = Self { started: Some(pair.clone()), offered: Vec::new() };
        }
    }
}

/// The bench, the front as the registry knows it, and what was seen so far.
struct World {
    bench: Bench,
    connections: Vec<Connection>,
    /// What the front was told about each connection.
    identities: HashMap<ConnectionId, Identity>,
    /// Messages on their way from the front.
    queue: VecDeque<(DeviceMessage, Origin, Option<Ack>)>,
    /// Every pair that left the hub, and for whom.
    assigned: Vec<(Mac, Pair)>,
    highest: Option<SessionId>,
    /// Which pairs count.
    pairs: BTreeMap<Mac, Pairs>,
    /// What each board has wished for.
    wishes: BTreeMap<Mac, Wish>,
    /// What the board had wished for whose place a board has taken.
    former_wishes: BTreeMap<Mac, Wish>,
    /// Sessions in which a wish has counted.
    wished_in: HashSet<SessionId>,
    /// Acknowledgements that publishers wait for.
    awaited: BTreeSet<(ConnectionId, u64)>,
    /// Commands that have not come to their end.
    running: HashSet<CommandId>,
    /// What a follower of the live stream believes.
    followed: BTreeMap<Mac, Device>,
    /// Whether a reading was taken and not recorded since the last crash.
    unrecorded: bool,
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.commits = false;
        Self {
            bench,
            connections: Vec::new(),
            identities: HashMap::new(),
            queue: VecDeque::new(),
            assigned: Vec::new(),
            highest: None,
            pairs: BTreeMap::new(),
            wishes: BTreeMap::new(),
            former_wishes: BTreeMap::new(),
            wished_in: HashSet::new(),
            awaited: BTreeSet::new(),
            running: HashSet::new(),
            followed: BTreeMap::new(),
            unrecorded: false,
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Connect(board, host, client) => {
                let origin = self.bench.connect(host, &format!("client{client}"));
                self.connections.push(Connection { origin, board, alive: true });
            }
            Op::Join(at, foreign) => {
                if let Some((origin, board)) = self.speaker(at, false) {
                    let mac = MACS[foreign.unwrap_or(board)];
                    self.send(joining(mac), origin, true);
                }
            }
            Op::Start(at, which, acked) => {
                self.send_pair(at, false, which, acked, DeviceMessage::Start);
            }
            Op::Leave(at, which, acked) => {
                self.send_pair(at, true, which, acked, DeviceMessage::Leave);
            }
            Op::Read(at, which, channel, value, acked) => {
                self.send_pair(at, false, which, acked, |pair| match channel {
                    Channel::Led => DeviceMessage::Led(pair, value != 0),
                    Channel::Button => DeviceMessage::Button(pair, value != 0),
                    Channel::Photoresistor => {
                        DeviceMessage::Photoresistor(pair, Percent::new(value).unwrap())
                    }
                });
            }
            Op::HandIn(at, which, age_ms) => self.send_pair(at, false, which, true, |pair| {
                let level = Percent::new(50).unwrap();
                let backlog = Backlog::gather(&pair, [Aged { age_ms, level }]).unwrap();
                DeviceMessage::Backlog(pair, backlog)
            }),
            Op::Tell(at, which, rssi, new, wish) => {
                self.send_pair(at, false, which, false, |pair| {
                    let info = capteur_protocol::Info {
                        firmware: new.then(|| "0.2.0".parse().unwrap()),
                        rssi: Some(rssi),
                        wish: wish.map(|wish| NAMES[wish].parse().unwrap()),
                        ..Default::default()
                    };
                    DeviceMessage::Info(pair, info)
                });
            }
            Op::End(at) => {
                if let Some((origin, _)) = self.speaker(at, false) {
                    self.end(origin.connection);
                }
            }
            Op::Room(room) => self.bench.set_room(room),
            Op::Hear(count) => (0..count).for_each(|_| self.hear()),
            Op::Commit => self.commit(),
            Op::Rename(board, name) => {
                let name: Name = NAMES[name].parse().unwrap();
                let mac = MACS[board];
                let renamed =
                    self.feed(|state, turn| state.rename(&key(mac), &name, "anna", turn).is_ok());
                if renamed {
                    assert_eq!(self.bench.device(mac).name, name);
                }
            }
            Op::Forget(board) => {
                let mac = MACS[board];
                let online = self.state_of(mac) == Some(DeviceState::Online);
                let forgotten =
                    self.feed(|state, turn| state.forget(&key(mac), "anna", turn).is_ok());
                assert!(!(online && forgotten));
                if forgotten {
                    let mac = mac.parse().unwrap();
                    self.pairs.remove(&mac);
                    self.wishes.remove(&mac);
                    self.former_wishes.remove(&mac);
                }
            }
            Op::Replace(board, new) => self.replace(MACS[board], MACS[new]),
            Op::Undo(board) => self.undo(MACS[board]),
            Op::Switch(board, on) => {
                let mac = MACS[board];
                let online = self.state_of(mac) == Some(DeviceState::Online);
                let issued =
                    self.feed(|state, turn| state.switch_led(&key(mac), on, "anna", turn).ok());
                assert_eq!(issued.is_some(), online);
                self.running.extend(issued.map(|command| command.id));
            }
            Op::Crash => self.crash(),
            Op::Step(seconds) => self.bench.wall += seconds * 1_000,
            Op::Pass(millis) => {
                self.bench.wall += i64::from(millis);
                self.bench.uptime += Duration::from_millis(u64::from(millis));
                self.feed(State::expire);
            }
        }
        self.check();
    }

    fn replace(&mut self, old: &str, new: &str) {
        let [from, to] = [old, new].map(|text| text.parse::<Mac>().unwrap());
        let before = [old, new].map(|text| self.bench.state.device(&key(text)).ok());
        let id = self.bench.state.device_id(&from.into()).ok();
        // The pairs of the new board count for the device from now on; those of the old one end.
        let pairs = self.pairs.clone();
        let taken = self.pairs.remove(&to).unwrap_or_default();
        if self.pairs.remove(&from).is_some() {
            self.pairs.insert(to, taken);
        }
        if !self.feed(|state, turn| state.replace(&key(old), to, "anna", turn).is_ok()) {
            self.pairs = pairs;
            return;
        }
        let [Some(before), newcomer] = before else { panic!("a device out of nothing") };
        assert!(old != new && before.state != DeviceState::Online && before.replaced.is_none());
        assert!(newcomer.as_ref().is_none_or(|newcomer| newcomer.replaced.is_none()));
        let after = self.bench.device(new);
        assert_eq!((&after.name, after.first_seen), (&before.name, before.first_seen));
        assert_eq!(self.bench.state.device_id(&to.into()).ok(), id);
        assert!(self.bench.state.device(&from.into()).is_err());
        let state = newcomer.map_or(DeviceState::Offline, |newcomer| newcomer.state);
        assert_eq!(after.state, state);
        // A wish that is not known gives way to the place; one that is goes along.
        let wish = self.wishes.remove(&to).filter(|wish| *wish != Wish::Open);
        let former = self.wishes.remove(&from).unwrap();
        self.wishes.insert(to, wish.unwrap_or(Wish::Settled));
        self.former_wishes.insert(to, former);
    }

    fn undo(&mut self, board: &str) {
        let from: Mac = board.parse().unwrap();
        let before = self.bench.state.device(&from.into()).ok();
        let id = self.bench.state.device_id(&from.into()).ok();
        let Some(to) = before.as_ref().and_then(|device| device.replaced).map(|board| board.mac)
        else {
            assert!(
                !self.feed(|state, turn| state.undo_replacement(&key(board), "a", turn).is_ok())
            );
            return;
        };
        let pairs = self.pairs.clone();
        let known = self.view().devices[&id.unwrap()].replaced.unwrap().absorbed.is_some();
        if !known {
            self.pairs.remove(&from);
        }
        self.pairs.insert(to, Pairs::default());
        if !self.feed(|state, turn| state.undo_replacement(&key(board), "anna", turn).is_ok()) {
            self.pairs = pairs;
            return;
        }
        let before = before.unwrap();
        assert_ne!(before.state, DeviceState::Online);
        let after = self.bench.state.device(&to.into()).unwrap();
        assert_eq!((&after.name, after.first_seen), (&before.name, before.first_seen));
        assert_eq!((after.state, after.replaced), (DeviceState::Offline, None));
        assert_eq!(self.bench.state.device_id(&to.into()).ok(), id);
        assert_eq!(self.bench.state.device(&from.into()).is_ok(), known);
        if !known {
            self.wishes.remove(&from);
        }
        let former = self.former_wishes.remove(&from).unwrap();
        self.wishes.insert(to, former);
    }

    /// A connection, and its board; one that has ended only where a will may speak.
    fn speaker(&self, at: usize, ended: bool) -> Option<(Origin, usize)> {
        let of_age: Vec<_> = self.connections.iter().filter(|one| ended || one.alive).collect();
        // The latest connections speak most.
        let back = (at % 6).min(of_age.len().checked_sub(1)?);
        let connection = of_age[of_age.len() - 1 - back];
        Some((connection.origin.clone(), connection.board))
    }

    fn send_pair(
        &mut self,
        at: usize,
        ended: bool,
        which: Which,
        acked: bool,
        message: impl FnOnce(Pair) -> DeviceMessage,
    ) {
        let Some((origin, board)) = self.speaker(at, ended) else { return };
        let mac: Mac = MACS[board].parse().unwrap();
        let any = |index: usize| {
            let index = index.checked_rem(self.assigned.len())?;
            Some(self.assigned[index].1.clone())
        };
        let pair = match which {
            Which::Latest => {
                self.assigned.iter().rfind(|(to, _)| *to == mac).map(|(_, pair)| pair.clone())
            }
            Which::Any(index) => any(index),
            Which::Mixed(session, name) => any(session)
                .zip(any(name))
                .map(|(session, name)| Pair { name: name.name, session: session.session }),
        };
        if let Some(pair) = pair {
            self.send(message(pair), origin, acked);
        }
    }

    fn send(&mut self, message: DeviceMessage, origin: Origin, acked: bool) {
        let alive = self.is_alive(origin.connection);
        let ack = (acked && alive).then(|| self.bench.ack(&origin));
        self.awaited.extend(ack.map(|ack| (ack.connection, ack.number)));
        self.queue.push_back((message, origin, ack));
    }

    fn is_alive(&self, connection: ConnectionId) -> bool {
        self.connections.iter().any(|one| one.alive && one.origin.connection == connection)
    }

    /// A connection ends: the front says so on its behalf.
    fn end(&mut self, connection: ConnectionId) {
        for one in &mut self.connections {
            one.alive &= one.origin.connection != connection;
        }
        self.imply_leave(connection);
    }

    fn imply_leave(&mut self, connection: ConnectionId) {
        let pair = self.identities.remove(&connection).and_then(|identity| identity.pair);
        let origin = self.connections.iter().find(|one| one.origin.connection == connection);
        if let (Some(pair), Some(one)) = (pair, origin) {
            self.queue.push_back((DeviceMessage::Leave(pair), one.origin.clone(), None));
        }
    }

    /// The next message reaches the state machine.
    fn hear(&mut self) {
        let Some((message, origin, ack)) = self.queue.pop_front() else { return };
        let before = self.bench.state.devices();
        let infos = self.infos();
        let speaker = message.pair().map(|pair| {
            self.pairs.iter().find(|(_, pairs)| pairs.count(pair)).map(|(mac, _)| *mac)
        });
        let offline = speaker.flatten().and_then(|mac| {
            before.iter().find(|device| device.mac == mac).map(|device| device.state)
        }) == Some(DeviceState::Offline);
        let (effects, settled) = self.feed_all(|state, turn| {
            state.message(&message, &origin, ack, turn);
        });
        let changed = effects.iter().any(|effect| !matches!(effect, Effect::Settle(..)));
        // What these do may be to be heard of, and nothing more.
        let quiet = matches!(message, DeviceMessage::Backlog(..) | DeviceMessage::Info(..));
        match speaker {
            Some(None) => assert!(!changed, "a stale pair has changed something: {effects:?}"),
            Some(Some(_)) if !changed && !quiet => {
                assert!(settled.is_none_or(|(verdict, _)| verdict == Verdict::NotAuthorized));
            }
            _ => {}
        }
        let unrecorded = !self.bench.state.condition.recording.is_on() && is_reading(&message);
        if unrecorded {
            self.unrecorded |= changed;
            let reading = |effect: &Effect| {
                matches!(effect, Effect::Store(Change::Reading(_) | Change::Late(_), _))
            };
            assert!(!effects.iter().any(reading), "there is no room: {effects:?}");
        }
        if changed {
            match &message {
                DeviceMessage::Join(mac) => {
                    self.pairs.entry(mac.mac()).or_default().started = None;
                    self.wishes.entry(mac.mac()).or_default();
                }
                DeviceMessage::Leave(_) => {}
                DeviceMessage::Start(pair) => self.started(speaker.flatten(), pair),
                reading if offline => {
                    reading.pair().into_iter().for_each(|p| self.started(speaker.flatten(), p));
                }
                _ => {}
            }
        }
        self.offered(&effects);
        self.heeded(&message, self.infos() > infos, speaker.flatten(), &before, &effects);
        match settled {
            Some((Verdict::Accepted, When::Committed)) => {
                assert!(!unrecorded, "acknowledged and not stored");
                assert!(stores(&effects).iter().any(|(_, urgency)| *urgency == Urgency::Now));
            }
            Some((Verdict::QuotaExceeded, When::AtOnce)) => {
                assert!((changed || quiet) && unrecorded);
            }
            Some((_, When::AtOnce)) => assert!(!changed),
            Some(other) => panic!("{other:?}"),
            None => assert_eq!(ack, None),
        }
        let heard = quiet && speaker.flatten().is_some();
        if !changed && !heard {
            assert_eq!(self.bench.state.devices(), before);
        }
        if matches!(message, DeviceMessage::Backlog(..)) {
            let channels = |devices: Vec<Device>| devices.into_iter().map(|device| device.channels);
            assert!(channels(self.bench.state.devices()).eq(channels(before)), "late is not last");
        }
    }

    /// How many reports of boards about themselves were taken.
    fn infos(&self) -> u64 {
        self.bench.state.stats().accepted.get("state/info").copied().unwrap_or(0)
    }

    /// Devices are called what their boards have wished for, where that counts, and as before
    /// otherwise.
    fn heeded(
        &mut self,
        message: &DeviceMessage,
        taken: bool,
        speaker: Option<Mac>,
        before: &[Device],
        effects: &[Effect],
    ) {
        let mut names: BTreeMap<Mac, Name> =
            before.iter().map(|device| (device.mac, device.name.clone())).collect();
        let mut line = None;
        if let (DeviceMessage::Info(pair, info), Some(mac), true) = (message, speaker, taken)
            && self.pairs[&mac].started.as_ref() == Some(pair)
        {
            let known = self.wishes.get_mut(&mac).unwrap();
            match &info.wish {
                None if *known == Wish::Settled => *known = Wish::Open,
                None => {}
                Some(wish) if known.has_heard(wish) => {}
                Some(_) if self.wished_in.contains(&pair.session) => {}
                Some(wish) => {
                    self.wished_in.insert(pair.session);
                    let known = std::mem::replace(known, Wish::Heard(Box::new(wish.clone())));
                    let folded = |name: &Name| name.folded().collect::<String>();
                    let free = names
                        .iter()
                        .all(|(other, name)| *other == mac || folded(name) != folded(wish));
                    if known == Wish::Settled {
                        // A person has spoken since.
                    } else if !free {
                        line = Some(LogKind::WishRefused { name: wish.clone() });
                    } else {
                        let from = names.insert(mac, wish.clone()).unwrap();
                        let (to, by) = (wish.clone(), BY.to_owned());
                        line = (from != to).then_some(LogKind::Renamed { from, to, by });
                    }
                }
            }
        }
        for (mac, name) in self.names() {
            assert_eq!(names.get(&mac).unwrap_or(&name), &name);
        }
        let lines: Vec<_> = stores(effects)
            .into_iter()
            .filter_map(|(change, _)| match change {
                Change::Log(_, entry) => Some(entry.kind.clone()),
                _ => None,
            })
            .filter(|kind| matches!(kind, LogKind::Renamed { .. } | LogKind::WishRefused { .. }))
            .collect();
        assert_eq!(lines, Vec::from_iter(line));
    }

    fn started(&mut self, mac: Option<Mac>, pair: &Pair) {
        self.pairs.get_mut(&mac.unwrap()).unwrap().start(pair);
    }

    fn offered(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Publish(HubMessage::NameAssign(to, pair), _) = effect {
                self.pairs.get_mut(&to.mac()).unwrap().offered.push(pair.clone());
            }
        }
    }

    fn feed<T>(&mut self, feed: impl FnOnce(&mut State, &mut Turn<'_>) -> T) -> T {
        let mut answer = None;
        let (effects, _) = self.feed_all(|state, turn| answer = Some(feed(state, turn)));
        self.offered(&effects);
        answer.unwrap()
    }

    /// Feeds the state machine, checks what it asks for, and lets the front act on it.
    fn feed_all(
        &mut self,
        feed: impl FnOnce(&mut State, &mut Turn<'_>),
    ) -> (Vec<Effect>, Option<(Verdict, When)>) {
        let ((), effects) = self.bench.turn(feed);
        let mut settled = None;
        let mut stored = Disk::default();
        for effect in &effects {
            match effect {
                Effect::Store(Change::PutMarks(marks), _) => stored.marks = *marks,
                Effect::Store(Change::PutDevice(record), _) => {
                    stored.devices.insert(record.id, (**record).clone());
                }
                Effect::Publish(HubMessage::NameAssign(_, pair), when) => {
                    assert_eq!(*when, When::Committed);
                    assert_eq!(stored.marks.last_session, Some(pair.session));
                    assert!(stored.devices.values().any(|record| record.offered.contains(pair)));
                }
                Effect::Settle(_, verdict, when) => {
                    assert!(settled.replace((*verdict, *when)).is_none(), "settled twice");
                }
                _ => {}
            }
        }
        self.observe();
        (effects, settled)
    }

    fn commit(&mut self) {
        self.bench.commit();
        self.observe();
    }

    /// Takes note of what left the hub.
    fn observe(&mut self) {
        for (connection, identity) in std::mem::take(&mut self.bench.bound) {
            // An address moves from the connection that had it.
            for other in self.identities.values_mut() {
                if other.pair == identity.pair {
                    other.pair = None;
                }
            }
            self.identities.insert(connection, identity);
            if !self.is_alive(connection) {
                self.imply_leave(connection);
            }
        }
        for message in std::mem::take(&mut self.bench.published) {
            if let HubMessage::NameAssign(to, pair) = message {
                assert!(Some(pair.session) > self.highest, "session ids strictly grow");
                assert!(Some(pair.session) <= self.bench.disk.marks.last_session);
                self.highest = Some(pair.session);
                self.assigned.push((to.mac(), pair));
            }
        }
        for (ack, _) in std::mem::take(&mut self.bench.settled) {
            assert!(self.awaited.remove(&(ack.connection, ack.number)), "nobody waits for it");
        }
        for event in std::mem::take(&mut self.bench.events) {
            match event {
                Event::Device(device) => {
                    self.followed.insert(device.mac, device);
                }
                Event::Reading { mac, channel, value, at, .. } => {
                    self.followed.get_mut(&mac).unwrap().channels.update(channel, value, at);
                }
                Event::Removed { mac } => assert!(self.followed.remove(&mac).is_some()),
                Event::Command(_) | Event::Storage(_) => {}
            }
        }
        for command in std::mem::take(&mut self.bench.resolved) {
            assert_ne!(command.state, CommandState::Sent);
            assert!(self.running.remove(&command.id), "a command ends once");
        }
    }

    fn crash(&mut self) {
        self.unrecorded = false;
        self.bench.restart();
        self.connections.iter_mut().for_each(|one| one.alive = false);
        self.identities.clear();
        self.queue.clear();
        self.awaited.clear();
        self.running.clear();
        self.followed =
            self.bench.state.devices().into_iter().map(|device| (device.mac, device)).collect();
        assert!(self.followed.values().all(|device| device.state == DeviceState::Offline));
        let shown = shown(&self.bench.disk.devices);
        self.pairs = shown.values().map(|record| (record.mac, Pairs::of(record))).collect();
        self.wishes = shown.values().map(|record| (record.mac, record.wish.clone())).collect();
        let replaced = shown.values().filter(|record| record.replaced.is_some());
        self.former_wishes =
            replaced.map(|record| (record.mac, record.former_wish.clone())).collect();
        self.wished_in.clear();
        for (id, record) in &shown {
            let readings = self.bench.disk.last.iter().filter(|((of, _), _)| of == id);
            let last = readings.map(|(_, last)| last.at).max();
            let device = &self.followed[&record.mac];
            assert_eq!(device.last_seen, record.last_seen.max(last.unwrap_or(Timestamp::MIN)));
        }
    }

    fn state_of(&self, mac: &str) -> Option<DeviceState> {
        self.bench.state.device(&key(mac)).ok().map(|device| device.state)
    }

    /// What will be on the medium once all is committed.
    fn view(&self) -> Disk {
        let mut view = self.bench.disk.clone();
        for (change, _) in stores(&self.bench.uncommitted) {
            view.apply(change);
        }
        view
    }

    /// What holds at every moment.
    fn check(&self) {
        self.bench.state.check();
        let (view, devices) = (self.view(), self.bench.state.devices());
        assert_eq!(devices.len(), shown(&view.devices).len());
        let names: HashSet<String> =
            devices.iter().map(|device| device.name.folded().collect()).collect();
        assert_eq!(names.len(), devices.len(), "names are unique without regard to case");
        for device in &devices {
            let id = self.bench.state.device_id(&device.mac.into()).unwrap();
            let record = &view.devices[&id];
            let stored = Device {
                mac: record.mac,
                name: record.name.clone(),
                first_seen: record.first_seen,
                joined_at: record.joined_at,
                left_at: record.left_at,
                ..device.clone()
            };
            assert_eq!(*device, stored, "what is known is what will be stored");
            assert_eq!(self.pairs[&device.mac], Pairs::of(record));
            assert_eq!(self.wishes[&device.mac], record.wish);
            let former = self.former_wishes.get(&device.mac).cloned();
            assert_eq!(former.unwrap_or_default(), record.former_wish);
            let recorded = self.bench.state.recorded(id).unwrap();
            for channel in Channel::ALL {
                let last = view.last.get(&(id, channel)).copied();
                let known = recorded.get(channel);
                assert!(known == last || self.unrecorded, "{known:?} is known, {last:?} stored");
            }
            if record.replaced.is_none() {
                assert_eq!(device.channels, recorded);
            }
            if let Some(absorbed) = record.replaced.and_then(|replaced| replaced.absorbed) {
                let record = &view.devices[&absorbed];
                assert_eq!((record.mac, &record.session), (device.mac, &None));
                assert_eq!((&record.offered, record.replaced), (&Vec::new(), None));
                assert_eq!((&record.wish, &record.former_wish), (&Wish::Open, &Wish::Open));
            }
            // A sign of life that changes nothing else is not told, nor is how strong a signal is.
            let followed = &self.followed[&device.mac];
            let mut told = Device { last_seen: device.last_seen, ..followed.clone() };
            if let (Some(told), Some(info)) = (&mut told.info, &device.info) {
                told.rssi = info.rssi;
            }
            assert_eq!(*device, told, "who follows the stream knows the state");
            if device.state == DeviceState::Online {
                assert_eq!(device.left_at, None);
                let pair = record.session.as_ref().expect("online without a session");
                let on = |identity: &Identity| identity.pair.as_ref() == Some(pair);
                let lives = self.identities.iter().any(|(at, who)| on(who) && self.is_alive(*at));
                let ends = |(message, _, _): &(DeviceMessage, Origin, Option<Ack>)| {
                    *message == DeviceMessage::Leave(pair.clone())
                };
                assert!(lives || self.queue.iter().any(ends), "online on no connection");
            }
        }
        assert_eq!(devices.len(), self.followed.len());
    }

    /// Names are a device's for ever, but for people, wishes and crashes.
    fn names(&self) -> BTreeMap<Mac, Name> {
        self.bench.state.devices().into_iter().map(|device| (device.mac, device.name)).collect()
    }

    /// Everything comes to its end.
    fn settle_down(&mut self) {
        while !self.queue.is_empty() {
            self.run(Op::Hear(1));
        }
        self.bench.uptime += TIMEOUT;
        self.feed(State::expire);
        self.commit();
        assert!(self.awaited.is_empty(), "an acknowledgement is missing: {:?}", self.awaited);
        assert!(self.running.is_empty(), "a command has no end: {:?}", self.running);
        let view = self.bench.disk.devices.clone();
        self.run(Op::Crash);
        assert_eq!(view, self.bench.disk.devices);
        self.run(Op::Hear(1));
    }
}

/// The devices that are shown: those that no other has absorbed.
fn shown(devices: &BTreeMap<DeviceId, DeviceRecord>) -> BTreeMap<DeviceId, DeviceRecord> {
    let absorbed: Vec<_> =
        devices.values().filter_map(|record| record.replaced?.absorbed).collect();
    let shown = devices.iter().filter(|(id, _)| !absorbed.contains(id));
    shown.map(|(id, record)| (*id, record.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_has_to_hold_holds_in_any_order_of_things(ops in vec(op(), 1..150)) {
        let mut world = World::new();
        for op in ops {
            let before = world.names();
            world.run(op);
            // What boards do to names was looked at when they were heard.
            let names_change = matches!(
                op,
                Op::Rename(..) | Op::Replace(..) | Op::Undo(_) | Op::Crash | Op::Hear(_)
            );
            if !names_change {
                for (mac, name) in world.names() {
                    prop_assert_eq!(before.get(&mac).unwrap_or(&name), &name);
                }
            }
        }
        world.settle_down();
    }
}
