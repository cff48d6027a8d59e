use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use mcplane_agent::logs::LogOptions;
use mcplane_agent::protocol::{Assignment, Exit, Limits, LogLimits, Report};
use mcplane_agent::{Executor, ProcessExecutor};
use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_mcplane-shim-test");

/// Nothing in these tests takes longer, on a machine that does other work too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server with its folder.
pub(crate) struct Rig {
    pub(crate) executor: ProcessExecutor,
    pub(crate) reports: mpsc::Receiver<Report>,
    root: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rig = Self::at(folder.path());
        Self { _folder: Some(folder), ..rig }
    }

    pub(crate) fn at(root: &Path) -> Self {
        let (sender, reports) = mpsc::channel(64);
        let executor = ProcessExecutor::new(root, SHIM, sender).unwrap();
        Self { executor, reports, root: root.to_owned(), _folder: None }
    }

    /// The server is gone at once, and another one comes.
    pub(crate) fn restart(self) -> Self {
        let Self { executor, reports, root, _folder } = self;
        drop((executor, reports));
        Self { _folder, ..Self::at(&root) }
    }

    pub(crate) fn folder(&self, attempt: Uuid) -> PathBuf {
        self.root.join(attempt.to_string())
    }

    pub(crate) async fn report(&mut self) -> Report {
        tokio::time::timeout(PATIENCE, self.reports.recv()).await.expect("no report came").unwrap()
    }

    pub(crate) async fn started(&mut self) -> u32 {
        match self.report().await {
            Report::Started { pid, .. } => pid,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn exited(&mut self) -> Exit {
        match self.report().await {
            Report::Exited { exit, .. } => exit,
            other => panic!("{other:?}"),
        }
    }

    /// Runs to the end.
    pub(crate) async fn run(&mut self, assignment: Assignment) -> Exit {
        self.executor.start(assignment).await.unwrap();
        self.started().await;
        self.exited().await
    }

    pub(crate) async fn log(&self, attempt: Uuid, options: LogOptions) -> Vec<u8> {
        let stream = self.executor.logs(attempt, options).unwrap();
        let all = stream.try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        });
        tokio::time::timeout(PATIENCE, all).await.expect("the log has no end").unwrap()
    }

    pub(crate) async fn text(&self, attempt: Uuid) -> String {
        String::from_utf8(self.log(attempt, LogOptions::default()).await).unwrap()
    }
}

pub(crate) fn command(command: &[&str]) -> Assignment {
    Assignment {
        attempt: Uuid::new_v4(),
        task: rand_task(),
        fence: 1,
        name: "test".into(),
        namespace: "default".into(),
        command: command.iter().map(|&argument| argument.to_owned()).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        files: Vec::new(),
        fresh: None,
        working_dir: None,
        code: None,
        limits: Limits::default(),
        deadline: None,
        grace: Duration::from_secs(20),
        log: LogLimits::default(),
    }
}

pub(crate) fn shell(script: &str) -> Assignment {
    command(&["sh", "-c", script])
}

fn rand_task() -> i64 {
    i64::try_from(Uuid::new_v4().as_u128() >> 66).unwrap()
}

/// Whether a process is there and not dead.
pub(crate) fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a script writes into a file in its work folder.
pub(crate) async fn number_in(path: PathBuf) -> u32 {
    eventually("a script did not write its number", || number(&path).is_some()).await;
    number(&path).unwrap()
}

fn number(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.strip_suffix('\n')?.parse().ok()
}

pub(crate) fn shim_of(folder: &Path) -> i32 {
    let text = std::fs::read_to_string(folder.join("lock")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    i32::try_from(value["pid"].as_i64().unwrap()).unwrap()
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
