//! What an attempt costs beside the bare start of the same command: processor time of everybody involved, and time.
//!
//! `cargo bench -p mcplane-agent --bench spawn`; `MCPLANE_BENCH_SHIM` names another program to be the shim, such as the
//! server's own, which is what runs in earnest.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use mcplane_agent::protocol::{Assignment, Limits, LogLimits, Report};
use mcplane_agent::{Executor, ExecutorError, ProcessExecutor};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokio::sync::mpsc;
use uuid::Uuid;

const RUNS: u32 = 300;
const ROUNDS: usize = 5;
const PROGRAM: &str = "/bin/true";

#[derive(Debug)]
struct Cost {
    wall: Duration,
    cpu: Duration,
    /// Of that, this process: what an executor costs the server.
    own: Duration,
}

/// Processor time of this process, and of all that it has waited for; shims wait for their commands.
fn cpu() -> (Duration, Duration) {
    let of = |who| {
        let Ok(usage) = getrusage(who) else { return Duration::ZERO };
        let time = |time: TimeVal| {
            Duration::from_secs(time.tv_sec().unsigned_abs()) + Duration::from_micros(time.tv_usec().unsigned_abs())
        };
        time(usage.user_time()) + time(usage.system_time())
    };
    (of(UsageWho::RUSAGE_SELF), of(UsageWho::RUSAGE_CHILDREN))
}

impl Cost {
    fn since(began: Instant, before: (Duration, Duration)) -> Self {
        let now = cpu();
        let own = now.0 - before.0;
        Self { wall: began.elapsed() / RUNS, cpu: (own + now.1 - before.1) / RUNS, own: own / RUNS }
    }
}

fn bare() -> std::io::Result<Cost> {
    let (began, before) = (Instant::now(), cpu());
    for _ in 0..RUNS {
        Command::new(PROGRAM).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    }
    Ok(Cost::since(began, before))
}

async fn shimmed(executor: &ProcessExecutor, reports: &mut mpsc::Receiver<Report>) -> Result<Cost, ExecutorError> {
    let (began, before) = (Instant::now(), cpu());
    for run in 0..RUNS {
        let attempt = Uuid::new_v4();
        executor.start(assignment(attempt, run)).await?;
        while let Some(report) = reports.recv().await {
            if matches!(report, Report::Exited { .. } | Report::Lost { .. }) {
                break;
            }
        }
    }
    Ok(Cost::since(began, before))
}

fn assignment(attempt: Uuid, run: u32) -> Assignment {
    Assignment {
        attempt,
        // The upper half of a random number: tasks of several rounds must not meet.
        task: i64::from_le_bytes(*attempt.as_bytes().first_chunk().unwrap_or(&[0; 8])),
        fence: i64::from(run) + 1,
        name: "bench".into(),
        namespace: "default".into(),
        command: vec![PROGRAM.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        files: Vec::new(),
        fresh: None,
        working_dir: None,
        code: None,
        limits: Limits::default(),
        deadline: Some(Duration::from_secs(60)),
        grace: Duration::from_secs(1),
        log: LogLimits::default(),
    }
}

/// Resident memory of a shim that holds a command, in kilobytes: of its own, and shared with the program's file.
async fn memory(
    executor: &ProcessExecutor,
    root: &std::path::Path,
    reports: &mut mpsc::Receiver<Report>,
) -> Result<(), ExecutorError> {
    let attempt = Uuid::new_v4();
    let sleeping = Assignment { command: vec!["sleep".into(), "100".into()], ..assignment(attempt, 0) };
    executor.start(sleeping).await?;
    reports.recv().await;
    let lock = std::fs::read_to_string(root.join(attempt.to_string()).join("lock")).unwrap_or_default();
    let pid =
        serde_json::from_str::<serde_json::Value>(&lock).map(|value| value["pid"].to_string()).unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let fields = ["VmRSS", "RssAnon", "RssFile", "Threads"];
    let lines = status.lines().filter(|line| fields.iter().any(|field| line.starts_with(field)));
    println!("shim at rest: {}", lines.map(|line| line.replace(['\t', ' '], "")).collect::<Vec<_>>().join(" "));
    executor.stop(attempt, Some(Duration::ZERO)).await?;
    reports.recv().await;
    Ok(())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let shim = std::env::var_os("MCPLANE_BENCH_SHIM").map(PathBuf::from);
    let shim = shim.unwrap_or_else(|| env!("CARGO_BIN_EXE_mcplane-shim-test").into());
    let root = tempfile::tempdir()?;
    let (sender, mut reports) = mpsc::channel(16);
    let executor = ProcessExecutor::new(root.path(), &shim, sender)?;
    println!("{PROGRAM}, {RUNS} in turn, {ROUNDS} rounds; shim {}", shim.display());
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        // Beside each other, so that what else the machine does hits both.
        let (bare, shimmed) = (bare()?, shimmed(&executor, &mut reports).await?);
        println!("bare {:?} wall, {:?} cpu; shim {:?} wall, {:?} cpu", bare.wall, bare.cpu, shimmed.wall, shimmed.cpu);
        rounds.push((bare, shimmed));
    }
    rounds.sort_by_key(|(_, shimmed)| shimmed.cpu);
    let (bare, shimmed) = &rounds[rounds.len() / 2];
    println!(
        "median: bare {:.2} ms cpu, {:.2} ms wall; attempt {:.2} ms cpu ({:.2} the executor's), {:.2} ms wall; ratio {:.1} cpu, {:.1} wall",
        bare.cpu.as_secs_f64() * 1e3,
        bare.wall.as_secs_f64() * 1e3,
        shimmed.cpu.as_secs_f64() * 1e3,
        shimmed.own.as_secs_f64() * 1e3,
        shimmed.wall.as_secs_f64() * 1e3,
        shimmed.cpu.as_secs_f64() / bare.cpu.as_secs_f64(),
        shimmed.wall.as_secs_f64() / bare.wall.as_secs_f64(),
    );
    memory(&executor, root.path(), &mut reports).await?;
    Ok(())
}

fn main() -> ExitCode {
    // Tests of all targets build this one too, and need not wait for it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
