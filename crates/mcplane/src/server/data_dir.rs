//! The data directory: private to the user, owned by one server at a time, its files replaced whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

const LOCK: &str = "lock";
const ENDPOINT: &str = "server.json";
/// Mode of files that hold secrets.
pub(crate) const PRIVATE: u32 = 0o600;
/// Mode of files that anybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another server has it.
    #[error("another mcplane{} is using {}: stop it, or give this one a --data-dir of its own", owner(*.pid), .path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
        /// The other server's process, if it is known.
        pid: Option<u32>,
    },
    /// The operating system said no.
    #[error("can't use {} as data directory", .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// A data directory that this process owns until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // The lock lives as long as the open file; the kernel frees it however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be, and takes it.
    ///
    /// # Errors
    /// [`DataDirError::Taken`] if another process owns it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Io { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(PRIVATE).to_owned();
        let mut lock = options.open(path.join(LOCK)).map_err(failed)?;
        let began = Instant::now();
        while let Err(error) = lock.try_lock() {
            let pid = match error {
                TryLockError::WouldBlock => holder(&mut lock),
                TryLockError::Error(source) => return Err(failed(source)),
            };
            // What a dead server was about to start has its lock for a moment, until it becomes another program.
            if began.elapsed() > INHERITED || pid.is_none_or(lives) {
                return Err(DataDirError::Taken { path, pid });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells clients on this machine where the server listens.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn announce(&self, endpoint: &Endpoint) -> io::Result<()> {
        let text = serde_json::to_vec(endpoint).map_err(io::Error::other)?;
        write_atomically(&self.path.join(ENDPOINT), &text, PUBLIC)
    }

    /// Takes back what [`DataDir::announce`] said.
    pub fn withdraw(&self) {
        let _ = std::fs::remove_file(self.path.join(ENDPOINT));
    }
}

/// How long a lock is waited for whose owner is dead.
const INHERITED: Duration = Duration::from_secs(5);

/// Who took the lock last.
fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.rewind().and_then(|()| lock.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

/// Whether there is a process of that id, as far as can be told.
fn lives(pid: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(pid.to_string()).exists()
}

/// Where a running server listens, as it is found in its data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The address in use, also when port 0 was asked for.
    pub address: SocketAddr,
    /// A URL that works on this machine.
    pub url: String,
    /// A URL of the data plane that works on this machine.
    #[serde(default)]
    pub serving: String,
    /// The server's process.
    pub pid: u32,
}

impl Endpoint {
    /// Reads what the server of `data_dir` announced; `None` if none does.
    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(data_dir.join(ENDPOINT)).ok()?).ok()
    }
}

/// Replaces a file such that a reader, or a crash at any moment, sees the old content or the new, never a part.
///
/// # Errors
/// What the operating system says.
pub(crate) fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let _ = std::fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn one_owner_at_a_time() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("deep/data");
        let first = DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        let refusal = DataDir::open(&path).unwrap_err();
        assert!(
            matches!(refusal, DataDirError::Taken { pid: Some(pid), .. } if pid == std::process::id()),
            "{refusal}"
        );
        assert!(refusal.to_string().contains("--data-dir of its own"), "{refusal}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_lock_that_outlives_its_owner_for_a_moment_is_waited_for() {
        let base = tempfile::tempdir().unwrap();
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let held = File::create(base.path().join(LOCK)).unwrap();
        held.try_lock().unwrap();
        std::fs::write(base.path().join(LOCK), format!("{}\n", dead.id())).unwrap();
        let waiting = std::thread::spawn({
            let path = base.path().to_owned();
            move || DataDir::open(&path).map(drop)
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished(), "nobody may have it yet");
        drop(held);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn the_endpoint_is_announced_and_withdrawn() {
        let base = tempfile::tempdir().unwrap();
        let dir = DataDir::open(base.path()).unwrap();
        let endpoint = Endpoint {
            address: ([127, 0, 0, 1], 5080).into(),
            url: "http://127.0.0.1:5080".into(),
            serving: "http://127.0.0.1:5081".into(),
            pid: 7,
        };
        dir.announce(&endpoint).unwrap();
        assert_eq!(Endpoint::read(base.path()), Some(endpoint));
        dir.withdraw();
        assert_eq!(Endpoint::read(base.path()), None);
    }

    #[test]
    fn files_are_replaced_with_their_mode_and_without_leftovers() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("key");
        write_atomically(&path, b"one", PUBLIC).unwrap();
        write_atomically(&path, b"two", PRIVATE).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(mode(&path), PRIVATE);
        assert_eq!(base.path().read_dir().unwrap().count(), 1);
        assert!(write_atomically(&base.path().join("missing/key"), b"", PRIVATE).is_err());
    }
}
