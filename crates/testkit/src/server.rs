//! The real `mcplane server` as a child process, on a data directory of its own.

use crate::process::{Watchdog, signal};
use crate::{Database, eventually, http};
use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where the server keeps its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The embedded default: a file in the data directory.
    Sqlite,
    /// A fresh database of the test's PostgreSQL.
    Postgres,
}

/// Makes a test for each backend of functions that take a [`Backend`]: `sqlite::name` and `postgres::name`.
#[macro_export]
macro_rules! on_each_backend {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name($crate::Backend::Sqlite) })+
        }
        mod postgres {
            $(#[test] fn $name() { super::$name($crate::Backend::Postgres) })+
        }
    };
}

/// A server process that can be killed and started again on the same data.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    directory: TempDir,
    database: Option<Arc<Database>>,
    wrapper: Vec<OsString>,
    args: Vec<OsString>,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// Differs from the child's when the server runs under another program.
    pid: u32,
    address: SocketAddr,
    ready_after: Duration,
    _watchdog: Watchdog,
}

impl Server {
    /// Starts `binary` (pass `env!("CARGO_BIN_EXE_mcplane")`) with defaults and waits until it is ready.
    pub fn start(binary: &str, backend: Backend) -> Self {
        Self::start_with(binary, backend, &[])
    }

    /// [`Self::start`] with more arguments to `mcplane server`.
    pub fn start_with(binary: &str, backend: Backend, args: &[&str]) -> Self {
        let mut server = Self::stopped(binary, backend, args);
        server.restart();
        server
    }

    /// A server that [`Self::restart`] starts for the first time.
    pub fn stopped(binary: &str, backend: Backend, args: &[&str]) -> Self {
        let database = (backend == Backend::Postgres).then(|| Arc::new(Database::create()));
        Self::stopped_on(binary, database, args)
    }

    /// [`Self::stopped`] on a database that others may use, too; on the embedded one if there is none.
    pub fn stopped_on(binary: &str, database: Option<Arc<Database>>, args: &[&str]) -> Self {
        Self {
            binary: binary.into(),
            directory: tempfile::Builder::new().prefix("mcplane-test-").tempdir().expect("temporary directory"),
            database,
            wrapper: Vec::new(),
            args: args.iter().map(OsString::from).collect(),
            process: None,
        }
    }

    /// Runs the server under another program (a tracer) from the next start on.
    pub fn under<S: Into<OsString>>(&mut self, wrapper: impl IntoIterator<Item = S>) {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
    }

    /// Starts the server on the data that it left, and waits until it is ready.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server is running");
        std::fs::create_dir_all(self.data_dir()).expect("data directory");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("log file");
        let mut words = self.wrapper.clone();
        words.push(self.binary.clone().into_os_string());
        words.extend(["server", "--listen", "127.0.0.1:0", "--data-dir"].map(OsString::from));
        words.push(self.data_dir().into_os_string());
        if let Some(database) = &self.database {
            words.extend(["--store".into(), database.url().into()]);
        }
        words.extend(self.args.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(log.try_clone().expect("log file")).stderr(log);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MCPLANE_")) {
            command.env_remove(name);
        }
        let left = self.advertised();
        let began = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {words:?}: {error}"));
        let watchdog = Watchdog::over(child.id());
        let (address, pid) = eventually("the server is ready", 60, || {
            if let Some(status) = child.try_wait().expect("state of the server") {
                panic!("the server ended at once: {status}\n{}", self.log());
            }
            let found = self.advertised().filter(|found| Some(found) != left.as_ref())?;
            http::get(found.0, "/readyz").filter(|answer| answer.status == 200).map(|_| found)
        });
        let ready_after = began.elapsed();
        let watchdog = if pid == child.id() { watchdog } else { Watchdog::over(pid) };
        self.process = Some(Process { child, pid, address, ready_after, _watchdog: watchdog });
    }

    /// Address and pid as the server tells them to whoever may read its data directory.
    fn advertised(&self) -> Option<(SocketAddr, u32)> {
        let text = std::fs::read(self.data_dir().join("server.json")).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let pid = u32::try_from(value["pid"].as_u64()?).ok()?;
        let address = value["address"].as_str()?;
        let address = address.rsplit_once("//").map_or(address, |(_, rest)| rest);
        Some((address.trim_end_matches('/').parse().ok()?, pid))
    }

    #[track_caller]
    fn process(&self) -> &Process {
        self.process.as_ref().expect("the server is not running")
    }

    /// Loopback address with the port that the system chose.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.process().address
    }

    /// `http://127.0.0.1:port`
    #[track_caller]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where models answer, also when the system chose the port.
    #[track_caller]
    pub fn data_plane(&self) -> SocketAddr {
        self.process();
        let text = std::fs::read(self.data_dir().join("server.json")).expect("what the server tells of itself");
        let told: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let url = told["serving"].as_str().expect("a URL of the data plane");
        let address = url.rsplit_once("//").map_or(url, |(_, rest)| rest);
        address.parse().expect("an address")
    }

    /// Process id of the server itself.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.process().pid
    }

    /// From the start of the process to the first ready answer.
    #[track_caller]
    pub fn ready_after(&self) -> Duration {
        self.process().ready_after
    }

    /// `--data-dir` of the server.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A place beside the data directory for files of the test.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// The server's database when it is not the embedded one.
    pub fn database(&self) -> Option<&Arc<Database>> {
        self.database.as_ref()
    }

    /// `mcplane` for subcommands, with a home directory of its own.
    pub fn cli(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.scratch()).env("NO_COLOR", "1").current_dir(self.scratch());
        command
    }

    /// Everything that the server has logged so far, over all starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// `kill -9`: the process has no chance to write anything more.
    pub fn kill_9(&mut self) {
        self.end("KILL");
    }

    /// Asks the server to stop and waits until it has; panics when it does not end with success.
    pub fn terminate(&mut self) {
        let status = self.end("TERM");
        assert!(status.success(), "the server did not stop gracefully: {status}\n{}", self.log());
    }

    #[track_caller]
    fn end(&mut self, name: &str) -> std::process::ExitStatus {
        let mut process = self.process.take().expect("the server is not running");
        signal(process.pid, name);
        eventually("the server ends", 30, || process.child.try_wait().expect("state of the server"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            if process.pid != process.child.id() {
                signal(process.pid, "KILL");
            }
            process.child.kill().ok();
            process.child.wait().ok();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the server's last lines:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
