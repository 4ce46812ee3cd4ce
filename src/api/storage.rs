//! How the store is: gathered for health and metrics, and told on the live stream when it changes.

use super::{Api, Context};
use crate::{
    model::{
        Event, Storage,
        storage::{LastBackup, NotRecording, Recovered, UsedBytes},
    },
    nightly,
    store::{Condition, Recording, Recovery, Stats},
};
use std::sync::Arc;

/// How the store is now.
pub(super) fn gather(context: &Context) -> Storage {
    let condition = *context.store.condition().borrow();
    let backup = context.backups.borrow().clone();
    tell(condition, &context.store.stats(), backup, context.recovery.as_deref())
}

fn tell(
    condition: Condition,
    stats: &Stats,
    backup: nightly::LastBackup,
    recovery: Option<&Recovery>,
) -> Storage {
    let needed_bytes = match condition.recording {
        Recording::On => None,
        Recording::Off { needed_bytes, .. } => Some(needed_bytes),
    };
    Storage {
        recording: needed_bytes.is_none(),
        reason: needed_bytes.map(|_| NotRecording::DiskFull),
        needed_bytes,
        time_uncertain: condition.time_uncertain,
        free_bytes: stats.free_bytes,
        used_bytes: UsedBytes {
            raw: stats.raw_bytes,
            minute: stats.minute_bytes,
            hour: stats.hour_bytes,
            log: stats.log_bytes,
        },
        file_bytes: stats.file_bytes,
        written_bytes: stats.wear.written_bytes,
        written_bytes_per_day: stats.wear.bytes_per_day,
        card_life_days_estimated: stats.wear.card_life_days,
        last_backup: backup.enabled.then(|| LastBackup {
            at: backup.at,
            bytes: backup.bytes,
            // Anybody may ask for the health, and an error may name files.
            error: backup.failure.map(|_| "it failed; the hub's log says why".to_owned()),
        }),
        recovered: recovery.map(recovered),
    }
}

fn recovered(recovery: &Recovery) -> Recovered {
    let Recovery { ref set_aside, ref backup, .. } = *recovery;
    Recovered {
        at: recovery.at,
        set_aside: set_aside.clone(),
        backup: backup.clone(),
        devices: recovery.devices,
        readings: recovery.readings,
        log_lines: recovery.log_lines,
        newest_reading: recovery.newest_reading,
        lost_devices: recovery.lost_devices,
        lost_readings: recovery.lost_readings,
        lost_commits: recovery.lost_commits,
        lost_between: recovery.lost_between.map(<[_; 2]>::from),
    }
}

/// Tells the live stream whenever the condition of the store changes; ends with the hub.
pub(super) async fn watch(api: Arc<Api>) {
    let mut condition = api.context.store.condition();
    let mut stopping = api.stopping.clone();
    // Whoever comes later is told with the snapshot.
    condition.mark_unchanged();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            changed = condition.changed() => {
                if changed.is_err() {
                    return;
                }
                let storage = Box::new(gather(&api.context));
                api.context.events.publish(Event::Storage(storage));
            }
        }
    }
}
