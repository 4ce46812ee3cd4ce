//! What a process uses, from `/proc` (proc(5)).

use crate::Outcome;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, ChildStdout, Command},
};

/// Ticks of `/proc/PID/stat` in a second: Linux shows 100 on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child process, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        let program = command.get_program().to_owned();
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { child })
    }

    /// Fails where the process has ended.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("the process has ended: {status}").into()),
            None => Ok(()),
        }
    }

    /// Resident memory in bytes (`VmRSS`).
    pub(crate) fn resident(&self) -> Outcome<u64> {
        self.kilobytes("status", "VmRSS:")
    }

    /// Resident memory in bytes, with what is shared counted in parts (`Pss`).
    pub(crate) fn proportional(&self) -> Outcome<u64> {
        self.kilobytes("smaps_rollup", "Pss:")
    }

    /// Processor time in seconds, in user and kernel mode, to 10 ms.
    pub(crate) fn cpu(&self) -> Outcome<f64> {
        cpu_of(&format!("/proc/{}/stat", self.child.id()))
    }

    /// Bytes that were sent to the medium (`write_bytes`).
    pub(crate) fn written(&self) -> Outcome<u64> {
        self.field("io", "write_bytes:")
    }

    /// What the process prints, where it was started with a pipe for it.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    fn kilobytes(&self, file: &str, key: &str) -> Outcome<u64> {
        // proc(5) says kB and means 1024 bytes.
        Ok(self.field(file, key)? * 1024)
    }

    fn field(&self, file: &str, key: &str) -> Outcome<u64> {
        field(&format!("/proc/{}/{file}", self.child.id()), key)
    }
}

/// Resident memory of this process in bytes (`VmRSS`).
pub(crate) fn own_resident() -> Outcome<u64> {
    Ok(field("/proc/self/status", "VmRSS:")? * 1024)
}

/// Bytes that this process has sent to the medium (`write_bytes`).
pub(crate) fn own_written() -> Outcome<u64> {
    field("/proc/self/io", "write_bytes:")
}

fn field(path: &str, key: &str) -> Outcome<u64> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let value = value.and_then(|rest| rest.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("{path} has no {key}"))?.parse()?)
}

/// What a file takes on the disk, or a folder with all that is in it, in bytes.
pub(crate) fn disk_usage(path: &Path) -> Outcome<u64> {
    let data = fs::metadata(path)?;
    // stat(2) counts in blocks of 512 bytes.
    let mut sum = if data.is_dir() { 0 } else { data.blocks() * 512 };
    if data.is_dir() {
        for entry in fs::read_dir(path)? {
            sum += disk_usage(&entry?.path())?;
        }
    }
    Ok(sum)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time in seconds of this process's threads of that name (at most 15 bytes), to 10 ms.
pub(crate) fn cpu_of_threads(name: &str) -> Outcome<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let folder = task?.path();
        if fs::read_to_string(folder.join("comm"))?.trim_end() == name {
            sum += cpu_of(&folder.join("stat").to_string_lossy())?;
        }
    }
    Ok(sum)
}

fn cpu_of(path: &str) -> Outcome<f64> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    // The second field is the command in parentheses, which may hold blanks; of what follows,
    // utime and stime are the 12th and 13th.
    let (_, rest) = text.rsplit_once(')').ok_or_else(|| format!("{path} is not a stat"))?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? as f64 / TICKS_PER_SECOND)
}

/// How many files this process, and what it starts, may have open at once.
pub(crate) fn open_files_limit() -> Outcome<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|rest| rest.split_whitespace().next());
    let soft = soft.ok_or("/proc/self/limits has no \"Max open files\"")?;
    Ok(if soft == "unlimited" { u64::MAX } else { soft.parse()? })
}
