//! Finds whole values in a file whose index is lost: the log of a damaged database, what sled put
//! beside it, or a backup.
//!
//! Every value has its key, its length and its checksum in its envelope (see
//! [`envelope`]), and sled writes it as it is: a search for the four bytes
//! that an envelope begins with finds all that are whole, stale ones too. What the medium can't
//! read any more counts as zeros.

use crate::store::{envelope, error::StoreError};
use memchr::memmem::Finder;
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// How much of a file is in memory at once.
const WINDOW: usize = 1 << 20;
/// What is read at a time where the medium fails: a sector of flash, a page of the file system.
const SECTOR: usize = 4096;

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    source: u16,
    len: u16,
    offset: u64,
}

impl Place {
    /// How long the value is, in bytes.
    pub(super) fn len(self) -> u64 {
        self.len.into()
    }
}

/// The files that values are looked for in.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: Vec<(PathBuf, File)>,
}

/// What a search through a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// How many whole values there are.
    pub(super) values: u64,
    /// How many bytes the medium could not read.
    pub(super) unreadable: u64,
}

impl Sources {
    /// Calls `visit` with every whole value of a file, and keeps the file open for
    /// [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the file can't be opened.
    pub(super) fn search(
        &mut self,
        path: &Path,
        mut visit: impl FnMut(Place, &[u8]),
    ) -> Result<Found, StoreError> {
        let file = File::open(path).map_err(StoreError::io(path))?;
        let end = file.metadata().map_err(StoreError::io(path))?.len();
        let Ok(source) = u16::try_from(self.files.len()) else { return Ok(Found::default()) };
        let mut found = Found::default();
        let finder = Finder::new(&envelope::MAGIC);
        let mut window = Window { file: &file, base: 0, bytes: Vec::new(), end };
        let mut at = 0;
        while at < end {
            found.unreadable += window.load(at);
            let bytes = &window.bytes[..];
            let mut skip = 0;
            while let Some(hit) = finder.find(&bytes[skip..]).map(|hit| hit + skip) {
                let rest = &bytes[hit..];
                if rest.len() < envelope::MAX && !window.is_last() {
                    // It may go on in the next window, which begins with it.
                    skip = hit;
                    break;
                }
                let value = envelope::len_of(rest).and_then(|len| rest.get(..len));
                skip = match value.filter(|value| envelope::parse(value).is_ok()) {
                    Some(value) => {
                        let offset = window.base + hit as u64;
                        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
                        found.values += 1;
                        visit(Place { source, len, offset }, value);
                        hit + value.len()
                    }
                    None => hit + 1,
                };
            }
            at = window.next(skip);
        }
        self.files.push((path.to_owned(), file));
        Ok(found)
    }

    /// Reads a value again; `None` where the medium has it no longer.
    pub(super) fn read(&self, place: Place) -> Option<Vec<u8>> {
        let (_, file) = self.files.get(usize::from(place.source))?;
        let mut value = vec![0; usize::from(place.len)];
        file.read_exact_at(&mut value, place.offset).ok()?;
        envelope::parse(&value).is_ok().then_some(value)
    }
}

/// A part of a file in memory.
struct Window<'a> {
    file: &'a File,
    base: u64,
    bytes: Vec<u8>,
    end: u64,
}

impl Window<'_> {
    /// Loads what begins at `base`; returns how many bytes could not be read.
    fn load(&mut self, base: u64) -> u64 {
        self.base = base;
        let len = usize::try_from(self.end - base).map_or(WINDOW, |left| left.min(WINDOW));
        self.bytes.clear();
        self.bytes.resize(len, 0);
        if self.file.read_exact_at(&mut self.bytes, base).is_ok() {
            return 0;
        }
        let mut unreadable = 0;
        let mut at = base;
        for sector in self.bytes.chunks_mut(SECTOR) {
            if self.file.read_exact_at(sector, at).is_err() {
                sector.fill(0);
                unreadable += sector.len() as u64;
            }
            at += sector.len() as u64;
        }
        unreadable
    }

    fn is_last(&self) -> bool {
        self.base + self.bytes.len() as u64 >= self.end
    }

    /// Where the next one begins, if `searched` bytes of this one are done with up to a possible
    /// value there.
    fn next(&self, searched: usize) -> u64 {
        if self.is_last() {
            return self.end;
        }
        // The last bytes may be the beginning of those that are searched for.
        let overlap = envelope::MAGIC.len() - 1;
        let searched = if self.bytes[searched..].starts_with(&envelope::MAGIC) {
            searched
        } else {
            searched.max(self.bytes.len() - overlap)
        };
        self.base + searched as u64
    }
}

/// The files of a folder, by name; none where there is no such folder.
///
/// # Errors
///
/// [`StoreError::Io`] where the system refuses.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(StoreError::io(folder))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn value(number: u64, len: usize) -> Vec<u8> {
        let body = vec![number.to_le_bytes()[0]; len];
        envelope::seal(&number.to_be_bytes(), 1, &body, "a test").unwrap()
    }

    fn search(path: &Path) -> (Vec<Vec<u8>>, Found) {
        let mut sources = Sources::default();
        let (mut values, mut places) = (Vec::new(), Vec::new());
        let found = sources
            .search(path, |place, value| {
                values.push(value.to_vec());
                places.push(place);
            })
            .unwrap();
        let again: Vec<_> = places.iter().map(|&place| sources.read(place).unwrap()).collect();
        assert_eq!(again, values);
        (values, found)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_whole_value_is_found_wherever_it_is(
            parts in vec((0..6000usize, 0..9000usize), 1..600),
            broken in vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (number, &(gap, len)) in parts.iter().enumerate() {
                // Gaps that are like the beginning of a value.
                bytes.extend(envelope::MAGIC.iter().cycle().take(gap));
                let len = len.min(envelope::MAX - envelope::OVERHEAD - 8);
                let value = value(number as u64, len);
                expected.push((bytes.len(), value.clone()));
                bytes.extend(value);
            }
            for at in broken {
                let (start, value) = &expected[at.index(expected.len())];
                bytes[start + value.len() / 2] ^= 0x10;
            }
            expected.retain(|(start, value)| bytes[*start..].starts_with(value));
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let (values, found) = search(file.path());
            prop_assert_eq!(found, Found { values: expected.len() as u64, unreadable: 0 });
            let expected: Vec<_> = expected.into_iter().map(|(_, value)| value).collect();
            prop_assert!(values == expected);
        }
    }
}
