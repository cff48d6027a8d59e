//! Versions with known content, and how the object API shows them.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{Answer, Api, Store};

const ROOT: &str = "/models/v1/namespaces/default/models";
const OBJECTS: &str = "/apis/mcplane.io/v1alpha1/namespaces/default";

impl Api {
    /// Puts a file among the artifacts of a run, and gives its URI.
    async fn file(&self, run: &str, path: &str, content: &str) -> String {
        let target = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/{path}");
        let answer = self.send(Method::PUT, &target, &[], content.as_bytes().to_vec()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        format!("runs:/{run}/{path}")
    }

    async fn register(&self, model: &str, body: Value) -> Answer {
        self.post(&format!("{ROOT}/{model}/versions"), &body).await
    }
}

pub(crate) async fn verified_versions_never_change(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    let (one, two) = (api.file(&run, "a.pkl", "abc").await, api.file(&run, "b.pkl", "other").await);
    let environment = json!({"python": "3.12.1", "dependencies": {"scikit-learn": "1.7"}});
    let new = json!({"version": "v1.2.0", "model_path": one, "run_id": run, "environment": environment,
        "metrics": {"accuracy": 0.94, "latency_ms": 12}, "tags": {"team": "risk"}});
    let made = api.register("fraud", new.clone()).await.json();
    assert_eq!((&made["version"], &made["number"], &made["state"]), (&json!("v1.2.0"), &json!(1), &json!("Verified")));
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((&made["digest"], &made["size"]), (&json!(abc), &json!(3)));
    assert_eq!((&made["metrics"]["latency_ms"], &made["environment"]), (&json!(12.0), &environment));

    let again = api.register("fraud", new).await;
    assert_eq!((again.status, &again.json()["number"]), (200, &json!(1)), "the same content is what is there");
    let other = api.register("fraud", json!({"version": "1.2.0", "model_path": two})).await;
    let (status, code, message) = other.error();
    assert_eq!((status, code.as_str()), (400, "RESOURCE_ALREADY_EXISTS"));
    assert!(message.contains("with other content"), "{message}");
    // Later writes to the place don't change what was registered.
    api.file(&run, "a.pkl", "changed").await;
    let refused = api.register("fraud", json!({"version": "v1.2.0", "model_path": one})).await;
    assert_eq!(refused.error().1, "RESOURCE_ALREADY_EXISTS");
    let next = api.register("fraud", json!({"model_path": two})).await.json();
    assert_eq!((&next["version"], &next["number"]), (&json!("v1.3.0"), &json!(2)), "the next minor version");
    assert_eq!(next["run_id"], json!(run), "a path in a run tells the run");

    let missing = api.register("fraud", json!({"model_path": format!("runs:/{run}/none")})).await;
    assert_eq!((missing.status, missing.error().1.as_str()), (404, "RESOURCE_DOES_NOT_EXIST"));
    for bad in [
        "/etc/passwd",
        "file:///etc/passwd",
        "s3://elsewhere/x",
        "http://evil/x",
        "../x",
        "runs:/../x",
        "models:/none/1",
    ] {
        let answer = api.register("fraud", json!({"model_path": bad})).await;
        assert!([400, 404].contains(&answer.status), "{bad}: {}", answer.text());
    }
    for bad in ["1.2", "latest", "v1.0.0+b"] {
        assert_eq!(api.register("fraud", json!({"version": bad, "model_path": two})).await.status, 400, "{bad}");
    }
    let elsewhere = api.post("/models/v1/namespaces/nobody/models/x/versions", &json!({"model_path": two})).await;
    assert_eq!(elsewhere.status, 404);
    let theirs = api.post("/models/v1/namespaces/other/models/x/versions", &json!({"model_path": two})).await;
    assert_eq!(theirs.status, 404, "a run of another namespace is not there");

    let body = json!({"name": "fraud", "version": "1"});
    assert_eq!(api.json(Method::DELETE, "/api/2.0/mlflow/model-versions/delete", &body).await.status, 200);
    let (_, _, message) = api.register("fraud", json!({"version": "v1.2.0", "model_path": two})).await.error();
    assert!(message.contains("was deleted, and is not given again"), "{message}");
    let audit = api
        .db
        .fetch("SELECT verb FROM audit WHERE resource LIKE 'modelversions%' ORDER BY sequence", vec![])
        .await
        .unwrap();
    let verbs: Vec<&str> = audit.iter().map(|row| row.text(0).unwrap()).collect();
    assert_eq!(verbs.iter().filter(|verb| **verb == "delete").count(), 1);
}

pub(crate) async fn folders_are_content_too(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    for (path, content) in
        [("model/MLmodel", "flavors"), ("model/data/weights.bin", "123"), ("copy/MLmodel", "flavors")]
    {
        api.file(&run, path, content).await;
    }
    let folder = json!({"version": "v1.0.0", "model_path": format!("runs:/{run}/model")});
    let made = api.register("net", folder.clone()).await.json();
    assert_eq!((&made["state"], &made["size"]), (&json!("Verified"), &json!(10)));
    assert_eq!(api.register("net", folder).await.status, 200);
    api.file(&run, "copy/data/weights.bin", "123").await;
    let copy = json!({"version": "v1.0.0", "model_path": format!("runs:/{run}/copy")});
    assert_eq!(api.register("net", copy).await.json()["number"], json!(1), "where a folder lies does not count");
    api.file(&run, "model/data/weights.bin", "124").await;
    let changed = json!({"version": "v1.0.0", "model_path": format!("runs:/{run}/model")});
    assert_eq!(api.register("net", changed).await.status, 400);
    let same = json!({"version": "v2.0.0", "model_path": "models:/net/1"});
    assert_eq!(api.register("net", same).await.json()["digest"], made["digest"]);
}

/// What was verified is what is read, whatever becomes of the place where it was.
pub(crate) async fn verified_content_is_read_back(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    let one = api.file(&run, "weights.bin", "abc").await;
    api.file(&run, "net/MLmodel", "flavors").await;
    api.file(&run, "net/data/weights.bin", "123").await;
    api.register("one", json!({"version": "v1.0.0", "model_path": one})).await;
    let made = api.register("net", json!({"version": "v1.0.0", "model_path": format!("runs:/{run}/net")})).await.json();
    for (path, content) in [("weights.bin", "evil"), ("net/MLmodel", "evil"), ("net/data/weights.bin", "evil")] {
        api.file(&run, path, content).await;
    }
    let files = api.get(&format!("{ROOT}/net/versions/v1.0.0/files")).await.json();
    assert_eq!((&files["digest"], &files["size"]), (&made["digest"], &json!(10)));
    let paths: Vec<&str> = files["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["MLmodel", "data/weights.bin"]);
    let read = async |path: &str| {
        let answer = api.get(path).await;
        (answer.status, answer.text())
    };
    let whole = |text: &str| (200, text.to_owned());
    assert_eq!(read(&format!("{ROOT}/net/versions/1/files/data/weights.bin")).await, whole("123"));
    assert_eq!(read(&format!("{ROOT}/one/versions/v1.0.0/files/weights.bin")).await, whole("abc"));
    let range = [("range", "bytes=1-")];
    let part = api.send(Method::GET, &format!("{ROOT}/one/versions/1/files/weights.bin"), &range, vec![]).await;
    assert_eq!((part.status, part.text().as_str()), (206, "bc"));
    // MLflow's pages ask for the same.
    assert_eq!(read("/model-versions/get-artifact?name=net&version=1&path=MLmodel").await, whole("flavors"));
    for (path, status) in [
        (format!("{ROOT}/net/versions/1/files/data"), 404),
        (format!("{ROOT}/net/versions/1/files/..%2fMLmodel"), 404),
        (format!("{ROOT}/net/versions/2/files"), 404),
        ("/models/v1/namespaces/other/models/net/versions/1/files".to_owned(), 404),
        ("/model-versions/get-artifact?name=net&version=1&path=..%2FMLmodel".to_owned(), 400),
        ("/model-versions/get-artifact?name=none&version=1&path=..%2Fx".to_owned(), 400),
        ("/model-versions/get-artifact?name=none&version=1&path=x".to_owned(), 404),
        ("/model-versions/get-artifact?name=net&version=1&path=none".to_owned(), 404),
    ] {
        assert_eq!(read(&path).await.0, status, "{path}");
    }
    let moved = api.get("//model-versions/get-artifact?name=net&version=1&path=MLmodel").await;
    assert_eq!(moved.status, 308);
    assert_eq!(moved.headers["location"], "/model-versions/get-artifact?name=net&version=1&path=MLmodel");

    // What was never read is no content: it is what lies at its source now.
    api.ok("registered-models/create", json!({"name": "loose"})).await;
    let source = json!({"name": "loose", "source": format!("runs:/{run}/net"), "run_id": run});
    api.ok("model-versions/create", source).await;
    assert_eq!(read("/model-versions/get-artifact?name=loose&version=1&path=MLmodel").await, whole("evil"));
    let (status, text) = read(&format!("{ROOT}/loose/versions/1/files")).await;
    assert!(status == 400 && text.contains("is not verified"), "{status} {text}");
}

pub(crate) async fn versions_are_compared_and_stable(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    for (version, content, accuracy) in [("v1.0.0", "a", 0.8), ("v1.1.0", "b", 0.9), ("v2.0.0-rc.1", "c", 0.9)] {
        let path = api.file(&run, content, content).await;
        let body = json!({"version": version, "model_path": path, "metrics": {"accuracy": accuracy}});
        assert_eq!(api.register("m", body).await.status, 200);
    }
    let compared = api.get(&format!("{ROOT}/m/compare?a=v1.0.0&b=2")).await.json();
    assert_eq!(
        (&compared["same_content"], &compared["differences"]["metrics.accuracy"]),
        (&json!(false), &json!([0.8, 0.9]))
    );
    assert_eq!(compared["differences"].get("run_id"), None);
    let stable = async || api.get(&format!("{ROOT}/m/latest-stable")).await;
    assert_eq!(stable().await.status, 404);
    for version in ["1", "2", "3"] {
        api.ok("model-versions/transition-stage", json!({"name": "m", "version": version, "stage": "Production"}))
            .await;
    }
    assert_eq!(stable().await.json()["version"], json!("v1.1.0"), "a pre-release is not stable");
    let tag = json!({"name": "m", "version": "2", "key": "mcplane.rolled-back", "value": "true"});
    api.ok("model-versions/set-tag", tag).await;
    assert_eq!(stable().await.json()["version"], json!("v1.0.0"));
    api.ok("registered-models/alias", json!({"name": "m", "alias": "stable", "version": "3"})).await;
    assert_eq!(stable().await.json()["version"], json!("v2.0.0-rc.1"), "unless somebody says so");
    let all = api.get(&format!("{ROOT}/m/versions")).await.json();
    let versions: Vec<&str> =
        all["versions"].as_array().unwrap().iter().map(|v| v["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["v2.0.0-rc.1", "v1.1.0", "v1.0.0"]);
    assert_eq!(api.get(&format!("{ROOT}/m/versions/v9.0.0")).await.status, 404);
}

pub(crate) async fn the_object_api_shows_the_registry(store: Store) {
    let api = store.start().await;
    let items = async |what: &str| {
        let list = api.get(&format!("{OBJECTS}/{what}")).await.json();
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        list["items"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    for name in ["fraud_detection", "Fraud Detection"] {
        api.ok("registered-models/create", json!({"name": name})).await;
    }
    for name in ["fraud_detection", "fraud_detection"] {
        api.ok("model-versions/create", json!({"name": name, "source": "s3://b/x"})).await;
    }
    let models = items("models").await;
    assert_eq!((models.len(), models[0].as_str()), (2, "fraud-detection"));
    assert!(models[1].starts_with("fraud-detection-"), "{models:?}");
    assert_eq!(items("modelversions").await, ["fraud-detection.v1.0.0", "fraud-detection.v1.1.0"]);
    let version = api.get(&format!("{OBJECTS}/modelversions/fraud-detection.v1.1.0")).await.json();
    assert_eq!((&version["kind"], &version["spec"]["model"]), (&json!("ModelVersion"), &json!("fraud_detection")));
    assert_eq!((&version["spec"]["number"], &version["status"]["state"]), (&json!(2), &json!("Unverified")));

    api.ok("registered-models/alias", json!({"name": "fraud_detection", "alias": "best", "version": "2"})).await;
    api.ok("registered-models/alias", json!({"name": "fraud_detection", "alias": "best", "version": "1"})).await;
    let moved = api.get(&format!("{OBJECTS}/modelversions/fraud-detection.v1.1.0")).await.json();
    assert_eq!(moved["status"]["aliases"], json!([]));
    assert_ne!(moved["metadata"]["resourceVersion"], version["metadata"]["resourceVersion"]);

    let rows = "SELECT operation, name FROM changes WHERE resource = 'modelversions.mcplane.io' ORDER BY revision";
    let changes = api.db.fetch(rows, vec![]).await.unwrap();
    assert!(changes.len() >= 5, "each change is in the feed: {}", changes.len());
    let created = api.post(&format!("{OBJECTS}/models"), &json!({"metadata": {"name": "x"}})).await;
    assert_eq!(created.status, 405);
    let gone = api.send(Method::DELETE, &format!("{OBJECTS}/modelversions/fraud-detection.v1.0.0"), &[], vec![]).await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(api.get("/api/2.0/mlflow/model-versions/get?name=fraud_detection&version=1").await.status, 404);
    api.ok("registered-models/rename", json!({"name": "fraud_detection", "new_name": "scoring"})).await;
    assert_eq!(items("modelversions").await, ["scoring.v1.1.0"]);
    let gone = api.send(Method::DELETE, &format!("{OBJECTS}/models/scoring"), &[], vec![]).await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(items("modelversions").await, [""; 0]);
    assert_eq!(api.get("/api/2.0/mlflow/registered-models/get?name=scoring").await.status, 404);
}
