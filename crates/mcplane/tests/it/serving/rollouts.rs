//! Revisions that go out by stages, and what is watched of them.

use mcplane_testkit::{Backend, eventually};
use serde_json::{Value, json};

use super::rig::{Rig, post};

const FIRST: &str = "iris-predictor-00001";
const SECOND: &str = "iris-predictor-00002";

impl Rig {
    fn say(&self, path: &str, body: &Value) -> (u16, Value) {
        let address = self.server.address();
        let path = format!("/delivery/v1/namespaces/default/{path}");
        let answer = post(address, &address.to_string(), &path, "", body.to_string().as_bytes()).expect("an answer");
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn rollout(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(what, 60, || {
            let status = self.kubectl.json("get rollout iris -o json")["status"].clone();
            is(&status).then_some(status)
        })
    }

    /// Which versions answer 40 requests, of which none fails.
    fn split(&self) -> (usize, usize) {
        let versions: Vec<String> = (0..40)
            .map(|_| {
                let answer = self.infer("iris");
                assert_eq!(answer.status, 200, "{answer:?}");
                answer.header("x-mcplane-version").to_owned()
            })
            .collect();
        let of = |name: &str| versions.iter().filter(|version| *version == name).count();
        (of(FIRST), of(SECOND))
    }

    /// Requests without a user go in turn, so that shares are right to within one or two.
    fn is_halved(&self) -> bool {
        let (first, second) = self.split();
        first.abs_diff(second) <= 4
    }
}

#[test]
fn a_revision_goes_out_and_comes_back() {
    let mut rig = Rig::start(Backend::Sqlite, &[]);
    rig.register("iris", "v1.0.0", "boosting_regressor");
    rig.register("iris", "v2.0.0", "forest_regressor");
    rig.apply("iris", "models:/iris/v1.0.0");
    rig.ready("iris");
    let stage = |weight: u32| json!({"name": format!("{weight}"), "weight": weight, "duration": "1h"});
    let rollout = json!({
        "apiVersion": "mcplane.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "iris"},
        "spec": {"service": "iris", "stages": [stage(25), stage(50), stage(100)], "analysis": {
            "interval": "1s", "comparison": {"latencyMargin": 1e6, "latency": {"normal": 1e6, "alert": 1e7}},
        }},
    });
    let applied = rig.kubectl.feed("apply -f -", &rollout.to_string());
    assert_eq!(applied.code, 0, "{applied}");
    rig.rollout("it waits for another revision", |status| status["phase"] == "Idle" && status["stable"] == FIRST);

    // The next revision gets its share, while others ask; nobody fails.
    let load = rig.load("iris");
    rig.apply("iris", "models:/iris/v2.0.0");
    rig.rollout("it goes out", |status| status["phase"] == "Progressing" && status["version"] == SECOND);
    rig.until("iris", SECOND);
    rig.rollout("it is looked at", |status| status["metrics"][0]["values"].as_u64() > Some(0));
    let (status, promoted) = rig.say("rollouts/iris/promote", &json!({}));
    assert_eq!((status, &promoted["stage"]), (200, &json!(1)), "{promoted}");
    let (count, failed) = load.stop();
    assert!(count > 20 && failed.is_empty(), "{count} requests, of which failed: {failed:?}");
    eventually("a half each", 60, || rig.is_halved().then_some(()));

    // What is known of a prediction, and what was true of it, outlive the server; so does the stage.
    let id = rig.infer("iris").header("x-mcplane-prediction-id").to_owned();
    let (status, told) = rig.say("labels", &json!({"labels": [{"id": id, "value": 1.5}]}));
    assert_eq!((status, &told["labels"][0]["outcome"]), (200, &json!("joined")), "{told}");
    assert_eq!(rig.say("labels", &json!({"labels": [{"id": "x", "value": 1}]})).0, 400);
    rig.server.kill_9();
    rig.server.restart();
    rig.meet();
    rig.until("iris", SECOND);
    // The version that is loaded first has all requests until the other is.
    eventually("a half each again", 60, || rig.is_halved().then_some(()));
    let (_, told) = rig.say("labels", &json!({"labels": [{"id": id, "value": 1.5}]}));
    assert!(["repeated", "unknown"].contains(&told["labels"][0]["outcome"].as_str().unwrap()), "{told}");
    let monitors = eventually("the service is watched", 60, || {
        let found = rig.kubectl.json("get monitor iris -o json")["status"]["versions"].clone();
        (found.as_array().is_some_and(|versions| versions.len() == 2)).then_some(found)
    });
    assert!(monitors[1]["requests"].as_u64() > Some(0), "windows are back: {monitors}");

    // Back at once, for good, and on record.
    let (status, back) = rig.say("rollouts/iris/abort", &json!({}));
    assert_eq!((status, &back["phase"]), (200, &json!("RolledBack")), "{back}");
    eventually("all is as it was", 60, || (rig.split() == (40, 0)).then_some(()));
    rig.rollout("it says so", |status| status["phase"] == "RolledBack" && status["weight"] == 0);
    assert_eq!(rig.say("rollouts/iris/pause", &json!({})).0, 409);
    let metrics = rig.metrics();
    assert!(metrics.contains("mcplane_service_requests_total{namespace=\"default\",service=\"iris\""), "{metrics}");
}
