//! A backup as it is written.

use super::layout::{Counts, Header};
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Writes a backup to `out`, which should buffer.
#[derive(Debug)]
pub(super) struct Writer<W> {
    out: W,
    hash: Sha256,
    values: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub(super) fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self { out, hash: Sha256::new(), values: 0 };
        writer.write(&header.encode())?;
        Ok(writer)
    }

    /// Writes a value: a whole envelope.
    pub(super) fn put(&mut self, envelope: &[u8]) -> io::Result<()> {
        self.values += 1;
        self.write(envelope)
    }

    /// Writes the trailer and flushes. Without it the backup counts as cut off.
    pub(super) fn finish(mut self, readings: u64) -> io::Result<W> {
        let counts = Counts { values: self.values, readings };
        self.write(&counts.encode())?;
        self.out.write_all(&self.hash.finalize())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}
