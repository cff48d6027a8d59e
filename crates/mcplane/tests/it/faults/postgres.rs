//! PostgreSQL crashes and comes back while tasks run and are submitted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mcplane_testkit::{Database, Server};
use serde_json::json;

use crate::guarded::BINARY;
use crate::tasks::desk::{Desk, gated};

#[test]
fn a_crash_of_postgres_is_survived() {
    let database = Arc::new(Database::create_alone());
    let mut server =
        Server::stopped_on(BINARY, Some(Arc::clone(&database)), &["--set", "scheduler.worker-pool-size=12"]);
    server.restart();
    let desk = Desk::at(&server, &server.scratch().join("work"));
    let pid = server.pid();
    let submit = |name: String, gate: &str, more| desk.submit(&desk.script(&name, &gated(gate), &more));
    // Some end while the database is away, some after it is back, some begin only then.
    let mut tasks: Vec<String> = Vec::new();
    for n in 0..3 {
        tasks.push(submit(format!("short-{n}"), "first", json!({})));
        tasks.push(submit(format!("long-{n}"), "second", json!({})));
        tasks.push(submit(format!("later-{n}"), "first", json!({"delayMs": 1500 + 500 * n})));
    }
    let names: Vec<String> = (0..3).flat_map(|n| [format!("short-{n}"), format!("long-{n}")]).collect();
    names.iter().for_each(|name| desk.until_lines(name, 1));

    let mut doubtful = Vec::new();
    let mut refused = 0;
    std::thread::scope(|scope| {
        let crash = scope.spawn(|| database.crash_cluster(Duration::from_millis(1_500)));
        let began = Instant::now();
        let mut count = 0;
        // Also for a while after it is back: connections are found broken one by one.
        while !crash.is_finished() || began.elapsed() < Duration::from_millis(2_500) {
            if began.elapsed() > Duration::from_millis(500) {
                std::fs::write(desk.path("first"), "").unwrap();
            }
            let name = format!("new-{count}");
            count += 1;
            let body = desk.script(&name, &gated("first"), &json!({"idempotencyKey": name}));
            let reply = desk.try_submit(&body).expect("the server answers, whatever the database does");
            match reply.status {
                200 => tasks.push(reply.json["id"].as_str().unwrap().to_owned()),
                status => {
                    assert_eq!(status, 503, "{}", reply.text);
                    refused += 1;
                    doubtful.push(body);
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        crash.join().unwrap();
    });
    assert!(refused > 0, "the outage was not felt");
    // What was not acknowledged is there or not; asked for again with its key, it is there once.
    tasks.extend(doubtful.iter().map(|body| desk.submit_at_last(body)));
    std::fs::write(desk.path("second"), "").unwrap();
    for id in &tasks {
        let task = desk.reaches(id, "succeeded");
        assert_eq!(task["attempt"], 1, "{task}");
        assert_eq!(desk.lines(task["name"].as_str().unwrap()), ["1"], "{task}");
    }
    assert_eq!(server.pid(), pid);
    println!("{} tasks, {refused} submissions refused", tasks.len());
    server.terminate();
}
