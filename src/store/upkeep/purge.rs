//! What removed devices have left.

use super::{STEP_MAX, Turn};
use crate::{
    model::{DeviceId, Width},
    store::{
        engine::Medium,
        error::StoreError,
        key::{self, Chunk},
        series::Series,
    },
};
use std::collections::HashMap;

/// Removed devices, each with the last frame that may have readings of it.
#[derive(Debug, Default)]
pub(super) struct Purge {
    /// These may have values left.
    full: Vec<(DeviceId, u64)>,
    /// These have only their tombstone, which has to stay as long as the frame.
    empty: Vec<(DeviceId, u64)>,
}

impl FromIterator<(DeviceId, u64)> for Purge {
    fn from_iter<I: IntoIterator<Item = (DeviceId, u64)>>(removed: I) -> Self {
        Self { full: removed.into_iter().collect(), empty: Vec::new() }
    }
}

impl Purge {
    pub(super) fn add(&mut self, device: DeviceId, last_frame: u64) {
        self.full.push((device, last_frame));
    }

    /// Whether there is something to do while `low` is the first frame.
    pub(super) fn is_due(&self, low: u64) -> bool {
        !self.full.is_empty() || self.empty.iter().any(|&(_, last)| last < low)
    }

    /// Deletes some of what is left of a device, or tombstones.
    pub(super) fn step<M: Medium>(
        &mut self,
        low: u64,
        turn: &Turn<'_, M>,
    ) -> Result<(), StoreError> {
        if let Some(&removed) = self.full.last() {
            for (from, to) in ranges(removed.0) {
                if turn.delete(&from, &to)?.is_some() {
                    return Ok(());
                }
            }
            self.full.pop();
            self.empty.push(removed);
        } else {
            let over = |&mut (_, last): &mut (DeviceId, u64)| last < low;
            let over: Vec<_> = self.empty.extract_if(.., over).take(STEP_MAX).collect();
            let tombstones = over.into_iter().map(|(device, _)| (key::removed(device), None));
            turn.apply(tombstones.collect(), HashMap::new())?;
        }
        Ok(())
    }
}

/// Where in the tree a device has values, but for its record, its tombstone and frames.
fn ranges(device: DeviceId) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let values = Series::all(device).flat_map(|series| {
        let next = Series::from_number(series.number() + 1);
        let chunk = |series| key::chunk(Chunk { series, first: i64::MIN, through: 0, part: 0 });
        [
            (chunk(series), chunk(next)),
            (key::fresh(series, i64::MIN, 0), key::fresh(next, i64::MIN, 0)),
            (
                key::block(Width::Minute, series, i64::MIN),
                key::block(Width::Minute, next, i64::MIN),
            ),
            (key::block(Width::Hour, series, i64::MIN), key::block(Width::Hour, next, i64::MIN)),
            // Last: while it is there, what it counts may be.
            (key::series(series), key::series(next)),
        ]
    });
    let usage = key::log_usage(device);
    let after_usage = [&usage[..], &[0]].concat();
    values.chain([(key::log_prefix(device), key::log_end(device)), (usage, after_usage)])
}
