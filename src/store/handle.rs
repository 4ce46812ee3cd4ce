//! The store as the other rooms see it.

use super::{
    change::{Change, Done, Queued, Urgency},
    condition::{Condition, Lookout, Spans},
    engine::{self, Engine, Medium},
    error::StoreError,
    queue::Queue,
    reader::{Coverage, Reader},
    record, recovery,
    replay::{Contents, Replay},
    space::{self, Gauge, Space},
    stats::{Counters, Stats},
    upkeep::{Layout, Retention, Upkeep},
    wear::{self, Tally},
    writer::Writer,
};
use crate::model::{
    Bucket, Channel, Clock, DeviceId, LogEntry, SystemClock, TimeSpan, Timestamp, Width,
};
use std::{
    fmt,
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot, watch},
    task,
};

/// The most queries that run at once: a third waits, and the writer is not starved.
const READERS: usize = 2;

/// What a backup needs of the store.
pub(super) type BackupAccess = (OwnedSemaphorePermit, Arc<Reader>, watch::Receiver<bool>);

/// How the store is opened.
#[derive(Clone)]
pub struct Options {
    /// The longest time that a change with [`Urgency::Interval`] waits.
    pub commit_interval: Duration,
    /// How long what is kept.
    pub retention: Retention,
    /// How often it is looked for what can be compacted or has to go.
    pub upkeep_interval: Duration,
    /// How often space in the file is reclaimed: half a megabyte each time, at the cost of a flush
    /// of the medium. `None` is once a commit interval, and at most twice a second, which is
    /// enough for some 10,000 readings a second at commits of a second.
    pub reclaim_interval: Option<Duration>,
    /// Where the file system has less room than this, in bytes, readings are not recorded.
    pub min_free_bytes: u64,
    /// The time of day, for what has to go because of its age. It is told what the store remembers
    /// of it.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    /// A commit a second, everything kept and recorded to the last byte, the machine's clock.
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_secs(1),
            retention: Retention::default(),
            upkeep_interval: Duration::from_mins(10),
            reclaim_interval: None,
            min_free_bytes: 0,
            clock: Arc::new(SystemClock),
        }
    }
}

impl Options {
    fn reclaim_interval(&self) -> Duration {
        self.reclaim_interval.unwrap_or(self.commit_interval.max(engine::RECLAIM_INTERVAL))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("commit_interval", &self.commit_interval)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// The store: cheap to clone; the writer's thread ends when the store is closed, or the last handle
/// is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    /// `None` once the store is closed.
    reader: RwLock<Option<Arc<Reader>>>,
    readers: Arc<Semaphore>,
    /// The permit to make a backup.
    backups: Arc<Semaphore>,
    /// Becomes `true` when the store is to be closed: backups end then.
    closing: watch::Sender<bool>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// This run's number.
    boots: u64,
    log_lines: AtomicU32,
    condition: watch::Receiver<Condition>,
    spans: Spans,
}

impl Store {
    /// Opens the store in the folder `path`, creating it where there is none, and starts its
    /// writer. Blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] where another process has it open, [`StoreError::Format`] where
    /// another version wrote it, [`StoreError::Damaged`] where it makes no sense, and
    /// [`StoreError::Io`] where the system refuses.
    pub fn open(path: &Path, options: &Options) -> Result<(Self, Contents), StoreError> {
        Self::open_on(path, options, space::gauge(path), |engine| engine)
    }

