//! Many boards, on a thread of their own.

use crate::{
    Failure, Outcome,
    board::{Board, Pace},
    process,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, watch},
    time::timeout,
};

/// Files that a process of the benchmark has open beside its connections.
const OTHER_FILES: u64 = 100;

/// How long boards may take that are not powered on to take their time.
const ONLINE_WITHIN: Duration = Duration::from_secs(90);

/// What the boards of a fleet have done.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Boards that have started their session.
    pub(crate) online: watch::Sender<usize>,
    /// Light readings that were sent.
    pub(crate) sent: AtomicU64,
    /// PUBACKs that came in.
    acknowledged: watch::Sender<u64>,
    /// Connections that failed.
    failures: AtomicU64,
}

impl Tally {
    pub(crate) fn acknowledged(&self) {
        self.acknowledged.send_modify(|count| *count += 1);
    }

    pub(crate) fn failed(&self, index: u32, failure: &Failure) {
        // Where one fails, thousands may: the first few say what the matter is.
        if self.failures.fetch_add(1, Ordering::Relaxed) < 3 {
            eprintln!("bench: board {index}: {failure}");
        }
    }
}

/// Boards against one broker. They are powered off when the fleet is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    plan: Board,
    boards: u32,
    pace: watch::Sender<Pace>,
    tally: Arc<Tally>,
    runtime: Option<Runtime>,
}

impl Fleet {
    /// A fleet without boards; of those to come, `at_once` may be on their way online.
    pub(crate) fn new(broker: SocketAddr, at_once: usize, hears_names: bool) -> Outcome<Self> {
        let (pace, paced) = watch::channel(Pace::Silent);
        let tally = Arc::new(Tally {
            online: watch::Sender::new(0),
            sent: AtomicU64::new(0),
            acknowledged: watch::Sender::new(0),
            failures: AtomicU64::new(0),
        });
        let plan = Board {
            index: 0,
            broker,
            hears_names,
            joining: Arc::new(Semaphore::new(at_once)),
            pace: paced,
            tally: Arc::clone(&tally),
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("boards")
            .enable_all()
            .build()?;
        Ok(Self { plan, boards: 0, pace, tally, runtime: Some(runtime) })
    }

    /// Powers on boards until there are `boards`.
    pub(crate) fn grow(&mut self, boards: u32) -> Outcome<()> {
        let limit = process::open_files_limit()?;
        if limit < u64::from(boards) + OTHER_FILES {
            return Err(format!(
                "{boards} boards need more open files than {limit}: raise it with `ulimit -n`"
            )
            .into());
        }
        let runtime = self.runtime.as_ref().ok_or("the fleet was powered off")?;
        for index in self.boards..boards {
            runtime.spawn(Board { index, ..self.plan.clone() }.live());
        }
        self.boards = boards;
        Ok(())
    }

    /// Powers on boards until there are `boards`, and waits until all say that they are online.
    pub(crate) async fn bring_online(&mut self, boards: u32) -> Outcome<()> {
        self.grow(boards)?;
        let wanted = usize::try_from(boards)?;
        let mut online = self.tally.online.subscribe();
        let all = online.wait_for(|count| *count >= wanted);
        if let Ok(reached) = timeout(ONLINE_WITHIN, all).await {
            return reached.map(drop).map_err(Into::into);
        }
        let came = *self.tally.online.borrow();
        Err(format!("{came} of {boards} boards came online within {ONLINE_WITHIN:?}").into())
    }

    /// Sets what the boards report.
    pub(crate) fn pace(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }

    /// How many readings were sent up to now.
    pub(crate) fn sent(&self) -> u64 {
        self.tally.sent.load(Ordering::Relaxed)
    }

    /// Waits until that many publishes at QoS 1 were acknowledged, from power-on.
    pub(crate) async fn acknowledged(&self, count: u64, within: Duration) -> Outcome<()> {
        let mut acknowledged = self.tally.acknowledged.subscribe();
        let all = acknowledged.wait_for(|sum| *sum >= count);
        if let Ok(reached) = timeout(within, all).await {
            return reached.map(drop).map_err(Into::into);
        }
        let came = *self.tally.acknowledged.borrow();
        Err(format!("{came} of {count} publishes were acknowledged").into())
    }

    /// Publishes at QoS 1 that were acknowledged up to now.
    pub(crate) fn acknowledged_now(&self) -> u64 {
        *self.tally.acknowledged.borrow()
    }

    /// How many connections have failed.
    pub(crate) fn failures(&self) -> u64 {
        self.tally.failures.load(Ordering::Relaxed)
    }

    /// Fails where a board has lost its connection.
    pub(crate) fn check(&self) -> Outcome<()> {
        match self.failures() {
            0 => Ok(()),
            count => Err(format!("{count} connections of boards failed").into()),
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A runtime may not be dropped where it would wait for its tasks.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
