//! What the operating system knows about this process. Linux only; elsewhere there is nothing to tell.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Resources in use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
    pub(super) start_seconds: f64,
}

pub(super) fn usage() -> Option<Usage> {
    let (cpu_seconds, resident_bytes) = parse_stat(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
    let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64;
    Some(Usage { cpu_seconds, resident_bytes, open_files, start_seconds: start() })
}

/// When this was first asked, which is as the server starts.
pub(super) fn start() -> f64 {
    static START: OnceLock<f64> = OnceLock::new();
    *START.get_or_init(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
    })
}

/// Lets the process open as many files as its hard limit allows. The soft limit, often 1024, is meant for programs that
/// use `select`; each connection is a file.
pub(super) fn raise_file_limit() {
    let limits = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).is_err() {
        tracing::debug!("the limit of open files can't be raised");
    }
}

/// CPU seconds and resident bytes from `/proc/PID/stat`, whose second field, the name, may hold spaces and brackets.
fn parse_stat(stat: &str) -> Option<(f64, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)?.checked_add(number(12)?)?;
    let resident = number(21)?.checked_mul(rustix::param::page_size() as u64)?;
    Some((ticks as f64 / rustix::param::clock_ticks_per_second() as f64, resident))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_strange_name() {
        let stat = "7 (a) (b c)) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 100 1000 25 18446744073709551615 1";
        let (cpu, resident) = parse_stat(stat).unwrap();
        assert!((cpu - 200.0 / rustix::param::clock_ticks_per_second() as f64).abs() < 1e-9);
        assert_eq!(resident, 25 * rustix::param::page_size() as u64);
        assert_eq!(parse_stat("7 (a) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_file_limit_is_raised_as_far_as_allowed() {
        raise_file_limit();
        let limits = getrlimit(Resource::Nofile);
        assert_eq!(limits.current, limits.maximum);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage().unwrap();
        assert!(usage.resident_bytes > 1 << 20 && usage.open_files > 0 && usage.start_seconds > 1e9);
    }
}
