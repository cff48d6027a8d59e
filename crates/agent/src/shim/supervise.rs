//! Holds a command: gathers its output, bounds its time, stops it when told, and sees to it that nothing of it stays.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use mcplane_core::Timestamp;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};

use super::log::{Lines, LogWriter, Output};
use super::run::now;
use crate::cgroup::Cgroup;
use crate::folder::Folder;
use crate::procfs;
use crate::protocol::ExitReason;

/// How long the end of a line is awaited before what there is of it is written: progress bars never end theirs.
const LINE_PATIENCE: Duration = Duration::from_millis(500);
/// Between two rounds of SIGKILL, while some process has not died of it yet.
const KILL_INTERVAL: Duration = Duration::from_millis(20);
/// How long output is awaited from whatever holds the pipe when every process of the attempt is gone.
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);
const READ: usize = 64 << 10;

/// What holds for a command.
pub(super) struct Held<'a> {
    pub(super) began: Instant,
    pub(super) deadline: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) folder: &'a Folder,
    pub(super) cgroup: Option<&'a Cgroup>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// When the command itself ended; its descendants may have taken longer.
    pub(super) at: Timestamp,
    /// Why it was stopped, if it was.
    pub(super) stopped: Option<ExitReason>,
}

/// Whether a signal to stop has come.
pub(super) fn asked_to_stop(signals: &SignalFd) -> bool {
    let stops = [Signal::TERM, Signal::INT, Signal::QUIT].map(Signal::as_raw);
    let mut asked = false;
    while let Ok(Some(signal)) = signals.read_signal() {
        asked |= i32::try_from(signal.ssi_signo).is_ok_and(|signal| stops.contains(&signal));
    }
    asked
}

/// Holds a command until it and all its descendants are gone.
pub(super) fn supervise(mut child: Child, held: &Held<'_>, signals: &SignalFd, log: &mut LogWriter) -> Outcome {
    let stdout = child.stdout.take().map(|pipe| Stream { pipe, lines: Lines::new(Output::Stdout) });
    let stderr = child.stderr.take().map(|pipe| Stream { pipe, lines: Lines::new(Output::Stderr) });
    let main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut supervisor =
        Supervisor { held, main, ended: None, nobody_left: None, stopped: None, told_to_end: false, kill_at: None };
    supervisor.run(stdout, stderr, signals, log)
}

struct Stream<P> {
    pipe: P,
    lines: Lines,
}

impl<P: Read + AsFd> Stream<P> {
    /// Reads once, after the pipe was said to be readable; false at its end.
    fn pump(&mut self, buffer: &mut [u8], log: &mut LogWriter) -> bool {
        match self.pipe.read(buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.lines.feed(&buffer[..count], Instant::now(), log);
                true
            }
            Err(error) => error.kind() == ErrorKind::Interrupted,
        }
    }
}

/// Reads what a poll has found; a stream that ended is dropped.
fn serve<P: Read + AsFd>(stream: &mut Option<Stream<P>>, ready: bool, buffer: &mut [u8], log: &mut LogWriter) {
    let Some(open) = stream else { return };
    if ready && !open.pump(buffer, log) {
        open.lines.flush(log);
        *stream = None;
    } else if open.lines.pending_since().is_some_and(|since| since.elapsed() >= LINE_PATIENCE) {
        open.lines.flush(log);
    }
}

fn line_due<P>(stream: &Option<Stream<P>>) -> Option<Instant> {
    stream.as_ref().and_then(|stream| stream.lines.pending_since()).map(|since| since + LINE_PATIENCE)
}

fn end<P>(stream: &mut Option<Stream<P>>, log: &mut LogWriter) {
    if let Some(mut stream) = stream.take() {
        stream.lines.flush(log);
    }
}

struct Supervisor<'a> {
    held: &'a Held<'a>,
    /// The command, and its process group.
    main: Option<Pid>,
    ended: Option<(Option<i32>, Option<i32>, Timestamp)>,
    /// Since when there is no descendant.
    nobody_left: Option<Instant>,
    stopped: Option<ExitReason>,
    /// SIGTERM was sent, to the command or to what it left.
    told_to_end: bool,
    kill_at: Option<Instant>,
}

