//! A private PostgreSQL for tests: one cluster shared by all test processes of a run, one fresh database per test.
//!
//! Runners like nextest give every test its own process, so the cluster belongs to none of them: each holds a shared
//! lock on a file for as long as it lives (the kernel releases it whatever happens to the process), and a detached
//! shell stops the server once nobody has held that lock for some seconds.
//!
//! The shared cluster does not sync: making a database and its tables costs dozens of syncs, hundreds of tests make one
//! each, and no test of the shared cluster takes the machine's power away. What crashes PostgreSQL or measures it has
//! [`Database::create_alone`], which syncs as in production.

use crate::ports::Ports;
use crate::process::{self, Output, find, random_hex, run};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

const USER: &str = "mcplane";

/// A database of one's own, dropped with the value.
#[derive(Debug)]
pub struct Database {
    cluster: Arc<Cluster>,
    name: String,
    url: String,
}

impl Database {
    /// A fresh, empty database; starts the cluster if nobody has.
    pub fn create() -> Self {
        Self::create_in(Cluster::get())
    }

    /// A database in a cluster of its own, as durable as in production: it can be crashed without harm to others, and
    /// measured.
    pub fn create_alone() -> Self {
        Self::create_in(Arc::new(Cluster::alone()))
    }

    fn create_in(cluster: Arc<Cluster>) -> Self {
        let name = format!("test_{}", random_hex(8));
        cluster.client("createdb", &["--template=template0", "--encoding=UTF8", "--locale=C", &name]).ok();
        let url = format!("postgres://{USER}:{}@127.0.0.1:{}/{name}", cluster.password, cluster.port);
        Self { cluster, name, url }
    }

    /// `postgres://user:password@127.0.0.1:port/name`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Crashes the cluster, and starts it again after `down`: only for one of [`Self::create_alone`].
    pub fn crash_cluster(&self, down: Duration) {
        let Cluster { bin, port, home: Some(home), .. } = &*self.cluster else {
            panic!("others use this cluster, too");
        };
        let data = home.path().join("data");
        stop(bin, &data);
        std::thread::sleep(down);
        start_server(bin, &data, *port, Sync::On);
    }

    /// What SQL answers, rows as lines, columns separated by `|`.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        let output = self.cluster.client("psql", &["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &self.name, "-c", sql]);
        output.ok().trim_end().to_owned()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A database that stays behind harms nobody: the next cluster starts empty.
        let output = self.cluster.client("dropdb", &["--force", "--if-exists", &self.name]);
        if output.code != 0 && !std::thread::panicking() {
            eprintln!("{output}");
        }
    }
}

/// Whether what PostgreSQL acknowledges has reached the disk.
#[derive(Debug, Clone, Copy)]
enum Sync {
    On,
    Off,
}

#[derive(Debug)]
struct Cluster {
    bin: PathBuf,
    port: u16,
    password: String,
    /// Shared lock: as long as any process has one, the cluster stays.
    _user: File,
    /// The port, also while the server is down.
    _ports: Option<Ports>,
    /// The directory of a cluster that ends with this value.
    home: Option<TempDir>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            stop(&self.bin, &home.path().join("data"));
        }
    }
}

impl Cluster {
    fn get() -> Arc<Self> {
        static CLUSTER: OnceLock<Arc<Cluster>> = OnceLock::new();
        Arc::clone(CLUSTER.get_or_init(|| Arc::new(Self::attach(&home(&bin_dir()), Sync::Off))))
    }

