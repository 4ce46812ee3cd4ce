//! A new board in the place of an old one, and back.
//!
//! The device stays: its number, and with it its name, its readings and its log. Its MAC becomes
//! that of the new board. A new board that is known already is *absorbed*: what the store has of it
//! as a device of its own stays there, out of sight, and its sessions and its presence go over.
//! As after a rename, its pairs go on counting, and it is offered one under its new name (ruling 8).
//! The old board is unknown from then on. To undo this is to give each its own back.

use super::{
    effect::Turn,
    error::DeviceError,
    state::{State, log},
};
use crate::{
    model::{
        CommandState, Device, DeviceId, DeviceKey, DeviceRecord, DeviceState, Event, LogKind,
        Replaced,
    },
    store::{Change, Urgency},
};
use capteur_protocol::{Mac, SessionId};

impl State {
    /// Gives a device that is not online the board `mac`, which may be known or not.
    pub(super) fn replace(
        &mut self,
        key: &DeviceKey,
        mac: Mac,
        by: &str,
        turn: &mut Turn<'_>,
    ) -> Result<Device, DeviceError> {
        let (id, entry) = self.entry(key)?;
        let DeviceRecord { mac: from, ref name, replaced, .. } = entry.record;
        let name = name.clone();
        if from == mac {
            return Err(DeviceError::SameBoard { name, mac });
        }
        if replaced.is_some() {
            return Err(DeviceError::Replaced(name));
        }
        if entry.state == DeviceState::Online {
            return Err(DeviceError::Online(name));
        }
        let newcomer = self.roster.by_mac(mac);
        if let Some(entry) = newcomer.and_then(|newcomer| self.roster.get(newcomer))
            && entry.record.replaced.is_some()
        {
            return Err(DeviceError::Replaced(entry.record.name.clone()));
        }
        let session = self.session_for(newcomer, turn)?;
        tracing::info!(%name, %from, to = %mac, by, "board replaced");
        // It was an order to the old board.
        self.end_command(id, CommandState::TimedOut, turn);
        if let Some(newcomer) = newcomer {
            self.end_as_itself(newcomer, turn);
            self.commands.hand_over(newcomer, id);
        }
        self.roster.replace(id, mac);
        let kind = LogKind::Replaced { from, to: mac, by: by.to_owned() };
        log(id, kind, Urgency::Now, turn);
        self.go_on(id, Replaced { mac: from, at: turn.now.wall, absorbed: newcomer }, turn);
        match session {
            Some(session) => self.offer(id, session, turn),
            None => self.put(id, Urgency::Now, turn),
        }
        turn.event(Event::Removed { mac: from });
        self.announce(id, turn);
        self.device(&mac.into())
    }

    /// Gives a device that is not online the board back that was replaced.
    pub(super) fn undo_replacement(
        &mut self,
        key: &DeviceKey,
        by: &str,
        turn: &mut Turn<'_>,
    ) -> Result<Device, DeviceError> {
        let (id, entry) = self.entry(key)?;
        let DeviceRecord { mac: from, ref name, replaced, .. } = entry.record;
        let name = name.clone();
        let Some(Replaced { mac, .. }) = replaced else {
            return Err(DeviceError::NotReplaced(name));
        };
        if entry.state == DeviceState::Online {
            return Err(DeviceError::Online(name));
        }
        if let Some(holder) = self.roster.by_mac(mac).and_then(|holder| self.roster.get(holder)) {
            return Err(DeviceError::MacTaken { mac, holder: holder.record.name.clone() });
        }
        let absorbed = entry.absorbed();
        if let Some(absorbed) = absorbed
            && self.roster.by_name(&absorbed.name).is_some()
        {
            return Err(DeviceError::FormerNameTaken { name: absorbed.name.clone(), mac: from });
        }
        let absorbed = absorbed.map(|absorbed| absorbed.id);
        let session = self.session_for(absorbed, turn)?;
        tracing::info!(%name, %from, to = %mac, by, "board given back");
        self.end_command(id, CommandState::TimedOut, turn);
        self.roster.restore(id, mac);
        let kind = LogKind::ReplacementUndone { from, to: mac, by: by.to_owned() };
        log(id, kind, Urgency::Now, turn);
        self.put(id, Urgency::Now, turn);
        if let (Some(absorbed), Some(session)) = (absorbed, session) {
            self.offer(absorbed, session, turn);
            self.announce(absorbed, turn);
        } else {
            turn.event(Event::Removed { mac: from });
        }
        self.announce(id, turn);
        self.device(&mac.into())
    }

    /// The session to offer to a board that is known and gets another name.
    fn session_for(
        &mut self,
        board: Option<DeviceId>,
        turn: &mut Turn<'_>,
    ) -> Result<Option<SessionId>, DeviceError> {
        let exhausted = || DeviceError::Unavailable("there are no session ids left".to_owned());
        board.map(|_| self.session(turn).ok_or_else(exhausted)).transpose()
    }

    /// A device that is to be absorbed comes to its end as one of its own.
    fn end_as_itself(&mut self, id: DeviceId, turn: &mut Turn<'_>) {
        let Some(entry) = self.roster.get_mut(id) else { return };
        if entry.state == DeviceState::Online {
            entry.record.left_at = Some(turn.now.wall);
            self.stats.leaves += 1;
            log(id, LogKind::Left, Urgency::Now, turn);
        }
    }

    /// A device whose board has been replaced goes on as its new board does.
    fn go_on(&mut self, id: DeviceId, replaced: Replaced, turn: &mut Turn<'_>) {
        let Some(entry) = self.roster.get_mut(id) else { return };
        entry.record.replaced = Some(replaced);
        if let Some(absorbed) = entry.absorbed().cloned() {
            let record = &mut entry.record;
            record.last_seen = record.last_seen.max(absorbed.last_seen);
            if absorbed.joined_at.is_some() {
                (record.joined_at, record.left_at) = (absorbed.joined_at, absorbed.left_at);
            }
            turn.store(Change::PutDevice(Box::new(absorbed)), Urgency::Now);
        }
        if entry.state == DeviceState::Online {
            entry.record.left_at = None;
            self.stats.joins += 1;
            log(id, LogKind::Joined, Urgency::Now, turn);
        }
    }
}
