//! Backups: the whole store in one file that anybody can check.
//!
//! # The file
//!
//! Integers are little-endian.
//!
//! ```text
//! header   89 'CAPTEUR' 0D 0A 1A 0A  what a transfer as text would break (as in PNG, section 5.2)
//!          format u32                of the file: 1
//!          schema u32                of the values: that of the store's FORMAT file
//!          created i64               ms since the Unix epoch
//!          length u8, version        of the hub that wrote it
//!          CRC-32 u32                of all before
//! values   envelope, envelope, …     as they are in the store, each with its key and its checksum
//! trailer  E5 1C 'C' 'E'             where the next envelope would begin
//!          values u64                how many envelopes there are
//!          readings u64              how many readings they hold
//!          SHA-256, 32 bytes         of all before
//! ```
//!
//! A file that was cut has no trailer. Readings of removed devices, which the store may still
//! have, don't count.
//!
//! The envelopes are those of the store, so that a backup is restored by the next version as the
//! store itself is opened by it, and whatever finds envelopes in a damaged database finds them in
//! a damaged backup as well.
//!
//! # Layout
//!
//! - `layout`: header and trailer
//! - `writer`, `reader`: the file as a stream, with bounded memory
//! - `tally`: what the values hold
//! - `snapshot`: the copy of a store that goes on committing
//! - [`live`]: that copy on its way to whoever asked for it
//! - [`mod@file`]: backups on a disk
//! - `error`: why a file is refused

mod error;
pub mod file;
mod layout;
pub mod live;
mod reader;
mod snapshot;
mod tally;
#[cfg(test)]
mod tests;
mod writer;

pub use error::BackupError;
pub use layout::Header;
pub use live::Backup;
pub use reader::{Checked, check};
pub use tally::Holding;

pub(super) use reader::Reader;
