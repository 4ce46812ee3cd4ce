//! A new database, built beside the present one and put into its place as a whole.
//!
//! Creating a store, recovering, restoring and compacting one share this:
//!
//! ```text
//! let mut builder = Builder::start(&folder, Lineage::Kept)?;   // empties sled.new
//! for (key, value) in envelopes { builder.push(&key, &value)?; }
//! let built = builder.finish()?;                               // closed, on the medium
//! let aside = folder.place_aside(Purpose::Replaced, now)?;     // replaced-<time>
//! built.swap(&aside)?;                                         // sled -> aside, sled.new -> sled
//! ```
//!
//! The [`Folder`] is locked all the while. A kill or a power cut at any point leaves a store that
//! [`Folder::finish_swap`], called at the next open, can go on with: `sled.new` without `FORMAT`
//! is not finished and is removed; with it, and without `sled`, it takes that place. Where both
//! are there the swap had not begun, and the old one stays.
//!
//! # Lineage
//!
//! Frames and devices are numbered in the order of their coming, so two databases can be merged,
//! as a recovery does with the newest backup, only where one continues the other. Each store has
//! a random number for that, drawn when it begins and when a backup takes its place.

use super::{
    engine::{self, Files},
    envelope,
    error::StoreError,
    folder::Folder,
    format, key, record,
};
use std::path::Path;

/// How many bytes go into a batch: sled takes a batch as a whole, in memory first.
const BATCH_BYTES: usize = 1 << 20;
/// How many batches are written between two syncs: sled reclaims space in a thread of its own,
/// which an unbounded writer leaves behind.
const BATCHES_PER_SYNC: u32 = 8;

/// Whether what is built continues the store that its values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lineage {
    /// It does: the number that comes with the values stays; one is drawn where none comes.
    Kept,
    /// It begins anew: a number is drawn, and the one that comes is skipped.
    New,
}

/// A database in `sled.new` that takes values.
#[derive(Debug)]
pub(super) struct Builder<'f> {
    files: Files,
    folder: &'f Folder,
    lineage: Lineage,
    has_lineage: bool,
    batch: sled::Batch,
    batch_bytes: usize,
    batches: u32,
}

/// A complete database in `sled.new`, closed and on the medium.
#[derive(Debug)]
#[must_use = "it is removed at the next start unless it is swapped"]
pub(super) struct Built<'f> {
    folder: &'f Folder,
}

impl<'f> Builder<'f> {
    /// Begins an empty database; what is left of an earlier attempt goes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the system refuses.
    pub(super) fn start(folder: &'f Folder, lineage: Lineage) -> Result<Self, StoreError> {
        let path = folder.create_new()?;
        let files = Files::open(&path, engine::RECLAIM_INTERVAL)?;
        Ok(Self {
            files,
            folder,
            lineage,
            has_lineage: false,
            batch: sled::Batch::default(),
            batch_bytes: 0,
            batches: 0,
        })
    }

    /// Takes a value in its envelope. A later value of the same key replaces an earlier one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] for what is no whole envelope of this key, [`StoreError::TooLarge`]
    /// above [`envelope::MAX`], [`StoreError::Io`] where the system refuses.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if let Err(why) = envelope::open(key, value) {
            let detail = format!("a value for the new database: {why}");
            return Err(StoreError::Damaged { path: self.folder.new_database(), detail });
        }
        if value.len() > envelope::MAX {
            let (what, len, max) = ("a value", value.len(), envelope::MAX);
            return Err(StoreError::TooLarge { what, len, max });
        }
        if key == key::lineage() {
            if self.lineage == Lineage::New {
                return Ok(());
            }
            self.has_lineage = true;
        }
        self.batch_bytes += key.len() + value.len();
        self.batch.insert(key, value);
        if self.batch_bytes >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.batch_bytes = 0;
        self.batches += 1;
        let batch = std::mem::take(&mut self.batch);
        engine::caught(self.files.path(), || {
            self.files.apply(batch)?;
            if self.batches.is_multiple_of(BATCHES_PER_SYNC) { self.files.sync() } else { Ok(()) }
        })
    }

    /// Closes the database and has all of it on the medium, `FORMAT` last.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the system refuses.
    pub(super) fn finish(mut self) -> Result<Built<'f>, StoreError> {
        if !self.has_lineage {
            let (key, value) = record::lineage(draw()?)?;
            self.batch.insert(key, value);
        }
        self.write()?;
        engine::caught(self.files.path(), || self.files.sync())?;
        let Self { files, folder, .. } = self;
        let path = files.path().to_owned();
        drop(files);
        // sled writes a snapshot or two on its way out.
        engine::sync_files(&path)?;
        format::write(&path)?;
        Ok(Built { folder })
    }
}

