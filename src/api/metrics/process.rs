//! What the kernel knows of this process (`proc(5)`), under the names that every Prometheus client
//! library uses.

use super::text::{Kind, Text};
use std::fs;

/// The kernel shows times in hundredths of a second to programs, whatever its own tick is
/// (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes what can be read. On a system without `/proc` that is nothing.
pub(super) fn write(text: &mut Text) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse)
    {
        text.family(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time, in user and kernel mode.",
        )
        .value(stat.cpu_seconds);
        if let Some(boot) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
            text.family(
                "process_start_time_seconds",
                Kind::Gauge,
                "When the process started, in seconds since the Unix epoch.",
            )
            .value(boot + stat.started_after_boot);
        }
        text.family("process_threads", Kind::Gauge, "Threads of the process.").value(stat.threads);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for (key, name, help) in [
            ("VmRSS", "process_resident_memory_bytes", "Memory that is resident."),
            ("VmSize", "process_virtual_memory_bytes", "Memory that is mapped."),
        ] {
            if let Some(bytes) = memory(&status, key) {
                text.family(name, Kind::Gauge, help).value(bytes);
            }
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The listing itself holds one.
        text.family("process_open_fds", Kind::Gauge, "Open file descriptors.")
            .value(open.count().saturating_sub(1));
    }
    if let Some(most) =
        fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(open_files_max)
    {
        text.family("process_max_fds", Kind::Gauge, "The most file descriptors that may be open.")
            .value(most);
    }
}

/// What is used of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    started_after_boot: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in brackets, which may contain anything.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // The numbers in proc(5), less the two fields before.
        let field = |number: usize| fields.get(number - 3).copied();
        let ticks = |number| field(number)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            threads: field(20)?.parse().ok()?,
            started_after_boot: ticks(22)? / TICKS_PER_SECOND,
        })
    }
}

/// The line `btime` of `/proc/stat`: when the system started, in seconds since the Unix epoch.
fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// A line of `/proc/self/status`, which counts in KiB, in bytes.
fn memory(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The soft limit in `/proc/self/limits`; `None` where there is none.
fn open_files_max(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_name_with_brackets_and_blanks() {
        let text = "4242 (a) (b c) S 1 4242 4242 0 -1 4194560 4000 0 3 0 250 150 0 0 20 0 9 0 12345 1 2 3\n";
        let stat = Stat { cpu_seconds: 4.0, threads: 9, started_after_boot: 123.45 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("4242 (a"), None);
        assert_eq!(Stat::parse("4242 (a) S 1"), None);
    }

    #[test]
    fn lines_are_found_by_their_key() {
        assert_eq!(memory("VmRSSX:\t1 kB\nVmRSS:\t   12 kB\n", "VmRSS"), Some(12_288));
        assert_eq!(boot_time("cpu 1 2\nbtime 1763800000\n"), Some(1_763_800_000.0));
        let limits = "Limit  Soft  Hard  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(open_files_max(limits), Some(1024));
        assert_eq!(open_files_max("Max open files  unlimited  unlimited  files\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_every_figure() {
        let mut text = Text::default();
        write(&mut text);
        let text = text.finish();
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_threads",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
        ] {
            assert!(text.contains(&format!("\n{name} ")), "{name} is missing in\n{text}");
        }
    }
}
