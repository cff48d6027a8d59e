//! The first stage, from the assignment to the exit record.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use mcplane_core::{Clock, SystemClock, Timestamp};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeVal;
use rustix::process::{getpid, set_child_subreaper, setsid};

use super::exec::{self, Stage};
use super::fresh;
use super::log::LogWriter;
use super::supervise::{self, Held, Outcome};
use super::unpack::{self, Bounds};
use crate::cgroup::Cgroup;
use crate::folder::{Folder, Reserved, Started, WORK_DIR, make_folder};
use crate::procfs::Identity;
use crate::protocol::{Assignment, Exit, ExitReason, Usage};

/// Longest sentence of a record, in characters; any of them fits the record's place.
const LONGEST_SENTENCE: usize = 500;

pub(super) fn run(path: &Path, cgroups: Option<&Path>) -> io::Result<()> {
    let signals = take_signals()?;
    // Fails for the leader of a group, which a shim started by an executor never is.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    // Through the current directory, which stays the folder that it was started for: when it comes late, another may have
    // that name.
    let _lock = Folder::new(".").lock(Identity::own()?)?;
    if std::env::current_dir().ok().as_deref() != Some(path) {
        return Err(io::Error::other("the attempt does not begin in this folder any more"));
    }
    std::env::set_current_dir("/")?;
    let folder = Folder::new(path);
    if folder.ended() {
        return Err(io::Error::other("the attempt has ended already"));
    }
    let places = (folder.reserve("start.json")?, folder.reserve("exit.json")?);
    let mut executor = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let assignment = read_assignment(&mut executor)?;
    let shim = Shim { folder, assignment, signals, stopped: Cell::new(false), executor: Some(executor) };
    shim.carry_out(cgroups, places)
}

/// Signals come by a descriptor from here on; those of this list that came before wait in it.
fn take_signals() -> io::Result<SignalFd> {
    let taken = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGCHLD];
    let mask: SigSet = taken.into_iter().collect();
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

fn read_assignment(from: &mut UnixStream) -> io::Result<Assignment> {
    let mut text = Vec::new();
    from.read_to_end(&mut text)?;
    // The words of the parser may quote what is secret.
    serde_json::from_slice(&text).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the assignment is not whole"))
}

struct Shim {
    folder: Folder,
    assignment: Assignment,
    signals: SignalFd,
    /// It was told to stop before there was anything to stop.
    stopped: Cell<bool>,
    /// Whoever waits for word of the start.
    executor: Option<UnixStream>,
}

impl Shim {
    fn carry_out(mut self, cgroups: Option<&Path>, (start, exit): (Reserved, Reserved)) -> io::Result<()> {
        let began = now();
        let limits = &self.assignment.limits;
        let (cgroup, unenforced) = Cgroup::create(cgroups, self.assignment.attempt, limits);
        let mut log = LogWriter::new(&self.folder.log(), self.assignment.log);
        let record = match self.prepare() {
            _ if self.asked_to_stop() => never_started(ExitReason::Cancelled, began),
            Err(why) => never_started(ExitReason::StartError(cut(&why)), began),
            Ok(()) => match self.hold(start, &mut log, cgroup.as_ref(), unenforced) {
                Err(why) => never_started(ExitReason::StartError(cut(&why)), began),
                Ok((at, outcome)) => record(at, &outcome, cgroup.as_ref(), &log),
            },
        };
        if let Some(cgroup) = &cgroup
            && let Err(error) = cgroup.remove()
        {
            super::complain(&format_args!("control group: {error}"));
        }
        unpack::remove_files(&self.folder.work(), self.assignment.files.iter().map(|file| file.path.as_path()));
        exit.commit(&record, true)
    }

    fn asked_to_stop(&self) -> bool {
        let asked = self.stopped.get() || supervise::asked_to_stop(&self.signals);
        self.stopped.set(asked);
        asked
    }

