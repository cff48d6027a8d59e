//! What a process costs, and what the disk can do.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Kernel's clock ticks in a second, fixed for user space on Linux.
const TICKS: f64 = 100.0;

pub(crate) struct Usage {
    pub(crate) cpu_ms: f64,
    pub(crate) resident_mb: f64,
    pub(crate) peak_mb: f64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc");
        // The second field is the name in parentheses, which may hold blanks.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
        let megabytes = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).expect("a line of /proc");
            line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).expect("kB") * 1024.0 / 1e6
        };
        Self {
            cpu_ms: (ticks(11) + ticks(12)) * 1e3 / TICKS,
            resident_mb: megabytes("VmRSS:"),
            peak_mb: megabytes("VmHWM:"),
        }
    }
}

/// How many times a second 4 KiB appended to a file can be made durable, one after the other.
pub(crate) fn sync_rate(directory: &Path, time: Duration) -> f64 {
    let path = directory.join("sync-rate");
    let file = File::create(&path).expect("file");
    let (page, began, mut count) = ([7u8; 4096], Instant::now(), 0u64);
    while began.elapsed() < time {
        file.write_all_at(&page, count * 4096).expect("write");
        file.sync_data().expect("sync");
        count += 1;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    std::fs::remove_file(path).ok();
    rate
}
