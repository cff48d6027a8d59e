//! Models that answer: from the registry to the wire, with kubectl and with clients as they are published.

mod calls;
mod changes;
mod clients;
mod hostile;
mod onnxruntime;
mod own_model;
mod rig;
mod rollouts;
mod traffic;
mod watched;

use mcplane_testkit::{Backend, eventually, on_each_backend};
use serde_json::json;

use rig::Rig;

on_each_backend!(a_service_lives);

/// Registered, applied, asked, changed under load, broken, killed, and gone.
fn a_service_lives(backend: Backend) {
    let mut rig = Rig::start(backend, &[]);
    rig.register("iris", "v1.0.0", "boosting_regressor");
    rig.register("iris", "v1.1.0", "forest_regressor");
    rig.register("iris", "v2.0.0", "knn");
    rig.apply("iris", "models:/iris/v1.0.0");
    rig.ready("iris");
    let told = rig.told("iris");
    assert_eq!(told["status"]["modelStatus"]["transitionStatus"], "UpToDate", "{told}");
    assert_eq!(told["status"]["revisions"][0]["name"], "iris-predictor-00001");
    assert_eq!(told["status"]["revisions"][0]["semanticVersion"], "v1.0.0");
    assert!(told["status"]["revisions"][0]["loadMilliseconds"].is_u64(), "{told}");
    let table = rig.kubectl.ok("get isvc");
    let words: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words[..5], ["NAME", "URL", "READY", "PREV", "LATEST"], "{table}");
    assert!(table.contains("http://iris.default.localhost:") && table.contains("iris-predictor-00001"), "{table}");

    // By path, by host, and by the URLs that the status tells.
    let by_path = rig.infer("iris");
    assert_eq!(by_path.status, 200, "{by_path:?}");
    for host in ["iris.default", "iris.default.svc.cluster.local", "IRIS.default.localhost:5081", "iris"] {
        let answer = rig.ask(host, "/v2/models/iris/infer", &rig::row());
        assert_eq!((answer.status, &answer.body), (200, &by_path.body), "{host}");
    }
    assert_eq!(rig.ask("x", "/serving/default/iris/v2/models/iris/infer", &rig::row()).body, by_path.body);
    assert_eq!(by_path.header("x-mcplane-version"), "iris-predictor-00001");
    assert_eq!(by_path.header("x-mcplane-model"), "models:/iris/1");
    assert_eq!(by_path.header("x-mcplane-reason"), "rule=service by=only");
    assert_eq!(by_path.header("x-mcplane-prediction-id").len(), 32);

    // Another version under load: nobody notices but by the answers.
    let load = rig.load("iris");
    rig.apply("iris", "models:/iris/2");
    let second = rig.until("iris", "iris-predictor-00002");
    assert_ne!(second.outputs(), by_path.outputs());
    let (count, failed) = load.stop();
    assert!(count > 20 && failed.is_empty(), "{count} requests, of which failed: {failed:?}");

    // A model that can't be loaded takes nothing away.
    rig.apply("iris", "models:/iris/3");
    let told = rig.condition("iris", "LatestDeploymentReady", "False");
    assert_eq!(told["status"]["modelStatus"]["transitionStatus"], "BlockedByFailedLoad", "{told}");
    let failure = &told["status"]["modelStatus"]["lastFailureInfo"];
    assert_eq!(
        (&failure["reason"], &failure["modelRevisionName"]),
        (&json!("ModelLoadFailed"), &json!("iris-predictor-00003"))
    );
    assert!(failure["message"].as_str().unwrap().contains("operator"), "{failure}");
    assert_eq!(rig.infer("iris").body, second.body);
    eventually("events tell what happened", 60, || {
        let told = rig.kubectl.ok("events --for inferenceservice/iris");
        let has = |words: [&str; 3]| told.lines().any(|line| words.iter().all(|word| line.contains(word)));
        let answered = ["Normal", "InferenceServiceReady", "iris-predictor-00002 answers, with models:/iris/2"];
        (has(answered) && has(["Warning", "ModelLoadFailed", "operator Scan"])).then_some(())
    });

    // Nor does the death of the server.
    rig.server.kill_9();
    rig.server.restart();
    rig.meet();
    let again = rig.until("iris", "iris-predictor-00002");
    assert_eq!(again.body, second.body);
    rig.apply("iris", "models:/iris/v1.0.0");
    assert_eq!(rig.until("iris", "iris-predictor-00004").outputs(), by_path.outputs());
    let metrics = rig.metrics();
    for part in [
        "mcplane_inference_requests_total{namespace=\"default\",model=\"iris\",version=\"4\",outcome=\"answered\"}",
        "mcplane_gateway_requests_total{destination=\"iris.default\",version=\"iris-predictor-00004\",code=\"200\"}",
    ] {
        assert!(metrics.contains(part), "{part}\n{metrics}");
    }
    eventually("what is unloaded has no series", 60, || {
        let metrics = rig.metrics();
        let of = |series: &str| metrics.lines().any(|line| line.starts_with(series));
        let routed = "mcplane_gateway_requests_total{destination=\"iris.default\",version=\"iris-predictor-00002\"";
        let served = "mcplane_inference_requests_total{namespace=\"default\",model=\"iris\",version=\"2\"";
        (!of(routed) && !of(served)).then_some(())
    });

    rig.kubectl.ok("delete isvc iris");
    eventually("nobody answers for what is gone", 60, || (rig.infer("iris").status == 404).then_some(()));
    eventually("its series are gone", 60, || (!rig.metrics().contains("\"iris")).then_some(()));
}
