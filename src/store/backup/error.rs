//! Why a backup is refused.

use std::io;

/// A backup can't be read, or is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It can't be read or written.
    #[error("{name}: {error}")]
    Io {
        /// The file.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// There is a file of that name already. It was not touched.
    #[error("{name} exists already")]
    Exists {
        /// The file.
        name: String,
    },
    /// There is something of that name that is no file. It was not touched.
    #[error("{name} is not a file")]
    NoFile {
        /// What there is.
        name: String,
    },
    /// It doesn't begin as a backup does.
    #[error("{name} is no backup of Capteur")]
    Foreign {
        /// The file.
        name: String,
    },
    /// A newer version wrote it.
    #[error("{name} has the {what} {found}; this version reads up to {known}: use a newer one")]
    Newer {
        /// The file.
        name: String,
        /// Which number says so.
        what: &'static str,
        /// What was found.
        found: u32,
        /// The highest that this version reads.
        known: u32,
    },
    /// It ends too early.
    #[error("{name} is cut off after {offset} bytes")]
    Truncated {
        /// The file.
        name: String,
        /// How long it is.
        offset: u64,
    },
    /// Something in it is not what was written.
    #[error("{name} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        name: String,
        /// Where.
        offset: u64,
        /// What was found.
        what: String,
    },
}

impl BackupError {
    /// For `map_err`: what the system refused, and where.
    pub(super) fn io<N: ToString + ?Sized>(name: &N) -> impl FnOnce(io::Error) -> Self + use<N> {
        let name = name.to_string();
        move |error| Self::Io { name, error }
    }
}
