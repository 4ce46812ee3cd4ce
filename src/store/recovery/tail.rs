//! Saves the end of a log that sled is about to overwrite, and tells damage from a power cut.
//!
//! sled ends its log at the first message near its end that it can't read, and overwrites what
//! follows with zeros, also where it then fails to open it. After a power cut that is right: nothing
//! behind the last sync was acknowledged. After damage it destroys whatever was committed since.
//!
//! So before sled opens it, that end is copied into a file beside it, `TAIL`. The two can be told
//! apart once the database is open: a commit is synced before the next begins, so frames of two
//! commits that are in the copy and not in the database mean that the first of them was on the
//! medium. Otherwise the copy is removed.
//!
//! Where less than that follows, damage at the very end looks like a power cut. So a store that is
//! closed leaves a checksum of that end, `CLOSED`, which the next opening compares and removes.
//!
//! The log of sled 0.34 is a row of segments of 512 KiB, in the order of the log sequence number
//! (LSN) in their heads, not of their place in the file:
//!
//! ```text
//! segment   CRC-32 u32, LSN i64, stable LSN i64, message, message, …   numbers XORed with their maximum
//! message   CRC-32 u32, kind u8, length, segment number, page, body    numbers as varints of its own
//! ```

use crate::store::{envelope, error::StoreError, folder, key};
use memchr::memmem;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const SEGMENT: usize = 512 * 1024;
const SEGMENT_LEN: u64 = SEGMENT as u64;
const SEGMENT_HEAD: usize = 20;
/// sled begins no message nearer to the end of a segment than this.
const MESSAGE_HEAD_MAX: usize = 32;

/// What a message is that ends a segment.
const KIND_CAP: u8 = 2;
/// What a message is that was overwritten.
const KIND_CORRUPTED: u8 = 0;
/// The highest kind.
const KIND_MAX: u8 = 11;

/// The copy's name in the folder of the database.
const FILE: &str = "TAIL";
/// The name of the checksum of a store that was closed.
const CLOSED: &str = "CLOSED";

/// Leaves a checksum of the end of a log that sled has closed and that is on the medium.
///
/// # Errors
///
/// [`StoreError::Io`] where the system refuses.
pub(in crate::store) fn closed(database: &Path) -> Result<(), StoreError> {
    let (path, new) = (database.join(CLOSED), database.join("CLOSED.new"));
    let text = checksum(database)?;
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().map_err(StoreError::io(&new))?;
    folder::sync(database)
}

/// Says whether the end of a log is not what it was when the store was closed; `None` where it is,
/// or where the store was not closed. From here on the store counts as not closed.
///
/// # Errors
///
/// [`StoreError::Io`] where the system refuses.
pub(super) fn reopened(database: &Path) -> Result<Option<String>, StoreError> {
    let path = database.join(CLOSED);
    let then = match fs::read(&path) {
        Ok(then) => then,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(&path)(error)),
    };
    // Damaged itself, it says nothing.
    let known = then.len() == CHECKSUM_LEN && then.iter().all(u8::is_ascii_hexdigit);
    if known && then != checksum(database)?.as_bytes() {
        return Ok(Some("the end of its log is not what it was when it was closed".to_owned()));
    }
    fs::remove_file(&path).map_err(StoreError::io(&path))?;
    folder::sync(database)?;
    Ok(None)
}

/// The length of what [`checksum`] returns.
const CHECKSUM_LEN: usize = 16 + 8;

/// The length of the log and the CRC-32 of its end, in hexadecimal digits.
fn checksum(database: &Path) -> Result<String, StoreError> {
    let path = database.join("db");
    let sum = || {
        let log = File::open(&path)?;
        let mut hasher = crc32fast::Hasher::new();
        let (segments, stable) = segments(&log)?;
        for &offset in segments.range(stable..).map(|(_, offset)| offset) {
            hasher.update(&read(&log, offset)?);
        }
        Ok(format!("{:016x}{:08x}", log.metadata()?.len(), hasher.finalize()))
    };
    sum().map_err(StoreError::io(&path))
}

