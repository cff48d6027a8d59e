//! The model registry in MLflow's dialect.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{Api, Store};

impl Api {
    async fn create_version(&self, model: &str, source: &str) -> Value {
        let version = self.ok("model-versions/create", json!({"name": model, "source": source})).await;
        version["model_version"].clone()
    }

    async fn patch(&self, path: &str, body: &Value) -> Value {
        let answer = self.json(Method::PATCH, &format!("/api/2.0/mlflow/{path}"), body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    async fn remove(&self, path: &str, body: Value) -> (u16, String) {
        let answer = self.json(Method::DELETE, &format!("/api/2.0/mlflow/{path}"), &body).await;
        (answer.status, answer.text())
    }

    async fn names(&self, search: &str) -> Vec<String> {
        let found = self.read(search).await;
        let items =
            found["registered_models"].as_array().or(found["model_versions"].as_array()).cloned().unwrap_or_default();
        let name = |item: &Value| match item["version"].as_str() {
            Some(version) => format!("{}/{version}", item["name"].as_str().unwrap()),
            None => item["name"].as_str().unwrap().to_owned(),
        };
        items.iter().map(name).collect()
    }
}

fn refused(message: &str) -> (u16, String, String) {
    (400, "INVALID_PARAMETER_VALUE".to_owned(), message.to_owned())
}

fn gone(message: &str) -> (u16, String, String) {
    (404, "RESOURCE_DOES_NOT_EXIST".to_owned(), message.to_owned())
}

pub(crate) async fn models_live_and_die(store: Store) {
    let api = store.start().await;
    let tags = json!([{"key": "b", "value": "1"}, {"key": "a", "value": "1"}, {"key": "a", "value": "2"}]);
    let new = json!({"name": "iris", "description": "d", "tags": tags});
    let made = api.ok("registered-models/create", new).await["registered_model"].clone();
    assert_eq!(made["tags"], json!([{"key": "a", "value": "2"}, {"key": "b", "value": "1"}]));
    assert_eq!((&made["description"], made.get("latest_versions")), (&json!("d"), None));
    assert_eq!(made["creation_timestamp"], made["last_updated_timestamp"]);

    let exists = |message: &str| (400, "RESOURCE_ALREADY_EXISTS".to_owned(), message.to_owned());
    let create = async |body: Value| api.fails("registered-models/create", body).await;
    assert_eq!(create(json!({"name": "iris"})).await, exists("Registered Model (name=iris) already exists."));
    let prompt = json!([{"key": "mlflow.prompt.is_prompt", "value": "True"}]);
    let (_, _, message) = create(json!({"name": "iris", "tags": prompt})).await;
    assert!(message.starts_with(
        "Tried to create a prompt with name 'iris', but the name is already taken by a registered model."
    ));
    assert_eq!(create(json!({"name": " "})).await, refused("Missing value for required parameter 'name'."));
    assert_eq!(
        create(json!({"name": "a:b"})).await,
        refused("Invalid model name 'a:b'. Names cannot contain '/' or ':'.")
    );
    assert!(create(json!({"name": ".."})).await.2.ends_with("This name would resolve to '..'"));
    let long = json!([{"key": "a", "value": "1".repeat(100_001)}]);
    assert_eq!(
        create(json!({"name": "x", "tags": long})).await,
        refused("'value' exceeds the maximum length of 100000 characters")
    );

    let updated = api.patch("registered-models/update", &json!({"name": "iris", "description": "new"})).await;
    assert_eq!(updated["registered_model"]["description"], json!("new"));
    api.ok("registered-models/set-tag", json!({"name": "iris", "key": "k", "value": "v"})).await;
    for _ in 0..2 {
        assert_eq!(api.remove("registered-models/delete-tag", json!({"name": "iris", "key": "a"})).await.0, 200);
    }
    let found = api.read("registered-models/get?name=iris").await["registered_model"].clone();
    assert_eq!(found["tags"], json!([{"key": "b", "value": "1"}, {"key": "k", "value": "v"}]));

    api.create_version("iris", "s3://b/1").await;
    api.ok("registered-models/create", json!({"name": "other"})).await;
    let rename = |to: &str| json!({"name": "iris", "new_name": to});
    assert_eq!(
        api.fails("registered-models/rename", rename("other")).await,
        exists("Registered Model (name=other) already exists.")
    );
    let renamed = api.ok("registered-models/rename", rename("Iris 2")).await["registered_model"].clone();
    assert_eq!(renamed["latest_versions"][0]["name"], json!("Iris 2"));
    let missing = gone("Registered Model with name=iris not found");
    assert_eq!(api.fails("registered-models/rename", rename("x")).await, missing);
    assert_eq!(
        api.read("model-versions/get?name=Iris%202&version=1").await["model_version"]["source"],
        json!("s3://b/1")
    );

    assert_eq!(api.remove("registered-models/delete", json!({"name": "Iris 2"})).await, (200, "{}".to_owned()));
    assert_eq!(api.remove("registered-models/delete", json!({"name": "Iris 2"})).await.0, 404);
    api.ok("registered-models/create", json!({"name": "Iris 2"})).await;
    assert_eq!(api.create_version("Iris 2", "s3://b/1").await["version"], json!("1"), "a new model counts anew");
}

pub(crate) async fn versions_live_and_die(store: Store) {
    let api = store.start().await;
    api.ok("registered-models/create", json!({"name": "m"})).await;
    let run = api.run().await;
    let new = json!({"name": "m", "source": format!("runs:/{run}/model"), "run_id": run, "run_link": "http://x",
        "description": "first", "tags": [{"key": "a", "value": "b"}]});
    let mut made = api.ok("model-versions/create", new).await["model_version"].clone();
    for time in ["creation_timestamp", "last_updated_timestamp"] {
        assert!(made.as_object_mut().unwrap().remove(time).unwrap().is_i64());
    }
    let expected = json!({"name": "m", "version": "1", "current_stage": "None", "description": "first", "run_id": run,
        "run_link": "http://x", "source": format!("runs:/{run}/model"), "status": "READY", "tags": [{"key": "a", "value": "b"}]});
    assert_eq!(made, expected);
    let second = api.create_version("m", "s3://b/2").await;
    assert_eq!((&second["run_id"], &second["run_link"], &second["description"]), (&json!(""), &json!(""), &json!("")));
    api.create_version("m", "s3://b/3").await;

    let get =
        async |version: &str| api.get(&format!("/api/2.0/mlflow/model-versions/get?name=m&version={version}")).await;
    assert_eq!(get("%201%20").await.status, 200);
    assert_eq!(get("abc").await.error(), refused("Parameter 'version' must be an integer, got 'abc'."));
    assert_eq!(get("99").await.error(), gone("Model Version (name=m, version=99) not found"));
    let uri = api.read("model-versions/get-download-uri?name=m&version=2").await;
    assert_eq!(uri, json!({"artifact_uri": "s3://b/2"}));

    let updated = api.patch("model-versions/update", &json!({"name": "m", "version": "1"})).await;
    assert_eq!(updated["model_version"].get("description"), None);
    let wrong =
        api.json(Method::PATCH, "/api/2.0/mlflow/model-versions/update", &json!({"name": "m", "version": 1})).await;
    assert!(wrong.error().2.starts_with("Invalid value 1 for parameter 'version' supplied:"));
    api.ok("model-versions/set-tag", json!({"name": "m", "version": "1", "key": "k", "value": "v"})).await;
    api.remove("model-versions/delete-tag", json!({"name": "m", "version": "1", "key": "a"})).await;
    assert_eq!(get("1").await.json()["model_version"]["tags"], json!([{"key": "k", "value": "v"}]));

    let stage = async |version: &str, stage: &str, archive: bool| {
        let body = json!({"name": "m", "version": version, "stage": stage, "archive_existing_versions": archive});
        api.post("/api/2.0/mlflow/model-versions/transition-stage", &body).await
    };
    assert_eq!(stage("1", "production", false).await.json()["model_version"]["current_stage"], json!("Production"));
    assert_eq!(stage("2", "Production", true).await.status, 200);
    assert_eq!(get("1").await.json()["model_version"]["current_stage"], json!("Archived"));
    let message = "Invalid Model Version stage: foo. Value must be one of None, Staging, Production, Archived.";
    assert_eq!(stage("1", "foo", true).await.error(), refused(message));
    assert!(stage("1", "Archived", true).await.error().2.contains("'Archived' is not an Active stage."));
    let latest =
        api.ok("registered-models/get-latest-versions", json!({"name": "m", "stages": ["production", "NONE"]})).await;
    let numbers: Vec<&str> =
        latest["model_versions"].as_array().unwrap().iter().map(|v| v["version"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["2", "3"]);

    let delete =
        async |version: &str| api.remove("model-versions/delete", json!({"name": "m", "version": version})).await.0;
    assert_eq!((delete("3").await, delete("3").await, delete("x").await), (200, 404, 400));
    assert_eq!(api.create_version("m", "s3://b/4").await["version"], json!("4"), "a number is never given again");
}

pub(crate) async fn aliases_name_versions(store: Store) {
    let api = store.start().await;
    api.ok("registered-models/create", json!({"name": "m"})).await;
    for source in ["s3://b/1", "s3://b/2"] {
        api.create_version("m", source).await;
    }
    let alias = |alias: &str, version: &str| json!({"name": "m", "alias": alias, "version": version});
    for (name, version) in [("champion", "1"), ("champion", "2"), ("b", "2")] {
        api.ok("registered-models/alias", alias(name, version)).await;
    }
    let by = async |name: &str| api.get(&format!("/api/2.0/mlflow/registered-models/alias?name=m&alias={name}")).await;
    let found = by("champion").await.json()["model_version"].clone();
    assert_eq!((&found["version"], &found["aliases"]), (&json!("2"), &json!(["b", "champion"])));
    assert_eq!(by("LATEST").await.json()["model_version"]["version"], json!("2"));
    assert_eq!(by("none").await.error(), refused("Registered model alias none not found."));
    let set = async |name: &str| api.fails("registered-models/alias", alias(name, "1")).await;
    assert_eq!(set("Latest").await, refused("'latest' alias name (case insensitive) is reserved."));
    assert_eq!(set("v12").await, refused("Version alias name 'v12' is reserved."));
    assert!(set("a b").await.2.starts_with("Invalid alias name: 'a b'."));
    assert_eq!(
        set(&"x".repeat(256)).await,
        refused("'Registered model alias name' exceeds the maximum length of 255 characters")
    );
    assert_eq!(
        api.fails("registered-models/alias", alias("z", "9")).await,
        gone("Model Version (name=m, version=9) not found")
    );
    for _ in 0..2 {
        assert_eq!(api.remove("registered-models/alias", json!({"name": "m", "alias": "b"})).await.0, 200);
    }
    let model = api.read("registered-models/get?name=m").await["registered_model"].clone();
    assert_eq!(model["aliases"], json!([{"alias": "champion", "version": "2"}]));
    api.remove("model-versions/delete", json!({"name": "m", "version": "2"})).await;
    assert_eq!(by("champion").await.status, 400, "aliases go with their version");
    assert_eq!(by("latest").await.json()["model_version"]["version"], json!("1"));
}

pub(crate) async fn the_registry_is_searched(store: Store) {
    let api = store.start().await;
    for name in ["a_b", "aXb", "B"] {
        let tags = json!([{"key": "owner", "value": name}]);
        api.ok("registered-models/create", json!({"name": name, "tags": tags})).await;
    }
    let prompt = json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}]);
    api.ok("registered-models/create", json!({"name": "p", "tags": prompt})).await;
    api.ok("model-versions/create", json!({"name": "p", "source": "prompt-template", "tags": prompt})).await;
    for (name, tag) in [("a_b", "x"), ("B", "y"), ("a_b", "z")] {
        let tags = json!([{"key": "t", "value": tag}]);
        api.ok(
            "model-versions/create",
            json!({"name": name, "source": format!("s3://b/{tag}"), "run_id": tag, "tags": tags}),
        )
        .await;
    }
    let models = async |filter: &str| {
        let filter: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        api.names(&format!("registered-models/search?filter={filter}")).await
    };
    assert_eq!(models("").await, ["B", "aXb", "a_b"], "prompts are no models");
    assert_eq!(models("name LIKE 'a%'").await, ["aXb", "a_b"]);
    assert_eq!(models("name LIKE 'b'").await, [""; 0]);
    assert_eq!(models("name ILIKE 'b'").await, ["B"]);
    assert_eq!(models("name LIKE '%\\_%'").await, [""; 0], "nothing escapes");
    assert_eq!(models("name IN ('B', 'p', 'a_b')").await, ["B", "a_b"]);
    assert_eq!(models("name != 'B' AND tags.owner LIKE '%X%'").await, ["aXb"]);
    assert_eq!(models("tags.`mlflow.prompt.is_prompt` = 'true'").await, ["p"]);
    assert_eq!(models("tags.`mlflow.prompt.is_prompt` != 'true' AND name = 'B'").await, ["B"]);
    let page = api.read("registered-models/search?max_results=2&order_by=name%20DESC").await;
    let token = page["next_page_token"].as_str().unwrap();
    assert_eq!(page["registered_models"][0]["latest_versions"][0]["version"], json!("2"));
    assert_eq!(
        api.names(&format!("registered-models/search?max_results=2&order_by=name%20DESC&page_token={token}")).await,
        ["B"]
    );
    let many = api.get("/api/2.0/mlflow/registered-models/search?max_results=1001").await;
    assert!(many.error().2.starts_with("Invalid value \"1001\" for parameter 'max_results' supplied:"));

