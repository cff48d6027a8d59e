//! Running programs: output with context on failure, and children that die with the test.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a finished program left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output of a program that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == 0, "{self}");
        self.stdout
    }

    /// Standard error of a program that must have failed.
    #[track_caller]
    pub fn err(self) -> String {
        assert!(self.code != 0, "expected a failure: {self}");
        self.stderr
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "$ {}\nexit {}\n{}{}", self.command, self.code, self.stdout, self.stderr)
    }
}

/// Runs a program to its end, with `stdin` if there is any.
pub fn run(command: &mut Command, stdin: Option<&[u8]>) -> Output {
    let line = line(command);
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run `{line}`: {error}"));
    let feeder = child.stdin.take().zip(stdin).map(|(mut pipe, bytes)| {
        let bytes = bytes.to_vec();
        // A program that ends before it has read everything is no fault of the test.
        std::thread::spawn(move || pipe.write_all(&bytes).ok())
    });
    let output = child.wait_with_output().expect("output of a child");
    if let Some(feeder) = feeder {
        feeder.join().expect("stdin feeder");
    }
    Output {
        command: line,
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The first directory of `PATH` and `more` that holds `program`.
pub fn find(program: &str, more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(more.iter().cloned()).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Sends a signal (`TERM`, `KILL`, …) to a process that the test started.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot send SIG{name} to {pid}");
}

/// Processor time that a process spent so far, in milliseconds, without that of its children. The kernel tells it in steps of 10 ms.
pub fn cpu_ms(pid: u32) -> f64 {
    /// The kernel's ticks, fixed for user space on Linux.
    const TICK_MS: f64 = 10.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The second field is the name in parentheses, which may hold blanks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) * TICK_MS
}

/// Kills a process when this test process is gone, however it went: a shell waits on a pipe that only the test holds.
#[derive(Debug)]
pub struct Watchdog(Child);

impl Watchdog {
    /// Watches over `pid`.
    pub fn over(pid: u32) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "read -r _ || kill -9 \"$0\" 2>/dev/null", &pid.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("sh is everywhere"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            pipe.write_all(b"released\n").ok();
        }
        self.0.wait().ok();
    }
}

/// A program that runs beside the test, its output going to a file.
#[derive(Debug)]
pub struct Background {
    child: Child,
    output: tempfile::NamedTempFile,
}

impl Background {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let output = tempfile::NamedTempFile::new().expect("temporary file");
        let file = output.reopen().expect("temporary file");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("temporary file")).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run `{}`: {error}", line(command)));
        Self { child, output }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.output.path()).unwrap_or_default()).into_owned()
    }

    /// Waits until it has printed `text`, and gives everything up to then.
    #[track_caller]
    pub fn until(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let output = self.output();
            if output.contains(text) {
                return output;
            }
            assert!(Instant::now() < deadline, "no `{text}` in:\n{output}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end, and gives exit code and output.
    pub fn finish(mut self, seconds: u64) -> (i32, String) {
        let status = crate::eventually("the program ends", seconds, || self.child.try_wait().expect("child"));
        (status.code().unwrap_or(-1), self.output())
    }
}

/// What it is to have done by now, when it has not: its output tells why.
impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} printed:\n{}\nand is not ready", self.pid(), self.output())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Random hexadecimal digits for names and passwords of test backends.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    let mut source = std::fs::File::open("/dev/urandom").expect("/dev/urandom");
    std::io::Read::read_exact(&mut source, &mut buffer).expect("/dev/urandom");
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_kills_what_it_watches_only_when_the_pipe_breaks() {
        let mut kept = Command::new("sleep").arg("60").spawn().unwrap();
        drop(Watchdog::over(kept.id()));
        assert!(kept.try_wait().unwrap().is_none(), "a released watchdog must do nothing");

        let mut dog = Watchdog::over(kept.id());
        drop(dog.0.stdin.take());
        assert!(!kept.wait().unwrap().success(), "a broken pipe means that the test is gone");
    }

    #[test]
    fn output_carries_code_and_streams() {
        let output = run(Command::new("sh").args(["-c", "cat; echo oops >&2; exit 3"]), Some(b"hello"));
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (3, "hello", "oops\n"));
    }
}
