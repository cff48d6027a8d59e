use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use mcplane_agent::protocol::{ExitReason, File, Limits, Report};
use mcplane_agent::{Executor, ExecutorError};
use uuid::Uuid;

use crate::rig::{Rig, alive, command, eventually, number_in, shell, shim_of};

#[tokio::test]
async fn a_program_that_ends_well() {
    let mut rig = Rig::new();
    let assignment = shell("echo hello; echo trouble >&2");
    let attempt = assignment.attempt;
    let exit = rig.run(assignment).await;
    assert_eq!((exit.code, exit.signal, exit.reason), (Some(0), None, ExitReason::Completed));
    assert!(exit.finished_at >= exit.started_at && exit.usage.peak_memory_bytes > 0);
    let text = rig.text(attempt).await;
    assert!(text.contains("hello\n") && text.contains("trouble\n"), "{text}");
    eventually("the work folder stays", || !rig.folder(attempt).join("work").exists()).await;
}

#[tokio::test]
async fn codes_and_signals_are_told() {
    let mut rig = Rig::new();
    let exit = rig.run(shell("exit 42")).await;
    assert_eq!((exit.code, exit.signal, exit.reason), (Some(42), None, ExitReason::Error));
    let exit = rig.run(shell("kill -ABRT $$")).await;
    assert_eq!((exit.code, exit.signal, exit.reason), (None, Some(6), ExitReason::Error));
}

