//! Header and trailer.

use crate::model::Timestamp;

/// What a backup begins with. The first byte tells it from text, the line ends show a transfer
/// that changed them, and 1A ends a listing on some systems.
pub(super) const MAGIC: [u8; 12] = *b"\x89CAPTEUR\r\n\x1a\n";
/// The format of the file that is written, and the highest that is read.
pub(super) const FORMAT: u32 = 1;
/// How much of a header has the same length in every format: magic, format and schema.
pub(super) const FIXED_LEN: usize = MAGIC.len() + 4 + 4;
/// What the trailer begins with.
pub(super) const END: [u8; 4] = [0xE5, 0x1C, b'C', b'E'];
/// The hash at the end.
pub(super) const HASH_LEN: usize = 32;
/// The trailer without its hash.
pub(super) const COUNTS_LEN: usize = END.len() + 8 + 8;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The schema of its values.
    pub schema: u32,
    /// When it was made.
    pub created: Timestamp,
    /// The version of the hub that made it.
    pub version: String,
}

impl Header {
    /// The header of a backup that this program makes.
    pub(in crate::store) fn new(schema: u32, created: Timestamp) -> Self {
        Self { schema, created, version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // No version is so long; a cut one does no harm.
        let version = &self.version.as_bytes()[..self.version.len().min(255)];
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(self.schema.to_le_bytes());
        bytes.extend(self.created.millis().to_le_bytes());
        bytes.push(u8::try_from(version.len()).unwrap_or(u8::MAX));
        bytes.extend(version);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }
}

/// How many values and readings a backup has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) values: u64,
    pub(super) readings: u64,
}

impl Counts {
    /// The trailer up to its hash.
    pub(super) fn encode(self) -> [u8; COUNTS_LEN] {
        let mut bytes = [0; COUNTS_LEN];
        bytes[..4].copy_from_slice(&END);
        bytes[4..12].copy_from_slice(&self.values.to_le_bytes());
        bytes[12..].copy_from_slice(&self.readings.to_le_bytes());
        bytes
    }

    /// Reads what follows [`END`].
    pub(super) fn decode(bytes: [u8; COUNTS_LEN - END.len()]) -> Self {
        let number = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        Self { values: number(0), readings: number(8) }
    }
}
