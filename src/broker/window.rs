//! How much may wait in the router's log.
//!
//! The log drops its oldest messages when it wraps. So whoever publishes from a socket takes
//! permits for what the log counts, and gets none while too much has not been consumed by the
//! slowest reader: a slow in-process client stops the sockets being read, and nothing is lost.
//! In-process publishers never wait. They may overdraw, and what they overdraw is paid back before
//! sockets get permits again. For every join there is at most one `state/nameAssign`, which is
//! hardly longer, and the registry bounds how many wait for their commit; so two thirds of the log
//! is room enough for them and for LED commands.

use super::{
    error::BrokerEnded,
    lock::lock,
    message::Sealed,
    router::{self, Pace, Writer},
};
use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, TryAcquireError},
    time::sleep,
};

/// What may wait for the slowest reader before sockets are no longer read, in counted bytes.
pub(crate) const WINDOW: usize = router::RETAINED * 2 / 7;

/// How long a message that is in no hurry waits for others. At 500 readings a second this halves
/// what a reading costs; nobody sees light change within it.
const SOON: Duration = Duration::from_millis(20);

/// A reader of the log, by its place in the array that [`router::start`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Front = 0,
    Process = 1,
}

/// The log with its permits.
#[derive(Debug)]
pub(crate) struct Window {
    permits: Arc<Semaphore>,
    log: Mutex<Log>,
    progress: Notify,
    /// A message waits for others.
    waiting: Notify,
}

#[derive(Debug)]
struct Log {
    writer: Writer,
    /// The offset of the oldest message that some reader has not consumed.
    first: u64,
    /// What each message from `first` on has cost.
    costs: VecDeque<u32>,
    /// How far each reader has consumed: the offset of what it takes next.
    consumed: [u64; 2],
    /// What in-process publishers have overdrawn.
    debt: usize,
}

/// There is no room now: the message comes back, with what it will cost.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) sealed: Sealed,
    pub(crate) cost: u32,
}

/// Why a message could not be appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    Full(Full),
    Ended,
}

impl Window {
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(WINDOW)),
            log: Mutex::new(Log {
                writer,
                first: 0,
                costs: VecDeque::new(),
                consumed: [0; 2],
                debt: 0,
            }),
            progress: Notify::new(),
            waiting: Notify::new(),
        }
    }

    /// Has what is in no hurry taken after a moment, until the router has ended.
    pub(crate) async fn keep_pace(&self) {
        loop {
            self.waiting.notified().await;
            sleep(SOON).await;
            if lock(&self.log).writer.hurry().is_err() {
                return;
            }
        }
    }

    /// Appends a message from a socket if there is room; gives the offset after it.
    pub(crate) fn try_append(&self, sealed: Sealed, pace: Pace) -> Result<u64, AppendError> {
        let cost = cost_of(&sealed);
        match self.permits.try_acquire_many(cost) {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::NoPermits) => {
                return Err(AppendError::Full(Full { sealed, cost }));
            }
            Err(TryAcquireError::Closed) => return Err(AppendError::Ended),
        }
        let (offset, waits) =
            lock(&self.log).append(sealed, cost, pace).map_err(|BrokerEnded| AppendError::Ended)?;
        if waits {
            self.waiting.notify_one();
        }
        Ok(offset)
    }

    /// Waits for room for a message of this cost; after that, [`append`](Self::append) it.
    pub(crate) fn room(&self, cost: u32) -> impl Future<Output = ()> + Send + use<> {
        let permits = Arc::clone(&self.permits);
        async move {
            // Closed permits mean that the router has ended, which appending then tells.
            if let Ok(permit) = permits.acquire_many_owned(cost).await {
                permit.forget();
            }
        }
    }

    /// Waits for room and appends.
    pub(crate) async fn append_when_room(&self, sealed: Sealed) -> Result<u64, BrokerEnded> {
        let cost = cost_of(&sealed);
        self.room(cost).await;
        self.append(sealed, cost)
    }

    /// Appends a message of this process, which never waits.
    pub(crate) fn append_overdrawn(&self, sealed: Sealed) -> Result<u64, BrokerEnded> {
        let cost = cost_of(&sealed);
        let mut log = lock(&self.log);
        match self.permits.try_acquire_many(cost) {
            Ok(permit) => permit.forget(),
            Err(_) => log.debt += cost as usize,
        }
        log.append(sealed, cost, Pace::Now).map(|(offset, _)| offset)
    }

    /// Appends a message for whose cost there are permits; gives the offset after it.
    pub(crate) fn append(&self, sealed: Sealed, cost: u32) -> Result<u64, BrokerEnded> {
        lock(&self.log).append(sealed, cost, Pace::Now).map(|(offset, _)| offset)
    }

    /// A reader has consumed everything before `offset`.
    pub(crate) fn consumed(&self, side: Side, offset: u64) {
        let mut log = lock(&self.log);
        log.consumed[side as usize] = offset;
        let released = log.release();
        drop(log);
        if released > 0 {
            self.permits.add_permits(released);
        }
        if side == Side::Front {
            self.progress.notify_waiters();
        }
    }

    /// A reader is gone: nothing waits for it any more.
    pub(crate) fn leave(&self, side: Side) {
        self.consumed(side, u64::MAX);
    }

    /// The offset after the last message that was appended.
    pub(crate) fn end(&self) -> u64 {
        lock(&self.log).end()
    }

    /// Whether the front has consumed everything before `offset`.
    pub(crate) fn has_reached(&self, offset: u64) -> bool {
        lock(&self.log).consumed[Side::Front as usize] >= offset
    }

    /// Waits until the front has consumed everything before `offset`, or the router has ended.
    pub(crate) async fn reach(&self, offset: u64) {
        loop {
            let progress = self.progress.notified();
            if self.permits.is_closed() || self.has_reached(offset) {
                return;
            }
            progress.await;
        }
    }

    /// The router has ended: nobody waits any longer.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.progress.notify_waiters();
    }
}

