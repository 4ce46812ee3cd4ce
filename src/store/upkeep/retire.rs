//! Retention: what is too old, or more than its budget, goes; the oldest first.

use super::{STEP_MAX, Turn};
use crate::{
    model::{DeviceId, Timestamp, Width},
    store::{
        chunk,
        engine::{Change, Medium},
        envelope,
        error::StoreError,
        key::{self, Chunk},
        record::SeriesRecord,
        rollup,
        seal::size,
        series::Series,
    },
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
    time::Duration,
};

/// How many series one step looks at to find out where they begin.
const LOOK_MAX: usize = 256;

/// How long, and how much of it, is kept of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// What is older goes; `None` is never.
    pub age: Option<Duration>,
    /// The most bytes of keys and values; `None` is without a limit.
    pub bytes: Option<u64>,
}

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Single readings.
    pub raw: Limit,
    /// Buckets of minutes.
    pub minute: Limit,
    /// Buckets of hours.
    pub hour: Limit,
    /// Lines of the devices' logs.
    pub log: Limit,
    /// The most bytes of all together; `None` is without a limit. Where there is more, single
    /// readings go first, then minutes, then logs, then hours.
    pub total_bytes: Option<u64>,
}

/// What can be retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    Raw,
    Minute,
    Log,
    Hour,
}

/// What each tier takes, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    raw: u64,
    minute: u64,
    log: u64,
    hour: u64,
}

/// What all tiers take now.
fn taken<M: Medium>(turn: &Turn<'_, M>) -> Taken {
    let usage = turn.heads().usage();
    Taken { raw: usage.raw, minute: usage.minute, log: turn.logs.bytes(), hour: usage.hour }
}

impl Tier {
    /// In the order in which they give way.
    const ALL: [Self; 4] = [Self::Raw, Self::Minute, Self::Log, Self::Hour];
}

impl Taken {
    fn of(&self, tier: Tier) -> u64 {
        match tier {
            Tier::Raw => self.raw,
            Tier::Minute => self.minute,
            Tier::Log => self.log,
            Tier::Hour => self.hour,
        }
    }
}

impl Retention {
    fn limit(&self, tier: Tier) -> Limit {
        match tier {
            Tier::Raw => self.raw,
            Tier::Minute => self.minute,
            Tier::Log => self.log,
            Tier::Hour => self.hour,
        }
    }

    /// How much a tier may take while the others take what they do.
    fn budget(&self, tier: Tier, taken: &Taken) -> u64 {
        let own = self.limit(tier).bytes.unwrap_or(u64::MAX);
        let all: u64 = Tier::ALL.into_iter().map(|tier| taken.of(tier)).sum();
        let over = all.saturating_sub(self.total_bytes.unwrap_or(u64::MAX));
        own.min(taken.of(tier).saturating_sub(over))
    }
}

/// Whose values they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Series(Series),
    Log(DeviceId),
}

/// A walk over the tiers, one after the other.
#[derive(Debug)]
pub(super) struct Pass {
    /// The tiers that are left, the next one last.
    tiers: Vec<Tier>,
    /// Those of whom it is not known yet where they begin; `None` at the beginning of a tier.
    unseen: Option<Vec<Owner>>,
    /// The first value of each of the others, the oldest first: its time, its key, whose it is.
    oldest: BinaryHeap<Reverse<(i64, Vec<u8>, Owner)>>,
}

/// A value that may go.
struct Value {
    bytes: u64,
    /// How many readings or lines it has.
    count: u64,
    /// When the last of these was.
    last: i64,
    /// Whether it can go now: no frame can bring it back.
    settled: bool,
}

/// What one step deletes.
#[derive(Default)]
struct Deleted {
    changes: Vec<Change>,
    records: HashMap<Series, SeriesRecord>,
    logs: BTreeSet<DeviceId>,
    bytes: u64,
    readings: u64,
}

impl Pass {
    pub(super) fn new() -> Self {
        let tiers = Tier::ALL.into_iter().rev().collect();
        Self { tiers, unseen: None, oldest: BinaryHeap::new() }
    }

    /// Deletes some of what has to go, or looks for it; says whether there may be more.
    pub(super) fn step<M: Medium>(
        &mut self,
        retention: &Retention,
        now: i64,
        low: u64,
        turn: &mut Turn<'_, M>,
    ) -> Result<bool, StoreError> {
        let Some(&tier) = self.tiers.last() else { return Ok(false) };
        let unseen = self.unseen.get_or_insert_with(|| owners(tier, turn));
        if !unseen.is_empty() {
            for owner in unseen.split_off(unseen.len().saturating_sub(LOOK_MAX)) {
                let (from, to) = range(tier, owner);
                self.oldest.extend(next(tier, owner, &from, &to, turn)?.map(Reverse));
            }
            return Ok(true);
        }
        let cutoff = retention.limit(tier).age.map_or(i64::MIN, |age| {
            now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
        });
        let taken = taken(turn);
        let over = taken.of(tier).saturating_sub(retention.budget(tier, &taken));
        let deleted = self.pick(tier, cutoff, over, low, turn)?;
        if deleted.changes.is_empty() {
            self.oldest.clear();
            self.unseen = None;
            self.tiers.pop();
            return Ok(true);
        }
        turn.counters.retired(deleted.readings);
        let mut changes = deleted.changes;
        changes.extend(turn.logs.changes(deleted.logs)?);
        turn.apply(changes, deleted.records)?;
        Ok(true)
    }

