//! How the store is.

use super::text::{self, Kind, Text};
use crate::model::Storage;

/// How the store is. What is not known has no sample.
pub(super) fn write(text: &mut Text, storage: &Storage) {
    for (name, help, value) in [
        (
            "capteur_store_recording",
            "Whether readings are recorded; they are not while the disk is nearly full.",
            u64::from(storage.recording),
        ),
        (
            "capteur_time_uncertain",
            "Whether the time of day is a guess.",
            u64::from(storage.time_uncertain),
        ),
        ("capteur_store_file_bytes", "Size of the database's file.", storage.file_bytes),
    ] {
        text.family(name, Kind::Gauge, help).value(value);
    }
    let used = storage.used_bytes;
    let mut family = text.family(
        "capteur_store_used_bytes",
        Kind::Gauge,
        "What is in use, by the way in which it is kept.",
    );
    for (tier, bytes) in
        [("raw", used.raw), ("minute", used.minute), ("hour", used.hour), ("log", used.log)]
    {
        family.labelled(&[("tier", tier)], bytes);
    }
    let backup = storage.last_backup.as_ref();
    for (name, kind, help, value) in [
        (
            "capteur_store_free_bytes",
            Kind::Gauge,
            "Room on the store's file system.",
            storage.free_bytes,
        ),
        (
            "capteur_store_written_bytes_total",
            Kind::Counter,
            "Bytes written to the medium since the store began.",
            storage.written_bytes,
        ),
        (
            "capteur_store_written_bytes_per_day",
            Kind::Gauge,
            "Bytes written to the medium in a day, as the last one was.",
            storage.written_bytes_per_day,
        ),
        (
            "capteur_store_card_life_days",
            Kind::Gauge,
            "How many days a new card of this size would last at that, by a careful estimate.",
            storage.card_life_days_estimated,
        ),
        (
            "capteur_store_last_backup_bytes",
            Kind::Gauge,
            "Length of the newest nightly backup.",
            backup.filter(|backup| backup.at.is_some()).map(|backup| backup.bytes),
        ),
        (
            "capteur_store_last_backup_failed",
            Kind::Gauge,
            "Whether the last attempt at a nightly backup failed.",
            backup.map(|backup| u64::from(backup.error.is_some())),
        ),
    ] {
        let mut family = text.family(name, kind, help);
        if let Some(value) = value {
            family.value(value);
        }
    }
    for (name, help, at) in [
        (
            "capteur_store_last_backup_timestamp_seconds",
            "When the newest nightly backup was made.",
            backup.and_then(|backup| backup.at),
        ),
        (
            "capteur_store_recovered_timestamp_seconds",
            "When a damaged store was last recovered, as long as that one is kept.",
            storage.recovered.as_ref().map(|recovered| recovered.at),
        ),
    ] {
        let mut family = text.family(name, Kind::Gauge, help);
        if let Some(at) = at {
            family.value(text::seconds(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Timestamp,
        storage::{LastBackup, UsedBytes},
    };

    fn written(storage: &Storage) -> String {
        let mut text = Text::default();
        write(&mut text, storage);
        text.finish()
    }

    #[test]
    fn what_is_known_is_written() {
        let storage = Storage {
            recording: true,
            used_bytes: UsedBytes { raw: 1, minute: 2, hour: 3, log: 4 },
            free_bytes: Some(5),
            card_life_days_estimated: Some(2),
            last_backup: Some(LastBackup {
                at: Some(Timestamp::from_millis(1_500)),
                bytes: 6,
                error: None,
            }),
            ..Storage::default()
        };
        let text = written(&storage);
        for line in [
            "capteur_store_recording 1",
            "capteur_time_uncertain 0",
            "capteur_store_used_bytes{tier=\"minute\"} 2",
            "capteur_store_free_bytes 5",
            "capteur_store_card_life_days 2",
            "capteur_store_last_backup_bytes 6",
            "capteur_store_last_backup_failed 0",
            "capteur_store_last_backup_timestamp_seconds 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_sample() {
        let text = written(&Storage::default());
        for name in ["free_bytes", "written_bytes_total", "recovered_timestamp_seconds"] {
            let sample = format!("capteur_store_{name} ");
            assert!(!text.lines().any(|line| line.starts_with(&sample)), "{text}");
        }
    }
}