/// Copies the end of the log, if it can't be read to its end and there are values behind that
/// place. A copy that is there already was made before sled did anything: it stays.
///
/// # Errors
///
/// [`StoreError::Io`] where the system refuses.
pub(super) fn save(database: &Path) -> Result<(), StoreError> {
    let (log, path) = (database.join("db"), database.join(FILE));
    if folder::exists(&path)? {
        return Ok(());
    }
    let tail = File::open(&log).and_then(|log| unread(&log)).map_err(StoreError::io(&log))?;
    if tail.is_empty() {
        return Ok(());
    }
    // Under another name at first: half a copy would stay for ever.
    let new = database.join("TAIL.new");
    let write = || {
        let mut file = File::create(&new)?;
        tail.iter().try_for_each(|segment| file.write_all(segment))?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().map_err(StoreError::io(&new))?;
    folder::sync(database)
}

/// Where the copy is, if one was made.
pub(super) fn saved(database: &Path) -> Result<Option<PathBuf>, StoreError> {
    let path = database.join(FILE);
    Ok(folder::exists(&path)?.then_some(path))
}

/// Says what sled has lost of the copy, given the last frame of the database that it has opened;
/// removes the copy where that is nothing.
///
/// # Errors
///
/// [`StoreError::Io`] where the system refuses.
pub(super) fn check(database: &Path, last_frame: u64) -> Result<Option<String>, StoreError> {
    let Some(path) = saved(database)? else { return Ok(None) };
    let bytes = fs::read(&path).map_err(StoreError::io(&path))?;
    let frames: BTreeSet<_> = frames(&bytes).filter(|frame| frame.0 > last_frame).collect();
    let sequences: BTreeSet<_> = frames.iter().map(|&(sequence, _)| sequence).collect();
    // A commit goes on in another frame only where the first is full.
    let commits = sequences.iter().filter(|&&sequence| !frames.contains(&(sequence, u8::MAX)));
    let commits = commits.count();
    if commits > 1 {
        return Ok(Some(format!("its log can't be read to its end: {commits} commits follow")));
    }
    fs::remove_file(&path).map_err(StoreError::io(&path))?;
    Ok(None)
}

/// The segments of the log from before the place where it can't be read any more; none where
/// there are no values behind it.
fn unread(log: &File) -> io::Result<Vec<Vec<u8>>> {
    let (segments, mut expected) = segments(log)?;
    // What sled has not called stable, and the segment before: a batch that is not whole is cut
    // off from its beginning.
    let mut before = match segments.range(..expected).next_back() {
        Some((_, &offset)) => vec![read(log, offset)?],
        None => Vec::new(),
    };
    let (mut tail, mut has_values) = (Vec::new(), false);
    for (&lsn, &offset) in segments.range(expected..) {
        let bytes = read(log, offset)?;
        if !tail.is_empty() || lsn != expected {
            has_values |= values(&bytes).next().is_some();
            tail.push(bytes);
            continue;
        }
        let (end, whole) = walk(&bytes, lsn / SEGMENT_LEN);
        expected += SEGMENT_LEN;
        if whole {
            before = vec![bytes];
        } else {
            has_values = values(&bytes[end..]).next().is_some();
            tail.append(&mut before);
            tail.push(bytes);
        }
    }
    Ok(if has_values { tail } else { Vec::new() })
}

/// Where the segments are, by LSN, and the LSN of the first that sled has not called stable as a
/// whole.
fn segments(log: &File) -> io::Result<(BTreeMap<u64, u64>, u64)> {
    let mut segments = BTreeMap::new();
    let mut stable = 0;
    let len = log.metadata()?.len();
    let mut offset = 0;
    while offset + SEGMENT_HEAD as u64 <= len {
        if let Some((lsn, stable_then)) = segment_head(log, offset)? {
            segments.insert(lsn, offset);
            stable = stable.max(stable_then);
        }
        offset += SEGMENT_LEN;
    }
    Ok((segments, stable / SEGMENT_LEN * SEGMENT_LEN))
}

/// LSN and stable LSN of the segment there; `None` where none begins.
fn segment_head(file: &File, offset: u64) -> io::Result<Option<(u64, u64)>> {
    let mut head = [0; SEGMENT_HEAD];
    file.read_exact_at(&mut head, offset)?;
    let Some((checksum, numbers)) = head.split_first_chunk() else { return Ok(None) };
    if crc32fast::hash(numbers) != u32::from_le_bytes(*checksum) ^ u32::MAX {
        return Ok(None);
    }
    let number = |at: usize| {
        let bytes = numbers.get(at..at + 8)?.try_into().ok()?;
        // Before the first sync the stable LSN is -1.
        Some(u64::try_from(i64::from_le_bytes(bytes) ^ i64::MAX).unwrap_or(0))
    };
    Ok(number(0).zip(number(8)))
}

fn read(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; SEGMENT];
    let mut filled = 0;
    while filled < SEGMENT {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// How far a segment can be read, message by message, and whether that is its end.
fn walk(segment: &[u8], number: u64) -> (usize, bool) {
    let mut at = SEGMENT_HEAD;
    while at + MESSAGE_HEAD_MAX <= SEGMENT {
        match message(segment.get(at..).unwrap_or_default(), number) {
            Some((KIND_CAP, _)) => return (at, true),
            Some((_, len)) => at += len,
            None => return (at.min(segment.len()), false),
        }
    }
    (at.min(segment.len()), true)
}

/// Kind and length of the message that begins here; `None` where none does.
fn message(bytes: &[u8], segment: u64) -> Option<(u8, usize)> {
    let (checksum, mut rest) = bytes.split_first_chunk()?;
    let (&kind, after) = rest.split_first()?;
    rest = after;
    let len = usize::try_from(pull(&mut rest)?).ok()?;
    let found = pull(&mut rest)?;
    pull(&mut rest)?;
    let head = bytes.len() - rest.len();
    let body = rest.get(..len)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(&bytes[checksum.len()..head]);
    let whole = hasher.finalize() ^ u32::MAX == u32::from_le_bytes(*checksum);
    let known = kind != KIND_CORRUPTED && kind <= KIND_MAX;
    (whole && known && found == segment).then_some((kind, head + len))
}

/// sled's varint: one byte up to 240, two up to 2,287, three up to 67,823, then the length and the
/// number.
fn pull(rest: &mut &[u8]) -> Option<u64> {
    let (&first, after) = rest.split_first()?;
    let first = u64::from(first);
    let (number, len) = match first {
        0..=240 => (first, 0),
        241..=248 => (240 + 256 * (first - 241) + u64::from(*after.first()?), 1),
        249 => (2288 + 256 * u64::from(*after.first()?) + u64::from(*after.get(1)?), 2),
        _ => {
            let len = usize::try_from(first).ok()? - 247;
            let mut bytes = [0; 8];
            bytes.get_mut(..len)?.copy_from_slice(after.get(..len)?);
            (u64::from_le_bytes(bytes), len)
        }
    };
    *rest = after.get(len..)?;
    Some(number)
}

/// The values that are whole in these bytes.
fn values(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    memmem::find_iter(bytes, &envelope::MAGIC).filter_map(|at| {
        let rest = &bytes[at..];
        let value = rest.get(..envelope::len_of(rest)?)?;
        envelope::parse(value).is_ok().then_some(value)
    })
}

/// Sequence number and part of the frames that are whole in these bytes.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (u64, u8)> {
    values(bytes).filter_map(|value| {
        let (key, ..) = envelope::parse(value).ok()?;
        key::sequence_of(key).zip(key.last().copied())
    })
}
