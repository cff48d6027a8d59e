//! What is watched decides: a worse version goes back by itself, alerts are told once, and a crash takes nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mcplane_testkit::{Backend, eventually, on_each_backend};
use serde_json::{Value, json};

use super::calls::{Caller, Elsewhere, Said, runtime};
use super::rig::Rig;

const FIRST: &str = "iris-predictor-00001";
const SECOND: &str = "iris-predictor-00002";
const PATHS: &str = "/delivery/v1/namespaces/default";
const HOOKS: [&str; 2] = ["--set", r#"tracking.webhook-hosts=["127.0.0.1"]"#];

impl Rig {
    fn feed(&self, object: &Value) {
        let applied = self.kubectl.feed("apply -f -", &object.to_string());
        assert_eq!(applied.code, 0, "{applied}");
    }

    fn status(&self, what: &str) -> Value {
        self.kubectl.json(format!("get {what} -o json").as_str())["status"].clone()
    }

    /// Looks each second, and tells `receiver`. Latency is of no interest where other tests run beside this one.
    fn watch(&self, service: &str, traffic: &str, receiver: &Elsewhere) {
        let monitor = json!({
            "apiVersion": "mcplane.io/v1alpha1", "kind": "Monitor", "metadata": {"name": service},
            "spec": {
                "service": service, "interval": "1s", "windows": {"traffic": traffic},
                "bands": {"latency": {"normal": 1e6, "alert": 1e7}},
                "receivers": [{"url": format!("http://{}/alerts", receiver.address)}],
            },
        });
        // The one that every service has may be made at the same time.
        eventually("the monitor is there", 60, || {
            (self.kubectl.feed("apply -f -", &monitor.to_string()).code == 0).then_some(())
        });
        eventually("it is followed", 60, || {
            let told = self.kubectl.json(format!("get monitor {service} -o json").as_str());
            (told["status"]["observedGeneration"] == told["metadata"]["generation"]).then_some(())
        });
    }
}

/// What was told of one alert: how often it was raised, and resolved.
fn told(receiver: &Elsewhere, name: &str, version: &str) -> (usize, usize) {
    let heard = receiver.heard();
    let alerts = heard.iter().flat_map(|body| body["alerts"].as_array().cloned().unwrap_or_default());
    let own: Vec<Value> =
        alerts.filter(|one| one["labels"]["alertname"] == name && one["labels"]["version"] == version).collect();
    let of = |status: &str| own.iter().filter(|one| one["status"] == status).count();
    (of("firing"), of("resolved"))
}

/// A prediction: who made it, its name, and the class.
struct Made {
    version: String,
    id: String,
    class: i64,
}

impl Made {
    fn of(said: &Said) -> Self {
        let class = said.json()["outputs"][0]["data"][0].as_i64().expect("a class");
        Self { version: said.version().to_owned(), id: said.header("x-mcplane-prediction-id").to_owned(), class }
    }

    fn label(&self, right: bool) -> Value {
        json!({"id": self.id, "value": if right { self.class } else { 1 - self.class }})
    }
}

/// What a monitor's status says of a version. What no version answered, such as before one is loaded, has an entry of its own.
fn watched<'s>(status: &'s Value, version: &str) -> &'s Value {
    let all = status["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|one| one["version"] == version).unwrap_or(&Value::Null)
}

async fn predictions(caller: &mut Caller, enough: impl Fn(&[Made]) -> bool) -> Vec<Made> {
    let mut all = Vec::new();
    while !enough(&all) {
        let said = caller.infer("iris.default", "iris", None).await.expect("an answer");
        assert_eq!(said.status, 200, "{said:?}");
        all.push(Made::of(&said));
    }
    all
}

/// Tells what was true; all of it is taken.
async fn label(control: &mut Caller, labels: Vec<Value>) {
    let said = control.json("POST", &format!("{PATHS}/labels"), &json!({"labels": labels})).await.expect("an answer");
    assert_eq!(said.status, 200, "{said:?}");
    let outcomes = said.json()["labels"].as_array().cloned().unwrap_or_default();
    assert!(outcomes.iter().all(|one| one["outcome"] == "joined"), "{outcomes:?}");
}

