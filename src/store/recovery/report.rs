//! What a recovery did, and what it knows to be lost.

use super::cover::Frames;
use crate::{
    model::Timestamp,
    store::{
        error::StoreError,
        folder::{self, DAMAGED},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File},
    io::Write,
    path::Path,
};

/// The report's name in the folder of the database that was set aside.
const FILE: &str = "RECOVERY.json";

/// The store was damaged; a new one was made of what was whole. What is lost is not known to the
/// last reading: what has left no trace is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// When it was recovered.
    pub at: Timestamp,
    /// What was found, mostly in sled's words.
    pub reason: String,
    /// The folder that has the damaged database, within that of the store.
    pub set_aside: String,
    /// The backup that was used beside it, a file in `backups`.
    pub backup: Option<String>,
    /// How many devices the store has now.
    pub devices: u64,
    /// How many readings.
    pub readings: u64,
    /// How many lines of the devices' logs.
    pub log_lines: u64,
    /// The time of the newest reading: those that came later are lost.
    pub newest_reading: Option<Timestamp>,
    /// Devices whose record is lost: nobody knows any more whose their readings are.
    pub lost_devices: u64,
    /// Readings that are known to be lost, one by one.
    pub lost_readings: u64,
    /// Commits that are lost and had, or may have had, readings that are not there in another
    /// way; each is of a second or so.
    pub lost_commits: u64,
    /// From when to when readings are known to be missing.
    pub lost_between: Option<(Timestamp, Timestamp)>,
}

/// What is found out while the new database is written.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) devices: u64,
    pub(super) unknown_devices: u64,
    pub(super) readings: u64,
    pub(super) log_lines: u64,
    pub(super) lost_readings: u64,
    /// Frames that are lost: after the first number, through the second.
    pub(super) missing: BTreeSet<Frames>,
    newest: Option<i64>,
    hole: Option<(i64, i64)>,
}

impl Findings {
    /// A reading of this time is there.
    pub(super) fn newest(&mut self, at: i64) {
        self.newest = self.newest.max(Some(at));
    }

    /// Notes which of these frames are not among those that were found; says whether any.
    pub(super) fn missing_frames(&mut self, found: &BTreeSet<u64>, frames: Frames) -> bool {
        let (mut after, through) = frames;
        let mut any = false;
        let end = through.saturating_add(1);
        let within = if after < through { found.range(after + 1..=through) } else { return false };
        for &next in within.chain([&end]) {
            if next - after > 1 {
                self.missing.insert((after, next - 1));
                any = true;
            }
            after = next;
        }
        any
    }

    /// How many frames are missing, each counted once.
    fn missing(&self) -> u64 {
        let (mut count, mut reached) = (0, 0);
        for &(after, through) in &self.missing {
            count += through.saturating_sub(after.max(reached));
            reached = reached.max(through);
        }
        count
    }

    /// Readings are missing between these times.
    pub(super) fn hole(&mut self, from: i64, to: i64) {
        let (from, to) = (from.min(to), from.max(to));
        let (first, last) = self.hole.unwrap_or((from, to));
        self.hole = Some((first.min(from), last.max(to)));
    }

    /// The report.
    pub(super) fn report(
        self,
        at: Timestamp,
        reason: String,
        set_aside: &Path,
        backup: Option<String>,
    ) -> Recovery {
        Recovery {
            at,
            reason,
            set_aside: set_aside
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            backup,
            devices: self.devices,
            readings: self.readings,
            log_lines: self.log_lines,
            newest_reading: self.newest.map(Timestamp::from_millis),
            lost_devices: self.unknown_devices,
            lost_readings: self.lost_readings,
            lost_commits: self.missing(),
            lost_between: self
                .hole
                .map(|(from, to)| (Timestamp::from_millis(from), Timestamp::from_millis(to))),
        }
    }
}

impl Recovery {
    /// Puts the report into the folder of a database that is to be set aside.
    pub(super) fn write(&self, database: &Path) -> Result<(), StoreError> {
        let path = database.join(FILE);
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| StoreError::Encoding {
            what: "the report of a recovery",
            detail: error.to_string(),
        })?;
        text.push(b'\n');
        let mut file = File::create(&path).map_err(StoreError::io(&path))?;
        file.write_all(&text).map_err(StoreError::io(&path))?;
        file.sync_all().map_err(StoreError::io(&path))?;
        folder::sync(database)
    }

    /// The report of the latest recovery of the store in the folder `path`, as long as the database
    /// that it set aside is still there.
    pub(super) fn last(path: &Path) -> Option<Self> {
        let reports = fs::read_dir(path).ok()?.filter_map(|entry| {
            let entry = entry.ok()?;
            if !entry.file_name().to_string_lossy().starts_with(DAMAGED) {
                return None;
            }
            let text = fs::read(entry.path().join(FILE)).ok()?;
            serde_json::from_slice::<Self>(&text).ok()
        });
        reports.max_by_key(|report| report.at)
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the store was damaged ({}) and was set aside as {}; {} devices, {} readings and {} \
             log lines were recovered from it",
            self.reason, self.set_aside, self.devices, self.readings, self.log_lines
        )?;
        if let Some(backup) = &self.backup {
            write!(f, " and from the backup {backup}")?;
        }
        if let Some(newest) = self.newest_reading {
            write!(f, "; the newest reading is of {newest}")?;
        }
        if self.lost_devices > 0 {
            write!(f, "; {} devices are lost", self.lost_devices)?;
        }
        if self.lost_readings > 0 {
            write!(f, "; {} readings are lost", self.lost_readings)?;
        }
        if self.lost_commits > 0 {
            write!(f, "; readings of {} commits may be lost", self.lost_commits)?;
        }
        if let Some((from, to)) = self.lost_between {
            write!(f, "; readings are missing between {from} and {to}")?;
        }
        Ok(())
    }
}
