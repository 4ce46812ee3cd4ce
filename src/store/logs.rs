//! What the devices' logs take, so that they can be kept within a budget.

use super::{engine::Change, error::StoreError, key, record, record::LogUsage, seal::size};
use crate::model::DeviceId;
use std::collections::{BTreeSet, HashMap};

/// The size of every device's log.
#[derive(Debug, Default)]
pub(super) struct Logs {
    usage: HashMap<DeviceId, LogUsage>,
    bytes: u64,
}

impl Logs {
    /// Takes up what is stored of a log.
    pub(super) fn put(&mut self, device: DeviceId, usage: LogUsage) {
        let before = self.usage.insert(device, usage).unwrap_or_default();
        self.bytes = self.bytes - before.bytes + usage.bytes;
    }

    /// Counts a change of the tree, if it is a line that is added.
    pub(super) fn added(&mut self, (key, value): &Change, touched: &mut BTreeSet<DeviceId>) {
        let (Some(device), Some(value)) = (key::log_device_of(key), value) else { return };
        let LogUsage { lines, bytes } = self.usage.get(&device).copied().unwrap_or_default();
        self.put(device, LogUsage { lines: lines + 1, bytes: bytes + size(key, value) });
        touched.insert(device);
    }

    /// Counts lines that are deleted.
    pub(super) fn deleted(&mut self, device: DeviceId, lines: u64, bytes: u64) {
        let usage = self.usage.get(&device).copied().unwrap_or_default();
        self.put(
            device,
            LogUsage {
                lines: usage.lines.saturating_sub(lines),
                bytes: usage.bytes.saturating_sub(bytes),
            },
        );
    }

    /// Forgets a device.
    pub(super) fn remove(&mut self, device: DeviceId) {
        self.bytes -= self.usage.remove(&device).unwrap_or_default().bytes;
    }

    /// What is to be stored of these devices' logs.
    pub(super) fn changes(
        &self,
        devices: impl IntoIterator<Item = DeviceId>,
    ) -> Result<Vec<Change>, StoreError> {
        let stored = devices.into_iter().filter_map(|id| Some((id, self.usage.get(&id)?)));
        stored
            .map(|(id, usage)| record::log_usage(id, usage).map(|(key, value)| (key, Some(value))))
            .collect()
    }

    /// All devices that have a log.
    pub(super) fn devices(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.usage.keys().copied()
    }

    /// What all logs take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