    fn prepare(&mut self) -> Result<(), String> {
        let work = self.folder.work();
        make_folder(&work).map_err(|error| format!("work folder: {error}"))?;
        let Assignment { code, files, fresh, limits, .. } = &self.assignment;
        fresh.as_ref().map_or(Ok(()), fresh::refresh)?;
        if let Some(archive) = code {
            let bounds = Bounds { bytes: limits.unpacked_bytes, entries: limits.unpacked_entries };
            unpack::unpack(archive, &work, bounds, &|| self.asked_to_stop())?;
        }
        unpack::write_files(&work, files)?;
        // What is secret is not held longer than it is needed.
        self.assignment.files.iter_mut().for_each(|file| file.content = Vec::new());
        Ok(())
    }

    /// Starts the command and holds it to its end.
    fn hold(
        &mut self,
        start: Reserved,
        log: &mut LogWriter,
        cgroup: Option<&Cgroup>,
        unenforced: Vec<String>,
    ) -> Result<(Timestamp, Outcome), String> {
        let stage = self.stage(cgroup);
        let child = exec::spawn(&stage)?;
        drop(stage);
        let at = now();
        let executor = self.executor.take();
        let held = Held {
            began: Instant::now(),
            deadline: self.assignment.deadline,
            grace: self.assignment.grace,
            folder: &self.folder,
            cgroup,
        };
        let started = Started { pid: child.id(), at, unenforced };
        // Whoever reads it later only learns less; the command goes on.
        if let Err(error) = start.commit(&started, false) {
            super::complain(&format_args!("start record: {error}"));
        }
        tell(executor, &started);
        Ok((at, supervise::supervise(child, &held, &self.signals, log)))
    }

    fn stage(&mut self, cgroup: Option<&Cgroup>) -> Stage {
        let work = self.folder.work();
        let mut env = std::mem::take(&mut self.assignment.env);
        env.push((WORK_DIR.into(), work.to_string_lossy().into_owned()));
        let dir = self.assignment.working_dir.as_ref().map_or_else(|| work.clone(), |dir| work.join(dir));
        Stage {
            command: std::mem::take(&mut self.assignment.command),
            env,
            dir,
            open_files: self.assignment.limits.open_files,
            core_bytes: self.assignment.limits.core_bytes,
            cgroup: cgroup.map(Cgroup::entrance),
            parent: getpid().as_raw_pid(),
        }
    }
}

fn tell(executor: Option<UnixStream>, started: &Started) {
    if let Some(mut executor) = executor
        && let Ok(mut line) = serde_json::to_vec(started)
    {
        line.push(b'\n');
        // A server that is gone reads the record.
        let _ = executor.write_all(&line);
    }
}

fn record(started_at: Timestamp, outcome: &Outcome, cgroup: Option<&Cgroup>, log: &LogWriter) -> Exit {
    let reason = match &outcome.stopped {
        Some(reason) => reason.clone(),
        None if cgroup.is_some_and(Cgroup::out_of_memory) => ExitReason::OomKilled,
        None if outcome.code == Some(0) => ExitReason::Completed,
        None => ExitReason::Error,
    };
    Exit {
        code: outcome.code,
        signal: outcome.signal,
        reason,
        started_at,
        finished_at: outcome.at.max(started_at),
        usage: usage(),
        log_lost_bytes: log.lost(),
    }
}

fn never_started(reason: ExitReason, began: Timestamp) -> Exit {
    Exit {
        code: None,
        signal: None,
        reason,
        started_at: began,
        finished_at: now().max(began),
        usage: Usage::default(),
        log_lost_bytes: 0,
    }
}

fn usage() -> Usage {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Usage::default() };
    let ms = |time: TimeVal| {
        let time =
            Duration::new(time.tv_sec().unsigned_abs(), 0) + Duration::from_micros(time.tv_usec().unsigned_abs());
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    };
    Usage {
        user_ms: ms(usage.user_time()),
        system_ms: ms(usage.system_time()),
        peak_memory_bytes: usage.max_rss().unsigned_abs().saturating_mul(1024),
    }
}

fn cut(sentence: &str) -> String {
    sentence.chars().take(LONGEST_SENTENCE).collect()
}

pub(super) fn now() -> Timestamp {
    SystemClock.now()
}
