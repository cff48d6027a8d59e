//! A scheduler over a database, with functions instead of processes, and short words for what the cases do with it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use mcplane_blobs::{Blobs, BlobsConfig, Location};
use mcplane_core::authz::AllowAll;
use mcplane_core::{Clock, Context, Grant, Result, SystemClock, Timestamp, authz};
use mcplane_db::{Db, StoreUrl};
use mcplane_objects::storage::{Cipher, TableStorage};
use mcplane_objects::{Objects, Quotas, Registry, controllers, http, kinds};
use mcplane_scheduler::code::Archives;
use mcplane_scheduler::dispatch::Function;
use mcplane_scheduler::http::{Door, routes};
use mcplane_scheduler::logs::{Lines, LogOptions, Logs};
use mcplane_scheduler::pods::PodStorage;
use mcplane_scheduler::tasks::{Demand, NewTask, Outcome, Retries, Spec, Task, Work};
use mcplane_scheduler::transport::{SqlTransport, Transport};
use mcplane_scheduler::{Config, Metrics, Parts, Scheduler, scope};
use mcplane_testkit::Database;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// How long a case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Attempts that run at a time.
pub(crate) const WORKERS: usize = 4;

/// Where the data is, across restarts, and the time.
pub(crate) struct Store {
    pub(crate) url: StoreUrl,
    pub(crate) clock: Arc<Shifted>,
    directory: TempDir,
    _database: Option<Database>,
}

/// The machine's clock, as somebody sets it.
#[derive(Debug, Default)]
pub(crate) struct Shifted(AtomicI64);

impl Shifted {
    pub(crate) fn set_by(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        SystemClock.now() + self.0.load(Ordering::SeqCst)
    }
}

struct NoLogs;

impl Logs for NoLogs {
    fn read(&self, attempt: uuid::Uuid, _: LogOptions) -> BoxFuture<'_, Result<Lines>> {
        let line = Ok(Bytes::from(format!("log of {attempt}\n")));
        Box::pin(async move { Ok(futures::stream::iter([line]).boxed()) })
    }
}

/// What the function of the cases saw.
#[derive(Default)]
pub(crate) struct Seen {
    running: AtomicUsize,
    pub(crate) most: AtomicUsize,
    pub(crate) order: Mutex<Vec<String>>,
    attempts: Mutex<HashMap<String, usize>>,
}

