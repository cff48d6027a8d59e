//! Running programs, with faults as sentences.

use crate::Fault;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The cargo that runs us, at the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    // What it told us of this package is read by build scripts of others (ring's), which would run again whenever
    // somebody calls cargo by hand in between, and with them half of the build.
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    command
}

/// The workspace's root. Cargo tells it whenever it runs us; where we were built may be another clone, which shared this
/// target directory.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&manifest).join("..")
    });
    &ROOT
}

/// Cargo's target directory: this program lies in it.
pub(crate) fn target_dir() -> Result<PathBuf, Fault> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let dir = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    dir.map(Path::to_path_buf).ok_or_else(|| format!("{} is not in a target directory", exe.display()))
}

/// Runs a program to its end with our own streams.
pub(crate) fn run(command: &mut Command) -> Result<(), Fault> {
    let status = command.status().map_err(|error| format!("cannot run {}: {error}", line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", line(command))) }
}

/// Standard output of a program that succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String, Fault> {
    let output = command.output().map_err(|error| format!("cannot run {}: {error}", line(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{} ended with {}: {}", line(command), output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Whether a program exists and succeeds, in silence.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
