//! Nobody who asks notices what changes: weights, models, a rollback, an upstream that dies. Shares are the weights', and
//! users stay while those do.

use std::collections::BTreeMap;

use mcplane_testkit::{Backend, eventually};
use serde_json::{Value, json};

use super::calls::{Caller, Elsewhere, Traffic, runtime};
use super::rig::Rig;

const CHANGES: u32 = 1_000;
const HOST: &str = "user-service";
const OBJECT: &str = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/users";
/// Of the distribution of chi-squared with two degrees of freedom: one in a hundred thousand is beyond it.
const CHI_SQUARED: f64 = 23.0;

/// What goes to two models of the registry, and to a server elsewhere.
fn split(weights: [u32; 3], elsewhere: u16) -> Value {
    let to = |subset: &str, weight| json!({"destination": {"host": HOST, "subset": subset}, "weight": weight});
    let other = json!({"destination": {"host": "127.0.0.1", "subset": "other", "port": {"number": elsewhere}}, "weight": weights[2]});
    let retries = json!({"attempts": 2, "retryOn": "connect-failure,reset"});
    json!({"hosts": [HOST], "http": [{"route": [to("v1", weights[0]), to("v2", weights[1]), other], "retries": retries}]})
}

impl Rig {
    fn two_models(&self, elsewhere: u16) {
        self.register("users", "v1.0.0", "boosting_regressor");
        self.register("users", "v2.0.0", "forest_regressor");
        self.register("users", "v3.0.0", "tree_regressor");
        for (name, version) in [("users-one", "v1"), ("users-two", "v2")] {
            let uri = format!("models:/users/{version}.0.0");
            self.apply_labelled(name, &uri, &json!({"app": HOST, "version": version}));
            self.ready(name);
        }
        let subset = |name: &str| json!({"name": name, "labels": {"version": name}});
        let rule = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": HOST},
            "spec": {"host": HOST, "subsets": [subset("v1"), subset("v2")]},
        });
        let service = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "users"},
            "spec": split([20, 30, 50], elsewhere),
        });
        for object in [rule, service] {
            assert_eq!(self.kubectl.feed("apply -f -", &object.to_string()).code, 0);
        }
    }
}

/// Who answered so many requests; each user once, or nobody in particular.
async fn answers(caller: &mut Caller, count: usize, users: bool) -> Vec<String> {
    let mut versions = Vec::with_capacity(count);
    for number in 0..count {
        let user = users.then(|| format!("user-{number}"));
        let said = caller.infer(HOST, HOST, user.as_deref()).await.expect("an answer");
        assert_eq!(said.status, 200, "{said:?}");
        versions.push(said.version().to_owned());
    }
    versions
}

#[track_caller]
fn shares_are(versions: &[String], expected: [(&str, u32); 3]) {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    versions.iter().for_each(|version| *counts.entry(version).or_default() += 1.0);
    let total = versions.len() as f64;
    let distance = expected.iter().map(|(name, weight)| {
        let expected = f64::from(*weight) / 100.0 * total;
        (counts.remove(name).unwrap_or(0.0) - expected).powi(2) / expected
    });
    let distance: f64 = distance.sum();
    assert!(distance < CHI_SQUARED && counts.is_empty(), "{distance} of {expected:?}, and besides: {counts:?}");
}

async fn patch(control: &mut Caller, spec: &Value) {
    let said = control.json("PATCH", OBJECT, &json!({"spec": spec})).await.expect("an answer");
    assert_eq!(said.status, 200, "{said:?}");
}