impl Seen {
    pub(crate) fn attempts(&self, name: &str) -> usize {
        self.attempts.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

/// Does what a task's payload says: `{"ms": 5, "fail": 2, "outcome": "permanent"}`.
async fn work(seen: Arc<Seen>, task: Task) -> Outcome {
    let Work::Custom { payload, .. } = &task.spec.work else { panic!("no pods here") };
    let attempt = {
        let mut attempts = seen.attempts.lock().unwrap();
        let count = attempts.entry(task.name.clone()).or_default();
        *count += 1;
        *count
    };
    seen.order.lock().unwrap().push(task.name.clone());
    let running = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(running, Ordering::SeqCst);
    struct Leave(Arc<Seen>);
    impl Drop for Leave {
        fn drop(&mut self) {
            self.0.running.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let _leave = Leave(Arc::clone(&seen));
    tokio::time::sleep(Duration::from_millis(payload["ms"].as_u64().unwrap_or(0))).await;
    if (attempt as u64) <= payload["fail"].as_u64().unwrap_or(0) {
        return Outcome {
            reason: "Error".to_owned(),
            message: "as told".to_owned(),
            exit_code: Some(1),
            permanent: payload["permanent"] == true,
            ..Outcome::default()
        };
    }
    Outcome::success()
}

impl Store {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("mcplane.db"));
        Self { url, clock: Arc::default(), directory, _database: None }
    }

    pub(crate) fn postgres() -> Self {
        let database = Database::create();
        let url = StoreUrl::Postgres(database.url().to_owned());
        Self { url, clock: Arc::default(), directory: tempfile::tempdir().unwrap(), _database: Some(database) }
    }

    /// A server's scheduling part, with the namespaces `default` and `other`.
    pub(crate) async fn start(&self) -> Api {
        self.start_on("node", |db| Arc::new(SqlTransport::new(db))).await
    }

    /// The same on a machine of that name, with a transport of its own.
    pub(crate) async fn start_on(&self, node: &str, transport: impl FnOnce(&Db) -> Arc<dyn Transport>) -> Api {
        let db = Db::open(&self.url, self.clock.clone()).await.unwrap();
        let table = TableStorage::new(db.clone());
        let cipher = Cipher::load_or_create(&self.directory.path().join("secrets.key")).unwrap();
        let quotas = Quotas::start(&db, &table).await.unwrap();
        let mut registry = Registry::default();
        kinds::register(&mut registry, &table, &cipher);
        let pods = mcplane_scheduler::register(&mut registry, &db, &(Arc::new(table.clone()) as _));
        let objects = Arc::new(Objects::new(registry, db.clone(), quotas));
        let files = Location::parse(self.directory.path().join("blobs").to_str().unwrap()).unwrap();
        let blobs = Blobs::open(files, &BlobsConfig::default()).await.unwrap();
        let seen = Arc::new(Seen::default());
        let done = Arc::clone(&seen);
        let function = Function::new("test", WORKERS, move |task| Box::pin(work(Arc::clone(&done), task)));
        let parts = Parts {
            db: db.clone(),
            config: Config {
                tick_ms: 100,
                worker_pool_size: WORKERS,
                backlog: 0,
                capacity: Demand { cpu_milli: 4_000, memory: 8 << 30, gpu: 1 },
            },
            transport: transport(&db),
            runners: vec![Arc::new(function)],
            archives: Archives::new(blobs, self.directory.path().join("code")),
            logs: Arc::new(NoLogs),
            metrics: Metrics::default(),
            node: node.into(),
        };
        let scheduler = Arc::new(Scheduler::start(parts, &table).await.unwrap());
        scheduler.announce().await.unwrap();
        let stopping = CancellationToken::new();
        let kube = http::Door {
            objects: Arc::clone(&objects),
            authorizer: Arc::new(AllowAll),
            max_body: 3 << 20,
            stopping: stopping.clone(),
        };
        let door = Door { service: Arc::clone(&scheduler), authorizer: Arc::new(AllowAll) };
        let router = http::routes(kube).merge(routes(door)).into_router();
        let tasks = TaskTracker::new();
        tasks.spawn(Arc::clone(&scheduler).run(stopping.clone()));
        let api = Api { router, scheduler, objects, pods, db, seen, stopping, tasks };
        for name in ["default", "other"] {
            let body = json!({"metadata": {"name": name}});
            let (status, answer) = api.call(Method::POST, "/api/v1/namespaces", Some(&body)).await;
            assert!([201, 409].contains(&status), "{answer}");
        }
        api
    }
}

/// A running server, but for the socket.
pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) scheduler: Arc<Scheduler>,
    objects: Arc<Objects>,
    pods: PodStorage,
    pub(crate) db: Db,
    pub(crate) seen: Arc<Seen>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// A task for the function.
pub(crate) fn task(name: &str, payload: Value) -> NewTask {
    NewTask {
        name: name.to_owned(),
        queue: "default".into(),
        priority: 0,
        due_at: None,
        demand: Demand::default(),
        concurrency: None,
        unique_key: None,
        idempotency_key: None,
        owner: None,
        spec: Spec {
            work: Work::Custom { executor: "test".into(), payload },
            code: None,
            fresh: None,
            timeout_ms: None,
            grace_ms: 1_000,
            retries: Retries { most_attempts: 1, initial_ms: 10, factor: 2.0, max_ms: 50 },
        },
    }
}

impl Api {
    /// What keeps the objects true to each other; it shows what is used of quotas.
    pub(crate) fn run_controllers(&self) {
        let client = controllers::in_process(self.router.clone(), "controllers");
        let contents: Vec<Arc<dyn controllers::Content>> = vec![Arc::new(self.pods.clone())];
        controllers::start(&self.objects, contents, &client, &self.stopping, &self.tasks);
    }