    let versions = async |filter: &str, order: &str| {
        let filter: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        api.names(&format!("model-versions/search?filter={filter}&order_by={order}")).await
    };
    assert_eq!(versions("", "name").await, ["B/1", "a_b/2", "a_b/1"]);
    assert_eq!(versions("version_number > 1", "name").await, ["a_b/2"]);
    assert_eq!(versions("version_number <= '1'", "name%20DESC").await, ["a_b/1", "B/1"]);
    assert_eq!(versions("run_id IN ('x', 'y')", "version_number").await, ["B/1", "a_b/1"]);
    assert_eq!(versions("source_path LIKE '%/z'", "name").await, ["a_b/2"]);
    assert_eq!(versions("tags.t = 'y'", "name").await, ["B/1"]);
    assert_eq!(versions("tags.`mlflow.prompt.is_prompt` = 'true'", "name").await, ["p/1"]);
    let none = api.get("/api/2.0/mlflow/model-versions/search?max_results=0").await;
    assert_eq!(none.error(), refused("Invalid value for max_results. It must be a positive integer, but got 0"));
    let unknown = [("x-mlflow-workspace", "other")];
    let theirs = api.send(Method::GET, "/api/2.0/mlflow/model-versions/search", &unknown, vec![]).await;
    assert_eq!(theirs.json(), json!({}), "nothing of another namespace is found");
}

