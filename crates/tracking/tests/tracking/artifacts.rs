//! Files of runs.

use axum::http::Method;
use serde_json::json;

use crate::rig::{Api, Store};

const ROOT: &str = "/api/2.0/mlflow-artifacts/artifacts";

async fn put(api: &Api, path: &str, body: &[u8]) -> u16 {
    api.send(Method::PUT, &format!("{ROOT}/{path}"), &[], body.to_vec()).await.status
}

pub(crate) async fn files_come_and_go(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    let folder = format!("0/{run}/artifacts");
    assert_eq!(put(&api, &format!("{folder}/model/MLmodel"), b"flavors: {}").await, 200);
    assert_eq!(put(&api, &format!("{folder}/model/model.pkl"), &[7; 300_000]).await, 200);
    assert_eq!(put(&api, &format!("{folder}/a.txt"), b"").await, 200);

    let listed = api.read(&format!("artifacts/list?run_id={run}")).await;
    assert_eq!(listed["root_uri"], json!(format!("mlflow-artifacts:/{folder}")));
    assert_eq!(
        listed["files"],
        json!([{"path": "a.txt", "is_dir": false, "file_size": 0}, {"path": "model", "is_dir": true}])
    );
    let inner = api.read(&format!("artifacts/list?run_id={run}&path=model")).await;
    assert_eq!(inner["files"][0], json!({"path": "model/MLmodel", "is_dir": false, "file_size": 11}));
    let raw = api.get(&format!("{ROOT}?path={folder}/model")).await.json();
    assert_eq!(raw["files"][1], json!({"path": "model.pkl", "is_dir": false, "file_size": 300_000}));
    assert_eq!(api.read(&format!("artifacts/list?run_id={run}&path=nothing")).await.get("files"), None);

    let file = api.get(&format!("{ROOT}/{folder}/model/MLmodel")).await;
    assert_eq!((file.status, file.text().as_str()), (200, "flavors: {}"));
    let header = |name: &str| file.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/plain");
    assert_eq!(header("content-disposition"), "attachment; filename=MLmodel");
    assert_eq!(header("x-content-type-options"), "nosniff");
    let path = format!("/get-artifact?run_id={run}&path=model/MLmodel");
    let part = api.send(Method::GET, &path, &[("range", "bytes=0-6")], vec![]).await;
    assert_eq!(
        (part.status, part.text().as_str(), part.headers["content-range"].to_str().unwrap()),
        (206, "flavors", "bytes 0-6/11")
    );

    let digest = api.db.fetch("SELECT digest, size FROM artifacts WHERE path LIKE '%MLmodel'", vec![]).await.unwrap();
    assert_eq!((digest[0].text(0).unwrap().len(), digest[0].int(1).unwrap()), (64, 11));
    let gone = api.send(Method::DELETE, &format!("{ROOT}/{folder}/model"), &[], vec![]).await;
    assert_eq!((gone.status, gone.text().as_str()), (200, "{}"));
    let missing = api.get(&format!("{ROOT}/{folder}/model/MLmodel")).await.error();
    let text = format!("No such artifact: '{folder}/model/MLmodel'");
    assert_eq!(missing, (404, "RESOURCE_DOES_NOT_EXIST".to_owned(), text));
    assert_eq!(api.db.fetch("SELECT 1 FROM artifacts", vec![]).await.unwrap().len(), 1, "a.txt is left");
}

pub(crate) async fn no_path_leads_out(store: Store) {
    let api = store.start().await;
    for path in [
        "%2e%2e%2fx",
        "a/%2e%2e/%2e%2e/x",
        "77%252f..%252f..%252fx",
        "..%5cx",
        "%2Fetc%2Fpasswd",
        "a%23b",
        "a%3fb",
        "a%00b",
        "C:%5cx",
        "workspaces/other/1/x",
        ".mcplane/sha256/aa/bb",
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let answer = api.send(method.clone(), &format!("{ROOT}/{path}"), &[], b"x".to_vec()).await;
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
            assert_eq!(answer.error().1, "INVALID_PARAMETER_VALUE");
        }
        assert_eq!(api.get(&format!("{ROOT}?path={path}")).await.status, 400, "{path}");
    }
    let run = api.run().await;
    for path in ["..", "../../x", "/etc/passwd", "%252e%252e/x"] {
        assert_eq!(api.get(&format!("/get-artifact?run_id={run}&path={path}")).await.status, 400, "{path}");
    }
    // Whoever names a location could read what the server can, if the server read there.
    for location in ["file:///etc", "/etc", "s3://somebody/else"] {
        let body = json!({"name": location, "artifact_location": location});
        let id = api.ok("experiments/create", body).await["experiment_id"].as_str().unwrap().to_owned();
        let run = api.run_in(&id).await;
        assert_eq!(api.get(&format!("/get-artifact?run_id={run}&path=passwd")).await.status, 400, "{location}");
        assert_eq!(api.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}")).await.status, 400, "{location}");
        let path = format!("/get-artifact?run_id={run}&path=../passwd");
        assert_eq!(api.get(&path).await.error().2, "Invalid path", "paths are checked before places");
    }
}

pub(crate) async fn clients_may_name_this_server_by_its_address(store: Store) {
    let url = format!("http://127.0.0.1:5080{ROOT}");
    let api =
        store.start_with(mcplane_tracking::Config { default_artifact_root: url.clone(), ..Default::default() }).await;
    let run = api.run().await;
    assert_eq!(put(&api, &format!("0/{run}/artifacts/mlproject"), b"name: x").await, 200);
    let listed = api.read(&format!("artifacts/list?run_id={run}")).await;
    assert_eq!(listed["root_uri"], json!(format!("{url}/0/{run}/artifacts")));
    assert_eq!(listed["files"], json!([{"path": "mlproject", "is_dir": false, "file_size": 7}]));
    let file = api.get(&format!("/get-artifact?run_id={run}&path=mlproject")).await;
    assert_eq!((file.text().as_str(), file.headers["content-type"].to_str().unwrap()), ("name: x", "text/plain"));
    let upload = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=x");
    assert_eq!(api.send(Method::POST, &upload, &[], vec![]).await.error().2, "Request must specify data.");

    api.ok("registered-models/create", json!({"name": "m"})).await;
    let version = |source: String| json!({"name": "m", "source": source, "run_id": run});
    api.ok("model-versions/create", version(format!("{url}/0/{run}/artifacts/model"))).await;
    for bad in [format!("{url}/0/other/artifacts"), format!("http://127.0.0.1:81{ROOT}/0/{run}/artifacts")] {
        assert_eq!(api.fails("model-versions/create", version(bad.clone())).await.0, 400, "{bad}");
    }
}

pub(crate) async fn workspaces_keep_their_files(store: Store) {
    let api = store.start().await;
    let other = [("x-mlflow-workspace", "other")];
    let put = api.send(Method::PUT, &format!("{ROOT}/1/x"), &other, b"theirs".to_vec()).await;
    assert_eq!(put.status, 200);
    assert_eq!(api.get(&format!("{ROOT}/1/x")).await.status, 404);
    assert_eq!(api.get(&format!("{ROOT}/workspaces/other/1/x")).await.status, 400);
    assert_eq!(api.get(ROOT).await.json().get("files"), None, "not even the folder of others is seen");
    let mine = api.send(Method::GET, &format!("{ROOT}/workspaces/other/1/x"), &other, vec![]).await;
    assert_eq!(mine.text(), "theirs");
    let theirs = api.send(Method::GET, &format!("{ROOT}/workspaces/default/1/x"), &other, vec![]).await;
    assert_eq!(theirs.status, 400);
}
