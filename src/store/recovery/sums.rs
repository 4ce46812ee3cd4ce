//! The buckets of minutes and hours of a series, brought in line with its readings.
//!
//! Of each bucket there are two versions: the one that was stored, and the one that the readings
//! which are there make. Each sums up some of the same readings, so the one with more of them is
//! taken. Where that is the stored one throughout a day, its values are copied as they are.

use super::{carve::Sources, inventory::Found, rebuild::size};
use crate::{
    model::{Bucket, Width},
    store::{
        builder::Builder,
        envelope,
        error::StoreError,
        key,
        rollup::{self, Block},
        series::Series,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// What the readings of a series come to in each minute.
#[derive(Debug, Default)]
pub(super) struct Sums {
    minutes: BTreeMap<i64, Bucket>,
}

/// A width, a key and its value.
type Value = (Width, Vec<u8>, Vec<u8>);

/// What was stored of a day.
#[derive(Debug, Default)]
struct Day {
    /// Those that are still good as they are.
    values: Vec<Value>,
    /// All minutes.
    minutes: Vec<Bucket>,
    /// The minutes that are compacted.
    compacted: Vec<Bucket>,
    hours: Vec<Bucket>,
    /// Which half days have minutes that are not compacted.
    fresh: Vec<i64>,
}

impl Sums {
    /// Adds readings.
    pub(super) fn add(&mut self, readings: &[(i64, u8)]) {
        for bucket in rollup::summarise(Width::Minute, readings.iter().copied()) {
            let start = bucket.start.millis();
            self.minutes.entry(start).and_modify(|known| known.add(&bucket)).or_insert(bucket);
        }
    }

    /// Writes the buckets of a series; returns what those of minutes and of hours take. `through`
    /// is the last frame that there can have been.
    pub(super) fn write(
        &self,
        series: Series,
        found: &Found,
        sources: &Sources,
        through: u64,
        builder: &mut Builder<'_>,
    ) -> Result<(u64, u64), StoreError> {
        let day_of = |at: i64| rollup::block_start(Width::Hour, at);
        let blocks = found.blocks.keys().map(|&(_, start)| start);
        let fresh = found.fresh.keys().map(|&(start, _)| start);
        let readings = self.minutes.keys().copied();
        let days: BTreeSet<_> = blocks.chain(fresh).chain(readings).map(day_of).collect();
        let (mut minute_bytes, mut hour_bytes) = (0, 0);
        for start in days {
            let raw: Vec<_> =
                self.minutes.range(start..start + rollup::DAY).map(|(_, bucket)| *bucket).collect();
            let day = Day::read(series, start, found, sources);
            let values = if day.covers(&raw) {
                day.values
            } else {
                day.rewritten(series, start, &raw, through)?
            };
            for (width, key, value) in values {
                match width {
                    Width::Minute => minute_bytes += size(&key, &value),
                    Width::Hour => hour_bytes += size(&key, &value),
                }
                builder.push(&key, &value)?;
            }
        }
        Ok((minute_bytes, hour_bytes))
    }
}

impl Day {
    fn read(series: Series, start: i64, found: &Found, sources: &Sources) -> Self {
        let mut day = Self::default();
        let open = |width, start, key: &[u8], value: &[u8]| {
            let body = envelope::open_version(key, rollup::VERSION, value).ok()?;
            rollup::decode(width, start, body).ok()
        };
        for half in [start, start + rollup::HALF_DAY] {
            let mut compacted = 0;
            let key = key::block(Width::Minute, series, half);
            if let Some(block) = found.blocks.get(&(Width::Minute.millis(), half))
                && let Some(value) = sources.read(block.place)
                && let Some(Block { through, buckets }) = open(Width::Minute, half, &key, &value)
            {
                compacted = through;
                day.minutes = rollup::merge(day.minutes, &buckets);
                day.compacted.extend(buckets);
                day.values.push((Width::Minute, key, value));
            }
            let fresh = found.fresh.range((half, compacted.saturating_add(1))..=(half, u64::MAX));
            for (&(_, through), &place) in fresh {
                let key = key::fresh(series, half, through);
                if let Some(value) = sources.read(place)
                    && let Some(block) = open(Width::Minute, half, &key, &value)
                {
                    day.minutes = rollup::merge(day.minutes, &block.buckets);
                    day.values.push((Width::Minute, key, value));
                    day.fresh.push(half);
                }
            }
        }
        let key = key::block(Width::Hour, series, start);
        if let Some(block) = found.blocks.get(&(Width::Hour.millis(), start))
            && let Some(value) = sources.read(block.place)
            && let Some(block) = open(Width::Hour, start, &key, &value)
        {
            day.hours = block.buckets;
            day.values.push((Width::Hour, key, value));
        }
        day
    }

    /// Whether what was stored has all the readings that are there.
    fn covers(&self, raw: &[Bucket]) -> bool {
        let compacted = rollup::widen(&self.compacted);
        // Fresh minutes are added to the hours: they must not be in them already, as they are where
        // the newest version of the compacted minutes is lost.
        let clean = self.fresh.iter().all(|&half| {
            let counts = |hours: &[Bucket]| -> Vec<_> {
                let end = half + rollup::HALF_DAY;
                let within = hours.iter().filter(|hour| (half..end).contains(&hour.start.millis()));
                within.map(|hour| (hour.start, hour.count)).collect()
            };
            counts(&compacted) == counts(&self.hours)
        });
        clean
            && fuller(&self.minutes, raw) == self.minutes
            && fuller(&self.hours, &compacted) == self.hours
    }

    /// The day's values, of the fuller buckets.
    fn rewritten(
        &self,
        series: Series,
        start: i64,
        raw: &[Bucket],
        through: u64,
    ) -> Result<Vec<Value>, StoreError> {
        let minutes = fuller(&self.minutes, raw);
        let hours = fuller(&self.hours, &rollup::widen(&minutes));
        let noon = start + rollup::HALF_DAY;
        let (morning, evening) =
            minutes.split_at(minutes.partition_point(|bucket| bucket.start.millis() < noon));
        let mut values = Vec::new();
        for (width, start, buckets) in [
            (Width::Minute, start, morning),
            (Width::Minute, noon, evening),
            (Width::Hour, start, &hours[..]),
        ] {
            if !buckets.is_empty() {
                let key = key::block(width, series, start);
                let block = Block { through, buckets: buckets.to_vec() };
                let body = rollup::encode(width, start, &block);
                let value = envelope::seal(&key, rollup::VERSION, &body, "compacted buckets")?;
                values.push((width, key, value));
            }
        }
        Ok(values)
    }
}

/// Of each bucket the version that has more readings, the first where both have as many.
fn fuller(a: &[Bucket], b: &[Bucket]) -> Vec<Bucket> {
    let mut all: BTreeMap<_, _> = b.iter().map(|bucket| (bucket.start, *bucket)).collect();
    for bucket in a {
        let known = all.entry(bucket.start).or_insert(*bucket);
        if known.count <= bucket.count {
            *known = *bucket;
        }
    }
    all.into_values().collect()
}