async fn worse() {
    let rig = Rig::start(Backend::Sqlite, &HOOKS);
    let receiver = Elsewhere::start(200).await;
    rig.register("iris", "v1.0.0", "boosting_binary");
    rig.register("iris", "v2.0.0", "forest_binary");
    rig.apply("iris", "models:/iris/v1.0.0");
    rig.ready("iris");
    rig.watch("iris", "3s", &receiver);
    let stage = |weight: u32| json!({"name": format!("{weight}"), "weight": weight, "duration": "1h"});
    rig.feed(&json!({
        "apiVersion": "mcplane.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "iris"},
        "spec": {"service": "iris", "stages": [stage(50), stage(100)], "analysis": {
            "interval": "2s", "comparison": {"latencyMargin": 1e6, "latency": {"normal": 1e6, "alert": 1e7}},
        }},
    }));
    eventually("one version serves", 60, || (rig.status("rollout iris")["stable"] == FIRST).then_some(()));
    rig.apply("iris", "models:/iris/v2.0.0");
    let status = eventually("without traffic it says so", 60, || {
        let status = rig.status("rollout iris");
        (status["verdict"] == "TooLittleTraffic").then_some(status)
    });
    assert_eq!(
        (&status["phase"], &status["version"], &status["stage"]),
        (&json!("Progressing"), &json!(SECOND), &json!(0))
    );

    // Half of what the second says is wrong, as turns out later; until then there is nothing to say against it.
    let (mut caller, mut control) = (Caller::of(rig.server.data_plane()).await, Caller::of(rig.server.address()).await);
    let of = |all: &[Made], version: &str| all.iter().filter(|made| made.version == version).count();
    let made = predictions(&mut caller, |all| of(all, FIRST) >= 150 && of(all, SECOND) >= 150).await;
    let labels = made.iter().enumerate().map(|(at, made)| made.label(made.version == FIRST || at % 4 < 2));
    assert_eq!(rig.status("rollout iris")["phase"], "Progressing");
    label(&mut control, labels.collect()).await;
    let mut looks = BTreeSet::new();
    eventually("it goes back", 60, || {
        let status = rig.status("rollout iris");
        if status["phase"] == "Progressing" {
            looks.insert(status["lookedAt"].to_string());
        }
        (status["phase"] == "RolledBack").then_some(())
    });
    assert!(looks.len() <= 2, "the look before, and the one that was under way: {looks:?}");
    let back = |versions: &[Made]| versions.iter().rev().take(40).filter(|made| made.version == FIRST).count() == 40;
    predictions(&mut caller, back).await;

    // On record, with the numbers.
    let said = control.get(&format!("{PATHS}/rollouts/iris/decisions")).await.expect("an answer").json();
    let decision = &said["decisions"][0];
    assert_eq!((&decision["action"], &decision["version"]), (&json!("RolledBack"), &json!(SECOND)), "{said}");
    let metrics = decision["judgement"]["metrics"].as_array().expect("numbers");
    let accuracy = metrics.iter().find(|one| one["metric"] == "accuracy").expect("the accuracy");
    assert_eq!((&accuracy["verdict"], &accuracy["stable"]), (&json!("Worse"), &json!(1.0)), "{accuracy}");
    assert!(accuracy["version"].as_f64().is_some_and(|share| (0.3..0.7).contains(&share)), "{accuracy}");
    let said = control.get("/audit?verb=rollback&name=iris").await.expect("an answer").json();
    let detail = said["items"][0]["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains(SECOND) && detail.contains("accuracy 0.") && detail.contains("against 1.0"), "{said}");

    // Told once, and once that it is over: the version is replaced.
    let name = "ModelAccuracyLow";
    eventually("somebody is told", 60, || (told(&receiver, name, SECOND) == (1, 0)).then_some(()));
    rig.apply("iris", "models:/iris/v1.0.0");
    eventually("it is over", 60, || (told(&receiver, name, SECOND) == (1, 1)).then_some(()));
    let mut looks = BTreeSet::new();
    eventually("it is looked at again", 60, || {
        looks.insert(rig.status("monitor iris")["lookedAt"].to_string());
        (looks.len() > 2).then_some(())
    });
    assert_eq!((told(&receiver, name, SECOND), told(&receiver, name, FIRST)), ((1, 1), (0, 0)));
}

#[test]
fn a_worse_version_goes_back_by_itself() {
    runtime().block_on(worse());
}

/// Asks and labels until the server is gone; gives the identifiers of labels that were acknowledged.
async fn asks_and_labels(
    plane: std::net::SocketAddr,
    server: std::net::SocketAddr,
    over: Arc<AtomicBool>,
) -> Vec<(String, i64)> {
    let (mut caller, mut control) = (Caller::of(plane).await, Caller::of(server).await);
    let mut acknowledged = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Some(said) = caller.infer("iris.default", "iris", None).await else { break };
        assert_eq!(said.status, 200, "{said:?}");
        let made = Made::of(&said);
        let labels = json!({"labels": [made.label(true)]});
        match control.json("POST", &format!("{PATHS}/labels"), &labels).await {
            Some(said) if said.status == 200 => acknowledged.push((made.id, made.class)),
            _ => break,
        }
    }
    acknowledged
}

