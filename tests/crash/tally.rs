//! What was tried, and what the stores had that were compared.

use crate::workload::Held;

/// A count of crashes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    crashes: u64,
    opening: u64,
    failed: u64,
    readings: u64,
    sealed: u64,
    compacted: u64,
    retired: u64,
}

impl Tally {
    /// The head of a Markdown table.
    pub(crate) const HEAD: &str = "\
        | crash | times | while opening | failed | readings compared | with chunks \
        | with compacted buckets | with retired readings |\n\
        | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";

    /// Counts a crash, which came while the store was being opened or later, and what was found
    /// to be held after it; `None` where that was wrong.
    pub(crate) fn add(&mut self, opening: bool, held: Option<&Held>) {
        self.crashes += 1;
        self.opening += u64::from(opening);
        self.failed += u64::from(held.is_none());
        if let Some(held) = held {
            self.readings += held.readings;
            self.sealed += u64::from(held.sealed > 0);
            self.compacted += u64::from(held.compacted);
            self.retired += u64::from(held.retired > 0);
        }
    }

    /// How many of the stores had chunks.
    pub(crate) fn sealed(&self) -> u64 {
        self.sealed
    }

    /// A row of the table.
    pub(crate) fn row(&self, crash: &str) -> String {
        let Self { crashes, opening, failed, readings, sealed, compacted, retired } = self;
        format!(
            "| {crash} | {crashes} | {opening} | {failed} | {readings} | {sealed} | {compacted} \
             | {retired} |"
        )
    }
}
