//! The server is killed at each step of a run. It completes, and no finished step is done twice.

use std::path::Path;
use std::time::Duration;

use mcplane_testkit::{Backend, eventually, on_each_backend};
use serde_json::json;

use super::{RUNS, begin, call, detail, ended, server, shell, steps};

on_each_backend!(a_run_outlives_the_server, a_run_outlives_kills_at_any_moment, a_run_that_was_told_to_end_does);

/// Steps of the run, in order; the middle ones run beside each other.
const STEPS: [(&str, &[&str]); 4] =
    [("first", &[]), ("left", &["first"]), ("right", &["first"]), ("last", &["left", "right"])];

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn a_run_outlives_the_server(backend: Backend) {
    let mut server = server(backend);
    let folder = server.scratch().join("marks");
    std::fs::create_dir_all(&folder).unwrap();
    let (begun, done) = (folder.join("begun"), folder.join("done"));
    let script = |step: &str| {
        let (begun, done, gate) = (begun.display(), done.display(), folder.join(step).display().to_string());
        format!("echo {step} >> {begun}; while [ ! -e {gate} ]; do sleep 0.02; done; echo {step} >> {done}")
    };
    let scripts: Vec<String> = STEPS.iter().map(|(step, _)| script(step)).collect();
    let tasks: Vec<_> =
        STEPS.iter().zip(&scripts).map(|((step, after), script)| (*step, script.as_str(), *after)).collect();
    begin(&server, "survivor", &json!({"pipelineSpec": shell("survivor", &tasks)}));
    // Acknowledged, and perhaps not begun.
    server.kill_9();
    server.restart();
    for (index, (step, _)) in STEPS.iter().enumerate() {
        eventually(step, 60, || lines(&begun).iter().any(|line| line == step).then_some(()));
        server.kill_9();
        let ends = || {
            std::fs::write(folder.join(step), "").unwrap();
            eventually("it ends", 30, || lines(&done).iter().any(|line| line == step).then_some(()));
        };
        if index % 2 == 0 {
            // While nobody looks.
            ends();
        } else {
            // Under a server that dies of it: its end may be recorded, or not.
            server.restart();
            ends();
            server.kill_9();
        }
        server.restart();
    }
    let status = ended(&server, "survivor");
    assert_eq!(status["state"], "SUCCEEDED", "{status}\n{}", server.log());
    let names: Vec<&str> = STEPS.iter().map(|(step, _)| *step).collect();
    for path in [&begun, &done] {
        let mut all = lines(path);
        all.sort();
        let mut expected = names.clone();
        expected.sort_unstable();
        assert_eq!(all, expected, "each step ran once");
    }
    let detail = detail(&server, "survivor");
    for step in names {
        assert_eq!(steps(&detail, step).count(), 1, "{detail}");
        let node = format!("root/{step}");
        let of_step = |t: &&serde_json::Value| t["node"] == node.as_str();
        let states: Vec<_> =
            detail["transitions"].as_array().unwrap().iter().filter(of_step).map(|t| t["state"].clone()).collect();
        assert_eq!(states.iter().filter(|state| *state == "SUCCEEDED").count(), 1, "{states:?}");
    }
}

/// Servers that live for some moments each, so that they die anywhere between what is asked, begun, ended, recorded and told.
fn a_run_outlives_kills_at_any_moment(backend: Backend) {
    const MOMENTS_MS: [u64; 6] = [0, 20, 60, 120, 220, 400];
    let mut server = server(backend);
    let done = server.scratch().join("done");
    let names: Vec<String> = (0..6).map(|step| format!("step-{step}")).collect();
    let scripts: Vec<String> = names.iter().map(|step| format!("echo {step} >> {}", done.display())).collect();
    let before: Vec<Vec<&str>> =
        (0..names.len()).map(|step| names[..step].last().map(String::as_str).into_iter().collect()).collect();
    let tasks: Vec<(&str, &str, &[&str])> =
        (0..names.len()).map(|at| (names[at].as_str(), scripts[at].as_str(), before[at].as_slice())).collect();
    begin(&server, "storm", &json!({"pipelineSpec": shell("storm", &tasks)}));
    for moment in MOMENTS_MS {
        std::thread::sleep(Duration::from_millis(moment));
        server.kill_9();
        server.restart();
    }
    let status = ended(&server, "storm");
    assert_eq!(status["state"], "SUCCEEDED", "{status}\n{}", server.log());
    assert_eq!(lines(&done), names, "each step ran once, in its turn");
    let detail = detail(&server, "storm");
    let transitions = detail["transitions"].as_array().unwrap();
    for step in &names {
        let node = format!("root/{step}");
        let ends = transitions.iter().filter(|t| t["node"] == node.as_str() && t["state"] == "SUCCEEDED").count();
        assert_eq!(ends, 1, "{step}: {detail}");
    }
}

/// The server is killed as soon as it has acknowledged that a run is to end: the next sees to it that the step's task does.
fn a_run_that_was_told_to_end_does(backend: Backend) {
    let mut server = server(backend);
    let mark = server.scratch().join("mark");
    let script = format!("touch {}; sleep 600", mark.display());
    begin(&server, "stopped", &json!({"pipelineSpec": shell("stopped", &[("sleeps", &script, &[])])}));
    eventually("the step runs", 60, || mark.exists().then_some(()));
    let path = format!("{RUNS}/stopped");
    let (status, answer) = call(&server, "PATCH", &path, &json!({"spec": {"terminate": true}}));
    assert_eq!(status, 200, "{answer}");
    server.kill_9();
    server.restart();
    let status = ended(&server, "stopped");
    assert_eq!(status["state"], "CANCELED", "{status}");
    let detail = detail(&server, "stopped");
    let task = steps(&detail, "sleeps").find_map(|step| step["taskId"].as_str()).expect("the step's task");
    let path = format!("/tasks/v1/namespaces/default/tasks/{task}");
    eventually("the step's task ends", 40, || {
        let (_, task) = call(&server, "GET", &path, &json!(null));
        (task["state"] == "cancelled").then_some(())
    });
}
