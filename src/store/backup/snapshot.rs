//! The copy of a store that goes on committing.
//!
//! What a backup holds is the store as of one frame, and never less than that:
//!
//! - Readings are those of the frames up to the last that was published when the copy began.
//! - Device records and log lines are as they are when the copy comes to them, so that they may be a
//!   moment newer. A record without readings does no harm; readings without a record would.
//! - Tombstones come behind all that: what is removed while the copy goes on is removed in it.
//! - The counters come last, since none of them may be older than what was counted.
//!
//! A damaged value is left out, counted and logged, as a query does it.

use super::{layout::Header, tally::Tally, writer::Writer};
use crate::store::{envelope, error::StoreError, key, reader::Reader};
use std::io::{self, Write};

/// Why a copy ended before its end.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// The store can't be read.
    Store(StoreError),
    /// Whoever takes it does so no longer.
    Taker(io::Error),
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Taker(error)
    }
}

/// Writes a backup of the store to `out`. Blocks.
pub(super) fn write<W: Write>(reader: &Reader, header: &Header, out: W) -> Result<(), Interrupted> {
    let last = reader.queue.published().saturating_add(1);
    let mut copy = Copy { reader, writer: Writer::new(out, header)?, tally: Tally::default() };
    copy.range(&[key::DEVICE], &[key::REMOVED])?;
    copy.range(&key::frame(0, 0), &key::frame(last, 0))?;
    copy.range(&[key::REMOVED], &[key::REMOVED + 1])?;
    copy.range(&[key::META], &[key::META + 1])?;
    let readings = copy.tally.holding().readings;
    copy.writer.finish(readings)?;
    Ok(())
}

/// A copy under way.
struct Copy<'a, W> {
    reader: &'a Reader,
    writer: Writer<W>,
    tally: Tally,
}

impl<W: Write> Copy<'_, W> {
    /// Copies the whole values of `from..to`.
    fn range(&mut self, from: &[u8], to: &[u8]) -> Result<(), Interrupted> {
        let mut result = Ok(());
        self.reader.engine.scan(from, to, |key, value| {
            result = self.put(key, value);
            result.is_ok()
        })?;
        result
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Interrupted> {
        // What is whole and can't be decoded goes in: a newer version may know it.
        let counted = envelope::open(key, value).map(|_| self.tally.take(key, value));
        match counted {
            Ok(_) => Ok(self.writer.put(value)?),
            Err(why) => {
                self.reader.counters.corrupt(key, why);
                Ok(())
            }
        }
    }
}
