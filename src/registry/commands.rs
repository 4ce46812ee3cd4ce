//! Orders that wait for their confirmation, and the last that came to an end.

use super::effect::Moment;
use crate::model::{Channel, Command, CommandId, CommandState, DeviceId};
use capteur_protocol::Mac;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

/// The most commands that wait for their confirmation at once.
pub(super) const PENDING_MAX: usize = 1_024;

/// How many commands are remembered after their end.
const REMEMBERED: usize = 1_024;

/// Every command that is remembered. At most one waits for each device.
#[derive(Debug)]
pub(super) struct Commands {
    boot: u64,
    issued: u64,
    timeout: Duration,
    /// By number, which is the order in which they time out.
    pending: BTreeMap<u64, Pending>,
    by_device: HashMap<DeviceId, u64>,
    ended: VecDeque<Command>,
}

#[derive(Debug)]
struct Pending {
    command: Command,
    device: DeviceId,
    since: Duration,
}

impl Commands {
    /// No commands yet in this run of the hub.
    pub(super) fn new(boot: u64, timeout: Duration) -> Self {
        Self {
            boot,
            issued: 0,
            timeout,
            pending: BTreeMap::new(),
            by_device: HashMap::new(),
            ended: VecDeque::new(),
        }
    }

    /// Whether no further command may wait for `device`.
    pub(super) fn is_full_for(&self, device: DeviceId) -> bool {
        self.pending.len() >= PENDING_MAX && !self.by_device.contains_key(&device)
    }

    /// Takes in a new command; the one that waited for the device has to be ended before.
    pub(super) fn issue(
        &mut self,
        (device, mac): (DeviceId, Mac),
        value: bool,
        by: &str,
        now: Moment,
    ) -> Command {
        self.issued += 1;
        let command = Command {
            id: CommandId { boot: self.boot, number: self.issued },
            device: mac,
            channel: Channel::Led,
            value,
            state: CommandState::Sent,
            issued_at: now.wall,
            confirmed_at: None,
            issued_by: by.to_owned(),
        };
        let pending = Pending { command: command.clone(), device, since: now.uptime };
        self.pending.insert(self.issued, pending);
        self.by_device.insert(device, self.issued);
        command
    }

    /// The value that the device has been ordered and has not reported yet.
    pub(super) fn awaited(&self, device: DeviceId) -> Option<bool> {
        let pending = self.pending.get(self.by_device.get(&device)?)?;
        Some(pending.command.value)
    }

    /// Has the command that waits for `from`, if one does, wait for `to`, for which none may wait.
    pub(super) fn hand_over(&mut self, from: DeviceId, to: DeviceId) {
        let Some(number) = self.by_device.remove(&from) else { return };
        if let Some(pending) = self.pending.get_mut(&number) {
            pending.device = to;
            self.by_device.insert(to, number);
        }
    }

    /// Ends the command that waits for the device, if one does; also tells how long it waited.
    pub(super) fn end(
        &mut self,
        device: DeviceId,
        state: CommandState,
        now: Moment,
    ) -> Option<(Command, Duration)> {
        let number = self.by_device.remove(&device)?;
        let Pending { mut command, since, .. } = self.pending.remove(&number)?;
        command.state = state;
        command.confirmed_at = (state == CommandState::Confirmed).then_some(now.wall);
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(command.clone());
        Some((command, now.uptime.saturating_sub(since)))
    }

    /// When the next command times out, as uptime.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let (_, pending) = self.pending.first_key_value()?;
        Some(pending.since.saturating_add(self.timeout))
    }

    /// The devices whose commands have waited too long, longest first.
    pub(super) fn overdue(&self, now: Moment) -> Vec<DeviceId> {
        self.pending
            .values()
            .take_while(|pending| pending.since.saturating_add(self.timeout) <= now.uptime)
            .map(|pending| pending.device)
            .collect()
    }

    /// A command, as long as it is remembered.
    pub(super) fn get(&self, id: CommandId) -> Option<&Command> {
        let pending = self.pending.get(&id.number).map(|pending| &pending.command);
        pending.into_iter().chain(&self.ended).find(|command| command.id == id)
    }
}
