//! Tasks that can't succeed, and those that kill what holds them: they end as dead letters, and nothing else suffers.

use mcplane_testkit::{Backend, Server, on_each_backend};
use serde_json::json;

use crate::guarded::BINARY;
use crate::tasks::desk::Desk;

on_each_backend!(poison_ends_as_dead_letters);

fn poison_ends_as_dead_letters(backend: Backend) {
    let mut server = Server::start_with(BINARY, backend, &["--set", "scheduler.worker-pool-size=4"]);
    let desk = Desk::at(&server, &server.scratch().join("work"));
    let pid = server.pid();
    let retries = json!({"retries": {"maxAttempts": 3, "initialMs": 20}});
    let told = "echo begun >> $MCPLANE_TASK_NAME\n";
    let mut nowhere = retries.clone();
    nowhere["command"] = json!(["/nowhere/to/be/found"]);
    let poison = [
        // The parent of an attempt's program is its shim.
        (desk.script("kills-its-shim", &format!("{told}kill -9 $PPID; sleep 60"), &retries), 3, "Lost"),
        (desk.script("kills-itself", &format!("{told}kill -9 $$"), &retries), 3, "Error"),
        (desk.script("is-not-there", "", &nowhere), 3, "StartError"),
        (
            json!({"name": "has-no-image", "image": "nowhere/model:1", "retries": {"maxAttempts": 3}}),
            1,
            "ErrImageNeverPull",
        ),
    ];
    let mut good = Vec::new();
    let mut ids = Vec::new();
    for (body, _, _) in &poison {
        ids.push(desk.submit(body));
        good.extend((0..3).map(|n| desk.submit(&desk.script(&format!("good-{n}"), told, &json!({})))));
    }
    for id in &good {
        assert_eq!(desk.reaches(id, "succeeded")["attempt"], 1);
    }
    for (id, (body, attempts, reason)) in ids.iter().zip(&poison) {
        let task = desk.reaches(id, "failed");
        assert_eq!((&task["attempt"], &task["reason"]), (&json!(attempts), &json!(reason)), "{task}");
        let begun = desk.lines(body["name"].as_str().unwrap()).len();
        assert!(begun == 0 || begun == *attempts, "{begun} of {task}");
    }
    assert_eq!(desk.task(&ids[1])["exitCode"], 128 + 9);
    assert_eq!(desk.list("state=failed").len(), poison.len(), "all are listed as dead letters");
    assert_eq!(server.pid(), pid);
    server.terminate();
}
