//! The servers that are compared, and what their processes cost.

use mcplane_testkit::python::Venv;
use mcplane_testkit::{Backend, Server, http};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const REQUIREMENTS: &str = include_str!("../../tests/it/mlflow/server-requirements.txt");
/// Kernel's clock ticks in a second, fixed for user space on Linux.
const TICKS: f64 = 100.0;

/// A server that is ready.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) ready_after: Duration,
    pid: u32,
    _running: Running,
}

enum Running {
    Ours(#[expect(dead_code, reason = "runs until it is dropped")] Box<Server>),
    Theirs(Child, #[expect(dead_code, reason = "is there until it is dropped")] TempDir),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Theirs(child, _) = self {
            for pid in tree(child.id()).into_iter().rev() {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
            let _ = child.wait();
        }
    }
}

impl Peer {
    pub(crate) fn mcplane() -> Self {
        let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), Backend::Sqlite);
        let (address, ready_after, pid) = (server.address(), server.ready_after(), server.pid());
        Self { address, ready_after, pid, _running: Running::Ours(Box::new(server)) }
    }

    /// `mlflow server` as it starts by default, with its data in a folder of its own.
    pub(crate) fn mlflow() -> Self {
        let program: PathBuf = Venv::with(REQUIREMENTS).program("mlflow");
        let folder = tempfile::tempdir().expect("temporary directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let began = Instant::now();
        let child = Command::new(&program)
            .args(["server", "--host", "127.0.0.1", "--port", &free.port().to_string()])
            .current_dir(folder.path())
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env("DO_NOT_TRACK", "true")
            .env(
                "PATH",
                format!("{}:{}", program.parent().expect("bin").display(), std::env::var("PATH").unwrap_or_default()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mlflow starts");
        let pid = child.id();
        let running = Running::Theirs(child, folder);
        mcplane_testkit::eventually("mlflow is ready", 180, || {
            http::get(free, "/health").filter(|answer| answer.status == 200)
        });
        Self { address: free, ready_after: began.elapsed(), pid, _running: running }
    }

    /// Of all its processes.
    pub(crate) fn resident_mb(&self) -> f64 {
        tree(self.pid).into_iter().map(resident_mb).sum()
    }

    /// Spent by all its processes so far.
    pub(crate) fn cpu_ms(&self) -> f64 {
        tree(self.pid).into_iter().map(cpu_ms).sum()
    }
}

fn stat(pid: u32) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the name in parentheses, which may hold blanks.
    stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn cpu_ms(pid: u32) -> f64 {
    let fields = stat(pid);
    // Its own time and that of its children that have ended.
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    (11..15).map(ticks).sum::<f64>() * 1e3 / TICKS
}

fn resident_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default() * 1024.0 / 1e6
}

/// A process and all that it has started.
fn tree(root: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, stat(pid).get(1)?.parse().ok()?))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, other)| *other == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}
