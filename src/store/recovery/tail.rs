//! Tells a log whose end is damaged from one that a power cut has torn, before sled opens it.
//!
//! sled ends its log at the first message at its tail that it can't read, and overwrites what
//! follows with zeros. After a power cut that is right: nothing behind the last sync was
//! acknowledged. After damage it would destroy whatever was committed since. The two can be told
//! apart: a commit is synced before the next begins, so frames of two commits behind the tear mean
//! that the first of them was on the medium.
//!
//! The log of sled 0.34 is a row of segments of 512 KiB, in the order of the log sequence number
//! (LSN) in their heads, not of their place in the file:
//!
//! ```text
//! segment   CRC-32 u32, LSN i64, stable LSN i64, message, message, …   numbers XORed with their maximum
//! message   CRC-32 u32, kind u8, length, segment number, page, body    numbers as varints of its own
//! ```

use crate::store::{envelope, error::StoreError, key};
use memchr::memmem;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
};

const SEGMENT: usize = 512 * 1024;
const SEGMENT_LEN: u64 = SEGMENT as u64;
const SEGMENT_HEAD: usize = 20;
/// sled begins no message nearer to the end of a segment than this.
const MESSAGE_HEAD_MAX: usize = 32;
/// How many segments before the tail are read, to know which frame was the last before it.
const BEFORE_TAIL: usize = 4;

/// What a message is that ends a segment.
const KIND_CAP: u8 = 2;
/// What a message is that was overwritten.
const KIND_CORRUPTED: u8 = 0;
/// The highest kind.
const KIND_MAX: u8 = 11;

/// Says what is damaged where sled would cut off commits that were on the medium.
///
/// # Errors
///
/// [`StoreError::Io`] where the file can't be read.
pub(super) fn check(database: &Path) -> Result<Option<String>, StoreError> {
    let path = database.join("db");
    let lost =
        File::open(&path).and_then(|file| lost_commits(&file)).map_err(StoreError::io(&path))?;
    Ok((lost > 1)
        .then(|| format!("its log can't be read at a place that is followed by {lost} commits")))
}

/// How many commits have whole frames in the file's tail that sled would not see.
fn lost_commits(file: &File) -> io::Result<usize> {
    let mut segments = BTreeMap::new();
    let mut stable = 0;
    let len = file.metadata()?.len();
    let mut offset = 0;
    while offset + SEGMENT_HEAD as u64 <= len {
        if let Some((lsn, stable_then)) = segment_head(file, offset)? {
            segments.insert(lsn, offset);
            stable = stable.max(stable_then);
        }
        offset += SEGMENT_LEN;
    }
    let tail = stable / SEGMENT_LEN * SEGMENT_LEN;
    let (mut seen, mut unseen) = (None, BTreeSet::new());
    let before: Vec<_> = segments.range(..tail).rev().take(BEFORE_TAIL).collect();
    for (&lsn, &offset) in before.into_iter().rev() {
        let bytes = read(file, offset)?;
        let (end, _) = walk(&bytes, lsn / SEGMENT_LEN);
        seen = seen.max(frames(&bytes[..end]).max());
    }
    let mut expected = tail;
    let mut cut = false;
    for (&lsn, &offset) in segments.range(tail..) {
        let bytes = read(file, offset)?;
        let (end, capped) = walk(&bytes, lsn / SEGMENT_LEN);
        cut |= lsn != expected;
        if !cut {
            seen = seen.max(frames(&bytes[..end]).max());
            unseen.extend(frames(&bytes[end..]));
        } else {
            unseen.extend(frames(&bytes));
        }
        cut |= !capped;
        expected += SEGMENT_LEN;
    }
    let Some((seen, _)) = seen else { return Ok(0) };
    // What a segment held before it was used again is older.
    let unseen = unseen.split_off(&(seen + 1, 0));
    // A commit goes on in another frame only where the first is full.
    let commits: BTreeSet<_> = unseen.iter().map(|&(sequence, _)| sequence).collect();
    Ok(commits.iter().filter(|&&sequence| !unseen.contains(&(sequence, u8::MAX))).count())
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
        u64::try_from(i64::from_le_bytes(bytes) ^ i64::MAX).ok()
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

/// Sequence number and part of the frames that are whole in these bytes.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (u64, u8)> {
    memmem::find_iter(bytes, &envelope::MAGIC).filter_map(|at| {
        let rest = &bytes[at..];
        let (key, ..) = envelope::parse(rest.get(..envelope::len_of(rest)?)?).ok()?;
        key::sequence_of(key).zip(key.last().copied())
    })
}
