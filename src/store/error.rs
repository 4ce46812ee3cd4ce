//! What can go wrong with the store.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The store could not be opened, written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the store in {path} is in use by another process")]
    Locked {
        /// The folder of the store.
        path: PathBuf,
    },
    /// Another version wrote the store. Nothing in it was touched.
    #[error("the store in {path} has the format {found}; this version reads {expected} only")]
    Format {
        /// The folder of the store.
        path: PathBuf,
        /// The format that was found.
        found: String,
        /// The format that this version reads.
        expected: String,
    },
    /// The store's files can't be made sense of.
    #[error("the store in {path} is damaged: {detail}")]
    Damaged {
        /// The folder of the store.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The store is damaged, and there is no room for the new one that is to be made of it.
    #[error(
        "the store in {path} is damaged, and there is no room to recover it: {needed} bytes are \
         needed beside it, {free} are free"
    )]
    NoRoom {
        /// The folder of the store.
        path: PathBuf,
        /// How many bytes have to be free.
        needed: u64,
        /// How many are.
        free: u64,
    },
    /// The system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A change is too large to be kept; it was not queued.
    #[error("{what} of {len} bytes is too large for the store, which takes {max} bytes a value")]
    TooLarge {
        /// What was to be kept.
        what: &'static str,
        /// Its length when encoded.
        len: usize,
        /// The largest length.
        max: usize,
    },
    /// A change can't be encoded; it was not queued.
    #[error("{what} can't be encoded: {detail}")]
    Encoding {
        /// What was to be kept.
        what: &'static str,
        /// What the encoder said.
        detail: String,
    },
    /// A commit has failed. The store takes no more changes until it is opened anew.
    #[error("the store has failed and takes no more changes: {reason}")]
    Failed {
        /// Why the commit failed.
        reason: String,
    },
    /// A backup is being made; there is one at a time.
    #[error("a backup is being made already")]
    BackupRunning,
    /// A backup was not taken to its end.
    #[error("the backup has ended early: {reason}")]
    BackupCut {
        /// Why.
        reason: String,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// For `map_err`: what the system refused, and where.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source: Arc::new(source) }
    }

    /// Whether the file system has no room, or none for us.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::NoRoom { .. } => true,
            Self::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded),
            _ => false,
        }
    }

    /// What sled says of a store that it was to open or to read.
    pub(super) fn sled(path: &Path, error: sled::Error) -> Self {
        let path = path.to_owned();
        match error {
            // sled has no kind for this one.
            sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
                Self::Locked { path }
            }
            sled::Error::Io(source) => Self::Io { path, source: Arc::new(source) },
            sled::Error::Unsupported(found) => {
                Self::Format { path, found, expected: super::format::Format::CURRENT.to_string() }
            }
            other => Self::Damaged { path, detail: other.to_string() },
        }
    }
}

/// Why a value can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Corrupt {
    /// The envelope doesn't begin as one, or has another length than it says.
    #[error("it is no whole envelope")]
    Envelope,
    /// The checksum doesn't match.
    #[error("its checksum is wrong")]
    Checksum,
    /// It is the value of another key.
    #[error("it belongs to another key")]
    Key,
    /// The body has a version that this program doesn't know.
    #[error("its body has the unknown version {0}")]
    Version(u8),
    /// The body can't be decoded.
    #[error("its body can't be decoded")]
    Body,
}
