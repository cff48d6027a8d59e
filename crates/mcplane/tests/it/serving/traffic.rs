//! Routes between services, changed while they are used.

use std::path::Path;

use mcplane_testkit::{Backend, eventually};
use serde_json::json;

use super::rig::{Rig, row};

/// The mission's canary, as it is written, and then all of the traffic to the new one.
#[test]
fn the_missions_canary() {
    let rig = Rig::start(Backend::Sqlite, &[]);
    rig.register("users", "v1.0.0", "boosting_regressor");
    rig.register("users", "v2.0.0", "forest_regressor");
    for (name, version) in [("users-one", "v1"), ("users-two", "v2")] {
        let uri = format!("models:/users/{version}.0.0");
        rig.apply_labelled(name, &uri, &json!({"app": "user-service", "version": version}));
        rig.ready(name);
    }
    let subset = |name: &str| json!({"name": name, "labels": {"version": name}});
    let rule = json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "DestinationRule", "metadata": {"name": "user-service"},
        "spec": {"host": "user-service", "subsets": [subset("v1"), subset("v2")]},
    });
    assert_eq!(rig.kubectl.feed("apply -f -", &rule.to_string()).code, 0);
    let canary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../delivery/tests/golden/virtual_service_canary.yaml");
    let canary = std::fs::read_to_string(canary).expect("the mission's file");
    assert_eq!(rig.kubectl.feed("apply -f -", &canary).code, 0);
    let ask = || rig.ask("user-service", "/v2/models/user-service/infer", &row());
    eventually("the route is there", 60, || (ask().status == 200).then_some(()));
    let versions: Vec<String> = (0..100)
        .map(|_| {
            let answer = ask();
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.header("x-mcplane-version").to_owned()
        })
        .collect();
    let new = versions.iter().filter(|version| *version == "v2").count();
    assert!((9..=11).contains(&new), "{versions:?}");
    let all = canary.replace("weight: 90", "weight: 0").replace("weight: 10\n", "weight: 100\n");
    assert_eq!(rig.kubectl.feed("apply -f -", &all).code, 0);
    let answer =
        eventually("all go to v2", 60, || Some(ask()).filter(|answer| answer.header("x-mcplane-version") == "v2"));
    assert_eq!(answer.header("x-mcplane-reason"), "rule=0 by=only");

    // What is not done as written is told where people look.
    let mirrored = all.replace("  - route:\n", "  - mirror: {host: elsewhere.example}\n    route:\n");
    assert_eq!(rig.kubectl.feed("apply -f -", &mirrored).code, 0);
    eventually("it is told", 60, || {
        let told = rig.kubectl.ok("describe virtualservice user-service");
        (told.contains("NotAsWritten") && told.contains("spec.http[0].mirror is ignored")).then_some(())
    });
}
