//! The store with ten million readings in it, beside `SQLite` with a row and an index entry for each.

use crate::{
    Outcome,
    machine::SCRATCH,
    sqlite,
    store_worker::{self, BEGIN, Course, Job, Worker},
    table::{Figure, Table, Unit},
};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// Ten million readings: a little more than a day of 100 series.
const FILL: Course = Course { series: 100, from: 0, to: 100_000, seconds: 1, commits: false };

/// What is written after that, until the process is killed: every series is between two seals.
const BEFORE_CRASH: Course = Course { from: FILL.to, to: FILL.to + 900, commits: true, ..FILL };

/// Readings at a pace, a commit a second, for an hour: each series is sealed, and its frames go.
const PACED: [Course; 2] = [
    Course { series: 1_000, from: 0, to: 3_600, seconds: 1, commits: true },
    Course { series: 20, from: 0, to: 3_600, seconds: 1, commits: true },
];

/// `SQLite` writes the same for each reading from the beginning on, so that ten minutes will do.
const PACED_SQLITE_TO: u32 = 600;

/// A reading a minute for a year.
const YEAR: Course = Course { series: 1, from: 0, to: 365 * 1_440, seconds: 60, commits: false };

/// Rows of a commit of `SQLite`, where it writes as fast as it can.
const SQLITE_COMMIT: u32 = 1_000;

const DAY: u32 = 86_400;

pub(crate) fn take(table: &mut Table) -> Outcome<()> {
    table.beside("SQLite from Python");
    let folder = TempDir::new_in(SCRATCH)?;
    let (ours, theirs) = (folder.path().join("store"), folder.path().join("sqlite"));
    fill(table, &ours, &theirs)?;
    day(table, &ours, &theirs)?;
    crash(table, &ours)?;
    drop(folder);
    for course in PACED {
        at_pace(table, course)?;
    }
    year(table)?;
    table.note(
        "Store: 100 series with a reading a second, ±20 ms of jitter, a curve over the day, clouds and noise. SQLite has WAL, \
         `synchronous=FULL`, a row a reading, an index by series and time, and commits 1,000 rows at a time where it writes \
         as fast as it can. Bytes in the store are those of keys and values, of readings that are sealed; the file's are \
         measured after closing. Bytes written are the process's `write_bytes`, without the file system's journal; a commit \
         stands for a second and the next follows at once.",
    );
    Ok(())
}

fn fill(table: &mut Table, ours: &Path, theirs: &Path) -> Outcome<()> {
    let hub = store_worker::run(Job::Write(FILL), ours)?;
    let peer = sqlite::fill(theirs, FILL, SQLITE_COMMIT)?;
    let readings = FILL.readings();
    let per_second = |answer: &Value| number(answer, "seconds").map(|seconds| readings / seconds);
    let name = |what: &str| format!("{what}, 10 million readings of 100 series");
    table.push(
        Figure::new(name("readings taken"), Unit::PerSecond, per_second(&hub)?)
            .beside(per_second(&peer)?)
            .at_least(300_000.0),
    );
    let sealed = number(&hub, "sealed")?;
    let [raw, minutes, hours] = ["raw", "minutes", "hours"].map(|tier| number(&hub, tier));
    let (raw, minutes, hours) = (raw? / sealed, minutes? / sealed, hours? / sealed);
    let tiers = [("as such", raw), ("in sums of a minute", minutes), ("in sums of an hour", hours)];
    for (what, bytes) in tiers {
        table.push(Figure::new(format!("a reading in the store, {what}"), Unit::Bytes, bytes));
    }
    table.push(
        Figure::new("a reading in the store", Unit::Bytes, raw + minutes + hours).at_most(1.2),
    );
    let per_reading = |bytes: f64| bytes / readings;
    table.push(
        Figure::new("a reading in the file", Unit::Bytes, per_reading(number(&hub, "file")?))
            .beside(per_reading(number(&peer, "file")?))
            .at_most(2.5),
    );
    table.push(
        Figure::new(
            name("written to the medium for a reading"),
            Unit::Bytes,
            per_reading(number(&hub, "written")?),
        )
        .beside(per_reading(number(&peer, "written")?)),
    );
    table.push(
        Figure::new(name("memory"), Unit::Megabytes, number(&hub, "resident")? / 1e6)
            .beside(number(&peer, "resident")? / 1e6),
    );
    Ok(())
}

