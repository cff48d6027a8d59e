//! kill -9 while clients log runs: what was acknowledged is there, a batch is there as a whole or not at all, and artifacts
//! have the bytes that were sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcplane_testkit::process::random_hex;
use mcplane_testkit::{Backend, Server, on_each_backend};
use serde_json::{Value, json};

use super::random_below;
use crate::guarded::{Caller, Reply};

on_each_backend!(logged_runs_survive_kill_9);

const CLIENTS: usize = 16;
const API: &str = "/api/2.0/mlflow";
const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// Something that a client did to a run.
#[derive(Debug, Clone)]
enum Deed {
    /// Metrics, parameters and tags whose names begin with it.
    Batch(String),
    /// A metric of that name, with that value.
    Metric(String, i64),
    Tag(String, String),
    /// A file's name, and the text that is repeated in it.
    File(String, String),
}

/// A run that was acknowledged.
#[derive(Debug, Default)]
struct Known {
    done: Vec<Deed>,
    /// What was not answered.
    doubt: Option<Deed>,
}

#[derive(Debug, Default)]
struct Ledger {
    runs: BTreeMap<String, Known>,
    /// Runs whose creation was not answered.
    doubts: usize,
}

fn logged_runs_survive_kill_9(backend: Backend) {
    let rounds = std::env::var("MCPLANE_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let mut server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for _ in 0..rounds {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (caller, ledger) = (Caller::nobody(&server), Arc::clone(&ledger));
                std::thread::spawn(move || log(&caller, &ledger))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200 + random_below(1500)));
        server.kill_9();
        for client in clients {
            client.join().expect("a client saw what must not be");
        }
        server.restart();
        settle(&Caller::nobody(&server), &mut ledger.lock().unwrap());
    }
    let ledger = ledger.lock().unwrap();
    let deeds: usize = ledger.runs.values().map(|known| known.done.len()).sum();
    println!("{} runs with {deeds} acknowledged writes; {} runs in doubt", ledger.runs.len(), ledger.doubts);
    assert!(deeds > rounds * CLIENTS, "the clients hardly came to log anything: {deeds}");
}

/// The answer to a request; none from a server that is dying.
fn ask(caller: &Caller, method: &str, path: &str, content_type: &str, body: &[u8]) -> Option<Reply> {
    let reply = caller.try_send(method, path, content_type, body).filter(|reply| reply.status < 500)?;
    assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text);
    Some(reply)
}

fn post(caller: &Caller, path: &str, body: &Value) -> Option<Reply> {
    ask(caller, "POST", &format!("{API}/{path}"), "application/json", body.to_string().as_bytes())
}

