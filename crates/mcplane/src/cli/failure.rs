//! Why a command failed, and what to do next.

use std::fmt::Display;
use std::process::ExitCode;

use crate::config::ConfigErrors;
use crate::server::error_chain;

/// The process's exit code; documented in `mcplane --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// The server refused, or something failed.
    Failed,
    /// The command or the configuration is wrong.
    Usage,
    /// There is no server.
    Unreachable,
    /// A login is needed, or is not allowed to do this.
    Denied,
    /// What a task ended with.
    Task(u8),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Denied => 4,
            Self::Task(code) => code,
        }
    }
}

/// What the user reads when a command fails.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    quiet: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, quiet: false }
    }

    /// Something failed.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command was not meant like this.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something failed for a reason of its own.
    pub(super) fn from_error(what: impl Display, error: &dyn std::error::Error) -> Self {
        Self::failed(format!("{what}: {}", error_chain(error)))
    }

    /// Every single failure was told already.
    pub(super) fn told_already(exit: Exit) -> Self {
        Self { exit, message: String::new(), hint: None, quiet: true }
    }

    /// A task did not succeed, as was told already.
    pub(super) fn of_task(code: u8) -> Self {
        Self::told_already(Exit::Task(code))
    }

    /// What to do next.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, with the place that it is about.
    pub(super) fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// The text that the user reads.
    pub(super) fn text(&self) -> String {
        let hint = self.hint.as_deref().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        format!("error: {}{hint}", self.message)
    }

    /// Tells the user, and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        if !self.quiet {
            super::output::complain(&self.text());
        }
        ExitCode::from(self.exit.code())
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::usage(errors.to_string())
    }
}

/// Nobody reads any more, as after `| head`; that is no failure of the command.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { quiet: error.kind() == std::io::ErrorKind::BrokenPipe, ..Self::failed(error.to_string()) }
    }
}
