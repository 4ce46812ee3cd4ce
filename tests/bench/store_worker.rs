//! The store in a process of its own: what it uses can be told from what the benchmark does, and it
//! can be killed.

use crate::{
    Outcome, board,
    process::{self, Process},
    sensor,
    timings::Timings,
};
use capteur::{
    model::{Channel, Clock, DeviceId, DeviceRecord, Reading, SystemClock, Timestamp, Width, Wish},
    store::{Change, Options, Store, Urgency},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::sleep};

/// Tells the benchmark that it is a worker: the job and the folder follow.
pub(crate) const ARGUMENT: &str = "store-worker";

/// When the first reading is, in ms since the Unix epoch: the beginning of a UTC day.
pub(crate) const BEGIN: i64 = 1_700_006_400_000;

/// The channel of every reading.
const CHANNEL: Channel = Channel::Photoresistor;

/// The device of the queries.
const DEVICE: DeviceId = DeviceId(0);

/// How often a query is repeated; its figure is the median.
const QUERIES: usize = 21;

/// How often upkeep looks for what to do: the readings of a day are written in half a minute.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How often space in the file is reclaimed: about once a commit, as in the hub, where here a second
/// of readings is committed in some milliseconds.
const RECLAIM_INTERVAL: Duration = Duration::from_millis(5);

/// How long the store's figures have to stay the same for its upkeep to have come to its end.
const SETTLED: Duration = Duration::from_secs(3);

/// What a worker does with the store of a folder.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Writes readings, waits until the upkeep is done, and closes.
    Write(Course),
    /// Writes readings, and waits to be killed.
    WriteAndLinger(Course),
    /// Opens the store, and closes it.
    Open,
    /// Reads the readings of the first series before a time after the beginning, in seconds.
    Readings { seconds: u32 },
    /// Reads its buckets of an hour before a time after the beginning, in seconds.
    Hours { seconds: u32 },
}

/// Which readings are written, and how.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Course {
    /// How many series have a reading at each step.
    pub(crate) series: u32,
    /// The first step.
    pub(crate) from: u32,
    /// The step after the last.
    pub(crate) to: u32,
    /// Seconds between two steps.
    pub(crate) seconds: u32,
    /// Whether each step is on the medium before the next begins.
    pub(crate) commits: bool,
}

impl Course {
    /// How many readings there are.
    pub(crate) fn readings(&self) -> f64 {
        f64::from(self.series) * f64::from(self.to - self.from)
    }

    /// When a step is, in ms since the Unix epoch.
    fn time(&self, step: u32) -> i64 {
        BEGIN + i64::from(step * self.seconds) * 1000
    }

    /// The readings of a step: series, time in ms since the Unix epoch, value.
    pub(crate) fn step(&self, step: u32) -> impl Iterator<Item = (u32, i64, u8)> {
        let second = step * self.seconds;
        (0..self.series).map(move |series| {
            let (at, value) = sensor::reading(series, second);
            (series, BEGIN - sensor::BEGIN + at, value)
        })
    }
}

/// A worker at its job; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    _process: Process,
    answer: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(job: Job, folder: &Path) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).arg(serde_json::to_string(&job)?).arg(folder);
        let mut process = Process::start(command.stdout(Stdio::piped()))?;
        let answer = process.take_stdout().ok_or("a worker has no standard output")?;
        Ok(Self { _process: process, answer: BufReader::new(answer) })
    }

    /// Waits for what the worker says when it has done its job.
    pub(crate) fn answer(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        Ok(serde_json::from_str(&line).map_err(|_| format!("a worker failed: {line:?}"))?)
    }
}

/// Does a job in a process of its own, and returns what it says.
pub(crate) fn run(job: Job, folder: &Path) -> Outcome<Value> {
    Worker::start(job, folder)?.answer()
}

/// Does the job that the arguments after [`ARGUMENT`] name, in this process.
pub(crate) fn work(arguments: &[String]) -> Outcome<()> {
    let [job, folder] = arguments else { return Err("a worker needs a job and a folder".into()) };
    let folder = Path::new(folder);
    // As in the hub: what is submitted is made beside what is written.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        match serde_json::from_str(job)? {
            Job::Write(course) => write(folder, course).await,
            Job::WriteAndLinger(course) => {
                let (_store, answer) = fill(folder, course).await?;
                println!("{answer}");
                std::future::pending().await
            }
            Job::Open => open(folder).await,
            Job::Readings { seconds } => {
                let query = async |store: &Store, from, to| {
                    Ok(store.readings(DEVICE, CHANNEL, from, to, usize::MAX).await?.len())
                };
                time_query(folder, seconds, query).await
            }
            Job::Hours { seconds } => {
                let query = async |store: &Store, from, to| {
                    let width = Width::Hour;
                    Ok(store.buckets(DEVICE, CHANNEL, width, from, to, usize::MAX).await?.len())
                };
                time_query(folder, seconds, query).await
            }
        }
    })?;
    println!("{answer}");
    Ok(())
}

