//! A device as the store keeps it, and the hub's counters.

use super::Timestamp;
use capteur_protocol::{Mac, Name, Pair, SessionId};
use serde::{Deserialize, Serialize};

/// How many sessions that were issued and not started the hub remembers for one device.
///
/// A board repeats its MAC while it waits, and each repeat opens a session; a board that repeats
/// more often than this before it starts one loses the oldest.
pub const SESSIONS_OPEN_MAX: usize = 100;

/// A device's number in the store: given once, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceId(pub u32);

/// What the store keeps of a device. At most 4,600 bytes when encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Its number in the store.
    pub id: DeviceId,
    /// Its MAC address.
    pub mac: Mac,
    /// Its name for people.
    pub name: Name,
    /// When the hub first heard of it.
    pub first_seen: Timestamp,
    /// When the hub last heard from it, as of when this record was written: readings since then
    /// are newer.
    pub last_seen: Timestamp,
    /// When it last started a session.
    pub joined_at: Option<Timestamp>,
    /// When it last left.
    pub left_at: Option<Timestamp>,
    /// The session that it has started, under the name that it had then.
    pub session: Option<Pair>,
    /// Sessions issued since, oldest first, that it may still start; at most
    /// [`SESSIONS_OPEN_MAX`].
    pub offered: Vec<Pair>,
    /// The board whose place its board has taken, where that can still be undone.
    pub replaced: Option<Replaced>,
    /// How often the record has been written: tells the newest of several that are found where a
    /// store is recovered.
    pub revision: u32,
    /// How it stands with the name that its board wishes for.
    pub wish: Wish,
    /// The same of the board before, for as long as `replaced` can be undone.
    pub former_wish: Wish,
}

/// How it stands with the name that a board wishes for: it says so (`state/info`) at each start,
/// and is to be heeded once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Wish {
    /// It has wished for none: the first wish counts.
    #[default]
    Open,
    /// It has wished for none as far as is known, and a person has given it a name since, with the
    /// device that it now is: what it wishes for first may be older than that, and does not count.
    Settled,
    /// It has wished for this, which does not count again, whatever became of it.
    Heard(Box<Name>),
}

impl Wish {
    /// Whether the board has wished for this name already.
    pub fn has_heard(&self, name: &Name) -> bool {
        matches!(self, Self::Heard(heard) if **heard == *name)
    }
}

/// A device's board has been replaced by another: the MAC is the new one's, all else stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The MAC address of the board before.
    pub mac: Mac,
    /// When the new board took its place.
    pub at: Timestamp,
    /// The device that the new board was until then, where it was known. Its record and its
    /// readings stay in the store as they are; it is only not shown until this is undone.
    pub absorbed: Option<DeviceId>,
}

/// The hub's counters. None of them ever goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// The number for the next new device.
    pub next_device: u32,
    /// The highest number ever given out in a default name such as `capteur07`.
    pub highest_name: u32,
    /// The highest session id ever issued; `None` before the first.
    pub last_session: Option<SessionId>,
    /// How often the store has been opened.
    pub boots: u64,
}
