//! Writing to the terminal or whatever stands in for it.

use std::io::{self, IsTerminal, Write};

use super::failure::Failure;
use crate::config::Style;

/// Writes text as it is to standard output.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line to standard output.
pub(super) fn print_line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Writes a line to standard error; if that fails nobody is left to tell.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Colours on a terminal, unless `NO_COLOR` is set to anything (<https://no-color.org>).
pub(super) fn style() -> Style {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Style { colour: wanted && io::stdout().is_terminal() }
}

/// A number that was measured of a version in service, with its unit where it has one.
pub(super) fn measured(metric: &str, value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if metric == "latency" => format!("{value:.2} ms"),
        Some(value) => format!("{value:.4}"),
    }
}