/// A day of one of the hundred series.
fn day(table: &mut Table, ours: &Path, theirs: &Path) -> Outcome<()> {
    let hub = store_worker::run(Job::Readings { seconds: DAY }, ours)?;
    let peer = sqlite::query("day", theirs, span(DAY))?;
    same(&hub, &peer, "rows")?;
    table.push(
        Figure::new("a day's chart, 86,400 readings", Unit::Milliseconds, milliseconds(&hub)?)
            .beside(milliseconds(&peer)?)
            .below(5.0),
    );
    let first = number(&hub, "first")? * 1e3;
    table.push(Figure::new("the same, first after the opening", Unit::Milliseconds, first));
    Ok(())
}

fn crash(table: &mut Table, ours: &Path) -> Outcome<()> {
    let mut worker = Worker::start(Job::WriteAndLinger(BEFORE_CRASH), ours)?;
    worker.answer()?;
    // Kills it.
    drop(worker);
    let opened = store_worker::run(Job::Open, ours)?;
    table.push(Figure::new(
        format!("open after a kill, {} readings not sealed", number(&opened, "unsealed")?),
        Unit::Seconds,
        number(&opened, "seconds")?,
    ));
    table.push(Figure::new(
        "memory after that",
        Unit::Megabytes,
        number(&opened, "resident")? / 1e6,
    ));
    Ok(())
}

fn at_pace(table: &mut Table, course: Course) -> Outcome<()> {
    let folder = TempDir::new_in(SCRATCH)?;
    let hub = store_worker::run(Job::Write(course), &folder.path().join("store"))?;
    let fewer = Course { to: PACED_SQLITE_TO, ..course };
    let peer = sqlite::fill(&folder.path().join("sqlite"), fewer, course.series)?;
    let name = format!("written to the medium for a reading, {} a second", course.series);
    table.push(
        Figure::new(name, Unit::Bytes, number(&hub, "written")? / course.readings())
            .beside(number(&peer, "written")? / fewer.readings()),
    );
    Ok(())
}

fn year(table: &mut Table) -> Outcome<()> {
    let folder = TempDir::new_in(SCRATCH)?;
    let (ours, theirs) = (folder.path().join("store"), folder.path().join("sqlite"));
    store_worker::run(Job::Write(YEAR), &ours)?;
    sqlite::fill(&theirs, YEAR, SQLITE_COMMIT)?;
    let hub = store_worker::run(Job::Hours { seconds: 365 * DAY }, &ours)?;
    let peer = sqlite::query("hours", &theirs, span(365 * DAY))?;
    same(&hub, &peer, "rows")?;
    table.push(
        Figure::new(
            "a year's chart, 8,760 sums of an hour",
            Unit::Milliseconds,
            milliseconds(&hub)?,
        )
        .beside(milliseconds(&peer)?)
        .below(5.0),
    );
    Ok(())
}

/// From the first reading on, in ms since the Unix epoch.
fn span(seconds: u32) -> (i64, i64) {
    (BEGIN, BEGIN + i64::from(seconds) * 1_000)
}

fn milliseconds(answer: &Value) -> Outcome<f64> {
    Ok(number(answer, "seconds")? * 1e3)
}

fn number(answer: &Value, key: &str) -> Outcome<f64> {
    answer[key].as_f64().ok_or_else(|| format!("an answer without {key}: {answer}").into())
}

/// Fails unless both sides have found as much.
fn same(hub: &Value, peer: &Value, key: &str) -> Outcome<()> {
    if hub[key] == peer[key] {
        Ok(())
    } else {
        Err(format!("{} on this side, {} on the peer's", hub[key], peer[key]).into())
    }
}
