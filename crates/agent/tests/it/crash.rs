use std::time::Duration;

use mcplane_agent::protocol::{ExitReason, Report};
use mcplane_agent::{AdoptedState, Executor};

use crate::rig::{Rig, SHIM, alive, command, eventually, kill, number_in, shell, shim_of};

#[tokio::test]
async fn a_server_that_dies_takes_nothing_with_it() {
    let mut rig = Rig::new();
    let running = shell("echo before; while [ ! -e go ]; do sleep 0.02; done; echo after; exit 7");
    let ended = shell("exit 9");
    let (running_attempt, ended_attempt) = (running.attempt, ended.attempt);
    rig.executor.start(running.clone()).await.unwrap();
    let pid = rig.started().await;
    rig.executor.start(ended).await.unwrap();
    rig.started().await;
    let record = rig.folder(ended_attempt).join("exit.json");
    eventually("no exit record", || record.exists()).await;

    let mut rig = rig.restart();
    let adopted = rig.executor.adopt().await.unwrap();
    assert_eq!(adopted.len(), 2);
    for found in adopted {
        match found.state {
            AdoptedState::Running { pid: found_pid } => {
                assert_eq!((found.attempt, found.task, found.fence), (running_attempt, running.task, 1));
                assert_eq!(found_pid, Some(pid));
            }
            AdoptedState::Exited(exit) => assert_eq!((found.attempt, exit.code), (ended_attempt, Some(9))),
            AdoptedState::Lost(why) => panic!("{why}"),
        }
    }
    assert!(alive(pid) && rig.executor.adopt().await.unwrap().is_empty());
    rig.executor.start(running).await.unwrap();
    std::fs::write(rig.folder(running_attempt).join("work/go"), "").unwrap();
    let exit = rig.exited().await;
    assert_eq!((exit.code, exit.reason), (Some(7), ExitReason::Error));
    assert_eq!(rig.text(running_attempt).await, "before\nafter\n");

    // Until they are forgotten, ended attempts are told again.
    let rig = rig.restart();
    assert_eq!(rig.executor.adopt().await.unwrap().len(), 2);
    rig.executor.forget(running_attempt).await.unwrap();
    rig.executor.forget(ended_attempt).await.unwrap();
    assert!(rig.restart().executor.adopt().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_adopted_attempt_can_be_stopped() {
    let mut rig = Rig::new();
    let assignment = command(&["sleep", "1000"]);
    let attempt = assignment.attempt;
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    let mut rig = rig.restart();
    rig.executor.adopt().await.unwrap();
    rig.executor.stop(attempt, None).await.unwrap();
    assert_eq!(rig.exited().await.reason, ExitReason::Cancelled);
}

#[tokio::test]
async fn a_killed_shim_takes_everything_with_it() {
    let mut rig = Rig::new();
    let assignment =
        shell("sh -c 'sleep 1000 & echo $! > a; wait' & setsid sh -c 'echo $$ > b; exec sleep 1000' & wait");
    let folder = rig.folder(assignment.attempt);
    rig.executor.start(assignment).await.unwrap();
    let pid = rig.started().await;
    let grandchild = number_in(folder.join("work/a")).await;
    let escaped = number_in(folder.join("work/b")).await;
    kill(shim_of(&folder));
    let report = rig.report().await;
    let Report::Lost { why, .. } = report else { panic!("{report:?}") };
    assert!(why.contains("without an exit record"), "{why}");
    assert!(!alive(pid) && !alive(grandchild) && !alive(escaped));
    let rig = rig.restart();
    let adopted = rig.executor.adopt().await.unwrap();
    assert_eq!(adopted[0].state, AdoptedState::Lost(why));
}

#[tokio::test]
async fn a_shim_that_dies_while_there_is_no_server_is_found_out() {
    let mut rig = Rig::new();
    let assignment = shell("setsid sh -c 'echo $$ > a; exec sleep 1000' & sleep 1000");
    let folder = rig.folder(assignment.attempt);
    rig.executor.start(assignment).await.unwrap();
    let pid = rig.started().await;
    let escaped = number_in(folder.join("work/a")).await;
    let rig = rig.restart();
    kill(shim_of(&folder));
    eventually("the program outlives the shim", || !alive(pid)).await;
    assert!(alive(escaped), "only the next server can find it");
    let adopted = rig.executor.adopt().await.unwrap();
    assert!(matches!(adopted[0].state, AdoptedState::Lost(_)), "{adopted:?}");
    assert!(!alive(escaped));
}

#[tokio::test]
async fn a_late_shim_starts_nothing() {
    let mut rig = Rig::new();
    let assignment = shell("true");
    let folder = rig.folder(assignment.attempt);
    rig.run(assignment).await;
    // Ended, by an exit record or by being noted as lost.
    for note in ["exit.json", "lost.json"] {
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(folder.join("exit.json"), other.path().join(note)).unwrap();
        let output = std::process::Command::new(SHIM)
            .args(["shim", "run"])
            .arg(other.path())
            .current_dir(other.path())
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("has ended already"));
        assert!(!other.path().join("start.json").exists());
    }
}

#[tokio::test]
async fn a_shim_whose_server_died_while_speaking_starts_nothing() {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    let folder = tempfile::tempdir().unwrap();
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = std::process::Command::new(SHIM);
    command.args(["shim", "run"]).arg(folder.path()).current_dir(folder.path()).stdin(OwnedFd::from(theirs));
    command.stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);
    ours.write_all(br#"{"attempt":"hunter2"#).unwrap();
    drop(ours);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("not whole") && !text.contains("hunter2"), "{text}");
    assert!(!folder.path().join("exit.json").exists() && !folder.path().join("start.json").exists());
}

