//! How the store is, as health, metrics and the live stream tell it.

use super::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Storage {
    /// Whether readings are recorded.
    pub recording: bool,
    /// Why they are not.
    pub reason: Option<NotRecording>,
    /// How much room it takes until they are again, in bytes.
    pub needed_bytes: Option<u64>,
    /// Whether the time of day is a guess. Nothing is deleted for its age while it is.
    pub time_uncertain: bool,
    /// The room on the file system, in bytes; `null` where the system doesn't tell.
    pub free_bytes: Option<u64>,
    /// What is in use, in bytes.
    pub used_bytes: UsedBytes,
    /// The size of the database's file in bytes. Room in it that is free is used again.
    pub file_bytes: u64,
    /// Bytes that the hub has written to the medium since the store began; `null` where the system
    /// doesn't tell.
    pub written_bytes: Option<u64>,
    /// The same for a day; `null` in the first minutes.
    pub written_bytes_per_day: Option<u64>,
    /// How many days a new card would last at that, by a careful estimate; `null` where that is not
    /// known.
    pub card_life_days_estimated: Option<u64>,
    /// The nightly backup; `null` where none is made.
    pub last_backup: Option<LastBackup>,
    /// The last time that a damaged store was recovered, as long as that one is kept; `null` where
    /// none was.
    pub recovered: Option<Recovered>,
}

impl Storage {
    /// Whether there is nothing that people should know.
    pub const fn is_well(&self) -> bool {
        self.recording && !self.time_uncertain && self.recovered.is_none()
    }
}

/// Why readings are not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotRecording {
    /// The disk is nearly full.
    DiskFull,
}

/// What is in use, by the way in which it is kept, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct UsedBytes {
    /// Single readings that are sealed.
    pub raw: u64,
    /// Readings summed up by the minute.
    pub minute: u64,
    /// Readings summed up by the hour.
    pub hour: u64,
    /// The devices' logs.
    pub log: u64,
}

/// The newest nightly backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastBackup {
    /// When it was made; `null` before the first.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// Its length in bytes.
    pub bytes: u64,
    /// What became of a later attempt that failed.
    pub error: Option<String>,
}

/// What was saved of a damaged store, and what is known to be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Recovered {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The folder that has the damaged store, within that of the store. Its `RECOVERY.json` says
    /// what was found.
    #[schema(example = "damaged-20261122T140527Z")]
    pub set_aside: String,
    /// The backup that was used as well, a file in `backups`.
    pub backup: Option<String>,
    /// How many devices the store has now.
    pub devices: u64,
    /// How many readings.
    pub readings: u64,
    /// How many lines of the devices' logs.
    pub log_lines: u64,
    /// The time of the newest reading: those that came later are lost.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub newest_reading: Option<Timestamp>,
    /// Devices that are lost, and with them their readings.
    pub lost_devices: u64,
    /// Readings that are known to be lost, one by one.
    pub lost_readings: u64,
    /// Commits that are known to be lost, each with the readings of up to a second or so.
    pub lost_commits: u64,
    /// From when to when readings are known to be missing.
    #[schema(value_type = Option<Vec<String>>)]
    pub lost_between: Option<[Timestamp; 2]>,
}
