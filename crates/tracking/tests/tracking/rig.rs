//! The dialect over a fresh database, and short words for what the cases do with it.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use mcplane_blobs::{Blobs, BlobsConfig, External, Location};
use mcplane_core::authz::AllowAll;
use mcplane_core::{Caller, Context, SystemClock, TraceId};
use mcplane_db::{Db, StoreUrl};
use mcplane_objects::storage::{Cipher, TableStorage};
use mcplane_objects::{Objects, Quotas, Registry, controllers, http, kinds};
use mcplane_testkit::Database;
use mcplane_tracking::artifacts::Artifacts;
use mcplane_tracking::mlflow::{Door, routes};
use mcplane_tracking::{Config, Tracking};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Where the data is, across restarts.
pub(crate) struct Store {
    url: StoreUrl,
    directory: TempDir,
    _database: Option<Database>,
}

impl Store {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("mcplane.db"));
        Self { url, directory, _database: None }
    }

    pub(crate) fn postgres() -> Self {
        let database = Database::create();
        let url = StoreUrl::Postgres(database.url().to_owned());
        Self { url, directory: tempfile::tempdir().unwrap(), _database: Some(database) }
    }

    /// The dialect, with the namespaces `default` and `other`.
    pub(crate) async fn start(&self) -> Api {
        self.start_with(Config::default()).await
    }

    /// [`Self::start`] with other settings.
    pub(crate) async fn start_with(&self, config: Config) -> Api {
        let db = Db::open(&self.url, Arc::new(SystemClock)).await.unwrap();
        let table = TableStorage::new(db.clone());
        let cipher = Cipher::load_or_create(&self.directory.path().join("secrets.key")).unwrap();
        let quotas = Quotas::start(&db, &table).await.unwrap();
        let mut registry = Registry::default();
        kinds::register(&mut registry, &table, &cipher);
        mcplane_tracking::models::register(&mut registry, &db);
        let objects = Arc::new(Objects::new(registry, db.clone(), quotas));
        let files = Location::parse(self.directory.path().join("artifacts").to_str().unwrap()).unwrap();
        let blobs = Blobs::open(files, &BlobsConfig::default()).await.unwrap();
        let artifacts = Artifacts { blobs, most_bytes: 64 << 20, external: External::default() };
        let tracking = Arc::new(Tracking::start(&db, &table, artifacts, config).await.unwrap());
        let kube = http::Door {
            objects: Arc::clone(&objects),
            authorizer: Arc::new(AllowAll),
            max_body: 3 << 20,
            stopping: CancellationToken::new(),
        };
        let door =
            Door { tracking: Arc::clone(&tracking), objects: Arc::clone(&objects), authorizer: Arc::new(AllowAll) };
        let router = http::routes(kube).merge(routes(door)).into_router();
        let api = Api { router, objects, db, tracking, stopping: CancellationToken::new() };
        for name in ["default", "other"] {
            let answer = api.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
            assert!([201, 409].contains(&answer.status), "{}", answer.text());
        }
        api
    }
}

/// A running server, but for the socket.
pub(crate) struct Api {
    router: Router,
    objects: Arc<Objects>,
    stopping: CancellationToken,
    #[allow(dead_code, reason = "for cases that look behind the door")]
    pub(crate) db: Db,
    #[allow(dead_code, reason = "for cases that look behind the door")]
    pub(crate) tracking: Arc<Tracking>,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Api {
    /// What keeps the objects true to each other; it empties namespaces that are deleted.
    pub(crate) fn run_controllers(&self) {
        let client = controllers::in_process(self.router.clone(), "controllers");
        let contents: Vec<Arc<dyn controllers::Content>> = vec![self.tracking.clone()];
        controllers::start(&self.objects, contents, &client, &self.stopping, &TaskTracker::new());
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.stream(method, path, headers, Body::from(body)).await
    }

    pub(crate) async fn stream(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body).unwrap();
        let caller = Caller { name: "tester".to_owned(), ..Caller::default() };
        let context = Context { caller, trace: TraceId::random(), source: "192.0.2.1".to_owned() };
        request.extensions_mut().insert(Arc::new(context));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], vec![]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::POST, path, body).await
    }

    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], body.to_string().into_bytes()).await
    }

    /// `POST /api/2.0/mlflow/PATH` that must succeed.
    pub(crate) async fn ok(&self, path: &str, body: Value) -> Value {
        let answer = self.post(&format!("/api/2.0/mlflow/{path}"), &body).await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        answer.json()
    }

    /// `GET /api/2.0/mlflow/PATH` that must succeed.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = self.get(&format!("/api/2.0/mlflow/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// `POST /api/2.0/mlflow/PATH` that must fail: status, error code and message.
    pub(crate) async fn fails(&self, path: &str, body: Value) -> (u16, String, String) {
        self.post(&format!("/api/2.0/mlflow/{path}"), &body).await.error()
    }

    /// An experiment of that name.
    pub(crate) async fn experiment(&self, name: &str) -> String {
        self.ok("experiments/create", json!({"name": name})).await["experiment_id"].as_str().unwrap().to_owned()
    }

    /// A run in the default experiment.
    pub(crate) async fn run(&self) -> String {
        self.run_in("0").await
    }

    /// A run in an experiment.
    pub(crate) async fn run_in(&self, experiment: &str) -> String {
        let body = json!({"experiment_id": experiment, "start_time": 1, "run_name": "r"});
        self.ok("runs/create", body).await["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    #[allow(dead_code, reason = "for cases about artifacts")]
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Status, error code and message.
    pub(crate) fn error(&self) -> (u16, String, String) {
        assert_ne!(self.status, 200, "{}", self.text());
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("error_code"), text("message"))
    }
}
