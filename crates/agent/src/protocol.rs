//! What an agent is told and what it tells: the messages that travel between whoever decides and whatever runs work.
//!
//! Delivery may repeat a message in either direction. An [`Assignment`] names its attempt by a random id, so that the
//! second copy changes nothing; a [`Report`] names attempt and fence, so that a late one is known as such.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mcplane_core::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One attempt at a task, with all that is needed to run it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The attempt; random, never used again.
    pub attempt: Uuid,
    /// The task that is attempted.
    pub task: i64,
    /// Number of the attempt. Of two attempts of a task, the one with the lower fence has no say any more.
    pub fence: i64,
    /// Name of the task, for people.
    pub name: String,
    /// Its namespace, for people.
    pub namespace: String,
    /// Program and arguments; never a shell's text.
    pub command: Vec<String>,
    /// The whole environment: nothing of the agent's own is added but `MCPLANE_WORK_DIR`. Values may be secret.
    pub env: Vec<(String, String)>,
    /// Files to put into the work folder before the command starts, removed again when it has ended.
    #[serde(default)]
    pub files: Vec<File>,
    /// A folder outside the work folder that is emptied first.
    #[serde(default)]
    pub fresh: Option<Fresh>,
    /// Where the command starts: a path inside the attempt's work folder, or an absolute one of this machine.
    #[serde(default)]
    pub working_dir: Option<PathBuf>,
    /// A tar.gz archive on this machine, its digest already verified, to unpack into the work folder.
    #[serde(default)]
    pub code: Option<PathBuf>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// How long it may run.
    #[serde(default)]
    pub deadline: Option<Duration>,
    /// How long it has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How much of its output is kept.
    #[serde(default)]
    pub log: LogLimits,
}

/// Names of variables are told, values never: any of them may be a secret.
impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Assignment")
            .field("attempt", &self.attempt)
            .field("task", &self.task)
            .field("fence", &self.fence)
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .field("program", &self.command.first())
            .field("arguments", &self.command.len().saturating_sub(1))
            .field("env", &names)
            .field("files", &self.files)
            .field("fresh", &self.fresh)
            .field("working_dir", &self.working_dir)
            .field("code", &self.code)
            .field("limits", &self.limits)
            .field("deadline", &self.deadline)
            .field("grace", &self.grace)
            .field("log", &self.log)
            .finish()
    }
}

/// A file for the work folder of an attempt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Path inside the work folder.
    pub path: PathBuf,
    /// What is in it; may be secret.
    #[serde(with = "base64_bytes")]
    pub content: Vec<u8>,
    /// Permission bits, such as `0o400`.
    pub mode: u32,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({:?}, {} bytes, {:o})", self.path, self.content.len(), self.mode)
    }
}

/// A folder of the machine that all attempts of a task share, and that each of them finds as the first one did: what an earlier
/// attempt left in it is gone before the command starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh {
    /// The folder, an absolute path; made if it is not there.
    pub folder: PathBuf,
    /// What stays, by its name in the folder.
    #[serde(default)]
    pub keep: Vec<String>,
    /// What is made in it: folders, by their paths inside.
    #[serde(default)]
    pub folders: Vec<PathBuf>,
}

/// What an attempt may use. What a machine can't enforce is told in [`Report::Started`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Processor time, in thousandths of a processor.
    pub cpu_milli: Option<u64>,
    /// Memory of all its processes together. Needs control groups: a limit of address space would end programs that
    /// map much and use little, as those that learn do.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Size of a core dump.
    pub core_bytes: u64,
    /// Bytes that its code archive may unpack to.
    pub unpacked_bytes: u64,
    /// Files, folders and links that its code archive may hold.
    pub unpacked_entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_milli: None,
            memory_bytes: None,
            processes: None,
            open_files: None,
            core_bytes: 0,
            unpacked_bytes: 4 << 30,
            unpacked_entries: 200_000,
        }
    }
}

/// How much of an attempt's output is kept: when the total is reached, the oldest segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLimits {
    /// Size at which a segment is closed and the next begun.
    pub segment_bytes: u64,
    /// Size of all segments together.
    pub total_bytes: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { segment_bytes: 10 << 20, total_bytes: 100 << 20 }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Exit code, if the program ended by itself.
    pub code: Option<i32>,
    /// Signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Why it ended.
    pub reason: ExitReason,
    /// When the program started; when the attempt did, if no program was started.
    pub started_at: Timestamp,
    /// When the program ended.
    pub finished_at: Timestamp,
    /// What it and its children used, as far as they were waited for.
    #[serde(default)]
    pub usage: Usage,
    /// Bytes of output that could not be stored, for want of space; not those of old segments.
    #[serde(default)]
    pub log_lost_bytes: u64,
}