/// The server dies between making the folder and telling the shim what to do.
#[tokio::test]
async fn what_never_began_begins_anew() {
    let mut rig = Rig::new();
    let assignment = shell("while [ ! -e go ]; do sleep 0.02; done; echo once");
    let model = shell("true");
    let record = rig.folder(model.attempt).join("record.json");
    rig.run(model).await;
    let folder = rig.folder(assignment.attempt);
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    record["attempt"] = assignment.attempt.to_string().into();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("record.json"), record.to_string()).unwrap();
    // Its shim is still on its way.
    let mut late = std::process::Command::new("sh");
    late.args(["-c", "read go; exec \"$0\" shim run \"$1\"", SHIM]).arg(&folder).current_dir(&folder);
    late.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut late = late.spawn().unwrap();

    let mut rig = rig.restart();
    let found = rig.executor.adopt().await.unwrap();
    assert!(found.iter().all(|found| found.attempt != assignment.attempt), "{found:?}");
    assert!(!folder.exists());
    let attempt = assignment.attempt;
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    std::io::Write::write_all(late.stdin.as_mut().unwrap(), b"\n").unwrap();
    let late = late.wait_with_output().unwrap();
    assert!(!late.status.success() && !late.stderr.is_empty(), "{late:?}");
    std::fs::write(folder.join("work/go"), "").unwrap();
    assert_eq!(rig.exited().await.reason, ExitReason::Completed);
    assert_eq!(rig.text(attempt).await, "once\n");
}

#[tokio::test]
async fn another_boot_and_other_folders() {
    let root = tempfile::tempdir().unwrap();
    let mut rig = Rig::at(root.path());
    let assignment = command(&["sleep", "1000"]);
    let (attempt, folder) = (assignment.attempt, rig.folder(assignment.attempt));
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    let copy = uuid::Uuid::new_v4();
    std::fs::create_dir(root.path().join(copy.to_string())).unwrap();
    let record = std::fs::read_to_string(folder.join("record.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["attempt"] = copy.to_string().into();
    record["boot"] = "another".into();
    std::fs::write(root.path().join(copy.to_string()).join("record.json"), record.to_string()).unwrap();
    let broken = root.path().join(uuid::Uuid::new_v4().to_string());
    std::fs::create_dir(&broken).unwrap();
    std::fs::create_dir(root.path().join(".new-half")).unwrap();
    std::fs::create_dir(root.path().join("lost+found")).unwrap();

    let mut rig = rig.restart();
    let mut adopted = rig.executor.adopt().await.unwrap();
    adopted.sort_by_key(|found| found.attempt == attempt);
    assert_eq!(adopted.len(), 2);
    assert_eq!(
        (adopted[0].attempt, &adopted[0].state),
        (copy, &AdoptedState::Lost("the machine was restarted".into()))
    );
    assert!(matches!(adopted[1].state, AdoptedState::Running { .. }));
    assert!(!broken.exists() && !root.path().join(".new-half").exists() && root.path().join("lost+found").exists());
    rig.executor.stop(attempt, Some(Duration::ZERO)).await.unwrap();
    rig.exited().await;
}