/// Logs run after run, until the server is gone.
fn log(caller: &Caller, ledger: &Mutex<Ledger>) {
    loop {
        let Some(made) = post(caller, "runs/create", &json!({"experiment_id": "0", "start_time": 1})) else {
            ledger.lock().unwrap().doubts += 1;
            return;
        };
        let id = made.json["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        ledger.lock().unwrap().runs.insert(id.clone(), Known::default());
        for number in 0..12 {
            let deed = match random_below(5) {
                0 | 1 => Deed::Batch(format!("b{number}")),
                2 => Deed::Metric(format!("m{number}"), i64::try_from(random_below(1000)).unwrap()),
                3 => Deed::Tag(format!("t{number}"), random_hex(8)),
                _ => Deed::File(format!("f{number}"), random_hex(8)),
            };
            let answered = perform(caller, &id, &deed);
            let mut ledger = ledger.lock().unwrap();
            let known = ledger.runs.get_mut(&id).unwrap();
            if !answered {
                known.doubt = Some(deed);
                return;
            }
            known.done.push(deed);
        }
    }
}

fn perform(caller: &Caller, id: &str, deed: &Deed) -> bool {
    let answer = match deed {
        Deed::Batch(name) => {
            let pairs = |kind: &str| -> Vec<Value> {
                (0..20).map(|n| json!({"key": format!("{name}-{kind}{n}"), "value": name})).collect()
            };
            let point = |n: i64| json!({"key": format!("{name}-m{}", n % 10), "value": n, "timestamp": n, "step": n});
            let metrics: Vec<Value> = (0..200).map(point).collect();
            let body = json!({"run_id": id, "metrics": metrics, "params": pairs("p"), "tags": pairs("t")});
            post(caller, "runs/log-batch", &body)
        }
        Deed::Metric(name, value) => {
            post(caller, "runs/log-metric", &json!({"run_id": id, "key": name, "value": value, "timestamp": 1}))
        }
        Deed::Tag(name, value) => post(caller, "runs/set-tag", &json!({"run_id": id, "key": name, "value": value})),
        Deed::File(name, text) => {
            ask(caller, "PUT", &path(id, name), "application/octet-stream", content(text).as_bytes())
        }
    };
    answer.is_some()
}

fn path(id: &str, name: &str) -> String {
    format!("{FILES}/0/{id}/artifacts/{name}")
}

fn content(text: &str) -> String {
    text.repeat(5000)
}

/// After a restart: what was acknowledged is there, what was in doubt is there as a whole or not at all.
fn settle(caller: &Caller, ledger: &mut Ledger) {
    for (id, known) in &mut ledger.runs {
        let run = ask(caller, "GET", &format!("{API}/runs/get?run_id={id}"), "", b"").expect("an answer").json;
        for deed in &known.done {
            assert_eq!(found(caller, id, &run["run"]["data"], deed), Some(true), "{id}: {deed:?} was acknowledged");
        }
        if let Some(deed) = known.doubt.take() {
            match found(caller, id, &run["run"]["data"], &deed) {
                Some(true) => known.done.push(deed),
                Some(false) => {}
                None => panic!("{id}: {deed:?} is there by half"),
            }
        }
    }
    let (mut count, mut token) = (0, json!(null));
    loop {
        let body = json!({"experiment_ids": ["0"], "max_results": 1000, "page_token": token});
        let page = post(caller, "runs/search", &body).expect("an answer").json;
        count += page["runs"].as_array().map_or(0, Vec::len);
        token = page["next_page_token"].clone();
        if token.is_null() {
            break;
        }
    }
    let known = ledger.runs.len();
    assert!((known..=known + ledger.doubts).contains(&count), "{count} runs, of which {known} were acknowledged");
}

/// Whether a deed left all (`true`) or nothing (`false`).
fn found(caller: &Caller, id: &str, data: &Value, deed: &Deed) -> Option<bool> {
    let of = |kind: &str, fits: &dyn Fn(&str) -> bool| -> Vec<&Value> {
        let all = data[kind].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|one| one["key"].as_str().is_some_and(fits)).collect()
    };
    let exactly = |kind: &str, name: &str, value: Value| match of(kind, &|key| key == name)[..] {
        [] => Some(false),
        [one] if one["value"] == value => Some(true),
        _ => None,
    };
    match deed {
        Deed::Metric(name, value) => exactly("metrics", name, json!(*value as f64)),
        Deed::Tag(name, value) => exactly("tags", name, json!(value)),
        Deed::Batch(name) => {
            let start = format!("{name}-");
            let counts = ["metrics", "params", "tags"].map(|kind| of(kind, &|key| key.starts_with(&start)).len());
            let history = format!("{API}/metrics/get-history?run_id={id}&metric_key={name}-m3");
            let history = ask(caller, "GET", &history, "", b"").expect("an answer").json;
            let points = history["metrics"].as_array().map_or(0, Vec::len);
            match (counts, points) {
                ([10, 20, 20], 20) => Some(true),
                ([0, 0, 0], 0) => Some(false),
                _ => None,
            }
        }
        Deed::File(name, text) => {
            let file = caller.try_send("GET", &path(id, name), "", b"").expect("an answer");
            match file.status {
                200 => (file.text == content(text)).then_some(true),
                404 => Some(false),
                _ => None,
            }
        }
    }
}
