use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use mcplane_agent::Executor;
use mcplane_agent::logs::LogOptions;
use mcplane_agent::protocol::LogLimits;

use crate::rig::{PATIENCE, Rig, command, eventually, shell};

#[tokio::test]
async fn every_byte_comes_back() {
    let mut rig = Rig::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("garbage");
    let mut garbage = Vec::new();
    let mut state = 1_u64;
    while garbage.len() < 3 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        garbage.extend_from_slice(&state.to_le_bytes());
    }
    garbage.extend_from_slice(&[b'x'; 100_000]);
    garbage.extend_from_slice(b"\r 50%\r100%");
    std::fs::write(&path, &garbage).unwrap();
    let assignment = command(&["cat", path.to_str().unwrap()]);
    let attempt = assignment.attempt;
    assert_eq!(rig.run(assignment).await.code, Some(0));
    let read = rig.log(attempt, LogOptions::default()).await;
    assert!(read == garbage, "{} bytes of {}", read.len(), garbage.len());
    let limit = LogOptions { limit_bytes: Some(1000), ..LogOptions::default() };
    assert!(rig.log(attempt, limit).await == garbage[..1000]);
}

#[tokio::test]
async fn entries_are_in_the_format_of_container_runtimes() {
    let mut rig = Rig::new();
    let assignment = shell("echo out; sleep 0.1; echo err >&2; printf rest");
    let attempt = assignment.attempt;
    rig.run(assignment).await;
    let text = std::fs::read_to_string(rig.folder(attempt).join("log/0000000001.log")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, expected) in lines.iter().zip(["stdout F out", "stderr F err", "stdout P rest"]) {
        let (time, rest) = line.split_once(' ').unwrap();
        let parsed: jiff::Timestamp = time.parse().unwrap();
        assert_eq!((time.len(), rest), ("2016-10-06T00:17:09.669794202Z".len(), expected));
        assert!(parsed.duration_until(jiff::Timestamp::now()).abs().as_secs() < 120);
    }
}

#[tokio::test]
async fn the_last_lines_the_new_lines_and_their_times() {
    let mut rig = Rig::new();
    let assignment = shell("for i in 1 2 3; do echo $i; done; sleep 0.3; for i in 4 5; do echo $i; done");
    let attempt = assignment.attempt;
    let exit = rig.run(assignment).await;
    let tail = |lines| LogOptions { tail_lines: Some(lines), ..LogOptions::default() };
    assert_eq!(rig.log(attempt, tail(2)).await, b"4\n5\n");
    assert_eq!(rig.log(attempt, tail(0)).await, b"");
    assert_eq!(rig.log(attempt, tail(99)).await, b"1\n2\n3\n4\n5\n");
    let since = LogOptions { since: Some(exit.started_at + 250), ..LogOptions::default() };
    assert_eq!(rig.log(attempt, since).await, b"4\n5\n");
    let timed = LogOptions { timestamps: true, tail_lines: Some(1), ..LogOptions::default() };
    let text = String::from_utf8(rig.log(attempt, timed).await).unwrap();
    let (time, rest) = text.split_once(' ').unwrap();
    assert_eq!((time.parse::<jiff::Timestamp>().is_ok(), rest), (true, "5\n"));
}

#[tokio::test]
async fn a_follower_sees_lines_as_they_come_and_ends_with_the_attempt() {
    let mut rig = Rig::new();
    let assignment = shell("echo one; printf 'progress 10%%\\r'; while [ ! -e go ]; do sleep 0.02; done; echo two");
    let attempt = assignment.attempt;
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    let mut stream = rig.executor.logs(attempt, LogOptions { follow: true, ..LogOptions::default() }).unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"progress 10%\r") {
        let piece = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a line is late").unwrap().unwrap();
        seen.extend_from_slice(&piece);
    }
    assert_eq!(seen, b"one\nprogress 10%\r");
    std::fs::write(rig.folder(attempt).join("work/go"), "").unwrap();
    let rest: Vec<_> = tokio::time::timeout(PATIENCE, stream.try_collect()).await.expect("no end").unwrap();
    assert_eq!(rest.concat(), b"two\n");
    rig.exited().await;
}

#[tokio::test]
async fn segments_turn_and_a_reader_learns_what_it_missed() {
    let mut rig = Rig::new();
    let mut assignment = shell("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done");
    assignment.log = LogLimits { segment_bytes: 10_000, total_bytes: 30_000 };
    let attempt = assignment.attempt;
    let exit = rig.run(assignment).await;
    assert_eq!(exit.log_lost_bytes, 0);
    let sizes = std::fs::read_dir(rig.folder(attempt).join("log")).unwrap();
    let total: u64 = sizes.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(total <= 30_000, "{total}");
    let text = rig.text(attempt).await;
    let (notice, rest) = text.split_once('\n').unwrap();
    assert!(notice.starts_with("[mcplane] older output was dropped"), "{notice}");
    let lines: Vec<&str> = rest.lines().collect();
    let expected: Vec<String> = (3000 - lines.len()..3000).map(|number| format!("line {number}")).collect();
    assert!(lines.len() > 300);
    assert_eq!(lines, expected);
    let tail = LogOptions { tail_lines: Some(300), ..LogOptions::default() };
    let text = String::from_utf8(rig.log(attempt, tail).await).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected[expected.len() - 300..]);
}

#[tokio::test]
async fn a_slow_reader_does_not_hold_up_the_program() {
    let mut rig = Rig::new();
    let mut assignment = shell("sleep 0.3; head -c 30000000 /dev/zero | tr '\\0' 'a' | fold -w 100");
    assignment.log = LogLimits { segment_bytes: 1 << 20, total_bytes: 4 << 20 };
    let attempt = assignment.attempt;
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    // Opened at the start, and not read while the program runs.
    let stream = rig.executor.logs(attempt, LogOptions { follow: true, ..LogOptions::default() }).unwrap();
    let began = Instant::now();
    assert_eq!(rig.exited().await.code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(40));
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    assert!(pieces.iter().all(|piece| piece.len() <= 256 << 10));
    let text = String::from_utf8(pieces.concat()).unwrap();
    assert!(text.contains("[mcplane] older output was dropped") && text.len() < 6 << 20);
}

#[tokio::test]
async fn a_log_of_an_unknown_attempt_and_of_one_that_says_nothing() {
    let mut rig = Rig::new();
    assert!(rig.executor.logs(uuid::Uuid::new_v4(), LogOptions::default()).is_err());
    let assignment = command(&["true"]);
    let attempt = assignment.attempt;
    rig.run(assignment).await;
    assert_eq!(rig.log(attempt, LogOptions { follow: true, ..LogOptions::default() }).await, b"");
}

#[tokio::test]
async fn output_that_a_closed_pipe_ends_is_the_programs_affair() {
    let mut rig = Rig::new();
    // SIGPIPE is as a shell expects it.
    let assignment = shell("yes | head -n 1; exec 1>&- 2>&-; sleep 0.2; exit 4");
    let attempt = assignment.attempt;
    assert_eq!(rig.run(assignment).await.code, Some(4));
    eventually("no log", || rig.folder(attempt).join("log/0000000001.log").exists()).await;
    assert_eq!(rig.text(attempt).await, "y\n");
}
