//! What the kernel tells of processes.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process that can't be confused with a later one of the same id, as long as the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Ticks from boot to start.
    pub(crate) start: u64,
}

impl Identity {
    /// This process.
    pub(crate) fn own() -> io::Result<Self> {
        let pid = getpid().as_raw_pid();
        let stat = stat(pid).ok_or_else(|| io::Error::other("/proc does not show this process"))?;
        Ok(Self { pid, start: stat.start })
    }

    /// A handle, if the process is there still.
    pub(crate) fn open(self) -> Option<std::os::fd::OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Read after the handle was made: it belongs to the process that has this start.
        (stat(self.pid)?.start == self.start).then_some(handle)
    }
}

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) session: i32,
    pub(crate) start: u64,
}

pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of the program is the second field; it may hold anything, a closing parenthesis too.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start = fields.nth(15)?.parse().ok()?;
    Some(Stat { state, session, start })
}

/// Changes with each boot; without it, ids of processes say nothing.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The living children of this process's only thread.
pub(crate) fn children() -> Vec<Pid> {
    let own = getpid().as_raw_pid();
    let text = fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Sends SIGKILL to every process that is in the session, or carries the mark in its environment; how many there were.
pub(crate) fn kill_marked(session: Option<i32>, mark: &[u8]) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let own = getpid().as_raw_pid();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own && kill_if_marked(*pid, session, mark)).count()
}

fn kill_if_marked(pid: i32, session: Option<i32>, mark: &[u8]) -> bool {
    // The handle comes first, so that what is looked at is what is ended.
    let Some(handle) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return false;
    };
    let Some(stat) = stat(pid).filter(|stat| !matches!(stat.state, b'Z' | b'X')) else { return false };
    let marked = session == Some(stat.session) || carries(pid, mark);
    marked && pidfd_send_signal(handle, Signal::KILL).is_ok()
}

fn carries(pid: i32, mark: &[u8]) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|entry| entry == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_nasty_name_is_read() {
        let line = "4242 (a) b (c)) S 1 4242 4000 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 123 45 678";
        assert_eq!(parse_stat(line), Some(Stat { state: b'S', session: 4000, start: 987_654 }));
        for bad in ["", ")", "1 (a) S", "1 (a) S x x x x"] {
            assert_eq!(parse_stat(bad), None, "{bad}");
        }
    }

    #[test]
    fn this_process_is_found_and_another_start_is_not() {
        let own = Identity::own().unwrap();
        assert!(own.open().is_some());
        assert!(Identity { start: own.start + 1, ..own }.open().is_none());
    }
}
