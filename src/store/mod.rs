//! Devices, their logs and their readings, in sled behind one door.
//!
//! All that is kept is one sled tree of checksummed values. One thread writes: it gathers what
//! waits into one atomic batch, has it on the medium, and only then calls back. Reads run beside
//! it and never wait for a sync; they see what still waits as well.
//!
//! # What is promised
//!
//! - A change that was reported done is there after a kill or a power cut; a submission is there
//!   as a whole or not at all, and none before one that was made earlier.
//! - A damaged value is skipped, counted and logged; the others stay readable.
//! - After a commit has failed nothing more is taken, so that nobody goes on with a store that
//!   forgets; the process is to end and to open it anew.
//!
//! # Readings
//!
//! A commit writes its readings as one write-ahead frame. The readings of a series that are in
//! frames only are its *head*, which is in memory as well. A head that is full, or that holds old
//! frames back, is *sealed* in the batch of a commit: its readings become chunks, some 1.1 bytes
//! each, and buckets of minutes. Each chunk says which frames it has readings of, so that no
//! reading counts twice, whatever is found after a crash or in a damaged file.
//!
//! # Removed devices
//!
//! Readings of all devices share frames, so those of a removed device can't be deleted at once.
//! Instead a tombstone is written in the batch that deletes its record: from then on readers,
//! replay and figures skip its readings, and what comes for it later is dropped; a device number
//! is never given out twice. What it has left follows in small batches, and the tombstone when no
//! frame can hold readings of it.
//!
//! # Layout
//!
//! - `change`: what can be asked of the store
//! - `handle`: the store as the other rooms see it
//! - `queue`: what waits for its commit, with room for so much and no more
//! - `writer`: the thread that commits
//! - `reader`: queries over what is committed and what waits
//! - `replay`: what the store holds, read when it is opened
//! - [`backup`]: the whole store in one file
//! - `heads`: every series, and what of it is not sealed
//! - `seal`: how a head becomes chunks and buckets
//! - `late`: readings that come late, and which of them are doubles
//! - `logs`: what the devices' logs take
//! - `upkeep`: what is trimmed, purged, compacted and retired in idle moments
//! - `key`, `series`, `envelope`, `frame`, `record`: how it looks in the tree
//! - `chunk`, `rollup`: readings sealed for years, and summed up by the minute and the hour
//! - `column`, `varint`: how their numbers are packed
//! - `engine`: sled, made durable
//! - `recovery`: the ladder from opening to a running store, whatever the files are like
//! - `folder`, `format`, `sanitise`: lock, version and repair before sled opens
//! - `condition`: what the store can do, as the writer sees it between commits
//! - `space`: what happens where the disk runs full
//! - `wear`: how much is written to the card
//! - `builder`: a new database, built beside the old one
//! - [`offline`]: restoring and compacting, while no hub runs
//! - `stats`: figures for health and metrics
//! - `error`: what can go wrong

pub mod backup;
mod builder;
mod change;
mod chunk;
mod column;
mod condition;
mod engine;
mod envelope;
mod error;
mod folder;
mod format;
mod frame;
mod handle;
mod heads;
mod key;
mod late;
mod logs;
pub mod offline;
mod queue;
mod reader;
mod record;
mod recovery;
mod replay;
mod rollup;
mod sanitise;
mod seal;
mod series;
mod space;
mod stats;
mod upkeep;
mod varint;
mod wear;
mod writer;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use change::{Change, Done, Urgency};
pub use condition::Condition;
pub use error::StoreError;
pub use handle::{Options, Store};
pub use reader::Coverage;
pub use recovery::Recovery;
pub use replay::Contents;
pub use space::{Recording, file_system_bytes};
pub use stats::Stats;
pub use upkeep::{Limit, Retention};
pub use wear::Wear;
