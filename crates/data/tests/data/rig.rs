//! The services over a database, without sockets.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use mcplane_core::authz::AllowAll;
use mcplane_core::{Context, Result, SystemClock};
use mcplane_data::Data;
use mcplane_data::http::{Door, routes};
use mcplane_data::reports;
use mcplane_db::{Db, StoreUrl, Tx};
use mcplane_objects::storage::{Cipher, TableStorage};
use mcplane_objects::{Objects, Quotas, Registry, http, kinds};
use mcplane_testkit::Database;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Where the data is.
pub(crate) struct Store {
    url: StoreUrl,
    directory: TempDir,
    _database: Option<Database>,
}

/// What lineage was told: by whom, which report, file and digest.
#[derive(Debug, Default)]
pub(crate) struct Lineage(pub(crate) Mutex<Vec<String>>);

impl reports::Lineage for Lineage {
    fn record<'a>(&'a self, _: &'a mut Tx, _: &'a str, by: &'a str, event: &'a Value) -> BoxFuture<'a, Result<()>> {
        let input = &event["inputs"][0];
        let read = |value: &Value| value.as_str().unwrap().to_owned();
        let version = read(&input["facets"]["version"]["datasetVersion"]);
        self.0
            .lock()
            .unwrap()
            .push([by.to_owned(), read(&event["run"]["runId"]), read(&input["name"]), version].join(" "));
        Box::pin(async { Ok(()) })
    }
}

pub(crate) struct Api {
    router: Router,
    pub(crate) db: Db,
    pub(crate) data: Arc<Data>,
    pub(crate) lineage: Arc<Lineage>,
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

    pub(crate) async fn start(&self) -> Api {
        let db = Db::open(&self.url, Arc::new(SystemClock)).await.unwrap();
        let table = TableStorage::new(db.clone());
        let cipher = Cipher::load_or_create(&self.directory.path().join("secrets.key")).unwrap();
        let quotas = Quotas::start(&db, &table).await.unwrap();
        let mut registry = Registry::default();
        kinds::register(&mut registry, &table, &cipher);
        mcplane_data::register(&mut registry, &(Arc::new(table) as _));
        let objects = Arc::new(Objects::new(registry, db.clone(), quotas));
        let lineage = Arc::new(Lineage::default());
        let data = Arc::new(Data::new(&db, Arc::clone(&objects), Arc::new(AllowAll), lineage.clone()));
        let stopping = CancellationToken::new();
        let kube = http::Door { objects, authorizer: Arc::new(AllowAll), max_body: 3 << 20, stopping };
        let door = Door { service: Arc::clone(&data), authorizer: Arc::new(AllowAll) };
        let api = Api { router: http::routes(kube).merge(routes(door)).into_router(), db, data, lineage };
        let (status, answer) = api.post("/api/v1/namespaces", &json!({"metadata": {"name": "lab"}})).await;
        assert_eq!(status, 201, "{answer}");
        api
    }
}

impl Api {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Body) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Arc::new(Context::system("test")));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        (status, serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_ref())))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(Method::POST, path, Body::from(body.to_string())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(Method::GET, path, Body::empty()).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}