/// What attacks on registries of this protocol have tried: a version must never stand for a file of the server.
pub(crate) async fn sources_stay_where_they_belong(store: Store) {
    let api = store.start().await;
    api.ok("registered-models/create", json!({"name": "m"})).await;
    let (run, other) = (api.run().await, api.run().await);
    let root = format!("mlflow-artifacts:/0/{run}/artifacts");
    let create = async |source: &str, run_id: Option<&str>| {
        let body = json!({"name": "m", "source": source, "run_id": run_id});
        api.post("/api/2.0/mlflow/model-versions/create", &body).await
    };
    for good in [root.clone(), format!("{root}/model"), format!("runs:/{run}"), format!("runs:/{run}/a/b")] {
        assert_eq!(create(&good, Some(&run)).await.status, 200, "{good}");
        assert_eq!(create(&good, Some(&other)).await.error().0, 400, "{good}");
        assert_eq!(create(&good, None).await.error().0, 400, "{good}");
    }
    let below = |tail: &str| format!("{root}{tail}");
    let bad = [
        "/etc/passwd",
        "etc",
        "./x",
        "../x",
        "file:///etc/passwd",
        "file:/etc",
        "file://localhost/etc",
        "file://evil/etc",
        "FILE:///etc",
        " /etc",
        "fi\nle:///etc",
        "%2fetc",
        "file%3a///etc",
        "\\\\host\\share",
        "C:\\x",
        "C:/../x",
        "mlflow-artifacts:/../../etc",
        "mlflow-artifacts://evil/x",
        "mlflow-artifacts:/",
        "mlflow-artifacts:",
        "http://evil/api/2.0/mlflow-artifacts/artifacts/x",
        "https://evil/x",
        "ftp://evil/x",
        "hdfs://evil/x",
        "s3://b/../x",
        "s3://b/%2e%2e/x",
        "s3://b/..%252fx",
        "s3:x",
        "s3://b/x%00",
        "runs:/../x",
        "runs://h/x",
        "models:/",
        "models:/nothing",
        "models:/nothing/1",
        "models://h/m/1",
        "jar:file:/x!y",
        "a\u{0}b",
    ];
    for source in bad {
        for run_id in [None, Some(run.as_str())] {
            let answer = create(source, run_id).await;
            assert!([400, 404].contains(&answer.status), "{source}: {}", answer.text());
        }
    }
    for tail in ["/..", "/../../x", "/%2e%2e/x", "/..%2f..", "/%252e%252e/x", "/a?b", "/a#b", "%00", "2/x"] {
        assert_eq!(create(&below(tail), Some(&run)).await.error().0, 400, "{tail}");
        assert_eq!(create(&format!("runs:/{run}{tail}"), Some(&run)).await.error().0, 400, "{tail}");
    }
    let elsewhere = [("x-mlflow-workspace", "other"), ("content-type", "application/json")];
    let named = json!({"name": "m"}).to_string().into_bytes();
    api.send(Method::POST, "/api/2.0/mlflow/registered-models/create", &elsewhere, named).await;
    for source in [root.as_str(), "models:/m/1"] {
        let body = json!({"name": "m", "source": source, "run_id": run}).to_string().into_bytes();
        let answer = api.send(Method::POST, "/api/2.0/mlflow/model-versions/create", &elsewhere, body).await;
        assert!([400, 404].contains(&answer.status), "what another namespace holds is not there: {}", answer.text());
    }

    // A run may keep its files on a disk, and then a version may too; nothing else on that disk is reachable.
    let local = json!({"name": "local", "artifact_location": "/srv/files"});
    let experiment = api.ok("experiments/create", local).await["experiment_id"].as_str().unwrap().to_owned();
    let run = api.run_in(&experiment).await;
    let files = format!("/srv/files/{run}/artifacts");
    for good in [files.clone(), format!("file://{files}/model")] {
        assert_eq!(create(&good, Some(&run)).await.status, 200, "{good}");
    }
    for bad in [
        "/srv/files".to_owned(),
        format!("{files}/../.."),
        format!("{files}/%2e%2e"),
        format!("file://{files}/..%2f"),
        format!("{files}x"),
    ] {
        let (status, _, message) = create(&bad, Some(&run)).await.error();
        assert_eq!(status, 400);
        assert!(
            message.contains("To use a local path as a model version source, the run_id request parameter"),
            "{message}"
        );
    }
}