    pub(crate) fn grant(&self, verb: &'static str, namespace: &str) -> Grant {
        let context = Arc::new(Context::system("test"));
        authz::authorize(&AllowAll, &context, scope::attributes(verb, scope::TASKS, namespace, "")).unwrap()
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let patch = method == Method::PATCH;
        let content_type = if patch { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Arc::new(Context::system("test")));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        (status, serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_ref())))
    }

    pub(crate) async fn submit(&self, tasks: Vec<NewTask>) -> Vec<Task> {
        self.scheduler.submit_tasks(&self.grant("create", "default"), tasks).await.unwrap()
    }

    pub(crate) async fn task(&self, id: &str) -> Task {
        self.scheduler.task(&self.grant("get", "default"), id).await.unwrap()
    }

    /// The task as soon as it is as wanted.
    pub(crate) async fn until(&self, id: &str, wanted: impl Fn(&Task) -> bool) -> Task {
        let began = Instant::now();
        loop {
            let task = self.task(id).await;
            if wanted(&task) {
                return task;
            }
            assert!(began.elapsed() < PATIENCE, "still {task:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn finished(&self, id: &str) -> Task {
        self.until(id, |task| task.state.is_final()).await
    }

    /// Ends this server as a crash does, but that its database is closed.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.db.close().await;
    }
}

pub(crate) async fn a_restart_goes_on(store: Store) {
    let api = store.start().await;
    let later = NewTask { due_at: Some(api.db.clock().now() + 700), ..task("later", json!({})) };
    let slow = |name: &str, attempts| {
        let mut slow = task(name, json!({"ms": 60_000}));
        slow.spec.retries.most_attempts = attempts;
        slow
    };
    let tasks = api.submit(vec![later, slow("lost", 1), slow("again", 2), task("quick", json!({}))]).await;
    api.finished(&tasks[3].id).await;
    for lost in &tasks[1..3] {
        api.until(&lost.id, |task| task.state == mcplane_scheduler::tasks::State::Running).await;
    }
    api.stop().await;

    let api = store.start().await;
    let lost = api.finished(&tasks[1].id).await;
    assert_eq!((lost.reason.as_str(), lost.attempt), ("Lost", 1), "what ran in the process went with it");
    api.until(&tasks[2].id, |task| task.attempt == 2 && task.state == mcplane_scheduler::tasks::State::Running).await;
    let later = api.finished(&tasks[0].id).await;
    assert!(later.started_at.unwrap() >= later.due_at, "never early");
    assert_eq!(api.task(&tasks[3].id).await.attempt, 1, "what is done is not done again");
    api.stop().await;
}

/// The lead goes to another engine, here one of the same process, while tasks run: they go on, and count.
pub(crate) async fn a_new_engine_takes_over(store: Store) {
    let api = store.start().await;
    let tasks = api.submit(vec![task("short", json!({"ms": 1_000})), task("long", json!({"ms": 6_000}))]).await;
    for begun in &tasks {
        api.until(&begun.id, |task| task.state == mcplane_scheduler::tasks::State::Running).await;
    }
    let take = "UPDATE scheduler SET epoch = epoch + 1";
    api.db.write(move |tx| Box::pin(async move { tx.execute(take, vec![]).await })).await.unwrap();
    // The first ends while nobody has the lead, or is about to lose it; the second under the new one.
    for begun in &tasks {
        let done = api.finished(&begun.id).await;
        assert_eq!((done.state, done.attempt), (mcplane_scheduler::tasks::State::Succeeded, 1), "{done:?}");
        assert_eq!(api.seen.attempts(&begun.name), 1);
    }
    let after = api.submit(vec![task("after", json!({}))]).await;
    api.finished(&after[0].id).await;
    api.stop().await;
}