/// Writes readings, waits until the upkeep has nothing more to do, and closes the store.
async fn write(folder: &Path, course: Course) -> Outcome<Value> {
    let (store, mut answer) = fill(folder, course).await?;
    let read = || {
        let stats = store.stats();
        (stats.raw_bytes, stats.minute_bytes, stats.hour_bytes, stats.file_bytes)
    };
    let (give_up_at, mut last, mut since) = (Instant::now() + SETTLED * 20, read(), Instant::now());
    while since.elapsed() < SETTLED && Instant::now() < give_up_at {
        sleep(Duration::from_millis(100)).await;
        let now = read();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    let stats = store.stats();
    let begun = Instant::now();
    store.close().await?;
    answer["close_seconds"] = begun.elapsed().as_secs_f64().into();
    answer["sealed"] = (stats.stored_readings - stats.unsealed_readings).into();
    answer["raw"] = stats.raw_bytes.into();
    answer["minutes"] = stats.minute_bytes.into();
    answer["hours"] = stats.hour_bytes.into();
    // Without the ballast that is kept beside it.
    answer["file"] = process::disk_usage(&folder.join("sled"))?.into();
    Ok(answer)
}

/// Opens the store and writes readings, all of which are on the medium in the end.
async fn fill(folder: &Path, course: Course) -> Outcome<(Store, Value)> {
    let clock = Arc::new(ReadingsClock(AtomicI64::new(BEGIN)));
    let (store, _) = Store::open(folder, &options(clock.clone()))?;
    if course.from == 0 {
        let record = |series| Ok(Change::PutDevice(Box::new(device(series)?)));
        let records: Outcome<_> = (0..course.series).map(record).collect();
        store.submit(records?, Urgency::Now, None).await?;
    }
    store.flush().await?;
    let (written, begun) = (process::own_written()?, Instant::now());
    let (sender, mut steps) = mpsc::channel(64);
    // Made beside the writing, which is what is measured.
    let maker = thread::spawn(move || {
        for step in course.from..course.to {
            let changes: Vec<_> = course.step(step).map(change).collect();
            if sender.blocking_send((course.time(step), changes)).is_err() {
                break;
            }
        }
    });
    while let Some((time, changes)) = steps.recv().await {
        clock.0.store(time, Relaxed);
        store.submit(changes, Urgency::Interval, None).await?;
        if course.commits {
            store.flush().await?;
        }
    }
    store.flush().await?;
    let seconds = begun.elapsed().as_secs_f64();
    maker.join().map_err(|_| "the readings' maker panicked")?;
    let answer = json!({
        "seconds": seconds,
        "written": process::own_written()? - written,
        "resident": process::own_resident()?,
    });
    Ok((store, answer))
}

async fn open(folder: &Path) -> Outcome<Value> {
    let begun = Instant::now();
    let (store, _) = Store::open(folder, &options(Arc::new(SystemClock)))?;
    let seconds = begun.elapsed().as_secs_f64();
    let (resident, unsealed) = (process::own_resident()?, store.stats().unsealed_readings);
    store.close().await?;
    Ok(json!({ "seconds": seconds, "resident": resident, "unsealed": unsealed }))
}

/// How long a query of so many seconds from the beginning takes, in the median and at first.
async fn time_query(
    folder: &Path,
    seconds: u32,
    query: impl AsyncFn(&Store, Timestamp, Timestamp) -> Outcome<usize>,
) -> Outcome<Value> {
    let (store, _) = Store::open(folder, &options(Arc::new(SystemClock)))?;
    let (from, to) = (BEGIN, BEGIN + i64::from(seconds) * 1000);
    let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(to));
    let (mut times, mut found) = (Vec::new(), 0);
    for _ in 0..QUERIES {
        let begun = Instant::now();
        found = query(&store, from, to).await?;
        times.push(begun.elapsed());
    }
    let first = times[0].as_secs_f64();
    let resident = process::own_resident()?;
    store.close().await?;
    let seconds = Timings::new(times).percentile_ms(50) / 1000.0;
    Ok(json!({ "seconds": seconds, "first": first, "rows": found, "resident": resident }))
}

/// A clock that goes with the readings.
#[derive(Debug)]
struct ReadingsClock(AtomicI64);

impl Clock for ReadingsClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Relaxed))
    }
}

fn options(clock: Arc<dyn Clock>) -> Options {
    Options {
        upkeep_interval: UPKEEP_INTERVAL,
        reclaim_interval: Some(RECLAIM_INTERVAL),
        clock,
        ..Options::default()
    }
}

fn change((series, at, value): (u32, i64, u8)) -> Change {
    let at = Timestamp::from_millis(at);
    Change::Reading(Reading { device: DeviceId(series), channel: CHANNEL, value, at })
}

fn device(series: u32) -> Outcome<DeviceRecord> {
    let at = Timestamp::from_millis(BEGIN);
    Ok(DeviceRecord {
        id: DeviceId(series),
        mac: board::mac(series),
        name: format!("board{series}").parse()?,
        first_seen: at,
        last_seen: at,
        joined_at: Some(at),
        left_at: None,
        session: None,
        offered: Vec::new(),
        replaced: None,
        revision: 0,
        wish: Wish::Open,
        former_wish: Wish::Open,
    })
}