    /// As [`open`](Self::open), with commits going to what `medium` makes of the database, on a file
    /// system that has the room that `gauge` tells.
    pub(super) fn open_on<M: Medium>(
        path: &Path,
        options: &Options,
        gauge: Gauge,
        medium: impl FnOnce(Arc<Engine>) -> M,
    ) -> Result<(Self, Contents), StoreError> {
        let interval = options.commit_interval;
        let mut space = Space::new(path, options.min_free_bytes, gauge);
        let opened = space.open_with(|| {
            recovery::open(path, options.reclaim_interval(), options.clock.now(), |engine| {
                let counters = Arc::new(Counters::default());
                Ok((read(engine, &counters)?, counters))
            })
        })?;
        let recovery::Opened { engine, content: (mut replay, counters), recovery, .. } = opened;
        let contents = Contents {
            recovery: recovery.map(Box::new),
            recovered: opened.recovered,
            ..replay.contents()
        };
        let Replay {
            removed, mut heads, logs, first_frame, last_frame, clock, written, spans, ..
        } = replay;
        heads.reach(last_frame);
        options.clock.resume(clock, contents.newest());
        let lookout = Lookout::new(
            space,
            Tally::new(written, wear::meter()),
            Arc::clone(&options.clock),
            Arc::clone(&counters),
            spans.clone(),
        );
        let condition = lookout.condition();
        let readings = heads.iter().map(|(_, entry)| entry.readings()).sum();
        counters.stored(readings, 0);
        counters.keep(heads.usage(), heads.unsealed(), logs.bytes());
        let queue = Arc::new(Queue::new(removed.keys().copied().collect()));
        let heads = Arc::new(RwLock::new(heads));
        let layout = Arc::new(Layout::default());
        let writer = Writer {
            engine: Arc::clone(&engine),
            queue: Arc::clone(&queue),
            heads: Arc::clone(&heads),
            logs,
            counters: Arc::clone(&counters),
            interval,
            last_frame,
            removed: removed.keys().copied().collect(),
            upkeep: Upkeep::new(Arc::clone(&layout), options, first_frame, removed),
            lookout,
            medium: medium(Arc::clone(&engine)),
        };
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(StoreError::io(path))?;
        let reader = Reader {
            engine,
            queue: Arc::clone(&queue),
            heads,
            layout,
            counters: Arc::clone(&counters),
        };
        let shared = Shared {
            queue,
            counters,
            reader: RwLock::new(Some(Arc::new(reader))),
            readers: Arc::new(Semaphore::new(READERS)),
            backups: Arc::new(Semaphore::new(1)),
            closing: watch::Sender::new(false),
            writer: Mutex::new(Some(thread)),
            boots: contents.marks.boots,
            log_lines: AtomicU32::new(0),
            condition,
            spans,
        };
        Ok((Self { shared: Arc::new(shared) }, contents))
    }

    /// Hands the changes to the writer: they reach the medium all together or not at all, in the
    /// order of the calls. Waits only while the writer's queue is full; dropped while it waits, it
    /// has handed over nothing.
    ///
    /// # Errors
    ///
    /// Nothing was handed over, and `done` is not called: [`StoreError::TooLarge`] or
    /// [`StoreError::Encoding`] for a value that can't be kept, [`StoreError::Failed`] once a
    /// commit has failed, [`StoreError::Closed`] once the store is closed.
    pub async fn submit(
        &self,
        changes: Vec<Change>,
        urgency: Urgency,
        done: Option<Done>,
    ) -> Result<(), StoreError> {
        let shared = &self.shared;
        // Lines of this run come after those of the runs before.
        let order = || shared.boots << 32 | u64::from(shared.log_lines.fetch_add(1, Relaxed));
        let changes: Result<_, _> =
            changes.into_iter().map(|change| Queued::new(change, shared.boots, order)).collect();
        shared.queue.submit(changes?, urgency, done).await
    }

    /// Waits until all that was submitted before is on the medium: also the proof that the writer
    /// makes progress. Writes nothing where nothing waits.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] and [`StoreError::Closed`], as for [`submit`](Self::submit).
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.submit(Vec::new(), Urgency::Now, Some(done)).await?;
        // The callback is only dropped where the writer's thread is gone.
        receiver.await.unwrap_or_else(|_| Err(self.end()))
    }

    /// Commits what waits, ends the writer and closes the files. Later calls fail with
    /// [`StoreError::Closed`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] where a commit has failed, now or before; the files are closed all
    /// the same.
    pub async fn close(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.queue.close();
        shared.closing.send_replace(true);
        // Held to the end, so that a second call returns when all is closed as well.
        let mut writer = shared.writer.lock().await;
        if let Some(thread) = writer.take() {
            // Its panics are caught: the queue knows.
            let _ = task::spawn_blocking(move || thread.join()).await;
        }
        if let Ok(permits) = shared.readers.acquire_many(u32::try_from(READERS).unwrap_or(1)).await
        {
            permits.forget();
            shared.readers.close();
        }
        if let Ok(permit) = shared.backups.acquire().await {
            permit.forget();
            shared.backups.close();
        }
        let reader = shared.reader.write().unwrap_or_else(PoisonError::into_inner).take();
        let _ = task::spawn_blocking(move || drop(reader)).await;
        match self.end() {
            StoreError::Closed => Ok(()),
            error => Err(error),
        }
    }