impl Supervisor<'_> {
    fn run(
        &mut self,
        mut stdout: Option<Stream<impl Read + AsFd>>,
        mut stderr: Option<Stream<impl Read + AsFd>>,
        signals: &SignalFd,
        log: &mut LogWriter,
    ) -> Outcome {
        let mut buffer = vec![0; READ];
        loop {
            self.reap();
            self.act(Instant::now());
            let drained = stdout.is_none() && stderr.is_none();
            if self.nobody_left.is_some_and(|since| drained || since.elapsed() >= DRAIN_PATIENCE) {
                break;
            }
            let due = [self.due(), line_due(&stdout), line_due(&stderr)].into_iter().flatten().min();
            let out = stdout.as_ref().map(|stream| stream.pipe.as_fd());
            let err = stderr.as_ref().map(|stream| stream.pipe.as_fd());
            let [signalled, out, err] = await_any([Some(signals.as_fd()), out, err], due);
            if signalled && asked_to_stop(signals) {
                self.stop(ExitReason::Cancelled);
            }
            serve(&mut stdout, out, &mut buffer, log);
            serve(&mut stderr, err, &mut buffer, log);
            log.flush();
        }
        end(&mut stdout, log);
        end(&mut stderr, log);
        log.flush();
        let (code, signal, at) = self.ended.unwrap_or((None, None, now()));
        Outcome { code, signal, at, stopped: self.stopped.take() }
    }

    /// Collects whoever has died. Descendants whose parent died first are children of the shim by then, so that having
    /// no child means that nobody is left.
    fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if Some(pid) == self.main && self.ended.is_none() => {
                    self.ended = Some((status.exit_status(), status.terminating_signal(), now()));
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return,
                Err(_) => {
                    self.nobody_left.get_or_insert_with(Instant::now);
                    return;
                }
            }
        }
    }

    /// Does what is due.
    fn act(&mut self, now: Instant) {
        if self.nobody_left.is_some() {
            return;
        }
        let overdue = self.held.deadline.is_some_and(|deadline| now.duration_since(self.held.began) >= deadline);
        if self.ended.is_none() && self.stopped.is_none() && overdue {
            self.stop(ExitReason::DeadlineExceeded);
        }
        if self.ended.is_some() && !self.told_to_end {
            // The command ended by itself; what it left behind has a grace of its own.
            self.end_within(self.held.grace);
        }
        if self.kill_at.is_some_and(|at| now >= at) {
            self.signal(Signal::KILL);
            if let Some(cgroup) = self.held.cgroup {
                cgroup.kill();
            }
            self.kill_at = Some(now + KILL_INTERVAL);
        }
    }

    /// Stops the command. The first reason stays; a shorter grace counts whenever it comes.
    fn stop(&mut self, reason: ExitReason) {
        if self.ended.is_none() {
            self.stopped.get_or_insert(reason);
        }
        let asked = self.held.folder.stop().ok().flatten().map(|stop| stop.grace);
        self.end_within(asked.unwrap_or(self.held.grace));
    }

    fn end_within(&mut self, grace: Duration) {
        if !self.told_to_end {
            self.told_to_end = true;
            self.signal(Signal::TERM);
        }
        let at = Instant::now().checked_add(grace);
        self.kill_at = self.kill_at.into_iter().chain(at).min();
    }

    /// Signals the process group, and the children that are in none of ours any more once the command has ended: while
    /// it lives, they are its own affair.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.main {
            let _ = kill_process_group(group, signal);
        }
        if self.ended.is_some() || signal == Signal::KILL {
            for child in procfs::children() {
                let _ = kill_process(child, signal);
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let drained = self.nobody_left.map(|since| since + DRAIN_PATIENCE);
        let waits = self.ended.is_none() && self.stopped.is_none();
        let deadline = self.held.deadline.filter(|_| waits).and_then(|deadline| self.held.began.checked_add(deadline));
        [drained, deadline, self.kill_at].into_iter().flatten().min()
    }
}

/// Waits until one of the descriptors has something, or it is time; which have.
fn await_any<const N: usize>(descriptors: [Option<BorrowedFd<'_>>; N], due: Option<Instant>) -> [bool; N] {
    let mut polled = Vec::with_capacity(N);
    let places = descriptors.map(|descriptor| {
        descriptor.map(|descriptor| {
            polled.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
            polled.len() - 1
        })
    });
    // Rounded up: waking before it is due would be waking for nothing.
    let left = due.map(|due| due.saturating_duration_since(Instant::now()) + Duration::from_micros(50));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    if poll(&mut polled, left.as_ref()).is_err() {
        return [false; N];
    }
    places.map(|place| place.is_some_and(|place| !polled[place].revents().is_empty()))
}
