//! What the figures were taken on.

use crate::Outcome;
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// Where stores lie: a disk, unlike the system's temporary folder, which may be memory.
pub(crate) const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// One line: cores, processor, kernel, what the medium takes for a flush, load and date.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let model = information.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let flush = flush_time(Path::new(SCRATCH)).map_or_else(
        |failure| failure.to_string(),
        |time| format!("{:.2} ms", time.as_secs_f64() * 1_000.0),
    );
    let date = time::OffsetDateTime::now_utc().date();
    format!(
        "{cores} cores, {model}, Linux {}, fdatasync {flush}, load {load} at the start, {date}",
        kernel.trim()
    )
}

/// The median time that appending 4 KiB to a file and flushing it takes.
fn flush_time(folder: &Path) -> Outcome<Duration> {
    let path = folder.join("flush-time");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..51 {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