/// Why an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message", rename_all = "camelCase")]
pub enum ExitReason {
    /// Exit code zero.
    Completed,
    /// Another exit code, or a signal that nobody here sent.
    Error,
    /// It ran into its deadline.
    DeadlineExceeded,
    /// It was told to stop.
    Cancelled,
    /// It used more memory than it may; only a control group tells.
    OomKilled,
    /// No program was started; the sentence says why.
    StartError(String),
}

/// What an attempt's processes used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Processor time in user mode, in milliseconds.
    pub user_ms: u64,
    /// Processor time in the kernel, in milliseconds.
    pub system_ms: u64,
    /// Largest resident memory of one process.
    pub peak_memory_bytes: u64,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Report {
    /// Its program runs.
    Started {
        /// The attempt.
        attempt: Uuid,
        /// Its number.
        fence: i64,
        /// Process id of the program, and of its process group.
        pid: u32,
        /// When.
        at: Timestamp,
        /// Limits that this machine can't enforce: `cpu`, `memory`, `processes`.
        unenforced: Vec<String>,
    },
    /// It ended; nothing of it runs any more.
    Exited {
        /// The attempt.
        attempt: Uuid,
        /// Its number.
        fence: i64,
        /// How.
        exit: Exit,
    },
    /// Nobody knows how it ended; nothing of its process group runs any more.
    Lost {
        /// The attempt.
        attempt: Uuid,
        /// Its number.
        fence: i64,
        /// What was found instead of an exit record.
        why: String,
    },
}

impl Report {
    /// The attempt that it is about.
    pub fn attempt(&self) -> Uuid {
        match self {
            Self::Started { attempt, .. } | Self::Exited { attempt, .. } | Self::Lost { attempt, .. } => *attempt,
        }
    }

    /// The number of that attempt.
    pub fn fence(&self) -> i64 {
        match self {
            Self::Started { fence, .. } | Self::Exited { fence, .. } | Self::Lost { fence, .. } => *fence,
        }
    }
}

/// Bytes as base64 text.
mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> Assignment {
        Assignment {
            attempt: Uuid::from_u128(7),
            task: 1,
            fence: 2,
            name: "train".into(),
            namespace: "default".into(),
            command: vec!["python".into(), "--password=hunter2".into()],
            env: vec![("TOKEN".into(), "hunter2".into())],
            files: vec![File { path: "secret/key".into(), content: b"hunter2\xff".to_vec(), mode: 0o400 }],
            fresh: None,
            working_dir: None,
            code: Some("/archives/a.tar.gz".into()),
            limits: Limits { cpu_milli: Some(500), ..Limits::default() },
            deadline: Some(Duration::from_millis(1500)),
            grace: Duration::from_secs(30),
            log: LogLimits::default(),
        }
    }

    #[test]
    fn an_assignment_survives_the_wire() {
        let text = serde_json::to_string(&assignment()).unwrap();
        assert_eq!(serde_json::from_str::<Assignment>(&text).unwrap(), assignment());
    }

    #[test]
    fn debug_tells_names_and_no_values() {
        let text = format!("{:?}", assignment());
        assert!(text.contains("TOKEN") && text.contains("secret/key") && text.contains("python"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let text = r#"{"attempt":"00000000-0000-0000-0000-000000000007","task":1,"fence":1,"name":"a","namespace":"b",
            "command":["true"],"env":[],"grace":{"secs":1,"nanos":0}}"#;
        let read: Assignment = serde_json::from_str(text).unwrap();
        assert_eq!((read.limits, read.log, read.deadline), (Limits::default(), LogLimits::default(), None));
    }

    #[test]
    fn reasons_are_named() {
        let text = serde_json::to_string(&[ExitReason::OomKilled, ExitReason::StartError("no".into())]).unwrap();
        assert_eq!(text, r#"[{"type":"oomKilled"},{"type":"startError","message":"no"}]"#);
        let exit = Exit {
            code: Some(1),
            signal: None,
            reason: ExitReason::Error,
            started_at: 1,
            finished_at: 2,
            usage: Usage::default(),
            log_lost_bytes: 0,
        };
        let report = Report::Exited { attempt: Uuid::from_u128(7), fence: 3, exit };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert_eq!((report.attempt(), report.fence()), (Uuid::from_u128(7), 3));
    }
}