pub(crate) async fn versions_are_copied(store: Store) {
    let api = store.start().await;
    for name in ["a", "b"] {
        api.ok("registered-models/create", json!({"name": name})).await;
    }
    let run = api.run().await;
    api.ok("model-versions/create", json!({"name": "a", "source": "s3://b/1", "run_id": run})).await;
    api.ok("registered-models/alias", json!({"name": "a", "alias": "best", "version": "1"})).await;
    for source in ["models:/a/1", "models:/a/latest", "models:/a@best", "models:/a/None"] {
        let made = api.create_version("b", source).await;
        assert_eq!((&made["source"], &made["run_id"]), (&json!("models:/a/1"), &json!(run)), "{source}");
    }
    let uri = api.read("model-versions/get-download-uri?name=b&version=4").await;
    assert_eq!(uri, json!({"artifact_uri": "s3://b/1"}));
    let create = async |body: Value| api.fails("model-versions/create", body).await.2;
    let other = create(json!({"name": "b", "source": "models:/a/1", "run_id": "x"})).await;
    assert!(
        other.ends_with("The run_id and model_id request parameters must match the referenced model version."),
        "{other}"
    );
    assert_eq!(
        create(json!({"name": "b", "source": "models:/a/9"})).await,
        "Model Version (name=a, version=9) not found"
    );
    let none = create(json!({"name": "b", "source": "models:/a/Production"})).await;
    assert_eq!(none, "No versions of model with name 'a' and stage 'Production' found");
    let prompt = json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}]);
    let wrong = create(json!({"name": "b", "source": "s3://b/1", "tags": prompt})).await;
    assert_eq!(wrong, "Invalid prompt source: 's3://b/1'. Prompt sources must use an MLflow placeholder.");
}
