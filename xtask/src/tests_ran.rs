//! All tests, and the proof that no backend's suite was left out.

use crate::{Fault, policy, shell};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

pub(crate) fn run(args: &[String]) -> Result<(), Fault> {
    let nextest = shell::succeeds("cargo-nextest", &["nextest", "--version"]);
    let mut cargo = match nextest {
        true => {
            let mut cargo = shell::cargo(&["nextest", "run", "--locked", "--workspace", "--profile", "ci"]);
            // Half of the time a test of servers waits for one.
            let threads = 2 * std::thread::available_parallelism().map_or(1, usize::from);
            cargo.arg(format!("--test-threads={threads}"));
            cargo
        }
        false => shell::cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]),
    };
    let (passed, failed, ok) = watch(cargo.args(args))?;
    let short: Vec<String> = policy::SUITES.iter().filter_map(|suite| suite.short_of(&passed)).collect();
    // Alone on its line and last, whatever the runner prints itself.
    println!("\ntests: {} passed, {failed} failed", passed.len());
    if !ok {
        return Err("some tests failed".into());
    }
    if args.is_empty() && !short.is_empty() {
        return Err(format!("suites are missing, so something was not tested: {}", short.join("; ")));
    }
    Ok(())
}

/// Shows what the runner prints and picks the names of the tests that passed.
fn watch(command: &mut Command) -> Result<(Vec<String>, usize, bool), Fault> {
    // One pipe for both streams keeps their order; nextest reports on standard error, libtest on standard output.
    let (reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
    let other = writer.try_clone().map_err(|error| error.to_string())?;
    command.stdout(Stdio::from(writer)).stderr(Stdio::from(other));
    let mut child = command.spawn().map_err(|error| format!("cannot run the tests: {error}"))?;
    // The command holds our copies of the writing end: as long as they are open, the reader sees no end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (mut passed, mut failed) = (Vec::new(), 0);
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(|error| error.to_string())?;
        let line = String::from_utf8_lossy(&line);
        let mut terminal = std::io::stdout().lock();
        writeln!(terminal, "{line}").map_err(|error| error.to_string())?;
        match outcome(&line) {
            Some((name, true)) => passed.push(name.to_owned()),
            Some((_, false)) => failed += 1,
            None => {}
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok((passed, failed, status.success()))
}

/// `PASS [   0.007s] (1/4) mcplane::it kubectl::apply` of nextest or `test kubectl::apply ... ok` of libtest.
fn outcome(line: &str) -> Option<(&str, bool)> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("test ") {
        let (name, result) = rest.rsplit_once(" ... ")?;
        return match result {
            "ok" => Some((name, true)),
            "FAILED" => Some((name, false)),
            _ => None,
        };
    }
    let (word, rest) = line.split_once('[')?;
    let passed = match word.trim() {
        "PASS" | "LEAK" => true,
        "FAIL" | "TIMEOUT" | "ABORT" | "SIGABRT" | "SIGKILL" | "SIGSEGV" => false,
        _ => return None,
    };
    let name = rest.split_once(']')?.1.trim();
    // Failures are listed again in the summary, there without their place in the queue.
    let name = name.strip_prefix('(')?.split_once(')')?.1.trim();
    Some((name, passed))
}

#[cfg(test)]
mod tests {
    use super::outcome;

    #[test]
    fn outcomes_of_both_runners() {
        let cases = [
            ("        PASS [   0.007s] (1/4) mcplane-db::it postgres::a", Some(("mcplane-db::it postgres::a", true))),
            ("        FAIL [   0.007s] (12/40) mcplane x", Some(("mcplane x", false))),
            ("test sqlite::b ... ok", Some(("sqlite::b", true))),
            ("test sqlite::b ... FAILED", Some(("sqlite::b", false))),
            ("test result: ok. 4 passed; 0 failed", None),
            ("     Summary [   0.504s] 4 tests run: 4 passed, 0 skipped", None),
            ("        SLOW [> 60.000s] mcplane x", None),
        ];
        for (line, expected) in cases {
            assert_eq!(outcome(line), expected, "{line}");
        }
    }
}