impl Log {
    /// Gives the offset after the message, and whether it waits for others.
    fn append(
        &mut self,
        sealed: Sealed,
        cost: u32,
        pace: Pace,
    ) -> Result<(u64, bool), BrokerEnded> {
        let waits = self.writer.append(sealed, pace)?;
        self.costs.push_back(cost);
        Ok((self.end(), waits))
    }

    fn end(&self) -> u64 {
        self.first + self.costs.len() as u64
    }

    /// Forgets what every reader has consumed; gives the permits that this sets free.
    fn release(&mut self) -> usize {
        let done = self.consumed[0].min(self.consumed[1]);
        let mut released = 0;
        while self.first < done
            && let Some(cost) = self.costs.pop_front()
        {
            self.first += 1;
            released += cost as usize;
        }
        if self.costs.is_empty() {
            self.costs.shrink_to(64);
        }
        let repaid = released.min(self.debt);
        self.debt -= repaid;
        released - repaid
    }
}

/// What a message takes of the window. One that is larger than the window takes all of it: the log
/// keeps a whole message whatever its size.
fn cost_of(sealed: &Sealed) -> u32 {
    u32::try_from(router::counted_bytes(sealed).min(WINDOW)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn sealed(len: usize) -> Sealed {
        Sealed { topic: Bytes::from_static(b"other"), payload: Bytes::from(vec![b'x'; len]) }
    }

    fn window() -> Window {
        Window::new(router::start().unwrap().0)
    }

    fn fill(window: &Window) -> u64 {
        let mut last = 0;
        while let Ok(offset) = window.try_append(sealed(1000), Pace::Now) {
            last = offset;
        }
        last
    }

    #[tokio::test]
    async fn permits_come_back_when_the_slowest_reader_has_consumed() {
        let window = window();
        let last = fill(&window);
        window.consumed(Side::Front, last);
        assert!(matches!(window.try_append(sealed(1000), Pace::Now), Err(AppendError::Full(_))));
        window.consumed(Side::Process, 1);
        assert_eq!(window.try_append(sealed(1000), Pace::Now).unwrap(), last + 1);
        assert!(matches!(window.try_append(sealed(1000), Pace::Now), Err(AppendError::Full(_))));
    }

    #[tokio::test]
    async fn what_is_overdrawn_is_paid_back_first() {
        let window = window();
        let last = fill(&window);
        let after = window.append_overdrawn(sealed(1000)).unwrap();
        assert_eq!(after, last + 1);
        window.leave(Side::Process);
        window.consumed(Side::Front, 1);
        assert!(matches!(window.try_append(sealed(1000), Pace::Now), Err(AppendError::Full(_))));
        window.consumed(Side::Front, 2);
        assert!(window.try_append(sealed(1000), Pace::Now).is_ok());
    }

    #[tokio::test]
    async fn a_message_larger_than_the_window_takes_all_of_it() {
        let window = window();
        assert_eq!(window.try_append(sealed(10 * WINDOW), Pace::Now).unwrap(), 1);
        assert!(matches!(window.try_append(sealed(0), Pace::Now), Err(AppendError::Full(_))));
        window.leave(Side::Process);
        window.consumed(Side::Front, 1);
        assert!(window.try_append(sealed(0), Pace::Now).is_ok());
    }
}
