//! The API over a fresh database, and short words for what the cases do with it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, Method, Request, header};
use futures::StreamExt as _;
use mcplane_core::authz::AllowAll;
use mcplane_core::{Caller, Context, SystemClock, TraceId};
use mcplane_db::{Db, StoreUrl};
use mcplane_objects::http::{Door, routes};
use mcplane_objects::storage::{Cipher, TableStorage};
use mcplane_objects::{Objects, Quotas, RegisteredKind, Registry, controllers, kinds};
use mcplane_testkit::Database;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// What the server takes by default.
pub(crate) const MAX_BODY: usize = 3 << 20;
/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the data is, across restarts.
pub(crate) struct Store {
    url: StoreUrl,
    directory: TempDir,
    database: Option<Database>,
}

impl Store {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("mcplane.db"));
        Self { url, directory, database: None }
    }

    pub(crate) fn postgres() -> Self {
        let database = Database::create();
        let url = StoreUrl::Postgres(database.url().to_owned());
        Self { url, directory: tempfile::tempdir().unwrap(), database: Some(database) }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// The API with a namespace `ns`, without controllers.
    pub(crate) async fn start(&self) -> Api {
        let api = self.open().await;
        api.namespace("ns").await;
        api
    }

    /// The API with controllers and a namespace `ns`.
    pub(crate) async fn run(&self) -> Api {
        let api = self.open().await;
        api.run_controllers();
        api.namespace("ns").await;
        api
    }

    /// The API as a server would start it on this store.
    pub(crate) async fn open(&self) -> Api {
        let db = Db::open(&self.url, Arc::new(SystemClock)).await.unwrap();
        let table = TableStorage::new(db.clone());
        let cipher = Cipher::load_or_create(&self.directory.path().join("secrets.key")).unwrap();
        let quotas = Quotas::start(&db, &table).await.unwrap();
        let mut registry = Registry::default();
        kinds::register(&mut registry, &table, &cipher);
        registry.add(RegisteredKind::new::<kinds::ServiceAccount>(Arc::new(table)));
        let objects = Arc::new(Objects::new(registry, db.clone(), quotas));
        let stopping = CancellationToken::new();
        let door = Door {
            objects: Arc::clone(&objects),
            authorizer: Arc::new(AllowAll),
            max_body: MAX_BODY,
            stopping: stopping.clone(),
        };
        Api { router: routes(door).into_router(), objects, db, stopping, tasks: TaskTracker::new() }
    }
}

/// A running server, but for the socket.
pub(crate) struct Api {
    router: Router,
    objects: Arc<Objects>,
    pub(crate) db: Db,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Api {
    pub(crate) fn run_controllers(&self) {
        let client = controllers::in_process(self.router.clone(), "controllers");
        controllers::start(&self.objects, vec![], &client, &self.stopping, &self.tasks);
    }

    /// Stops as a server does; everything is to be read from the store again.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("controllers end");
        self.db.close().await;
    }

    pub(crate) async fn namespace(&self, name: &str) {
        let answer = self.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
        assert!([201, 409].contains(&answer.status), "{}", answer.text());
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> axum::response::Response {
        let mut request = request;
        let caller = Caller { name: "tester".to_owned(), ..Caller::default() };
        let context = Context { caller, trace: TraceId::random(), source: "192.0.2.1".to_owned() };
        request.extensions_mut().insert(Arc::new(context));
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.request(request.body(Body::from(body)).unwrap()).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn json(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Answer {
        self.send(method, path, &[("content-type", content_type)], body.to_string().into_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], vec![]).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(Method::GET, path, &[("accept", accept)], vec![]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::POST, path, "application/json", body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::PUT, path, "application/json", body).await
    }

    /// `kind` is `json`, `merge` or `strategic-merge`.
    pub(crate) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        self.json(Method::PATCH, path, &format!("application/{kind}-patch+json"), body).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.patch(path, "merge", body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], vec![]).await
    }

