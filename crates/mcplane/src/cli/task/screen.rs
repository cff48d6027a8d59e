//! What goes to the terminal while a task is followed: its log, and below it one line that says where it is.

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use serde_json::Value;

use super::super::failure::Failure;
use super::super::output::complain;
use super::show;

/// Width of a terminal that does not tell its own.
const WIDTH: usize = 80;

/// Output of the log to standard output, everything else to standard error.
pub(super) struct Screen {
    /// Whether a line can be drawn again and again.
    live: bool,
    drawn: bool,
    /// Whether the log is at the start of a line, so that something else may be told.
    fresh: bool,
    /// What was told last of a task that waits.
    told: String,
}

impl Screen {
    pub(super) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { live: io::stderr().is_terminal() && !dumb, drawn: false, fresh: true, told: String::new() }
    }

    /// Writes a piece of the log as it is.
    pub(super) fn log(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.erase();
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        self.fresh = bytes.last().map_or(self.fresh, |last| *last == b'\n');
        Ok(())
    }

    /// Tells something once.
    pub(super) fn say(&mut self, words: &str) {
        self.erase();
        if !self.fresh {
            complain("");
            self.fresh = true;
        }
        complain(&plain(words));
    }

    /// Shows where the task is; where lines can't be drawn again, only why it waits.
    pub(super) fn status(&mut self, task: &Value) {
        if self.live {
            if self.fresh {
                let line: String = plain(&show::line(task, Timestamp::now())).chars().take(width() - 1).collect();
                self.put(&format!("\r{line}\x1b[K"));
                self.drawn = true;
            }
            return;
        }
        let why = show::why(task);
        if matches!(show::text(task, "state"), "waiting" | "ready") && !why.is_empty() && why != self.told {
            self.say(&format!("{}: {why}", show::text(task, "state")));
            self.told = why;
        }
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.put("\r\x1b[K");
        }
    }

    fn put(&self, text: &str) {
        let mut err = io::stderr().lock();
        // If that fails nobody is left to tell.
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.erase();
    }
}

/// Text that can't command the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn width() -> usize {
    let told = rustix::termios::tcgetwinsize(io::stderr()).map(|size| usize::from(size.ws_col));
    told.ok().filter(|columns| *columns > 1).unwrap_or(WIDTH)
}