    /// Readings of one channel with `from <= at < to`, by time, and in the order of their arrival
    /// where times are equal; at most `limit` of the oldest. Includes what is not committed yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] or [`StoreError::Damaged`] where the database can't be read,
    /// [`StoreError::Closed`] once the store is closed. A failed commit does not keep what was
    /// stored before from being read.
    pub async fn readings(
        &self,
        device: DeviceId,
        channel: Channel,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, u8)>, StoreError> {
        self.query(move |reader| reader.readings(device, channel, from, to, limit)).await
    }

    /// What the readings of one channel come to in each minute or hour that has a part of
    /// `from <= at < to`, by time; at most `limit` of the oldest. A bucket has all the readings of
    /// its time. Includes what is not committed yet, and what is older than any single reading that
    /// is kept.
    ///
    /// # Errors
    ///
    /// As for [`readings`](Self::readings).
    pub async fn buckets(
        &self,
        device: DeviceId,
        channel: Channel,
        width: Width,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        self.query(move |reader| reader.buckets(device, channel, width, from, to, limit)).await
    }

    /// Since when one channel's readings are kept.
    ///
    /// # Errors
    ///
    /// As for [`readings`](Self::readings).
    pub async fn coverage(
        &self,
        device: DeviceId,
        channel: Channel,
    ) -> Result<Coverage, StoreError> {
        self.query(move |reader| reader.coverage(device, channel)).await
    }

    /// The newest lines of a device's log before `before`, newest first; at most `limit`. Includes
    /// what is not committed yet.
    ///
    /// # Errors
    ///
    /// As for [`readings`](Self::readings).
    pub async fn log(
        &self,
        device: DeviceId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.query(move |reader| reader.log(device, before, limit)).await
    }

    /// What the store can do, now and from now on.
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.shared.condition.clone()
    }

    /// The spans of time of which the store has readings and in which the time of day was a guess,
    /// oldest first; the newest 1,024.
    pub fn uncertain_spans(&self) -> Vec<TimeSpan> {
        self.shared.spans.all()
    }

    /// Figures for health and metrics.
    pub fn stats(&self) -> Stats {
        // Under the lock: a clone could outlive the files' closing.
        let reader = self.shared.reader.read().unwrap_or_else(PoisonError::into_inner);
        Stats {
            queued: u64::try_from(self.shared.queue.len()).unwrap_or(u64::MAX),
            file_bytes: reader.as_ref().map_or(0, |reader| reader.engine.file_bytes()),
            healthy: self.shared.queue.end().is_none(),
            ..self.shared.counters.stats()
        }
    }

    async fn query<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.shared.readers)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let reader = self.reader().ok_or(StoreError::Closed)?;
        let query = task::spawn_blocking(move || {
            let result = recovery::watched(reader.engine.path(), || run(&reader));
            // The reader before the permit: who holds all permits knows that no reader is left.
            drop(reader);
            drop(permit);
            result
        });
        // Its panics are caught: it is only cancelled, when the runtime ends.
        query.await.unwrap_or(Err(StoreError::Closed))
    }

    /// What a backup needs: the permit, the reader, and what becomes `true` when it has to end.
    pub(super) fn backup_access(&self) -> Result<BackupAccess, StoreError> {
        let permit = Arc::clone(&self.shared.backups).try_acquire_owned();
        let permit = permit.map_err(|error| match error {
            TryAcquireError::NoPermits => StoreError::BackupRunning,
            TryAcquireError::Closed => StoreError::Closed,
        })?;
        let reader = self.reader().ok_or(StoreError::Closed)?;
        Ok((permit, reader, self.shared.closing.subscribe()))
    }

    fn reader(&self) -> Option<Arc<Reader>> {
        self.shared.reader.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self) -> StoreError {
        self.shared.queue.end().unwrap_or(StoreError::Closed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The writer commits what waits, then ends on its own.
        self.queue.close();
    }
}

/// Reads what the store holds, and counts that it was opened.
fn read(engine: &Arc<Engine>, counters: &Counters) -> Result<Replay, StoreError> {
    let mut replay = Replay::read(engine, counters)?;
    replay.marks.boots = replay.marks.boots.saturating_add(1);
    let (key, value) = record::marks(&replay.marks)?;
    engine.apply(vec![(key, Some(value))])?;
    engine.sync()?;
    Ok(replay)
}