async fn changes() {
    let rig = Rig::start(Backend::Sqlite, &["--set", r#"serving.upstreams=["127.0.0.1"]"#]);
    let elsewhere = Elsewhere::start(200).await;
    let port = elsewhere.address.port();
    rig.two_models(port);
    let (plane, mut control) = (rig.server.data_plane(), Caller::of(rig.server.address()).await);
    let mut caller = Caller::of(plane).await;
    eventually("the route is there", 60, || {
        let said = rig.ask(HOST, "/v2/models/user-service/infer", &super::rig::row());
        (said.status == 200).then_some(())
    });
    let expected = [("v1", 20), ("v2", 30), ("other", 50)];
    shares_are(&answers(&mut caller, 600, false).await, expected);
    let users = answers(&mut caller, 400, true).await;
    shares_are(&users, expected);

    let traffic = Traffic::start(plane, HOST, HOST);
    let mut elsewhere = Some(elsewhere);
    for change in 0..CHANGES {
        let first = change % 60;
        patch(&mut control, &split([first, 60 - first, 40], port)).await;
        match change {
            // Another model behind the same name, while it is asked.
            300 => rig.apply_labelled("users-two", "models:/users/v3.0.0", &json!({"app": HOST, "version": "v2"})),
            // It takes its connections with it.
            600 => drop(elsewhere.take()),
            _ => {}
        }
    }
    patch(&mut control, &split([50, 20, 30], port)).await;
    let metrics = rig.metrics();
    let refused = "mcplane_gateway_requests_total{destination=\"127.0.0.1\",version=\"other\",code=\"503\"}";
    assert!(metrics.contains(refused), "what could not be reached is counted: {metrics}");
    eventually("the other model answers", 60, || {
        let told = rig.told("users-two");
        (told["status"]["components"]["predictor"]["latestReadyRevision"] == "users-two-predictor-00002").then_some(())
    });

    // A version goes out, and is called back.
    let stage = |weight: u32| json!({"name": format!("{weight}"), "weight": weight, "duration": "1h"});
    let rollout = json!({
        "apiVersion": "mcplane.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "users"},
        "spec": {"virtualService": "users", "version": "v2", "stages": [stage(80), stage(100)]},
    });
    assert_eq!(rig.kubectl.feed("apply -f -", &rollout.to_string()).code, 0);
    let phase = |phase: &str| {
        eventually(phase, 60, || {
            let told = rig.kubectl.json("get rollout users -o json");
            (told["status"]["phase"] == phase).then_some(())
        });
    };
    phase("Progressing");
    let before = traffic.of("v2");
    eventually("it answers", 60, || (traffic.of("v2") > before + 20).then_some(()));
    let path = "/delivery/v1/namespaces/default/rollouts/users/abort";
    assert_eq!(control.json("POST", path, &json!({})).await.map(|said| said.status), Some(200));
    phase("RolledBack");
    let kubectl = &rig.kubectl;
    eventually("its weight is written", 60, || {
        let told = kubectl.json("get virtualservice users -o json");
        (told["spec"]["http"][0]["route"][1]["weight"] == 0).then_some(())
    });
    let (asked, failed) = traffic.stop().await;
    println!("{asked} requests");
    assert!(asked > 200 && failed.is_empty(), "{asked} requests, of which failed: {failed:?}");

    // With the same weights everybody is where they were, though one model is another and the server elsewhere is gone.
    assert_eq!(kubectl.run("delete rollout users").code, 0);
    eventually("the rollout is forgotten", 60, || (rig.kubectl.run("get rollout users").code != 0).then_some(()));
    patch(&mut control, &split([40, 60, 0], port)).await;
    eventually("it is in force", 60, || {
        let said = rig.ask(HOST, "/v2/models/user-service/infer", &super::rig::row());
        said.header("x-mcplane-reason").contains("share=").then_some(said).filter(|said| {
            ["rule=0 by=turn share=40", "rule=0 by=turn share=60"].contains(&said.header("x-mcplane-reason"))
        })
    });
    let again = answers(&mut caller, 400, true).await;
    let moved = users.iter().zip(&again).filter(|(before, now)| *before != "other" && before != now).count();
    assert_eq!(moved, 0, "nobody leaves a version because another is gone");
    assert_eq!(answers(&mut caller, 400, true).await, again);
}

#[test]
fn nobody_notices_changes() {
    runtime().block_on(changes());
}
