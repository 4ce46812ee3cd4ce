//! Where a command takes the store's content from: the store itself, or the hub that has it open.

use super::{
    CliError,
    remote::{self, Download, RemoteError},
};
use crate::{
    config::Settings,
    model::DeviceRecord,
    store::{Options, Store, StoreError},
};
use bytes::Bytes;
use std::{
    collections::HashSet,
    fs,
    future::Future,
    io::{self, Read},
    net::SocketAddr,
    path::Path,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task,
    time::{Instant, sleep},
};

/// How long a hub that has the store open may take to say where it is.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How often it is looked whether it does.
const START_PAUSE: Duration = Duration::from_millis(100);

/// The store, open to this process or to a hub.
pub(super) enum Source {
    /// No hub runs; and its devices.
    Store(Store, Vec<DeviceRecord>),
    /// The hub that answers here has it.
    Hub(SocketAddr),
}

impl Source {
    /// Opens the store, unless a hub has it open.
    pub(super) async fn open(settings: &Settings) -> Result<Self, CliError> {
        let path = settings.store.path.clone();
        must_exist(&path)?;
        let options = Options {
            commit_interval: Duration::from_millis(settings.store.flush_ms),
            ..Options::default()
        };
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let opened = task::spawn_blocking({
                let (path, options) = (path.clone(), options.clone());
                move || Store::open(&path, &options)
            });
            let opened =
                opened.await.map_err(|error| CliError::io("can't open the store")(error.into()))?;
            match opened {
                Ok((store, contents)) => return Ok(Self::Store(store, shown(contents.devices))),
                Err(StoreError::Locked { .. }) => match remote::hub_of(&path) {
                    Ok(address) => return Ok(Self::Hub(address)),
                    // A hub that is just starting says where it is once the store is open.
                    Err(_) if Instant::now() < deadline => sleep(START_PAUSE).await,
                    Err(error) => return Err(error.into()),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The devices that people see: not the records that wait for a replacement to be undone.
fn shown(mut devices: Vec<DeviceRecord>) -> Vec<DeviceRecord> {
    let absorbed: HashSet<_> =
        devices.iter().filter_map(|device| device.replaced?.absorbed).collect();
    devices.retain(|device| !absorbed.contains(&device.id));
    devices
}

/// Refuses a folder that no store was ever in, instead of making an empty one there.
pub(super) fn must_exist(path: &Path) -> Result<(), CliError> {
    match fs::metadata(path.join("LOCK")) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(CliError::NoStore { path: path.to_owned() })
        }
        Err(error) => Err(CliError::io(path.display().to_string())(error)),
    }
}

/// Hands what an asynchronous source gives to a reader that blocks.
#[derive(Debug)]
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Result<Bytes, RemoteError>>,
    rest: Bytes,
}

impl Pieces {
    /// The pieces, and what fetches them: to be run beside their reader.
    pub(super) fn of(mut download: Download) -> (Self, impl Future<Output = ()>) {
        let (sender, pieces) = mpsc::channel(2);
        let fetch = async move {
            while let Some(piece) = download.next().await {
                // The reader may have ended early.
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        };
        (Self { pieces, rest: Bytes::new() }, fetch)
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.rest = piece.map_err(io::Error::other)?,
            }
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceId, Replaced, Timestamp, Wish};
    use capteur_protocol::Mac;

    #[test]
    fn a_device_that_another_has_absorbed_is_not_shown() {
        let device = |id: u8, absorbed: Option<u32>| DeviceRecord {
            id: DeviceId(id.into()),
            mac: Mac([2, 0, 0, 0, 0, id]),
            name: format!("board{id}").parse().unwrap(),
            first_seen: Timestamp::default(),
            last_seen: Timestamp::default(),
            joined_at: None,
            left_at: None,
            session: None,
            offered: Vec::new(),
            replaced: absorbed.map(|id| Replaced {
                mac: Mac([9; 6]),
                at: Timestamp::default(),
                absorbed: Some(DeviceId(id)),
            }),
            revision: 0,
            wish: Wish::Open,
            former_wish: Wish::Open,
        };
        let devices = shown(vec![device(1, None), device(2, None), device(3, Some(1))]);
        assert_eq!(devices, [device(2, None), device(3, Some(1))]);
    }
}
