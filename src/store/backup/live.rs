//! A backup of an open store on its way to whoever asked for it.

use super::{
    layout::Header,
    snapshot::{self, Interrupted},
};
use crate::{
    model::Timestamp,
    store::{error::StoreError, format::Format, handle::Store, recovery},
};
use bytes::Bytes;
use std::{
    io::{self, Read, Write},
    mem,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task,
    time::Instant,
};

/// The length of the pieces in which a backup is handed out, in bytes.
const PIECE_LEN: usize = 64 * 1024;

/// How many pieces wait for whoever takes them.
const PIECES_MAX: usize = 2;

/// How long nobody may take anything. The store can't tidy up while it is copied.
const TAKE_TIMEOUT: Duration = Duration::from_mins(1);

/// The longest time that a backup may take, for the same reason.
const TIME_MAX: Duration = Duration::from_hours(12);

/// A backup of an open store, piece by piece.
///
/// Dropping it ends the copy. It can be taken from async code with [`next`](Self::next), or from a
/// thread that may block as [`Read`].
#[derive(Debug)]
pub struct Backup {
    pieces: mpsc::Receiver<Bytes>,
    /// How the copy has ended, set before its sender is dropped.
    end: Arc<OnceLock<Result<(), StoreError>>>,
    /// What [`Read`] has not handed out yet of the last piece.
    rest: Bytes,
}

impl Store {
    /// Copies the store as it is now, while it goes on. The copy is consistent: what was submitted
    /// before is in it, and what is removed meanwhile may be or not.
    ///
    /// One copy at a time. It ends when nobody takes anything of it for a minute, when the store
    /// is closed, and after twelve hours. `created` is the time that it says it was made.
    ///
    /// # Errors
    ///
    /// [`StoreError::BackupRunning`] while another one is made, [`StoreError::Closed`] once the
    /// store is closed.
    pub async fn backup(&self, created: Timestamp) -> Result<Backup, StoreError> {
        match self.flush().await {
            // What was stored before can be copied all the same, and had better be.
            Ok(()) | Err(StoreError::Failed { .. }) => {}
            Err(error) => return Err(error),
        }
        let (permit, reader, closing) = self.backup_access()?;
        let header = Header::new(Format::SCHEMA, created);
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let end = Arc::new(OnceLock::new());
        let ended = Arc::clone(&end);
        let runtime = Handle::current();
        task::spawn_blocking(move || {
            // Lives until it is known how the copy has ended.
            let open = sender.clone();
            let outlet = Outlet {
                runtime,
                sender,
                closing,
                deadline: Instant::now() + TIME_MAX,
                piece: Vec::with_capacity(PIECE_LEN),
            };
            let copied = recovery::watched(reader.engine.path(), || {
                match snapshot::write(&reader, &header, outlet) {
                    Ok(()) => Ok(()),
                    Err(Interrupted::Store(error)) => Err(error),
                    Err(Interrupted::Taker(error)) => {
                        Err(StoreError::BackupCut { reason: error.to_string() })
                    }
                }
            });
            // The reader before the permit: who holds all permits knows that no reader is left.
            drop(reader);
            drop(permit);
            // It is set nowhere else.
            let _ = ended.set(copied);
            drop(open);
        });
        Ok(Backup { pieces, end, rest: Bytes::new() })
    }
}

impl Backup {
    /// The next piece; `None` at the end of a whole backup.
    ///
    /// # Errors
    ///
    /// Why there will be no more, where it is not whole.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        match self.pieces.recv().await {
            Some(piece) => Some(Ok(piece)),
            None => self.ended(),
        }
    }

    fn ended(&self) -> Option<Result<Bytes, StoreError>> {
        match self.end.get() {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(Err(error.clone())),
            // The thread was never started, or is gone: the runtime ends.
            None => Some(Err(StoreError::Closed)),
        }
    }
}

impl Read for Backup {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            let piece = self.pieces.blocking_recv().map(Ok).or_else(|| self.ended());
            self.rest = piece.transpose().map_err(io::Error::other)?.unwrap_or_default();
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

/// Collects pieces and waits until they are taken.
struct Outlet {
    runtime: Handle,
    sender: mpsc::Sender<Bytes>,
    closing: watch::Receiver<bool>,
    deadline: Instant,
    piece: Vec<u8>,
}

impl Outlet {
    fn send(&mut self, piece: Vec<u8>) -> io::Result<()> {
        let timeout = TAKE_TIMEOUT.min(self.deadline.saturating_duration_since(Instant::now()));
        let sent = async {
            tokio::select! {
                biased;
                // An error means that the store has gone.
                _ = self.closing.wait_for(|closing| *closing) => Err("the store is closed"),
                sent = self.sender.send_timeout(piece.into(), timeout) => sent.map_err(|error| match error {
                    mpsc::error::SendTimeoutError::Timeout(_) => "it was not taken in time",
                    mpsc::error::SendTimeoutError::Closed(_) => "nobody takes it any more",
                }),
            }
        };
        self.runtime.block_on(sent).map_err(io::Error::other)
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE_LEN - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE_LEN {
            let piece = mem::replace(&mut self.piece, Vec::with_capacity(PIECE_LEN));
            self.send(piece)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = mem::take(&mut self.piece);
        self.send(piece)
    }
}