#[tokio::test]
async fn what_can_not_start_says_why() {
    let mut rig = Rig::new();
    let mut nowhere = shell("true");
    nowhere.working_dir = Some("/no/such/place".into());
    let mut escaping = shell("true");
    escaping.files = vec![File { path: "../evil".into(), content: vec![], mode: 0o600 }];
    let mut missing = shell("true");
    missing.code = Some("/no/such/archive.tar.gz".into());
    let cases = [
        (command(&["no-such-program"]), "no-such-program: no such program"),
        (command(&["/etc/passwd"]), "/etc/passwd: not allowed to execute it"),
        (nowhere, "working directory /no/such/place: no such directory"),
        (escaping, "leads out of the folder"),
        (missing, "code archive: No such file"),
    ];
    for (assignment, expected) in cases {
        rig.executor.start(assignment).await.unwrap();
        let exit = rig.exited().await;
        let ExitReason::StartError(why) = &exit.reason else { panic!("{exit:?}") };
        assert!(why.contains(expected), "{why}");
        assert_eq!((exit.code, exit.signal), (None, None));
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_at_once() {
    let rig = Rig::new();
    let mut bad_name = shell("true");
    bad_name.env.push(("A=B".into(), "hunter2".into()));
    let mut bad_value = shell("true");
    bad_value.env.push(("A".into(), "hunter2\0".into()));
    let mut bad_log = shell("true");
    bad_log.log.segment_bytes = 0;
    for assignment in [command(&[]), command(&[""]), command(&["a", "\0"]), bad_name, bad_value, bad_log] {
        let error = rig.executor.start(assignment).await.unwrap_err();
        assert!(matches!(error, ExecutorError::Invalid(_)), "{error:?}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn the_environment_is_the_assignment_s_and_nothing_else() {
    let mut rig = Rig::new();
    let mut assignment = command(&["env"]);
    assignment.env.push(("TOKEN".into(), "secret value".into()));
    let attempt = assignment.attempt;
    rig.run(assignment).await;
    let text = rig.text(attempt).await;
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, ["MCPLANE_WORK_DIR", "PATH", "TOKEN"], "{text}");
    assert!(text.contains("TOKEN=secret value\n"));
}

#[tokio::test]
async fn secrets_are_in_their_file_alone_and_gone_with_the_program() {
    let mut rig = Rig::new();
    let mut assignment = shell("cat keys/token; while [ ! -e go ]; do sleep 0.02; done");
    assignment.env.push(("PASSWORD".into(), "hunter2".into()));
    assignment.files = vec![File { path: "keys/token".into(), content: b"hunter2\n".to_vec(), mode: 0o400 }];
    let attempt = assignment.attempt;
    let folder = rig.folder(attempt);
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    let holds = || {
        let output = std::process::Command::new("grep").args(["-rl", "hunter2"]).arg(&folder).output().unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.replace(folder.to_str().unwrap(), ""))
            .collect()
    };
    let mut found: Vec<String> = holds();
    found.retain(|path| !path.starts_with("/log/"));
    assert_eq!(found, ["/work/keys/token"]);
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::write(folder.join("work/go"), "").unwrap();
    assert_eq!(rig.exited().await.code, Some(0));
    let found: Vec<String> = holds();
    assert!(found.iter().all(|path| path.starts_with("/log/")), "{found:?}");
    assert!(rig.text(attempt).await.starts_with("hunter2\n"));
}

#[tokio::test]
async fn code_is_unpacked_and_run() {
    let mut rig = Rig::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("pkg")).unwrap();
    std::fs::write(folder.path().join("pkg/main.sh"), "#!/bin/sh\necho ran in $PWD with $1\n").unwrap();
    std::fs::set_permissions(folder.path().join("pkg/main.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    let archive = folder.path().join("code.tar.gz");
    let made = std::process::Command::new("tar")
        .args(["-C", folder.path().to_str().unwrap(), "-czf"])
        .arg(&archive)
        .arg("pkg")
        .status();
    assert!(made.unwrap().success());
    let mut assignment = command(&["./main.sh", "an argument"]);
    assignment.code = Some(archive);
    assignment.working_dir = Some("pkg".into());
    let attempt = assignment.attempt;
    let exit = rig.run(assignment).await;
    let text = rig.text(attempt).await;
    assert_eq!(exit.code, Some(0), "{text}");
    assert!(text.contains("/work/pkg with an argument"), "{text}");
}

#[tokio::test]
async fn limits_that_every_machine_has_hold_and_others_are_told() {
    let mut rig = Rig::new();
    let mut assignment = shell("ulimit -n; ulimit -c; ulimit -v");
    assignment.limits = Limits { open_files: Some(123), memory_bytes: Some(1 << 20), ..Limits::default() };
    let attempt = assignment.attempt;
    rig.executor.start(assignment).await.unwrap();
    let report = rig.report().await;
    let Report::Started { unenforced, .. } = report else { panic!("{report:?}") };
    let enforced = rig.executor.unenforced().is_empty();
    assert_eq!(unenforced.is_empty(), enforced);
    rig.exited().await;
    if !enforced {
        assert_eq!(unenforced, ["memory"]);
        assert_eq!(rig.text(attempt).await, "123\n0\nunlimited\n");
    }
}

#[tokio::test]
async fn a_deadline_ends_it() {
    let mut rig = Rig::new();
    let mut assignment = shell("trap 'exit 3' TERM; while :; do sleep 0.05; done");
    assignment.deadline = Some(Duration::from_millis(300));
    let began = Instant::now();
    let exit = rig.run(assignment).await;
    assert_eq!((exit.code, exit.reason), (Some(3), ExitReason::DeadlineExceeded));
    assert!(exit.finished_at - exit.started_at >= 300);
    assert!(began.elapsed() < Duration::from_secs(15), "it ended within its grace");
}

#[tokio::test]
async fn one_that_ignores_sigterm_is_killed_after_its_grace() {
    let mut rig = Rig::new();
    let mut assignment = shell("trap '' TERM; echo ready > ready; while :; do sleep 0.05; done");
    assignment.grace = Duration::from_millis(400);
    let (attempt, ready) = (assignment.attempt, rig.folder(assignment.attempt).join("work/ready"));
    rig.executor.start(assignment).await.unwrap();
    let pid = rig.started().await;
    eventually("the script is not ready", || ready.exists()).await;
    let asked = Instant::now();
    rig.executor.stop(attempt, None).await.unwrap();
    let exit = rig.exited().await;
    assert_eq!((exit.signal, exit.reason), (Some(9), ExitReason::Cancelled));
    assert!(asked.elapsed() >= Duration::from_millis(400) && !alive(pid));
    rig.executor.stop(attempt, None).await.unwrap();
}

#[tokio::test]
async fn a_stop_may_bring_its_own_grace_and_shorten_it() {
    let mut rig = Rig::new();
    let assignment = shell("trap '' TERM; echo ready > ready; while :; do sleep 0.05; done");
    let (attempt, ready) = (assignment.attempt, rig.folder(assignment.attempt).join("work/ready"));
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    eventually("the script is not ready", || ready.exists()).await;
    let began = Instant::now();
    rig.executor.stop(attempt, Some(Duration::from_secs(600))).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), rig.reports.recv()).await.is_err());
    rig.executor.stop(attempt, Some(Duration::ZERO)).await.unwrap();
    assert_eq!(rig.exited().await.signal, Some(9));
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_stop_right_after_the_start_is_not_lost() {
    let mut rig = Rig::new();
    for _ in 0..10 {
        let assignment = command(&["sleep", "100"]);
        let attempt = assignment.attempt;
        rig.executor.start(assignment).await.unwrap();
        rig.executor.stop(attempt, None).await.unwrap();
        let exit = match rig.report().await {
            Report::Started { .. } => rig.exited().await,
            Report::Exited { exit, .. } => exit,
            lost => panic!("{lost:?}"),
        };
        assert_eq!(exit.reason, ExitReason::Cancelled);
    }
}

#[tokio::test]
async fn nothing_that_it_leaves_behind_stays() {
    let mut rig = Rig::new();
    // One in the group, one deaf to SIGTERM, one in a session of its own.
    let mut assignment = shell(
        "sleep 1000 & echo $! > a; \
         sh -c \"trap '' TERM; echo \\$\\$ > b; while :; do sleep 0.05; done\" & \
         setsid sh -c 'echo $$ > c; sleep 1000' & \
         while [ ! -s a ] || [ ! -s b ] || [ ! -s c ]; do sleep 0.02; done; cp a b c ../log; exit 5",
    );
    assignment.grace = Duration::from_millis(300);
    let folder = rig.folder(assignment.attempt);
    let exit = rig.run(assignment).await;
    assert_eq!((exit.code, exit.reason), (Some(5), ExitReason::Error));
    for name in ["a", "b", "c"] {
        let pid = number_in(folder.join("log").join(name)).await;
        assert!(!alive(pid), "{name} is still there");
    }
}

#[tokio::test]
async fn a_stop_reaches_grandchildren() {
    let mut rig = Rig::new();
    let assignment = shell("sh -c 'sleep 1000 & echo $! > pid; wait' & wait");
    let (attempt, pid) = (assignment.attempt, rig.folder(assignment.attempt).join("work/pid"));
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    let grandchild = number_in(pid).await;
    rig.executor.stop(attempt, None).await.unwrap();
    let exit = rig.exited().await;
    assert_eq!((exit.signal, exit.reason), (Some(15), ExitReason::Cancelled));
    assert!(!alive(grandchild));
}

#[tokio::test]
async fn an_attempt_starts_once_and_an_old_one_never() {
    let mut rig = Rig::new();
    let mut assignment = shell("echo once >> ../count; sleep 0.2");
    assignment.fence = 5;
    let folder = rig.folder(assignment.attempt);
    let (first, second) = tokio::join!(rig.executor.start(assignment.clone()), rig.executor.start(assignment.clone()));
    first.and(second).unwrap();
    rig.started().await;
    rig.executor.start(assignment.clone()).await.unwrap();
    assert_eq!(rig.exited().await.code, Some(0));
    rig.executor.start(assignment.clone()).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("count")).unwrap(), "once\n");

    let mut stale = assignment.clone();
    (stale.attempt, stale.fence) = (Uuid::new_v4(), 4);
    let refused = rig.executor.start(stale).await.unwrap_err();
    assert!(matches!(refused, ExecutorError::Fenced { fence: 4, highest: 5, .. }), "{refused:?}");
    let mut next = assignment.clone();
    (next.attempt, next.fence) = (Uuid::new_v4(), 6);
    assert_eq!(rig.run(next).await.code, Some(0));
}

