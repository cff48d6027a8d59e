//! Follows a task to its end: the logs of its attempts, one after the other.

use std::time::Duration;

use futures::AsyncReadExt;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::super::connection::{encode, query, request};
use super::super::failure::{Exit, Failure};
use super::screen::Screen;
use super::{Tasks, show};

/// Between two looks at a task that waits: the first, and the longest.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// How long a server may be away, as for its upgrade: tasks go on meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// How following ended.
pub(super) enum Ended {
    /// The task reached its final state.
    Finished(Value),
    /// The user left it to itself.
    Left,
}

/// What keys of the terminal mean while a task is followed.
pub(super) struct Keys {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    cancelled: bool,
}

enum Wish {
    Cancel,
    Leave,
}

impl Keys {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            cancelled: false,
        })
    }

    async fn wish(keys: Option<&mut Self>) -> Wish {
        let Some(keys) = keys else { return std::future::pending().await };
        tokio::select! {
            _ = keys.quit.recv() => Wish::Leave,
            _ = keys.interrupt.recv() => keys.cancel(),
            _ = keys.terminate.recv() => keys.cancel(),
        }
    }

    /// Who wants it twice does not want to wait.
    fn cancel(&mut self) -> Wish {
        if std::mem::replace(&mut self.cancelled, true) { Wish::Leave } else { Wish::Cancel }
    }
}

/// A task that is being followed.
pub(super) struct Follower<'f> {
    pub(super) tasks: &'f Tasks<'f>,
    pub(super) id: &'f str,
    /// What is asked of each log besides following it.
    pub(super) options: &'f [(&'static str, Option<&'f str>)],
    pub(super) screen: Screen,
    pub(super) keys: Option<Keys>,
}

impl Follower<'_> {
    /// Follows from an attempt on, or else from the newest.
    pub(super) async fn follow(&mut self, from: Option<i64>) -> Result<Ended, Failure> {
        let mut done = from.map_or(0, |attempt| attempt - 1);
        let mut pause = FIRST_LOOK;
        loop {
            let task = self.look().await?;
            let newest = task["attempt"].as_i64().unwrap_or(0);
            if newest > done {
                // One that began while another was read comes after it.
                let next = if done == 0 && from.is_none() { newest } else { done + 1 };
                if done > 0 && from != Some(next) {
                    self.screen.say(&format!("attempt {next}"));
                }
                if let Some(ended) = self.attempt(next).await? {
                    return Ok(ended);
                }
                (done, pause) = (next, FIRST_LOOK);
                continue;
            }
            if show::is_final(&task) {
                return Ok(Ended::Finished(task));
            }
            self.screen.status(&task);
            let wish = tokio::select! {
                () = sleep(pause) => None,
                wish = Keys::wish(self.keys.as_mut()) => Some(wish),
            };
            if let Some(wish) = wish
                && self.heed(wish).await?
            {
                return Ok(Ended::Left);
            }
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// The log of one attempt to its end.
    async fn attempt(&mut self, number: i64) -> Result<Option<Ended>, Failure> {
        let mut told = 0_u64;
        loop {
            if self.read(number, &mut told).await? {
                return Ok(Some(Ended::Left));
            }
            let task = self.look().await?;
            let runs = task["attempt"] == number && task["state"] == "running";
            if !runs || self.is_partial() {
                return Ok(None);
            }
            // The server went away, or has not noticed the end yet.
            sleep(FIRST_LOOK).await;
        }
    }

    /// Whether where a broken log went on can't be known.
    fn is_partial(&self) -> bool {
        self.options.iter().any(|(_, value)| value.is_some())
    }

    /// Reads a log without what was told of it already; whether the user left.
    async fn read(&mut self, number: i64, told: &mut u64) -> Result<bool, Failure> {
        let number = number.to_string();
        let mut pairs = vec![("follow", Some("true")), ("attempt", Some(number.as_str()))];
        pairs.extend_from_slice(self.options);
        let path = self.tasks.path(&format!("tasks/{}/logs{}", encode(self.id), query(&pairs)));
        let opened = self.tasks.connection.client.request_stream(request("GET", &path, None)?).await;
        let mut stream = match opened.map_err(|error| self.tasks.connection.failure(&error)) {
            Ok(stream) => std::pin::pin!(stream),
            Err(failure) if failure.exit() == Exit::Unreachable => return Ok(false),
            Err(failure) => return Err(failure),
        };
        let mut skip = *told;
        let mut buffer = vec![0; 64 << 10];
        let mut next_look = Instant::now();
        loop {
            let wish = tokio::select! {
                biased;
                wish = Keys::wish(self.keys.as_mut()) => Some(wish),
                read = stream.read(&mut buffer) => {
                    // A connection that broke is as one that ended: the task's state tells which.
                    let Ok(count @ 1..) = read else { return Ok(false) };
                    let known = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
                    skip -= known as u64;
                    *told += (count - known) as u64;
                    self.screen.log(&buffer[known..count])?;
                    None
                }
                () = tokio::time::sleep_until(next_look) => {
                    let task = self.look().await?;
                    self.screen.status(&task);
                    next_look = Instant::now() + LONGEST_LOOK;
                    None
                }
            };
            if let Some(wish) = wish
                && self.heed(wish).await?
            {
                return Ok(true);
            }
        }
    }

    /// Does what the user wants; whether that is to leave.
    async fn heed(&mut self, wish: Wish) -> Result<bool, Failure> {
        if let Wish::Leave = wish {
            return Ok(true);
        }
        self.tasks.act(self.id, "cancel").await?;
        self.screen.say("the task is told to end; Ctrl-C again does not wait for it");
        Ok(false)
    }

    /// The task, with patience for a server that is away.
    async fn look(&mut self) -> Result<Value, Failure> {
        let give_up = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            match self.tasks.get(self.id).await {
                Err(failure) if failure.exit() == Exit::Unreachable && Instant::now() < give_up => {
                    if !std::mem::replace(&mut told, true) {
                        self.screen.say("the server is away; the task goes on without it");
                    }
                    sleep(Duration::from_millis(500)).await;
                }
                other => return other,
            }
        }
    }
}