    fn alone() -> Self {
        let home = tempfile::Builder::new().prefix("mcplane-test-postgres-").tempdir().expect("temporary directory");
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711))
            .expect("directory for PostgreSQL");
        let mut cluster = Self::attach(home.path(), Sync::On);
        cluster.home = Some(home);
        cluster
    }

    fn attach(dir: &Path, sync: Sync) -> Self {
        let bin = bin_dir();
        let starting = lock_file(dir, "start.lock");
        starting.lock().expect("lock for the start of PostgreSQL");
        let user = lock_file(dir, "users.lock");
        user.lock_shared().expect("lock for the use of PostgreSQL");
        let connection = dir.join("connection");
        let mut ports = None;
        let (port, password) = match running(&connection) {
            Some(found) => found,
            None => {
                let port = ports.insert(Ports::take(1)).numbers[0];
                let password = start(&bin, dir, port, sync);
                write_private(&connection, &format!("{port} {password}"));
                (port, password)
            }
        };
        Self { bin, port, password, _user: user, _ports: ports, home: None }
    }

    fn client(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.bin.join(program));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string());
        command.env("PGUSER", USER).env("PGPASSWORD", &self.password).env("PGDATABASE", "postgres");
        run(command.args(args), None)
    }
}

/// The server's programs: Debian keeps them out of `PATH`, one directory per major version.
fn bin_dir() -> PathBuf {
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    debian
        .sort_by_key(|dir| std::cmp::Reverse(dir.parent().and_then(Path::file_name).map(|v| (v.len(), v.to_owned()))));
    let initdb = find("initdb", &debian).unwrap_or_else(|| {
        panic!("PostgreSQL's server programs (initdb, postgres) are missing: run `cargo xtask setup`")
    });
    let real = initdb.canonicalize().expect("initdb resolves");
    real.parent().expect("initdb is in a directory").to_owned()
}

/// The cluster's directory. It lies under the system's temporary directory because PostgreSQL refuses to run as root,
/// and the user that runs it then cannot reach a target directory inside root's home.
fn home(bin: &Path) -> PathBuf {
    let me = std::fs::metadata("/proc/self").expect("/proc").uid();
    let version = run(Command::new(bin.join("postgres")).arg("--version"), None).ok();
    let version = version.split_whitespace().nth(2).unwrap_or("unknown");
    let dir = std::env::temp_dir().join(format!("mcplane-test-postgres-{me}-{version}"));
    std::fs::DirBuilder::new().mode(0o711).create(&dir).ok();
    let owner = std::fs::symlink_metadata(&dir).expect("directory for PostgreSQL");
    assert!(owner.is_dir() && owner.uid() == me, "{} belongs to somebody else", dir.display());
    dir
}

fn lock_file(dir: &Path, name: &str) -> File {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).open(dir.join(name)).expect("lock file")
}

fn write_private(path: &Path, text: &str) {
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("file only for this user");
}

fn running(connection: &Path) -> Option<(u16, String)> {
    let text = std::fs::read_to_string(connection).ok()?;
    let (port, password) = text.split_once(' ')?;
    let port = port.parse().ok()?;
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1)).ok()?;
    Some((port, password.to_owned()))
}

fn start(bin: &Path, dir: &Path, port: u16, sync: Sync) -> String {
    let data = dir.join("data");
    // Nobody holds the cluster, so whatever is left is of a machine that went down.
    std::fs::remove_dir_all(&data).ok();
    let password = random_hex(16);
    let password_file = dir.join("password");
    write_private(&password_file, &password);
    std::fs::create_dir(&data).expect("data directory");
    let owner = Owner::choose();
    owner.give(&[&data, &password_file]);
    let mut initdb = owner.command(&bin.join("initdb"));
    initdb.arg("-D").arg(&data).args(["-U", USER, "--auth=scram-sha-256", "--no-sync", "--locale=C", "-E", "UTF8"]);
    run(initdb.arg(format!("--pwfile={}", password_file.display())), None).ok();
    std::fs::remove_file(&password_file).ok();

    start_server(bin, &data, port, sync);
    stop_when_unused(&owner, bin, dir, &data);
    password
}