#[tokio::test]
async fn what_is_forgotten_is_gone() {
    let mut rig = Rig::new();
    let assignment = command(&["sleep", "1000"]);
    let (attempt, folder) = (assignment.attempt, rig.folder(assignment.attempt));
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    assert!(matches!(rig.executor.forget(attempt).await, Err(ExecutorError::Running(_))));
    rig.executor.stop(attempt, Some(Duration::ZERO)).await.unwrap();
    rig.exited().await;
    rig.executor.forget(attempt).await.unwrap();
    assert!(!folder.exists());
    for error in [rig.executor.forget(attempt).await, rig.executor.stop(attempt, None).await] {
        assert!(matches!(error, Err(ExecutorError::Unknown(_))));
    }
}

#[tokio::test]
async fn a_sweep_takes_the_old_and_then_the_oldest() {
    let mut rig = Rig::new();
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let assignment = shell("head -c 50000 /dev/zero | tr '\\0' 'x'");
        attempts.push(assignment.attempt);
        rig.run(assignment).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let running = command(&["sleep", "1000"]);
    let running_attempt = running.attempt;
    rig.executor.start(running).await.unwrap();
    rig.started().await;
    // A report that was sent is settled a moment later.
    let day = Duration::from_secs(86_400);
    assert!(rig.executor.sweep(day, u64::MAX).await.unwrap().attempts.is_empty());
    let swept = rig.executor.sweep(day, 120_000).await.unwrap();
    assert_eq!(swept.attempts, attempts[..1]);
    assert!(swept.bytes >= 50_000 && !rig.folder(attempts[0]).exists());
    tokio::time::sleep(Duration::from_millis(5)).await;
    let swept = rig.executor.sweep(Duration::ZERO, u64::MAX).await.unwrap();
    assert_eq!(swept.attempts, attempts[1..]);
    assert!(rig.folder(running_attempt).exists());
    rig.executor.stop(running_attempt, Some(Duration::ZERO)).await.unwrap();
    rig.exited().await;
}

#[tokio::test]
async fn the_shim_has_a_session_of_its_own() {
    let mut rig = Rig::new();
    let assignment = command(&["sleep", "1000"]);
    let attempt = assignment.attempt;
    rig.executor.start(assignment).await.unwrap();
    let pid = rig.started().await;
    let shim = shim_of(&rig.folder(attempt));
    let raw = |pid: i32| rustix::process::Pid::from_raw(pid);
    let child = i32::try_from(pid).unwrap();
    assert_eq!(rustix::process::getsid(raw(shim)).unwrap().as_raw_pid(), shim);
    assert_eq!(rustix::process::getsid(raw(child)).unwrap().as_raw_pid(), shim);
    assert_eq!(rustix::process::getpgid(raw(child)).unwrap().as_raw_pid(), child);
    rig.executor.stop(attempt, Some(Duration::ZERO)).await.unwrap();
    rig.exited().await;
}
