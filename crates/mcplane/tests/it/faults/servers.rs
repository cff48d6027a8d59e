//! Two servers on one PostgreSQL, each with a machine of its own: the one that decides dies.

use std::path::Path;
use std::sync::Arc;

use mcplane_testkit::{Database, Server, eventually};
use serde_json::{Value, json};

use crate::guarded::BINARY;
use crate::tasks::desk::{Desk, gated};

/// Two servers, the first of which decides, and the folder that scripts of both use.
fn two() -> (Arc<Database>, Server, Server, tempfile::TempDir) {
    let database = Arc::new(Database::create());
    let mut servers = [0, 1].map(|_| Server::stopped_on(BINARY, Some(Arc::clone(&database)), &[]));
    servers.iter_mut().for_each(Server::restart);
    let [first, second] = servers;
    (database, first, second, tempfile::tempdir().unwrap())
}

fn node(server: &Server) -> String {
    std::fs::read_to_string(server.data_dir().join("node")).unwrap().trim().to_owned()
}

/// As if the time of a lease were over.
fn end_lease(database: &Database) {
    database.query("UPDATE scheduler SET until = 0");
}

/// Whether a program is still there.
fn lives(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[test]
fn a_server_that_dies_and_comes_back_finds_its_tasks() {
    let (database, mut first, second, folder) = two();
    let desk = Desk::at(&second, folder.path());
    let submit =
        |name: &str, script: &str| desk.submit(&desk.script(name, script, &json!({"retries": {"maxAttempts": 2}})));
    // Submitted and cancelled at the one that does not decide.
    let kept = submit("kept", &gated("gate"));
    let task = desk.until(&kept, |task| task["state"] == "running");
    assert_eq!(task["node"], node(&first), "{task}");
    desk.until_lines("kept", 1);
    let sleeper = submit("sleeper", "exec sleep 600");
    desk.until(&sleeper, |task| task["state"] == "running");
    desk.cancel(&sleeper);
    desk.reaches(&sleeper, "cancelled");

    first.kill_9();
    end_lease(&database);
    let after = submit("after", "true");
    assert_eq!(desk.reaches(&after, "succeeded")["node"], node(&second), "the other one decides now");
    assert_eq!(desk.task(&kept)["state"], "running", "whose machine was heard a moment ago is not given up");
    // What ends while nobody of its machine listens is told by the folder that its shim leaves.
    std::fs::write(desk.path("gate"), "").unwrap();
    first.restart();
    let task = desk.reaches(&kept, "succeeded");
    assert_eq!((&task["attempt"], &task["node"]), (&json!(1), &json!(node(&first))), "{task}");
    assert_eq!(desk.lines("kept"), ["1"], "it ran once");
}

#[test]
fn a_server_that_stays_away_loses_its_tasks() {
    let (database, mut first, second, folder) = two();
    let desk = Desk::at(&second, folder.path());
    let script = format!("echo $$ >> pids; {}", gated("gate-$MCPLANE_ATTEMPT"));
    let moved = desk.submit(&desk.script("moved", &script, &json!({"retries": {"maxAttempts": 2, "initialMs": 10}})));
    desk.until_lines("moved", 1);
    first.kill_9();
    end_lease(&database);
    // As if a minute had passed without a beat.
    let gone = format!("UPDATE nodes SET heartbeat_at = heartbeat_at - 61000 WHERE name = '{}'", node(&first));
    database.query(&gone);
    let second_node = node(&second);
    let on_second = |task: &Value| task["state"] == "running" && task["node"] == second_node.as_str();
    assert_eq!(desk.until(&moved, on_second)["attempt"], 2);
    desk.until_lines("moved", 2);
    let pids = desk.lines("pids");
    assert!(lives(&pids[0]) && lives(&pids[1]), "nobody can end what runs on a machine that is away");

    // When the machine is back, what it should not run any more is ended, whatever it says.
    first.restart();
    eventually("the old attempt is ended", 20, || (!lives(&pids[0])).then_some(()));
    std::fs::write(desk.path("gate-2"), "").unwrap();
    let task = desk.reaches(&moved, "succeeded");
    assert_eq!((&task["attempt"], &task["node"]), (&json!(2), &json!(second_node)), "{task}");
    assert_eq!(desk.lines("moved"), ["1", "2"]);
}