fn start_server(bin: &Path, data: &Path, port: u16, sync: Sync) {
    let owner = Owner::choose();
    let sync = match sync {
        Sync::On => "on",
        Sync::Off => "off",
    };
    let options = format!(
        "-p {port} -h 127.0.0.1 -k '' -c max_connections=300 -c shared_buffers=64MB -c jit=off -c fsync={sync}"
    );
    let mut pg_ctl = owner.command(&bin.join("pg_ctl"));
    pg_ctl.arg("-D").arg(data).args(["-w", "-t", "60", "-s", "-o", &options, "-l"]).arg(data.join("server.log"));
    // `pg_ctl` leaves the server with its own output, so it must not be a pipe that somebody reads to the end.
    let status = pg_ctl.arg("start").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let log = || std::fs::read_to_string(data.join("server.log")).unwrap_or_default();
    assert!(status.is_ok_and(|status| status.success()), "PostgreSQL does not start:\n{}", log());
}

/// Stops a cluster as a crash does.
fn stop(bin: &Path, data: &Path) {
    let mut pg_ctl = Owner::choose().command(&bin.join("pg_ctl"));
    run(pg_ctl.arg("-D").arg(data).args(["-m", "immediate", "-s", "-w", "stop"]), None);
}

/// Waits until nobody holds the users' lock, twice with a pause (a runner starts test after test), then stops the
/// server while holding the lock alone, so that a newcomer waits and then starts a new one.
fn stop_when_unused(owner: &Owner, bin: &Path, dir: &Path, data: &Path) {
    const SCRIPT: &str = r#"
        while :; do
            flock --exclusive "$1/users.lock" true
            sleep 3
            flock --exclusive --nonblock --conflict-exit-code 75 "$1/users.lock" sh -c '"$@"; exit 0' sh "${@:2}"
            [ $? -eq 75 ] || exit 0
        done"#;
    let stop = owner.command(&bin.join("pg_ctl"));
    let mut shell = Command::new("setsid");
    shell
        .args(["--fork", "bash", "-c", SCRIPT, "postgres-watchdog"])
        .arg(dir)
        .arg(stop.get_program())
        .args(stop.get_args());
    shell.arg("-D").arg(data).args(["-m", "immediate", "-s", "-w", "stop"]).current_dir("/");
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(shell.status().is_ok_and(|status| status.success()), "setsid and bash are missing");
}

/// Who runs PostgreSQL: ourselves, or for root (which PostgreSQL refuses) an unprivileged user of the system.
struct Owner(Option<&'static str>);

impl Owner {
    fn choose() -> Self {
        if std::fs::metadata("/proc/self").expect("/proc").uid() != 0 {
            return Self(None);
        }
        let known = |user: &str| run(Command::new("id").arg(user), None).code == 0;
        Self(Some(if known("postgres") { "postgres" } else { "nobody" }))
    }

    fn give(&self, paths: &[&Path]) {
        if let Some(user) = self.0 {
            run(Command::new("chown").arg(user).args(paths), None).ok();
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = match self.0 {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new(process::find("setpriv", &[]).expect("setpriv of util-linux"));
                let group = run(Command::new("id").args(["-gn", user]), None).ok();
                command.args([&format!("--reuid={user}"), &format!("--regid={}", group.trim()), "--clear-groups"]);
                command.arg(program);
                command
            }
        };
        command.current_dir("/").env("LC_ALL", "C");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_database_is_fresh() {
        let (one, two) = (Database::create(), Database::create());
        one.query("CREATE TABLE t (x int)");
        one.query("INSERT INTO t VALUES (7)");
        assert_eq!(one.query("SELECT x, 'a' FROM t"), "7|a");
        assert_eq!(two.query("SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "0");
        assert_eq!(one.query("SHOW synchronous_commit"), "on");
        assert_eq!(Database::create_alone().query("SHOW fsync"), "on");

        let (cluster, name) = (Arc::clone(&one.cluster), one.name.clone());
        drop(one);
        let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(cluster.client("psql", &["-XAtqc", &left]).ok().trim(), "0");
    }
}
