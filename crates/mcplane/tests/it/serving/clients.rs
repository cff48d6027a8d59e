//! Clients as they are published, against the server; and the door where callers must log in.

use std::path::Path;

use mcplane_testkit::python::Venv;
use mcplane_testkit::{Backend, eventually};
use serde_json::{Value, json};

use super::rig::{Rig, post, row};
use crate::guarded::Guarded;

#[test]
fn published_clients_are_served() {
    let rig = Rig::start(Backend::Sqlite, &[]);
    rig.register("forest", "v1.0.0", "forest_names");
    rig.register("columns", "v1.0.0", "columns_logistic");
    rig.apply("forest", "models:/forest/1");
    // The script asks for the third version.
    for (uri, revision) in [
        ("models:/columns/1", "columns-predictor-00001"),
        ("models:/columns/v1.0.0", "columns-predictor-00002"),
        ("models:/columns@latest", "columns-predictor-00003"),
    ] {
        rig.apply("columns", uri);
        eventually(revision, 60, || {
            let told = rig.told("columns");
            (told["status"]["components"]["predictor"]["latestReadyRevision"] == revision).then_some(())
        });
    }
    rig.ready("forest");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../serving/tests/serving/clients");
    let requirements = std::fs::read_to_string(folder.join("requirements.txt")).expect("requirements");
    // The index tells of what is loaded: the third revision takes the place of the second.
    eventually("the second revision is unloaded", 60, || {
        (rig.told("columns")["status"]["revisions"].as_array()?.len() == 1).then_some(())
    });
    let address = rig.server.data_plane().to_string();
    let said = Venv::with(&requirements).run(&folder.join("clients.py"), &[&address]).ok();
    assert!(said.contains("all clients are served"), "{said}");
}

/// Where logins are demanded, predictions are for who has the right to ask for them.
#[test]
fn callers_log_in_where_they_must() {
    let guarded = Guarded::start(Backend::Sqlite, &[]);
    let (eve, ann) = (guarded.user("eve", "stranger"), guarded.user("ann", "stranger"));
    let role = json!({"metadata": {"name": "callers"}, "rules": [
        {"apiGroups": ["serving.kserve.io"], "resources": ["inferenceservices/infer"], "verbs": ["create"]},
    ]});
    let rbac = crate::guarded::RBAC;
    guarded.root.create(&format!("{rbac}/namespaces/default/roles"), &role);
    let reference = json!({"kind": "Role", "name": "callers", "apiGroup": "rbac.authorization.k8s.io"});
    let binding =
        json!({"metadata": {"name": "callers"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "ann"}]});
    guarded.root.create(&format!("{rbac}/namespaces/default/rolebindings"), &binding);
    let service = json!({"metadata": {"name": "iris"}, "spec": {"predictor": {"model": {
        "modelFormat": {"name": "onnx"}, "storageUri": "models:/iris/1",
    }}}});
    guarded.root.create("/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices", &service);
    let ask = |more: &str| {
        let answer = post(guarded.server.data_plane(), "x", "/v2/models/iris/infer", more, row().as_bytes());
        let answer = answer.expect("an answer");
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert!(said["error"].is_string(), "{said}");
        answer.status
    };
    assert_eq!(ask(""), 401);
    assert_eq!(ask("Authorization: Bearer nonsense\r\n"), 401);
    assert_eq!(ask(&format!("Authorization: Bearer {}\r\n", eve.token.as_deref().unwrap_or_default())), 403);
    // She may; only that there is no such model.
    eventually("the binding is in force", 60, || {
        (ask(&format!("Authorization: Bearer {}\r\n", ann.token.as_deref().unwrap_or_default())) == 503).then_some(())
    });
}