    /// Picks the oldest values of a tier: those before `cutoff`, and `over` bytes of others.
    fn pick<M: Medium>(
        &mut self,
        tier: Tier,
        cutoff: i64,
        over: u64,
        low: u64,
        turn: &mut Turn<'_, M>,
    ) -> Result<Deleted, StoreError> {
        let mut deleted = Deleted::default();
        while deleted.changes.len() < STEP_MAX
            && let Some(Reverse((at, ..))) = self.oldest.peek()
            && (*at < cutoff || deleted.bytes < over)
        {
            let Some(Reverse((_, key, owner))) = self.oldest.pop() else { break };
            let Some(value) = look(tier, &key, low, turn)? else { continue };
            if !value.settled || (value.last >= cutoff && deleted.bytes >= over) {
                // What comes after it is younger.
                continue;
            }
            let after = [&key[..], &[0]].concat();
            let (_, to) = range(tier, owner);
            self.oldest.extend(next(tier, owner, &after, &to, turn)?.map(Reverse));
            deleted.take(tier, owner, key, &value, turn);
        }
        Ok(deleted)
    }
}

impl Deleted {
    fn take<M: Medium>(
        &mut self,
        tier: Tier,
        owner: Owner,
        key: Vec<u8>,
        value: &Value,
        turn: &mut Turn<'_, M>,
    ) {
        match owner {
            Owner::Log(device) => {
                turn.logs.deleted(device, value.count, value.bytes);
                self.logs.insert(device);
            }
            Owner::Series(series) => {
                // A device that was removed meanwhile is the purge's.
                let Some(record) = turn.heads().get(series).map(|entry| *entry.record()) else {
                    return;
                };
                let record = self.records.entry(series).or_insert(record);
                let bytes = match tier {
                    Tier::Raw | Tier::Log => &mut record.raw_bytes,
                    Tier::Minute => &mut record.minute_bytes,
                    Tier::Hour => &mut record.hour_bytes,
                };
                *bytes = bytes.saturating_sub(value.bytes);
                if tier == Tier::Raw {
                    record.readings = record.readings.saturating_sub(value.count);
                    self.readings += value.count;
                }
            }
        }
        self.bytes += value.bytes;
        self.changes.push((key, None));
    }
}

/// All that may have values in a tier.
fn owners<M: Medium>(tier: Tier, turn: &Turn<'_, M>) -> Vec<Owner> {
    match tier {
        Tier::Log => turn.logs.devices().map(Owner::Log).collect(),
        _ => turn.heads().iter().map(|(series, _)| Owner::Series(series)).collect(),
    }
}

/// Where an owner's values of a tier are.
fn range(tier: Tier, owner: Owner) -> (Vec<u8>, Vec<u8>) {
    let series = match owner {
        Owner::Log(device) => return (key::log_prefix(device), key::log_end(device)),
        Owner::Series(series) => series,
    };
    let key = |first| match tier {
        Tier::Raw | Tier::Log => key::chunk(Chunk { series, first, through: 0, part: 0 }),
        Tier::Minute => key::block(Width::Minute, series, first),
        Tier::Hour => key::block(Width::Hour, series, first),
    };
    (key(i64::MIN), key(i64::MAX))
}

/// The first value of an owner from `from` on: its time, its key and the owner.
fn next<M: Medium>(
    tier: Tier,
    owner: Owner,
    from: &[u8],
    to: &[u8],
    turn: &Turn<'_, M>,
) -> Result<Option<(i64, Vec<u8>, Owner)>, StoreError> {
    let Some(key) = turn.engine.keys(from, to, 1)?.pop() else { return Ok(None) };
    let at = match tier {
        Tier::Raw => key::chunk_of(&key).map(|chunk| chunk.first),
        Tier::Minute | Tier::Hour => key::block_of(&key).map(|(.., start)| start),
        Tier::Log => key::log_time_of(&key).map(Timestamp::millis),
    };
    Ok(at.map(|at| (at, key, owner)))
}

/// What a value has; `None` where it is gone.
fn look<M: Medium>(
    tier: Tier,
    key: &[u8],
    low: u64,
    turn: &Turn<'_, M>,
) -> Result<Option<Value>, StoreError> {
    let Some(value) = turn.engine.get(key)? else { return Ok(None) };
    let bytes = size(key, &value);
    let block = |width| {
        let start = key::block_of(key).map_or(i64::MIN, |(.., start)| start);
        Value { bytes, count: 0, last: start + rollup::span(width), settled: true }
    };
    Ok(Some(match tier {
        Tier::Minute => block(Width::Minute),
        Tier::Hour => block(Width::Hour),
        Tier::Log => {
            let at = key::log_time_of(key).map_or(i64::MIN, Timestamp::millis);
            Value { bytes, count: 1, last: at, settled: true }
        }
        Tier::Raw => {
            let settled = key::chunk_of(key).is_none_or(|chunk| chunk.through < low);
            match envelope::open_version(key, chunk::VERSION, &value).and_then(chunk::head) {
                Ok((head, _)) => {
                    Value { bytes, count: head.count.into(), last: head.last, settled }
                }
                Err(why) => {
                    turn.counters.corrupt(key, why);
                    Value { bytes, count: 0, last: i64::MIN, settled }
                }
            }
        }
    }))
}