impl Built<'_> {
    /// Puts it into the place of the present database, which is set aside as `aside` (see
    /// [`Folder::place_aside`]) where there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the system refuses.
    pub(super) fn swap(self, aside: &Path) -> Result<(), StoreError> {
        self.folder.swap(aside)
    }
}

/// A new number of a lineage.
pub(super) fn draw() -> Result<u128, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Encoding {
        what: "the number of the store",
        detail: error.to_string(),
    })?;
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{engine::Engine, folder::Purpose},
        *,
    };
    use crate::model::{DeviceId, Marks, Timestamp};
    use record::Tombstone;
    use std::{fs, sync::Arc, time::Duration};

    const NOW: Timestamp = Timestamp::MAX;

    fn tombstone(id: u32) -> record::Pair {
        record::tombstone(DeviceId(id), Tombstone { last_frame: u64::from(id) }).unwrap()
    }

    fn build(folder: &Folder, lineage: Lineage, values: &[record::Pair]) {
        let mut builder = Builder::start(folder, lineage).unwrap();
        for (key, value) in values {
            builder.push(key, value).unwrap();
        }
        builder.finish().unwrap().swap(&aside(folder)).unwrap();
    }

    fn aside(folder: &Folder) -> std::path::PathBuf {
        folder.place_aside(Purpose::Replaced, NOW).unwrap()
    }

    /// Everything in the database.
    fn content(folder: &Arc<Folder>) -> Vec<record::Pair> {
        let engine = Engine::open(Arc::clone(folder), Duration::from_hours(1)).unwrap();
        let mut content = Vec::new();
        let take = |key: &[u8], value: &[u8]| {
            content.push((key.to_vec(), value.to_vec()));
            true
        };
        engine.scan(&[], &[0xFF], take).unwrap();
        content
    }

    #[test]
    fn what_was_pushed_is_in_the_database_and_the_old_one_aside() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::lock(dir.path()).unwrap());
        let many: Vec<_> = (0..40_000).map(tombstone).collect();
        build(&folder, Lineage::New, &many);
        let first = content(&folder);
        assert_eq!(first[1..], many);
        build(&folder, Lineage::Kept, &first[..3]);
        assert_eq!(content(&folder), first[..3]);
        let old = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let old: Vec<_> = old.filter(|path| path.to_string_lossy().contains("replaced-")).collect();
        assert_eq!(old.len(), 1);
        assert!(format::is_there(&old[0]).unwrap());
    }

    #[test]
    fn a_lineage_is_kept_or_drawn_anew() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::lock(dir.path()).unwrap());
        build(&folder, Lineage::Kept, &[]);
        let first = content(&folder);
        assert_eq!(first[0].0, key::lineage());
        build(&folder, Lineage::Kept, &first);
        assert_eq!(content(&folder), first);
        build(&folder, Lineage::New, &first);
        assert_ne!(content(&folder), first);
    }

    #[test]
    fn a_value_that_is_damaged_or_too_large_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path()).unwrap();
        let mut builder = Builder::start(&folder, Lineage::New).unwrap();
        let (key, value) = record::marks(&Marks::default()).unwrap();
        for (key, value) in [(&key[..], &value[1..]), (b"other", &value[..])] {
            let error = builder.push(key, value).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn a_kill_at_any_point_leaves_the_old_database_or_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::lock(dir.path()).unwrap());
        let (old, new) = (tombstone(1), tombstone(2));
        // The first one of all: until it is finished there is none.
        drop(Builder::start(&folder, Lineage::New).unwrap());
        folder.finish_swap().unwrap();
        assert!(!folder.new_database().exists() && !folder.database().exists());
        let mut builder = Builder::start(&folder, Lineage::New).unwrap();
        builder.push(&old.0, &old.1).unwrap();
        let _ = builder.finish().unwrap();
        folder.finish_swap().unwrap();
        assert_eq!(content(&folder)[1..], std::slice::from_ref(&old)[..]);
        // Unfinished, and finished but not swapped: the old one stays.
        for finish in [false, true] {
            let mut builder = Builder::start(&folder, Lineage::New).unwrap();
            builder.push(&new.0, &new.1).unwrap();
            if finish {
                let _ = builder.finish().unwrap();
            }
            folder.finish_swap().unwrap();
            assert!(!folder.new_database().exists());
            assert_eq!(content(&folder)[1..], std::slice::from_ref(&old)[..]);
        }
        // Half swapped: the new one.
        let mut builder = Builder::start(&folder, Lineage::New).unwrap();
        builder.push(&new.0, &new.1).unwrap();
        let _ = builder.finish().unwrap();
        fs::rename(folder.database(), aside(&folder)).unwrap();
        folder.finish_swap().unwrap();
        assert_eq!(content(&folder)[1..], std::slice::from_ref(&new)[..]);
        folder.finish_swap().unwrap();
    }
}
