//! The folder of an attempt: everything that is known about it, for whoever comes next.
//!
//! | name | written by | when |
//! | --- | --- | --- |
//! | `record.json` | executor | before anything else: who the attempt is; no secrets |
//! | `lock` | shim | held for its life; inside, which process it is |
//! | `start.json` | shim | the program runs |
//! | `stop.json` | executor | a stop with a grace of its own |
//! | `exit.json` | shim | the end, once, durably |
//! | `lost.json` | executor | the shim is gone without an exit record, and so is all that it held |
//! | `log/` | shim | segments of output |
//! | `work/` | shim | the attempt's own files |
//! | `shim.err` | shim | what was wrong with the shim itself |

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcplane_core::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::procfs::Identity;
use crate::protocol::Exit;

/// Space kept for a record that must be written on a full disk too; a record is cut to fit.
const RESERVED: usize = 4096;

/// Who an attempt is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) attempt: Uuid,
    pub(crate) task: i64,
    pub(crate) fence: i64,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) created_at: Timestamp,
    pub(crate) boot: String,
}

/// That an attempt's program runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) at: Timestamp,
    pub(crate) unenforced: Vec<String>,
}

/// That an attempt was lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) why: String,
    pub(crate) at: Timestamp,
}

/// With which grace to stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) grace: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn of(root: &Path, attempt: Uuid) -> Self {
        Self(root.join(attempt.to_string()))
    }

    /// Makes the folder of a new attempt, whole or not at all; `None` if there is one.
    pub(crate) fn create(root: &Path, record: &Record) -> io::Result<Option<Self>> {
        let folder = Self::of(root, record.attempt);
        if folder.0.exists() {
            return Ok(None);
        }
        let draft = root.join(format!("{DRAFT}{}", record.attempt));
        make_folder(&draft)?;
        let made = write_new(&draft.join("record.json"), record).and_then(|()| fs::rename(&draft, &folder.0));
        match made {
            Ok(()) => Ok(Some(folder)),
            Err(error) => {
                let _ = fs::remove_dir_all(&draft);
                if folder.0.exists() { Ok(None) } else { Err(error) }
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// What the shim itself says, when something is wrong with it.
    pub(crate) fn words(&self) -> PathBuf {
        self.0.join("shim.err")
    }

    /// The end of what the shim said.
    pub(crate) fn last_words(&self) -> String {
        const MOST: usize = 500;
        let text = fs::read(self.words()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(MOST)..]).trim().to_owned()
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// What the environment of every process of the attempt holds.
    pub(crate) fn mark(&self) -> OsString {
        let mut mark = OsString::from(format!("{WORK_DIR}="));
        mark.push(self.work());
        mark
    }

    pub(crate) fn record(&self) -> io::Result<Option<Record>> {
        read(&self.0.join("record.json"))
    }

    pub(crate) fn started(&self) -> io::Result<Option<Started>> {
        read(&self.0.join("start.json"))
    }

    pub(crate) fn stop(&self) -> io::Result<Option<Stop>> {
        read(&self.0.join("stop.json"))
    }

    pub(crate) fn exit(&self) -> io::Result<Option<Exit>> {
        read(&self.0.join("exit.json"))
    }

    pub(crate) fn lost(&self) -> io::Result<Option<Lost>> {
        read(&self.0.join("lost.json"))
    }

    /// Whether nothing more will happen in it.
    pub(crate) fn ended(&self) -> bool {
        self.0.join("exit.json").exists() || self.0.join("lost.json").exists()
    }

    /// Whether its shim was told all of what to do, so that anything may have been done.
    pub(crate) fn began(&self) -> bool {
        self.work().exists() || self.ended()
    }

    /// Removes an attempt that never began, so that it can begin anew: at once for those who look for it by its name. Who
    /// has its lock lets no late shim go on.
    pub(crate) fn undo(&self) -> io::Result<()> {
        let mut name = OsString::from(DRAFT);
        name.push("undone-");
        name.push(self.0.file_name().unwrap_or_default());
        let undone = self.0.with_file_name(name);
        absent_is_fine(fs::remove_dir_all(&undone))?;
        fs::rename(&self.0, &undone)?;
        fs::remove_dir_all(undone)
    }

    pub(crate) fn write_stop(&self, stop: &Stop) -> io::Result<()> {
        self.replace("stop.json", stop)
    }

    pub(crate) fn write_lost(&self, lost: &Lost) -> io::Result<()> {
        self.replace("lost.json", lost)
    }

    fn replace(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let draft = self.0.join(format!("{DRAFT}{name}"));
        let _ = fs::remove_file(&draft);
        write_new(&draft, value)?;
        fs::rename(&draft, self.0.join(name))
    }

    /// Takes the lock and writes into it who did; waits for whoever has it.
    pub(crate) fn lock(&self, who: Identity) -> io::Result<Lock> {
        let file = self.open_lock()?;
        flock(&file, FlockOperation::LockExclusive)?;
        file.set_len(0)?;
        file.write_all_at(serde_json::to_string(&who)?.as_bytes(), 0)?;
        Ok(Lock { _file: file })
    }

    /// The lock, if nobody has it.
    pub(crate) fn try_lock(&self) -> io::Result<Option<Lock>> {
        let file = self.open_lock()?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Who has or had the lock.
    pub(crate) fn holder(&self) -> io::Result<Option<Identity>> {
        let text = match fs::read(self.0.join("lock")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(serde_json::from_slice(&text).ok())
    }

    fn open_lock(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(self.0.join("lock"))
    }

    /// Keeps space for `name`, to be written later whatever the disk does meanwhile.
    pub(crate) fn reserve(&self, name: &'static str) -> io::Result<Reserved> {
        let draft = self.0.join(format!("{DRAFT}{name}"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all_at(&[b' '; RESERVED], 0)?;
        Ok(Reserved { file, draft, target: self.0.join(name), folder: self.0.clone() })
    }

    /// Removes the attempt's own files.
    pub(crate) fn remove_work(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(self.work()))
    }

    /// Removes everything.
    pub(crate) fn remove(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(&self.0))
    }
}

/// Begins the name of what is not finished.
pub(crate) const DRAFT: &str = ".new-";

/// The variable that tells a program its attempt's folder, and others whose a process is.
pub(crate) const WORK_DIR: &str = "MCPLANE_WORK_DIR";

/// The lock of a folder, as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// A record whose space is there already.
#[derive(Debug)]
pub(crate) struct Reserved {
    file: File,
    draft: PathBuf,
    target: PathBuf,
    folder: PathBuf,
}

impl Reserved {
    /// Writes the record in its place. A `durable` one survives the machine from now on.
    pub(crate) fn commit(self, value: &impl Serialize, durable: bool) -> io::Result<()> {
        let text = serde_json::to_vec(value)?;
        if text.len() > RESERVED {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "record is larger than its place"));
        }
        self.file.write_all_at(&text, 0)?;
        self.file.set_len(text.len() as u64)?;
        if durable {
            self.file.sync_all()?;
        }
        fs::rename(&self.draft, &self.target)?;
        if durable {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// A folder for the owner alone.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn write_new(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(value)?)
}

/// What a file says; `None` if there is none, an error if it can't be understood.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    const LONGEST: u64 = 1 << 20;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    let named = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()));
    serde_json::from_slice(&text).map(Some).map_err(named)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ExitReason, Usage};

    fn record() -> Record {
        Record {
            attempt: Uuid::from_u128(7),
            task: 1,
            fence: 1,
            name: "a".into(),
            namespace: "b".into(),
            created_at: 5,
            boot: "boot".into(),
        }
    }

    #[test]
    fn a_folder_is_made_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(root.path(), &record()).unwrap().unwrap();
        assert_eq!(folder.record().unwrap().unwrap().task, 1);
        assert!(Folder::create(root.path(), &record()).unwrap().is_none());
        let names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_reserved_record_replaces_its_place() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        let exit = Exit {
            code: Some(0),
            signal: None,
            reason: ExitReason::Completed,
            started_at: 1,
            finished_at: 2,
            usage: Usage::default(),
            log_lost_bytes: 0,
        };
        let reserved = folder.reserve("exit.json").unwrap();
        assert!(!folder.ended() && folder.exit().unwrap().is_none());
        reserved.commit(&exit, true).unwrap();
        assert_eq!(folder.exit().unwrap(), Some(exit));
        assert!(folder.ended());
    }

    #[test]
    fn a_lock_is_had_once_and_names_its_holder() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        let who = Identity { pid: 3, start: 4 };
        let lock = folder.lock(who).unwrap();
        assert!(folder.try_lock().unwrap().is_none());
        assert_eq!(folder.holder().unwrap(), Some(who));
        drop(lock);
        assert!(folder.try_lock().unwrap().is_some());
    }

    #[test]
    fn a_broken_record_is_an_error_and_a_missing_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        assert!(folder.exit().unwrap().is_none());
        fs::write(root.path().join("exit.json"), "{").unwrap();
        assert!(folder.exit().unwrap_err().to_string().contains("exit.json"));
    }
}
