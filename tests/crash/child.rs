//! The process that writes until its end comes.

use crate::{random::scrambled, workload};
use capteur::store::{Store, StoreError, Urgency};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::sync::Semaphore;

/// Names the store's folder to a child, and tells it that it is one.
const FOLDER: &str = "CAPTEUR_CRASH_CHILD";
/// Submissions that wait at once.
const IN_FLIGHT: u32 = 16;
/// After so many submissions the child rests: what the store does in idle moments needs some.
const REST_AFTER: u64 = 25;
const REST: Duration = Duration::from_millis(100);
/// One rest in so many is a long one, in which the store gets done with all that.
const LONG_RESTS: u64 = 8;
const LONG_REST: Duration = Duration::from_secs(3);

/// This binary, to be run as a child of `test`, which has to begin with [`write_if_child`].
pub(crate) fn command(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", "--test-threads=1", test])
        .env(FOLDER, folder)
        .stdin(Stdio::null());
    command
}

/// Writes for ever where this process is a child; else returns.
pub(crate) fn write_if_child() {
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        runtime().block_on(write(&folder));
    }
}

async fn write(folder: &Path) {
    let (store, contents) = Store::open(folder, &workload::options_to_write()).unwrap();
    let first = workload::next_number(&contents);
    say_holds(first);
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT as usize));
    for number in first.. {
        let permit = Arc::clone(&in_flight).acquire_owned().await.unwrap();
        let done = Box::new(move |result: Result<(), StoreError>| {
            result.unwrap();
            say_holds(number + 1);
            drop(permit);
        });
        let urgency = if number % 3 == 0 { Urgency::Now } else { Urgency::Interval };
        store.submit(workload::submission(number), urgency, Some(done)).await.unwrap();
        if number % REST_AFTER == REST_AFTER - 1 {
            drop(in_flight.acquire_many(IN_FLIGHT).await.unwrap());
            let long = scrambled(first << 32 | number).is_multiple_of(LONG_RESTS);
            thread::park_timeout(if long { LONG_REST } else { REST });
        }
    }
}

/// Says that all submissions before this one are on the medium.
fn say_holds(next: u64) {
    println!("holds {next}.");
}

/// What a line says so; `None` for other lines, and for one that was cut short.
pub(crate) fn holds(line: &str) -> Option<u64> {
    // The test runner begins a line without ending it.
    let (_, number) = line.strip_suffix('.')?.rsplit_once("holds ")?;
    number.parse().ok()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
