//! Room on the file system: where it runs short, readings are no longer recorded, long before
//! sled can't write.
//!
//! sled's answer to a full disk sticks: after one failed write it takes none until it is opened
//! anew, for which it has to write. So there is a *watermark*: with less room than that, readings
//! are not recorded; what is small and matters more (devices, counters, log lines) still is. And
//! there is a *ballast*: a file that is deleted when a commit fails for lack of room, so that the
//! store can be opened again. It is made when there is plenty of room.

use super::{error::StoreError, folder};
use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::Errno,
};
use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The ballast's name in the folder of the store.
const BALLAST: &str = "BALLAST";
/// The ballast while it is made.
const BALLAST_NEW: &str = "BALLAST.new";
/// The ballast's size in bytes: what 32 segments of sled take.
const BALLAST_BYTES: u64 = 16 << 20;
/// The ballast is made where there is so much more room than the watermark, in ballasts.
const PLENTY: u64 = 4;

/// With less room than this the store is not even opened: sled writes while it opens, and grows
/// by half a MiB at a time. Whoever opens it waits, instead of failing a moment later.
const OPEN_MIN_BYTES: u64 = 4 << 20;

/// Whether readings are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// They are.
    #[default]
    On,
    /// There is too little room on the file system.
    Off {
        /// From how much on they are recorded again, in bytes.
        needed_bytes: u64,
    },
}

impl Recording {
    /// Whether readings are recorded.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// How much room a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// For us, in bytes.
    pub(super) free: u64,
    /// Altogether, in bytes.
    pub(super) total: u64,
}

/// Tells the room; handed in, so that tests can own it.
pub(super) type Gauge = Box<dyn Fn() -> io::Result<Room> + Send>;

