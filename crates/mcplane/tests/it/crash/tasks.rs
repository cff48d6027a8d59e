//! kill -9 of the server, of shims and of programs at random, while clients submit tasks: what was acknowledged is done, no
//! attempt begins twice, and no two attempts of a task are alive at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mcplane_testkit::{Backend, Server, on_each_backend};
use serde_json::{Value, json};

use super::random_below;
use crate::tasks::desk::Desk;

on_each_backend!(tasks_survive_kill_9_of_anything);

/// Clients at a time, and the most that each submits in a round.
const CLIENTS: usize = 3;
const MOST: usize = 8;

/// What was submitted, by its key; the id once it was acknowledged.
type Ledger = Mutex<BTreeMap<String, Option<String>>>;

/// Holds a lock that the kernel takes away only when the last process of the attempt is gone, tells when it begins and that
/// it came to its end. Only one status of `flock` tells of another holder: `flock` itself may be what is killed.
const SCRIPT: &str = "exec 9>>$MCPLANE_TASK_NAME.lock
flock -n -E 75 9; [ $? -ne 75 ] || echo overlap >> $MCPLANE_TASK_NAME
echo begin $MCPLANE_ATTEMPT >> $MCPLANE_TASK_NAME; sleep 0.$PAUSE; echo end $MCPLANE_ATTEMPT >> $MCPLANE_TASK_NAME";

fn tasks_survive_kill_9_of_anything(backend: Backend) {
    let rounds = std::env::var("MCPLANE_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let mut server =
        Server::start_with(env!("CARGO_BIN_EXE_mcplane"), backend, &["--set", "scheduler.worker-pool-size=6"]);
    let folder = server.scratch().join("work");
    let (ledger, mut killed) = (Ledger::default(), 0);
    for round in 0..rounds {
        let desk = Desk::at(&server, &folder);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (desk, ledger) = (&desk, &ledger);
                scope.spawn(move || submit(desk, ledger, &format!("r{round}-c{client}")));
            }
            let began = Instant::now();
            let life = Duration::from_millis(400 + random_below(900));
            while began.elapsed() < life {
                std::thread::sleep(Duration::from_millis(50 + random_below(250)));
                killed += usize::from(kill_one(&server.data_dir(), &folder));
            }
            server.kill_9();
        });
        server.restart();
        // What got no answer is asked for again; its key makes it one task.
        let desk = Desk::at(&server, &folder);
        for (name, id) in ledger.lock().unwrap().iter_mut().filter(|(_, id)| id.is_none()) {
            *id = Some(desk.submit(&task(&desk, name)));
        }
    }
    let ledger = ledger.into_inner().unwrap();
    let desk = Desk::at(&server, &folder);
    let began = Instant::now();
    let attempts: i64 = ledger.iter().map(|(name, id)| check(&desk, name, id.as_deref().unwrap())).sum();
    let unfinished = desk.list("state=waiting,ready,running");
    assert_eq!(unfinished, Vec::<Value>::new(), "tasks that nobody submitted");
    println!(
        "{backend:?}: {} tasks in {attempts} attempts, {killed} shims and programs and {rounds} servers killed, all done {:?} \
         after the last",
        ledger.len(),
        began.elapsed()
    );
    assert!(ledger.len() >= rounds && attempts >= i64::try_from(ledger.len()).unwrap());
    server.terminate();
}

fn task(desk: &Desk, name: &str) -> Value {
    let more = json!({
        "idempotencyKey": name, "env": {"PAUSE": format!("{:03}", random_below(400))},
        "retries": {"maxAttempts": 1000, "initialMs": 20, "maxMs": 200},
    });
    desk.script(name, SCRIPT, &more)
}

/// Submits tasks until the server is gone.
fn submit(desk: &Desk, ledger: &Ledger, prefix: &str) {
    for number in 0..MOST {
        let name = format!("{prefix}-{number}");
        let body = task(desk, &name);
        ledger.lock().unwrap().insert(name.clone(), None);
        let Some(reply) = desk.try_submit(&body).filter(|reply| reply.status < 500) else { return };
        assert_eq!(reply.status, 200, "{}", reply.text);
        ledger.lock().unwrap().insert(name, reply.json["id"].as_str().map(str::to_owned));
        std::thread::sleep(Duration::from_millis(random_below(150)));
    }
}

/// Kills a shim of the server, or a program of one of its attempts; tells whether there was any.
fn kill_one(data: &Path, folder: &Path) -> bool {
    let (data, folder) = (data.display().to_string(), folder.display().to_string());
    let is_ours = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split('\0');
        match words.nth(1) {
            // Which of both a shim is comes from its second word; the server itself has its turn.
            Some("shim") => line.contains(&data),
            Some("-c") => line.contains(&folder),
            _ => false,
        }
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let found: Vec<u32> = all.filter(is_ours).collect();
    let Some(pid) = found.get(usize::try_from(random_below(1 << 20)).unwrap() % found.len().max(1)) else {
        return false;
    };
    // It may have ended by itself by now.
    let kill = std::process::Command::new("kill").args(["-9", &pid.to_string()]).output();
    kill.is_ok_and(|output| output.status.success())
}

/// A task is done, and was never attempted by two at a time; the number of its attempts.
fn check(desk: &Desk, name: &str, id: &str) -> i64 {
    let task = desk.reaches(id, "succeeded");
    let newest = task["attempt"].as_i64().unwrap();
    let lines = desk.lines(name);
    assert!(!lines.iter().any(|line| line == "overlap"), "two attempts at a time: {lines:?}, {task}");
    let begun: Vec<i64> = lines.iter().filter_map(|line| line.strip_prefix("begin ")?.parse().ok()).collect();
    assert!(begun.windows(2).all(|pair| pair[0] < pair[1]), "an attempt began twice: {lines:?}, {task}");
    assert_eq!(lines.last(), Some(&format!("end {newest}")), "the newest attempt came to its end: {lines:?}, {task}");
    newest
}
