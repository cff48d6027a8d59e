//! Jobs, cron jobs and pods, as people use them with `kubectl`.

use std::path::Path;

use mcplane_testkit::process::run;
use mcplane_testkit::{Backend, Kubectl, Server, eventually, on_each_backend};
use serde_json::{Value, json};

use super::{rows, start};

on_each_backend!(jobs_run_to_completion, jobs_fail_and_end, cron_jobs_make_jobs, pods_get_what_they_name);

const CRON: &str = include_str!("../../golden/mission/inference_cronjob.yaml");

fn job(name: &str, command: &str, more: &Value) -> String {
    let container = json!({"name": "main", "image": "shell", "command": ["sh", "-c", command]});
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    });
    for (field, value) in more.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    job.to_string()
}

fn jobs_run_to_completion(backend: Backend) {
    let (_server, k) = start(backend);
    let indexed = json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"});
    k.feed("create -f -", &job("count", "echo index $JOB_COMPLETION_INDEX of $MCPLANE_TASK_NAME", &indexed)).ok();
    k.ok("wait --for=condition=complete job/count --timeout=60s");
    let status = k.json("get job count")["status"].clone();
    assert_eq!((&status["succeeded"], &status["completedIndexes"]), (&json!(3), &json!("0-2")), "{status}");
    let pods = k.ok("get pods -l batch.kubernetes.io/job-name=count");
    let states: Vec<&str> = rows(&pods)[1..].iter().map(|row| row[2]).collect();
    assert_eq!(states, ["Completed"; 3], "{pods}");
    let mut logs: Vec<String> = k
        .ok("get pods -l batch.kubernetes.io/job-name=count -o name")
        .lines()
        .map(|pod| k.ok(format!("logs {pod}").as_str()))
        .map(|log| log.split(" of ").next().unwrap().to_owned())
        .collect();
    logs.sort();
    assert_eq!(logs, ["index 0", "index 1", "index 2"]);
    assert!(k.ok("get nodes").contains("Ready"));
    k.ok("delete job count");
    eventually("the pods go with their job", 20, || k.ok("get pods").is_empty().then_some(()));
}

fn jobs_fail_and_end(backend: Backend) {
    let (_server, k) = start(backend);
    k.feed("create -f -", &job("fails", "echo broken >&2; exit 7", &json!({"backoffLimit": 0}))).ok();
    k.ok("wait --for=condition=failed job/fails --timeout=60s");
    let pods = k.json("get pods");
    let ended = &pods["items"][0]["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(7), &json!("Error")), "{pods}");
    assert_eq!(k.ok("logs job/fails"), "broken\n");
    eventually("the reason is told", 20, || k.ok("describe job fails").contains("BackoffLimitExceeded").then_some(()));

    k.feed("create -f -", &job("late", "sleep 600", &json!({"activeDeadlineSeconds": 1, "backoffLimit": 0}))).ok();
    k.ok("wait --for=condition=failed job/late --timeout=60s");
    let reason = k.ok(["get", "job", "late", "-o", "jsonpath={.status.conditions[?(@.type=='Failed')].reason}"]);
    assert_eq!(reason, "DeadlineExceeded");

    // Followed while it runs, and deleted before it ends.
    k.feed("create -f -", &job("long", "echo started; exec sleep 600", &json!({}))).ok();
    eventually("the pod runs", 30, || {
        k.ok("get pods -l batch.kubernetes.io/job-name=long").contains("Running").then_some(())
    });
    let follower = k.spawn("logs -f job/long");
    follower.until("started");
    k.ok("delete job long");
    let (code, text) = follower.finish(30);
    assert_eq!(code, 0, "following ends with the pod: {text}");
}

fn cron_jobs_make_jobs(backend: Backend) {
    let (_server, k) = start(backend);
    assert_eq!(k.feed("apply -f -", CRON).ok(), "cronjob.batch/inference-batch-job created\n");
    assert_eq!(k.feed("apply -f -", CRON).ok(), "cronjob.batch/inference-batch-job unchanged\n");
    let next = eventually("the next run is shown", 20, || {
        let table = k.ok("get cronjobs");
        rows(&table)[1].iter().find(|cell| cell.ends_with("T02:00:00Z")).map(|cell| (*cell).to_owned())
    });
    assert!(next.starts_with("20"), "{next}");
    k.ok("create job --from=cronjob/inference-batch-job forced");
    k.ok("wait --for=condition=failed job/forced --timeout=60s");
    // Events follow the status.
    eventually("the reason is clear", 20, || k.ok("describe job forced").contains("agent.images").then_some(()));
    let warned = eventually("the pod says it too", 20, || {
        Some(k.ok("get events")).filter(|events| events.contains("no image mapping"))
    });
    assert!(warned.contains("ErrImageNeverPull"), "{warned}");
}

fn pods_get_what_they_name(backend: Backend) {
    let (server, k) = start(backend);
    k.ok("create secret generic key --from-literal=token=s3cret");
    k.ok("create configmap settings --from-literal=epochs=7");
    let command =
        "echo $EPOCHS; test \"$TOKEN\" = s3cret && echo told; cat etc/settings/epochs; echo; echo $TRACEPARENT";
    let mut manifest: Value = serde_json::from_str(&job("reads", command, &json!({"backoffLimit": 0}))).unwrap();
    let pod = &mut manifest["spec"]["template"]["spec"];
    pod["volumes"] = json!([{"name": "s", "configMap": {"name": "settings"}}]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "s", "mountPath": "/etc/settings"}]);
    pod["containers"][0]["env"] = json!([
        {"name": "EPOCHS", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "epochs"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "key", "key": "token"}}},
    ]);
    k.feed("create -f -", &manifest.to_string()).ok();
    k.ok("wait --for=condition=complete job/reads --timeout=60s");
    let log = k.ok("logs job/reads");
    assert!(log.starts_with("7\ntold\n7\n00-"), "{log}");
    left_nowhere(&server, b"s3cret");
    refused(&k);
}

/// Clients look at pods and delete them; they don't make them.
fn refused(k: &Kubectl) {
    let error = k.err("run loose --image=x --restart=Never");
    assert!(error.contains("MethodNotAllowed") || error.contains("not allowed"), "{error}");
}

/// A secret is in no file that an attempt left.
fn left_nowhere(server: &Server, secret: &[u8]) {
    let folder = server.data_dir().join("attempts");
    assert!(folder.is_dir());
    let mut found = std::process::Command::new("grep");
    found.args(["-r", "-l", "-a"]).arg(String::from_utf8_lossy(secret).as_ref()).arg(Path::new(&folder));
    let output = run(&mut found, None);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "the secret is in a file");
}