/// What [`statvfs(3)`](statvfs) says of the file system that has the folder.
pub(super) fn gauge(folder: &Path) -> Gauge {
    let folder = folder.to_owned();
    Box::new(move || {
        let found = statvfs(&folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Room { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
    })
}

/// How large the file system is, in bytes, that a folder is on or, where it does not exist yet, is
/// going to be.
///
/// # Errors
///
/// The system's word.
pub fn file_system_bytes(folder: &Path) -> io::Result<u64> {
    let folder = std::path::absolute(folder)?;
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    gauge(existing)().map(|room| room.total)
}

/// The watermark and the ballast.
pub(super) struct Space {
    folder: PathBuf,
    gauge: Gauge,
    min_free: u64,
    room: Option<Room>,
    recording: Recording,
    /// Whether the gauge has failed, or the ballast could not be made: said once.
    complained: bool,
}

impl Space {
    /// Looks after the room for the store in `folder`.
    pub(super) fn new(folder: &Path, min_free: u64, gauge: Gauge) -> Self {
        Self {
            folder: folder.to_owned(),
            gauge,
            min_free,
            room: None,
            recording: Recording::On,
            complained: false,
        }
    }

    /// What `open` makes, with the room that the ballast takes where it needs that.
    ///
    /// # Errors
    ///
    /// Those of `open`, and [`StoreError::Io`] of kind `StorageFull` where there is next to no
    /// room.
    pub(super) fn open_with<T>(
        &mut self,
        mut open: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let first = self.enough_to_open().and_then(|()| open());
        match first {
            Err(error) if error.is_full() && self.drop_ballast() => {
                self.enough_to_open().and_then(|()| open())
            }
            result => result,
        }
    }

    fn enough_to_open(&self) -> Result<(), StoreError> {
        match (self.gauge)() {
            Ok(room) if room.free < OPEN_MIN_BYTES => {
                Err(StoreError::io(&self.folder)(io::ErrorKind::StorageFull.into()))
            }
            // Whoever can't tell is believed to have room.
            _ => Ok(()),
        }
    }

    /// Looks at the room: whether readings are to be recorded.
    pub(super) fn look(&mut self) -> Recording {
        match (self.gauge)() {
            Ok(room) => {
                self.room = Some(room);
                self.judge(room.free);
                if self.recording.is_on() {
                    self.keep_ballast(room.free);
                }
            }
            Err(error) => self.complain(&format!("can't tell how much room there is: {error}")),
        }
        self.recording
    }

    /// How much room there was at the last look; `None` where nobody could tell.
    pub(super) fn room(&self) -> Option<Room> {
        self.room
    }

    /// Turns recording off below the watermark, and on again a tenth above it.
    fn judge(&mut self, free_bytes: u64) {
        let needed_bytes = self.min_free.saturating_add(self.min_free / 10);
        let folder = self.folder.display();
        match self.recording {
            Recording::On if free_bytes < self.min_free => {
                self.recording = Recording::Off { needed_bytes };
                tracing::error!(
                    %folder, free_bytes, needed_bytes,
                    "the disk is nearly full: readings are not recorded until there is more room \
                     (setting `store.min_free_mb`)"
                );
            }
            Recording::Off { .. } if free_bytes >= needed_bytes => {
                self.recording = Recording::On;
                tracing::info!(%folder, free_bytes, "there is room: readings are recorded again");
            }
            Recording::Off { .. } | Recording::On => {}
        }
    }

    /// Makes the ballast where it is missing and there is plenty of room.
    fn keep_ballast(&mut self, free: u64) {
        let path = self.folder.join(BALLAST);
        let plenty = self.min_free.saturating_add(PLENTY * BALLAST_BYTES);
        let whole = || fs::metadata(&path).is_ok_and(|file| file.len() == BALLAST_BYTES);
        if free <= plenty || whole() {
            return;
        }
        let new = self.folder.join(BALLAST_NEW);
        let made = make_ballast(&new)
            .and_then(|()| fs::rename(&new, &path).map_err(StoreError::io(&path)))
            .and_then(|()| folder::sync(&self.folder));
        match made {
            Ok(()) => tracing::debug!(path = %path.display(), "made a ballast"),
            Err(error) => {
                // Half a ballast is in the way.
                let _ = fs::remove_file(&new);
                self.complain(&format!("can't make a ballast for a full disk: {error}"));
            }
        }
    }

    /// Deletes the ballast: whether there was one. No more is made until there is plenty of room.
    pub(super) fn drop_ballast(&self) -> bool {
        let path = self.folder.join(BALLAST);
        let removed = fs::remove_file(&path).is_ok();
        if removed {
            tracing::warn!(path = %path.display(), "the disk is full: dropped the ballast");
            // The room is only there once the file system says so for good.
            if let Err(error) = folder::sync(&self.folder) {
                tracing::warn!("{error}");
            }
        }
        removed
    }

    fn complain(&mut self, what: &str) {
        if !self.complained {
            self.complained = true;
            tracing::warn!(folder = %self.folder.display(), "{what}");
        }
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space")
            .field("folder", &self.folder)
            .field("min_free", &self.min_free)
            .field("recording", &self.recording)
            .finish_non_exhaustive()
    }
}

/// Takes the room. Where the file system can't set it aside, it is written.
fn make_ballast(path: &Path) -> Result<(), StoreError> {
    let make = || {
        let mut file = File::create(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES) {
            Err(Errno::OPNOTSUPP) => {
                let zeros = vec![0; 1 << 20];
                for _ in 0..BALLAST_BYTES >> 20 {
                    file.write_all(&zeros)?;
                }
            }
            result => result?,
        }
        file.sync_all()
    };
    make().map_err(StoreError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::fs::MetadataExt,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::SeqCst},
        },
    };
    use tempfile::TempDir;

    const MIB: u64 = 1 << 20;

    /// A space of 100 MiB at least, and what sets its free bytes.
    fn space(dir: &TempDir, free: u64) -> (Space, Arc<AtomicU64>) {
        let free = Arc::new(AtomicU64::new(free));
        let told = Arc::clone(&free);
        let gauge = move || Ok(Room { free: told.load(SeqCst), total: 1 << 30 });
        (Space::new(dir.path(), 100 * MIB, Box::new(gauge)), free)
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_file_system_of_its_parents() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = file_system_bytes(dir.path()).unwrap();
        assert!(bytes > 0);
        assert_eq!(file_system_bytes(&dir.path().join("a/b")).unwrap(), bytes);
    }

    #[test]
    fn recording_stops_below_the_watermark_and_starts_a_tenth_above() {
        let dir = tempfile::tempdir().unwrap();
        let (mut space, free) = space(&dir, 100 * MIB);
        assert_eq!(space.look(), Recording::On);
        let off = Recording::Off { needed_bytes: 110 * MIB };
        for (bytes, recording) in [
            (100 * MIB - 1, off),
            (0, off),
            (110 * MIB - 1, off),
            (110 * MIB, Recording::On),
            (100 * MIB, Recording::On),
        ] {
            free.store(bytes, SeqCst);
            assert_eq!(space.look(), recording);
        }
    }

    #[test]
    fn a_gauge_that_fails_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let gauge = Box::new(|| Err(io::ErrorKind::PermissionDenied.into()));
        let mut space = Space::new(dir.path(), 100 * MIB, gauge);
        assert_eq!(space.look(), Recording::On);
        assert_eq!(space.room(), None);
        assert_eq!(space.open_with(|| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn the_ballast_takes_its_room_and_is_made_where_there_is_plenty_only() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = dir.path().join(BALLAST);
        let (mut space, free) = space(&dir, 164 * MIB);
        space.look();
        assert!(!ballast.exists());
        assert!(!space.drop_ballast());
        free.store(165 * MIB, SeqCst);
        space.look();
        assert!(fs::metadata(&ballast).unwrap().blocks() * 512 >= BALLAST_BYTES);
        fs::write(&ballast, "torn").unwrap();
        space.look();
        assert_eq!(fs::metadata(&ballast).unwrap().len(), BALLAST_BYTES);
        assert!(!dir.path().join(BALLAST_NEW).exists());
        assert!(space.drop_ballast());
        assert!(!ballast.exists());
    }

    #[test]
    fn opening_takes_the_ballasts_room_where_it_fails_for_lack_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut space, free) = space(&dir, 1 << 30);
        space.look();
        let full = || StoreError::io(dir.path())(io::ErrorKind::StorageFull.into());
        let mut tries = 0;
        let opened = space.open_with(|| {
            tries += 1;
            if tries == 1 { Err(full()) } else { Ok(tries) }
        });
        assert_eq!(opened.unwrap(), 2);
        assert!(!dir.path().join(BALLAST).exists());

        let refused = space.open_with(|| Err::<(), _>(full())).unwrap_err();
        assert!(refused.is_full(), "there is no ballast any more: {refused}");
        free.store(OPEN_MIN_BYTES - 1, SeqCst);
        let refused = space.open_with(|| -> Result<(), _> { panic!("it is not even tried") });
        assert!(refused.unwrap_err().is_full());
        let other = space.open_with(|| Err::<(), _>(StoreError::Closed)).unwrap_err();
        assert!(other.is_full(), "room comes first");
        free.store(1 << 30, SeqCst);
        let other = space.open_with(|| Err::<(), _>(StoreError::Closed)).unwrap_err();
        assert!(matches!(other, StoreError::Closed));
    }

    #[test]
    fn the_gauge_of_this_system_is_plausible() {
        let dir = tempfile::tempdir().unwrap();
        let room = gauge(dir.path())().unwrap();
        assert!(0 < room.free && room.free <= room.total, "{room:?}");
    }
}
