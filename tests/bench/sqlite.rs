//! `SQLite` with a row and an index entry for each reading, from Python: what a hub of this
//! kind is mostly built on.

use crate::{Outcome, process, store_worker::Course};
use serde_json::Value;
use std::{
    ffi::OsStr,
    io::{BufWriter, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

/// WAL, `synchronous=FULL`; what it takes for each argument is said there.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/sqlite.py");

/// Writes readings in commits of so many.
pub(crate) fn fill(file: &Path, course: Course, commit: u32) -> Outcome<Value> {
    let mut child = python(["fill".as_ref(), file.as_os_str(), commit.to_string().as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut rows = BufWriter::new(child.stdin.take().ok_or("Python has no standard input")?);
    for step in course.from..course.to {
        for (series, at, value) in course.step(step) {
            rows.write_all(&u16::try_from(series)?.to_le_bytes())?;
            rows.write_all(&at.to_le_bytes())?;
            rows.write_all(&[value])?;
        }
    }
    drop(rows.into_inner()?);
    let mut answer = answer(&child.wait_with_output()?)?;
    answer["file"] = process::disk_usage(file)?.into();
    Ok(answer)
}

/// Runs a query of the first series: `day` for its rows, `hours` for sums of them by the hour.
pub(crate) fn query(what: &str, file: &Path, (from, to): (i64, i64)) -> Outcome<Value> {
    let (from, to) = (from.to_string(), to.to_string());
    let arguments = [what.as_ref(), file.as_os_str(), "0".as_ref(), from.as_ref(), to.as_ref()];
    answer(&python(arguments).stderr(Stdio::inherit()).output()?)
}

fn python<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> Command {
    let mut command = Command::new("python3");
    command.arg(PROGRAM).args(arguments);
    command
}

fn answer(output: &Output) -> Outcome<Value> {
    if !output.status.success() {
        return Err(format!("SQLite's side failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
