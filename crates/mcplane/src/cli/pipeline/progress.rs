//! A run as it goes on: on a terminal the tree of its steps, elsewhere a line for each change.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::failure::{Exit, Failure};
use super::super::output::complain;
use super::{Pipelines, plain, text};

/// Between two looks: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_millis(500);
/// How long a server may be away: runs go on when it is back.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a terminal that does not tell its height.
const LINES: usize = 24;

/// How following ended.
pub(super) enum Followed {
    /// The run ended; its status.
    Ended(Value),
    /// The user left it to itself.
    Left,
}

/// Follows a run to its end.
pub(super) async fn follow(pipelines: &Pipelines<'_>, name: &str) -> Result<Followed, Failure> {
    let mut screen = Screen::new();
    let mut pause = FIRST_LOOK;
    let mut asked = false;
    screen.say(&format!("run {name} has begun; Ctrl-C ends it"));
    loop {
        let run = look(pipelines, name, &mut screen).await?;
        let status = run["status"].clone();
        screen.show(&status);
        if matches!(text(&status, "state"), "SUCCEEDED" | "FAILED" | "CANCELED" | "SKIPPED") {
            screen.end();
            return Ok(Followed::Ended(status));
        }
        tokio::select! {
            () = sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => {
                if std::mem::replace(&mut asked, true) {
                    return Ok(Followed::Left);
                }
                pipelines.cancel(name).await?;
                screen.say("the run is told to end; Ctrl-C again does not wait for it");
            }
        }
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

/// The run, with patience for a server that is away.
async fn look(pipelines: &Pipelines<'_>, name: &str, screen: &mut Screen) -> Result<Value, Failure> {
    let give_up = Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        match pipelines.run(name).await {
            Err(failure) if failure.exit() == Exit::Unreachable && Instant::now() < give_up => {
                if !std::mem::replace(&mut told, true) {
                    screen.say("the server is away; the run goes on when it is back");
                }
                sleep(LONGEST_LOOK).await;
            }
            other => return other,
        }
    }
}

struct Screen {
    live: bool,
    colour: bool,
    /// Lines that are drawn and will be drawn again.
    drawn: usize,
    /// States that were told, by node.
    told: HashMap<String, String>,
}

impl Screen {
    fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let live = io::stderr().is_terminal() && !dumb;
        Self { live, colour: colour && live, drawn: 0, told: HashMap::new() }
    }

    fn say(&mut self, words: &str) {
        self.erase();
        complain(&plain(words));
    }

    fn show(&mut self, status: &Value) {
        let now = Timestamp::now();
        let steps: Vec<&Value> = status["stepStates"].as_array().into_iter().flatten().collect();
        if self.live {
            self.draw(&steps, now);
            return;
        }
        for step in steps {
            let (node, state) = (text(step, "node"), text(step, "state"));
            let message = text(step, "message");
            let words = format!("{state}{message}");
            if state == "PENDING" || self.told.get(node) == Some(&words) {
                continue;
            }
            self.told.insert(node.to_owned(), words);
            complain(&plain(&line(step, now, false)));
        }
    }

    fn draw(&mut self, steps: &[&Value], now: Timestamp) {
        let room = rustix::termios::tcgetwinsize(io::stderr()).map_or(LINES, |size| usize::from(size.ws_row));
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| usize::from(size.ws_col));
        let room = room.saturating_sub(2).max(4);
        let hidden = steps.len().saturating_sub(room);
        let mut lines: Vec<String> = Vec::with_capacity(room + 1);
        if hidden > 0 {
            lines.push(format!("  … {hidden} more"));
        }
        for step in &steps[hidden..] {
            let told: String = plain(&line(step, now, true)).chars().take(width.saturating_sub(1)).collect();
            lines.push(self.coloured(text(step, "state"), told));
        }
        self.erase();
        self.drawn = lines.len();
        let mut err = io::stderr().lock();
        // If that fails nobody is left to tell.
        let _ = err.write_all((lines.join("\n") + "\n").as_bytes()).and_then(|()| err.flush());
    }

    fn coloured(&self, state: &str, line: String) -> String {
        let code = match state {
            _ if !self.colour => return line,
            "SUCCEEDED" => 32,
            "FAILED" => 31,
            "RUNNING" => 36,
            _ => 90,
        };
        format!("\x1b[{code}m{line}\x1b[0m")
    }

    fn erase(&mut self) {
        let lines = std::mem::take(&mut self.drawn);
        if lines > 0 {
            let _ = write!(io::stderr().lock(), "\x1b[{lines}A\x1b[J");
        }
    }

    /// What is drawn stays.
    fn end(&mut self) {
        self.drawn = 0;
    }
}

/// A step on a line: as deep as it lies in the pipeline, or with its whole place.
fn line(step: &Value, now: Timestamp, tree: bool) -> String {
    let (node, state) = (text(step, "node"), text(step, "state"));
    let place = node.strip_prefix("root/").unwrap_or(node);
    let sign = match state {
        "SUCCEEDED" => "✓",
        "FAILED" => "✗",
        "RUNNING" => "▸",
        "SKIPPED" | "CANCELED" => "-",
        _ => "·",
    };
    let name = if tree {
        let depth = place.matches('/').count();
        format!("{}{}", "  ".repeat(depth), place.rsplit('/').next().unwrap_or(place))
    } else {
        place.to_owned()
    };
    let cached = if step["cached"] == true { " (cached)" } else { "" };
    let message = match text(step, "message") {
        "" => String::new(),
        message => format!(": {message}"),
    };
    format!("{sign} {name} {}{cached} {}{message}", state.to_lowercase(), took(step, now)).trim_end().to_owned()
}

/// How long something took, or has been at it.
pub(super) fn took(of: &Value, now: Timestamp) -> String {
    let time = |field: &str| of[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let Some(began) = time("startedAt") else { return String::new() };
    let seconds = (time("finishedAt").unwrap_or(now).as_second() - began.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_told_on_a_line() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let step = json!({
            "node": "root/for-loop-1[2]/fit", "state": "FAILED", "message": "the command failed (exit code 3)",
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:05Z",
        });
        let told = "✗ for-loop-1[2]/fit failed 1m05s: the command failed (exit code 3)";
        assert_eq!(line(&step, now, false), told);
        assert!(line(&step, now, true).starts_with("✗   fit failed"));
        let running = json!({"node": "root/a", "state": "RUNNING", "startedAt": "2026-01-01T00:00:00Z"});
        assert_eq!(line(&running, now, false), "▸ a running 10m00s");
        let cached = json!({"node": "root/a", "state": "SUCCEEDED", "cached": true});
        assert_eq!(line(&cached, now, false), "✓ a succeeded (cached)");
    }
}
