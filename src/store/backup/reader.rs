//! A backup as it is read and checked.

use super::{
    error::BackupError,
    layout::{COUNTS_LEN, Counts, END, FIXED_LEN, FORMAT, HASH_LEN, Header, MAGIC},
    tally::{Holding, Tally},
};
use crate::{
    model::Timestamp,
    store::{envelope, format::Format},
};
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, Read};

/// How much is read at once.
const BUFFER_LEN: usize = 64 * 1024;

/// A key, and its value in its envelope.
pub(in crate::store) type KeyAndValue<'a> = (&'a [u8], &'a [u8]);

/// Reads a backup value by value, in the memory of one value.
#[derive(Debug)]
pub(in crate::store) struct Reader<R> {
    source: BufReader<R>,
    /// What messages call the file.
    name: String,
    header: Header,
    hash: Sha256,
    /// How much has been read.
    offset: u64,
    values: u64,
    value: Vec<u8>,
    tally: Tally,
    /// What the whole file says, once it has been read to its end.
    end: Option<Checked>,
}

/// A whole backup without a fault in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it says of itself.
    pub header: Header,
    /// What it holds.
    pub holding: Holding,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Reads a backup to its end and checks every byte of it. `name` is what messages call it.
///
/// # Errors
///
/// [`BackupError`], with the place of the fault.
pub fn check(source: impl Read, name: impl Into<String>) -> Result<Checked, BackupError> {
    let mut reader = Reader::new(source, name)?;
    while reader.next()?.is_some() {}
    reader.finish()
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub(in crate::store) fn new(source: R, name: impl Into<String>) -> Result<Self, BackupError> {
        let mut reader = Self {
            source: BufReader::with_capacity(BUFFER_LEN, source),
            name: name.into(),
            header: Header { schema: 0, created: Timestamp::default(), version: String::new() },
            hash: Sha256::new(),
            offset: 0,
            values: 0,
            value: Vec::new(),
            tally: Tally::default(),
            end: None,
        };
        reader.read_header()?;
        Ok(reader)
    }

    /// The next key and its value, in its envelope; `None` once the trailer has been read and
    /// found right.
    pub(in crate::store) fn next(&mut self) -> Result<Option<KeyAndValue<'_>>, BackupError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let start = self.offset;
        self.value.resize(envelope::FRONT_LEN, 0);
        self.fill(0, END.len())?;
        if self.value[..END.len()] == END {
            return self.read_trailer(start).map(|()| None);
        }
        self.fill(END.len(), envelope::FRONT_LEN)?;
        let len = envelope::len_of(&self.value)
            .ok_or_else(|| self.damaged(start, "here should be a value or the trailer"))?;
        self.value.resize(len, 0);
        self.fill(envelope::FRONT_LEN, len)?;
        self.hash.update(&self.value);
        self.values += 1;
        let (key, ..) = envelope::parse(&self.value)
            .map_err(|why| self.damaged(start, &format!("the value there is damaged: {why}")))?;
        // A body of a version that is not known here is kept all the same.
        let _ = self.tally.take(key, &self.value);
        Ok(Some((key, &self.value)))
    }

    /// What was read, which has to be all.
    pub(in crate::store) fn finish(self) -> Result<Checked, BackupError> {
        self.end.ok_or(BackupError::Truncated { name: self.name, offset: self.offset })
    }

    fn read_header(&mut self) -> Result<(), BackupError> {
        self.value.resize(FIXED_LEN, 0);
        match self.fill(0, FIXED_LEN) {
            Err(BackupError::Truncated { name, .. }) if !MAGIC.starts_with(self.start()) => {
                return Err(BackupError::Foreign { name });
            }
            filled => filled?,
        }
        if self.start() != MAGIC {
            return Err(BackupError::Foreign { name: self.name.clone() });
        }
        let format = self.number(MAGIC.len());
        self.header.schema = self.number(MAGIC.len() + 4);
        let known = [("format", format, FORMAT), ("schema", self.header.schema, Format::SCHEMA)];
        // What is newer may have another header: its checksum can't be looked at first.
        for (what, found, known) in known {
            if found > known {
                return Err(BackupError::Newer { name: self.name.clone(), what, found, known });
            }
        }
        let version_at = FIXED_LEN + 8 + 1;
        self.value.resize(version_at, 0);
        self.fill(FIXED_LEN, version_at)?;
        let version_end = version_at + usize::from(self.value[version_at - 1]);
        self.value.resize(version_end + 4, 0);
        self.fill(version_at, version_end + 4)?;
        if crc32fast::hash(&self.value[..version_end]) != self.number(version_end) {
            return Err(self.damaged(0, "the checksum of the header is wrong"));
        }
        let created = self.value[FIXED_LEN..].first_chunk().map_or(0, |b| i64::from_le_bytes(*b));
        self.header.created = Timestamp::from_millis(created);
        self.header.version =
            String::from_utf8_lossy(&self.value[version_at..version_end]).into_owned();
        self.hash.update(&self.value);
        Ok(())
    }

    fn read_trailer(&mut self, start: u64) -> Result<(), BackupError> {
        let mut counts = [0; COUNTS_LEN - END.len()];
        self.read(&mut counts)?;
        self.hash.update(END);
        self.hash.update(counts);
        let mut hash = [0; HASH_LEN];
        self.read(&mut hash)?;
        if self.hash.finalize_reset().as_slice() != hash {
            return Err(self.damaged(start, "the hash in the trailer is that of another content"));
        }
        let counts = Counts::decode(counts);
        let holding = self.tally.holding();
        if (counts.values, counts.readings) != (self.values, holding.readings) {
            let what = format!(
                "the trailer counts {} values with {} readings, and {} with {} are there",
                counts.values, counts.readings, self.values, holding.readings
            );
            return Err(self.damaged(start, &what));
        }
        let bytes = self.offset;
        let mut more = [0];
        if self.read_some(&mut more)? > 0 {
            return Err(self.damaged(bytes, "something follows the trailer"));
        }
        self.end = Some(Checked { header: self.header.clone(), holding, bytes });
        Ok(())
    }

    /// What has been read of the magic number.
    fn start(&self) -> &[u8] {
        let read = usize::try_from(self.offset).unwrap_or(usize::MAX);
        &self.value[..MAGIC.len().min(read)]
    }

    fn number(&self, at: usize) -> u32 {
        self.value[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Fills `value[from..to]`.
    fn fill(&mut self, from: usize, to: usize) -> Result<(), BackupError> {
        let mut value = std::mem::take(&mut self.value);
        let result = self.read(&mut value[from..to]);
        self.value = value;
        result
    }

    fn read(&mut self, mut bytes: &mut [u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            let count = self.read_some(bytes)?;
            if count == 0 {
                return Err(BackupError::Truncated {
                    name: self.name.clone(),
                    offset: self.offset,
                });
            }
            bytes = &mut bytes[count..];
        }
        Ok(())
    }

    fn read_some(&mut self, bytes: &mut [u8]) -> Result<usize, BackupError> {
        loop {
            match self.source.read(bytes) {
                Ok(count) => {
                    self.offset += u64::try_from(count).unwrap_or(u64::MAX);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BackupError::io(&self.name)(error)),
            }
        }
    }

    fn damaged(&self, offset: u64, what: &str) -> BackupError {
        BackupError::Damaged { name: self.name.clone(), offset, what: what.to_owned() }
    }
}
