//! The object API with feature views and lineage over a fresh database.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use mcplane_blobs::{Blobs, BlobsConfig, External, Location};
use mcplane_core::authz::AllowAll;
use mcplane_core::{Caller, Context, SystemClock, TraceId};
use mcplane_db::{Db, StoreUrl};
use mcplane_features::Features;
use mcplane_objects::controllers::Content;
use mcplane_objects::storage::{Cipher, TableStorage};
use mcplane_objects::{Objects, Quotas, Registry, http, kinds};
use mcplane_testkit::Database;
use mcplane_tracking::artifacts::Artifacts;
use mcplane_tracking::mlflow::{Door, routes};
use mcplane_tracking::{Config, Tracking};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
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

    /// The doors, with the namespaces `default` and `other`.
    pub(crate) async fn start(&self) -> Api {
        let db = Db::open(&self.url, Arc::new(SystemClock)).await.unwrap();
        let table = TableStorage::new(db.clone());
        let cipher = Cipher::load_or_create(&self.directory.path().join("secrets.key")).unwrap();
        let quotas = Quotas::start(&db, &table).await.unwrap();
        let mut registry = Registry::default();
        kinds::register(&mut registry, &table, &cipher);
        let features = mcplane_features::register(&mut registry, &db, &(Arc::new(table.clone()) as _));
        let objects = Arc::new(Objects::new(registry, db.clone(), quotas));
        let files = Location::parse(self.directory.path().join("artifacts").to_str().unwrap()).unwrap();
        let blobs = Blobs::open(files, &BlobsConfig::default()).await.unwrap();
        let artifacts = Artifacts { blobs, most_bytes: 1 << 20, external: External::default() };
        let tracking = Tracking::start(&db, &table, artifacts, cipher, Config::default()).await.unwrap();
        let kube = http::Door {
            objects: Arc::clone(&objects),
            authorizer: Arc::new(AllowAll),
            max_body: 3 << 20,
            stopping: CancellationToken::new(),
        };
        let door = Door { tracking: Arc::new(tracking), objects, authorizer: Arc::new(AllowAll) };
        let api = Api { router: http::routes(kube).merge(routes(door)).into_router(), features };
        for name in ["default", "other"] {
            let answer = api.send(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
            assert!([201, 409].contains(&answer.0), "{}", answer.1);
        }
        api
    }
}

/// A running server, but for the socket.
pub(crate) struct Api {
    router: Router,
    features: Arc<Features>,
}

impl Api {
    /// Status and body.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let mut request = request.body(body).unwrap();
        let caller = Caller { name: "tester".to_owned(), ..Caller::default() };
        let context = Context { caller, trace: TraceId::random(), source: "192.0.2.1".to_owned() };
        request.extensions_mut().insert(Arc::new(context));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let json = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
        (parts.status.as_u16(), json)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What a namespace's deletion does to the records in it.
    pub(crate) async fn empty(&self, namespace: &str) -> Option<String> {
        self.features.empty(namespace).await.unwrap()
    }
}