on_each_backend!(a_crash_loses_nothing);

fn a_crash_loses_nothing(backend: Backend) {
    runtime().block_on(crash(backend));
}

async fn crash(backend: Backend) {
    let mut rig = Rig::start(backend, &HOOKS);
    let receiver = Elsewhere::start(200).await;
    rig.register("iris", "v1.0.0", "boosting_binary");
    rig.register("iris", "v2.0.0", "forest_regressor");
    rig.apply("other", "models:/iris/v2.0.0");
    rig.apply("iris", "models:/iris/v1.0.0");
    rig.ready("iris");
    rig.ready("other");
    // Windows of another size than usual are back as well.
    rig.watch("iris", "10m", &receiver);
    let (plane, server) = (rig.server.data_plane(), rig.server.address());
    let (mut caller, mut control) = (Caller::of(plane).await, Caller::of(server).await);
    let made = predictions(&mut caller, |all| all.len() == 150).await;
    label(&mut control, made.iter().map(|made| made.label(false)).collect()).await;
    let name = "ModelAccuracyLow";
    eventually("somebody is told", 60, || (told(&receiver, name, FIRST) == (1, 0)).then_some(()));

    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4).map(|_| tokio::spawn(asks_and_labels(plane, server, Arc::clone(&over)))).collect();
    let before = eventually("requests are counted", 60, || {
        let status = rig.status("monitor iris");
        (watched(&status, FIRST)["requests"].as_u64() > Some(200)).then_some(status)
    });
    // What one look saw is kept when the next one is told.
    eventually("it is looked at once more", 60, || {
        (rig.status("monitor iris")["lookedAt"].as_str() > before["lookedAt"].as_str()).then_some(())
    });
    rig.server.kill_9();
    over.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeMap::new();
    for caller in callers {
        acknowledged.extend(caller.await.expect("a caller"));
    }
    assert!(acknowledged.len() > 20, "{} labels", acknowledged.len());

    rig.server.restart();
    rig.meet();
    rig.until("iris", FIRST);
    rig.until("other", "other-predictor-00001");
    let mut control = Caller::of(rig.server.address()).await;
    let mut records = 0;
    for (id, class) in &acknowledged {
        let said = control.get(&format!("{PATHS}/predictions/{id}")).await.expect("an answer");
        let record = said.json();
        assert_eq!((said.status, &record["labels"][0]["value"]), (200, &json!(*class as f64)), "{id}: {record}");
        assert_eq!((&record["service"], &record["version"]), (&json!("iris"), &json!(FIRST)));
        records += usize::from(record["predicted"].is_array());
    }
    println!("{} labels, of which {records} with their prediction", acknowledged.len());
    let after = eventually("it is looked at again", 60, || {
        let status = rig.status("monitor iris");
        (status["lookedAt"].as_str() > before["lookedAt"].as_str()).then_some(status)
    });
    let number = |status: &Value, field: &str| watched(status, FIRST)[field].as_u64().unwrap_or(0);
    assert!(number(&after, "requests") >= number(&before, "requests"), "windows are back: {after}");
    assert!(number(&after, "labelled") >= 150 + records as u64, "outcomes are back: {after}");
    let open = |status: &Value| {
        let alerts = watched(status, FIRST)["alerts"].as_array().cloned().unwrap_or_default();
        alerts.into_iter().find(|one| one["name"] == name).map(|one| one["since"].clone())
    };
    assert!(open(&before).is_some() && open(&after) == open(&before), "{after}");
    assert_eq!(told(&receiver, name, FIRST), (1, 0), "nobody is told again");
}
