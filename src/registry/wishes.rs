//! Names that boards wish for: what was put into their settings when they were flashed.
//!
//! A board tells its wish with each report about itself (`state/info`), so a wish counts once. It
//! renames the device as a person does (ruling 8), and is remembered in the device's record: what
//! people call the device later stands, until other settings are put into the board. A wish for a
//! name that is taken is over, too: people see it in the log, and can choose.
//!
//! A wish is the board's. Where a board takes the place of another, what it has wished for goes
//! along; what it wishes for first after that may be older, and gives way to the name that a person
//! has given it with that place. So nothing but new settings takes a name away that a person gave.
//!
//! Anybody can make up wishes. Of one session the first counts, so a wish costs its board a join,
//! and the hub no more than that did.

use super::{
    effect::Turn,
    error::DeviceError,
    state::{State, log},
};
use crate::{
    model::{DeviceId, LogKind, Wish},
    store::Urgency,
};
use capteur_protocol::{Name, Pair};
use std::mem;

/// Who renames by a wish, as logs have it.
pub(super) const BY: &str = "the board's settings";

impl State {
    /// Takes in the wish of a board that has told about itself, or that it has none. Says whether
    /// the device was renamed, and that announced.
    ///
    /// Sessions that are only offered don't count: a board has many of them for nothing.
    pub(super) fn heed(
        &mut self,
        id: DeviceId,
        wish: Option<&Name>,
        pair: &Pair,
        urgency: Urgency,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(entry) = self.roster.get_mut(id).filter(|entry| entry.has_started(pair)) else {
            return false;
        };
        let known = &mut entry.record.wish;
        let Some(wish) = wish else {
            if *known == Wish::Settled {
                // What it will wish for is going to be put into it: newer than its name.
                *known = Wish::Open;
                self.put(id, urgency, turn);
            }
            return false;
        };
        if known.has_heard(wish) || entry.wished_in == Some(pair.session) {
            return false;
        }
        let before = mem::replace(known, Wish::Heard(Box::new(wish.clone())));
        entry.wished_in = Some(pair.session);
        if before == Wish::Settled {
            self.put(id, urgency, turn);
            return false;
        }
        match self.give_name(id, wish, BY, turn) {
            Ok(renamed) => renamed,
            Err(DeviceError::NameTaken(name)) => {
                tracing::info!(wish = %name, "a board's wish for a name that is taken");
                log(id, LogKind::WishRefused { name }, urgency, turn);
                self.put(id, urgency, turn);
                false
            }
            // It may be heeded another time.
            Err(_) => {
                if let Some(entry) = self.roster.get_mut(id) {
                    entry.record.wish = before;
                }
                false
            }
        }
    }
}