    pub(crate) async fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.json(Method::DELETE, path, "application/json", options).await
    }

    /// Creates a ConfigMap in `ns`.
    pub(crate) async fn config_map(&self, name: &str, metadata: &Value) -> Value {
        let mut object = json!({"metadata": metadata, "data": {"k": "v"}});
        object["metadata"]["name"] = name.into();
        self.post(CONFIG_MAPS, &object).await.is(201)
    }

    /// [`Self::config_map`] without borrowing from the caller.
    pub(crate) async fn config_map_owned(&self, name: String) -> Value {
        self.config_map(&name, &json!({})).await
    }

    pub(crate) fn revision(&self) -> i64 {
        self.db.feed().revision()
    }

    /// Names of the items of a list.
    pub(crate) async fn names(&self, path: &str) -> Vec<String> {
        let list = self.get(path).await.is(200);
        list["items"].as_array().unwrap().iter().map(|item| text(&item["metadata"]["name"])).collect()
    }

    /// Begins a watch; `query` starts after `watch=1&`.
    pub(crate) async fn watch(&self, path: &str, query: &str) -> Watch {
        self.watch_as(path, query, "application/json").await
    }

    pub(crate) async fn watch_as(&self, path: &str, query: &str, accept: &str) -> Watch {
        let request = Request::get(format!("{path}?watch=1&{query}")).header("accept", accept);
        let response = self.request(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        Watch { stream: response.into_body().into_data_stream(), rest: Vec::new(), lines: VecDeque::new() }
    }

    /// Waits until the object at `path` is gone.
    pub(crate) async fn gone(&self, path: &str) {
        self.eventually(path, |answer| answer.status == 404).await;
    }

    /// Waits until what is at `path` is as wanted.
    pub(crate) async fn eventually(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} stays {}", answer.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/ns/configmaps";

/// The path of a ConfigMap in `ns`.
pub(crate) fn cm(name: &str) -> String {
    format!("{CONFIG_MAPS}/{name}")
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// `metadata.resourceVersion`.
pub(crate) fn revision_of(object: &Value) -> i64 {
    text(&object["metadata"]["resourceVersion"]).parse().unwrap()
}

pub(crate) fn uid_of(object: &Value) -> String {
    text(&object["metadata"]["uid"])
}

/// Percent-encoded, for queries.
pub(crate) fn encoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
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

    /// The body, if the status is as it should be.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text().chars().take(2000).collect::<String>());
        self.json()
    }

    /// The message of a refusal, if it is of that status and reason.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, reason: &str) -> String {
        let body = self.is(status);
        assert_eq!(
            (&body["kind"], &body["status"], &body["reason"], &body["code"]),
            (&json!("Status"), &json!("Failure"), &json!(reason), &json!(status)),
            "{body}"
        );
        text(&body["message"])
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.headers.get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }
}

/// A watch, line by line.
pub(crate) struct Watch {
    stream: BodyDataStream,
    rest: Vec<u8>,
    lines: VecDeque<Value>,
}

impl Watch {
    /// The next event; `None` when the watch is over.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let piece = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("an event");
            let Some(piece) = piece else {
                assert!(self.rest.is_empty(), "a torn line");
                return None;
            };
            self.rest.extend_from_slice(&piece.unwrap());
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                self.lines.push_back(serde_json::from_slice(&line).unwrap());
            }
        }
    }

    /// Type and name of the next event.
    pub(crate) async fn step(&mut self) -> (String, String) {
        let event = self.next().await.expect("the watch goes on");
        (text(&event["type"]), event["object"]["metadata"]["name"].as_str().unwrap_or("").to_owned())
    }

    /// The next events, as `TYPE name`.
    pub(crate) async fn steps<const N: usize>(&mut self) -> [String; N] {
        let mut steps = Vec::with_capacity(N);
        for _ in 0..N {
            let (kind, name) = self.step().await;
            steps.push(format!("{kind} {name}"));
        }
        steps.try_into().unwrap()
    }

    /// Everything until the watch ends.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}
