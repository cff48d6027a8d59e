//! A few lines on the terminal that are drawn again and again; elsewhere each change is a line.

use std::io::{self, IsTerminal, Write};

use super::failure::Failure;
use super::output::print;

/// Lines of standard output.
pub(super) struct Live {
    terminal: bool,
    drawn: usize,
    told: String,
}

impl Live {
    pub(super) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { terminal: io::stdout().is_terminal() && !dumb, drawn: 0, told: String::new() }
    }

    /// Shows a text in the place of the one before; where nothing can be drawn again, only if it differs.
    pub(super) fn show(&mut self, text: &str) -> Result<(), Failure> {
        if text == self.told {
            return Ok(());
        }
        text.clone_into(&mut self.told);
        if !self.terminal {
            return print(text);
        }
        let width = rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col)).max(2);
        let cut: String = text.lines().map(|line| line.chars().take(width - 1).collect::<String>() + "\n").collect();
        let mut out = io::stdout().lock();
        if self.drawn > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.drawn)?;
        }
        self.drawn = cut.lines().count();
        out.write_all(cut.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}

/// Text that can't command the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}
