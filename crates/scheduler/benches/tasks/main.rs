//! What a task costs when its work costs nothing: the whole way from submission to the final state, with all rules, in one
//! process, beside the simplest loop over a table that could do the same work, and on PostgreSQL beside procrastinate, on the
//! same database in the same run.
//!
//! `cargo bench -p mcplane-scheduler --bench tasks [-- --tasks 50000] [--store postgres]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::StreamExt as _;
use mcplane_blobs::{Blobs, BlobsConfig, Location};
use mcplane_core::authz::AllowAll;
use mcplane_core::{Context, Grant, Result, SystemClock, authz};
use mcplane_db::{Arg, Db, Dialect, StoreUrl};
use mcplane_objects::object::Body;
use mcplane_objects::storage::{Cipher, TableStorage};
use mcplane_objects::{Objects, Quotas, Registry, kinds};
use mcplane_scheduler::code::Archives;
use mcplane_scheduler::dispatch::Function;
use mcplane_scheduler::logs::{Lines, LogOptions, Logs};
use mcplane_scheduler::tasks::{Demand, NewTask, Outcome, Retries, Spec, Task, Work};
use mcplane_scheduler::transport::SqlTransport;
use mcplane_scheduler::{Config, Metrics, Parts, Scheduler, scope};
use mcplane_testkit::Database;
use mcplane_testkit::python::Venv;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Attempts that run at a time.
const WORKERS: usize = 10;
/// Tasks of one call.
const BATCH: usize = 1_000;
/// What a batched loop with SKIP LOCKED on PostgreSQL did on such a machine when it was quiet: jobs a second, µs of CPU each.
const RECORDED_LOOP: (f64, f64) = (50_000.0, 26.0);
/// Jobs that procrastinate is given: it takes longer over each.
const PEER_JOBS: usize = 2_000;
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/tasks/procrastinate_peer.py");
const PEER_REQUIREMENTS: &str = include_str!("requirements.txt");

struct NoLogs;

impl Logs for NoLogs {
    fn read(&self, _: uuid::Uuid, _: LogOptions) -> BoxFuture<'_, Result<Lines>> {
        Box::pin(async { Ok(futures::stream::empty::<Result<Bytes>>().boxed()) })
    }
}

/// What the function was called for, and when.
#[derive(Default)]
struct Done {
    count: AtomicUsize,
    /// Milliseconds between the time at which a task was due and its start.
    late: Mutex<Vec<f64>>,
}

struct Server {
    scheduler: Arc<Scheduler>,
    db: Db,
    done: Arc<Done>,
    stopping: CancellationToken,
    _directory: tempfile::TempDir,
    _database: Option<Database>,
}

async fn server(postgres: bool) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let database = postgres.then(Database::create_alone);
    let url = match &database {
        Some(database) => StoreUrl::Postgres(database.url().to_owned()),
        None => StoreUrl::Sqlite(directory.path().join("mcplane.db")),
    };
    let db = Db::open(&url, Arc::new(SystemClock)).await.unwrap();
    let table = TableStorage::new(db.clone());
    let cipher = Cipher::load_or_create(&directory.path().join("secrets.key")).unwrap();
    let mut registry = Registry::default();
    kinds::register(&mut registry, &table, &cipher);
    let quotas = Quotas::start(&db, &table).await.unwrap();
    let _objects = Objects::new(registry, db.clone(), quotas);
    let namespace = Body::encode(&json!({"metadata": {"name": "default", "uid": "u"}})).unwrap();
    let write = mcplane_objects::storage::Write {
        key: mcplane_objects::storage::Key::new(&"namespaces".into(), "", "default"),
        expect: mcplane_objects::storage::Expect::Absent,
        effect: mcplane_objects::storage::Effect::Put(namespace),
        deleting: false,
        guard: None,
        counts: vec![],
        audit: None,
    };
    mcplane_objects::storage::Storage::write(&table, write).await.unwrap().unwrap();
    let files = Location::parse(directory.path().join("b").to_str().unwrap()).unwrap();
    let blobs = Blobs::open(files, &BlobsConfig::default()).await.unwrap();
    let done = Arc::new(Done::default());
    let seen = Arc::clone(&done);
    let function = Function::new("noop", WORKERS, move |task: Task| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            seen.late.lock().unwrap().push((precise_now() - task.due_at as f64).max(0.0));
            seen.count.fetch_add(1, Ordering::Relaxed);
            Outcome::success()
        })
    });
    let parts = Parts {
        db: db.clone(),
        config: Config { tick_ms: 100, worker_pool_size: WORKERS, backlog: 2_038, capacity: Demand::default() },
        transport: Arc::new(SqlTransport::new(&db)),
        runners: vec![Arc::new(function)],
        archives: Archives::new(blobs, directory.path().join("code")),
        logs: Arc::new(NoLogs),
        metrics: Metrics::default(),
        node: "node".into(),
    };
    let scheduler = Arc::new(Scheduler::start(parts, &table).await.unwrap());
    let stopping = CancellationToken::new();
    tokio::spawn(Arc::clone(&scheduler).run(stopping.clone()));
    Server { scheduler, db, done, stopping, _directory: directory, _database: database }
}

fn precise_now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}

fn task(n: usize, due_at: Option<i64>) -> NewTask {
    NewTask {
        name: format!("noop-{n}"),
        queue: "default".into(),
        priority: 0,
        due_at,
        demand: Demand::default(),
        concurrency: None,
        unique_key: None,
        idempotency_key: None,
        owner: None,
        spec: Spec {
            work: Work::Custom { executor: "noop".into(), payload: json!(n) },
            code: None,
            fresh: None,
            timeout_ms: None,
            grace_ms: 1_000,
            retries: Retries::default(),
        },
    }
}

fn grant() -> Grant {
    let context = Arc::new(Context::system("bench"));
    authz::authorize(&AllowAll, &context, scope::attributes("create", scope::TASKS, "default", "")).unwrap()
}

/// Seconds of processor time of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

async fn wait_for(done: &Done, count: usize) {
    while done.count.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn quantiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() * 99 / 100])
}

async fn throughput(server: &Server, tasks: usize) -> (f64, f64) {
    let (began, cpu_before) = (Instant::now(), cpu());
    let submitters = (0..4).map(|submitter| {
        let scheduler = Arc::clone(&server.scheduler);
        tokio::spawn(async move {
            for batch in (submitter..tasks / BATCH).step_by(4) {
                let new = (0..BATCH).map(|n| task(batch * BATCH + n, None)).collect();
                scheduler.submit_tasks(&grant(), new).await.unwrap();
            }
        })
    });
    for submitter in submitters.collect::<Vec<_>>() {
        submitter.await.unwrap();
    }
    wait_for(&server.done, tasks / BATCH * BATCH).await;
    // The rows say so, too.
    loop {
        let rows = server.db.fetch("SELECT count(*) FROM tasks WHERE state <> 3", vec![]).await.unwrap();
        if rows[0].int(0).unwrap() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let count = (tasks / BATCH * BATCH) as f64;
    (count / began.elapsed().as_secs_f64(), (cpu() - cpu_before) / count * 1e6)
}

/// A table of jobs, inserted, taken and removed in batches: no order, no limits, no retries, no fairness.
async fn plain_loop(db: &Db, tasks: usize) -> (f64, f64) {
    let run = async |sql: String, args: Vec<Arg>| {
        db.write(move |tx| Box::pin(async move { tx.fetch(sql, args).await })).await.unwrap()
    };
    let id = match db.dialect() {
        Dialect::Sqlite => "INTEGER PRIMARY KEY",
        Dialect::Postgres => "BIGINT PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY",
    };
    run(format!("CREATE TABLE plain (no {id}, payload TEXT NOT NULL, state BIGINT NOT NULL)"), vec![]).await;
    let (began, cpu_before) = (Instant::now(), cpu());
    for _ in 0..tasks / BATCH {
        let args: Vec<Arg> = (0..BATCH).flat_map(|n| [Arg::from(format!("noop-{n}")), Arg::from(0)]).collect();
        let insert = "INSERT INTO plain (payload, state)";
        db.write(move |tx| Box::pin(async move { tx.execute_rows(insert, 2, args, "").await })).await.unwrap();
    }
    let skip = if db.dialect() == Dialect::Postgres { " FOR UPDATE SKIP LOCKED" } else { "" };
    let mut left = tasks / BATCH * BATCH;
    while left > 0 {
        let take = format!(
            "UPDATE plain SET state = 1 WHERE no IN (SELECT no FROM plain WHERE state = 0 ORDER BY no LIMIT 512{skip}) \
             RETURNING no"
        );
        let taken: Vec<i64> = run(take, vec![]).await.iter().map(|row| row.int(0).unwrap()).collect();
        run(format!("DELETE FROM plain WHERE no IN {}", db.dialect().numbers(1)), vec![Arg::list(&taken)]).await;
        left -= taken.len();
    }
    let count = (tasks / BATCH * BATCH) as f64;
    (count / began.elapsed().as_secs_f64(), (cpu() - cpu_before) / count * 1e6)
}

/// procrastinate with as many workers, on a database of its own beside ours; jobs are deferred in batches of the same size.
fn beside_procrastinate(rate: f64, each: f64) {
    let database = Database::create_alone();
    let args = [database.url().to_owned(), PEER_JOBS.to_string(), WORKERS.to_string()];
    let venv = Venv::with(PEER_REQUIREMENTS);
    let output = venv.run(Path::new(PEER), &args.each_ref().map(String::as_str)).ok();
    let told: serde_json::Value = serde_json::from_str(output.lines().last().unwrap_or_default()).expect("its numbers");
    let number = |name: &str| told[name].as_f64().expect("a number");
    println!(
        "procrastinate, whole way: {:.0}/s ({:.0}/s without deferring), {:.0} µs CPU each; ratio {:.0} times its rate, {:.3} of its CPU",
        number("rate"),
        number("work_rate"),
        number("cpu_us"),
        rate / number("rate"),
        each / number("cpu_us")
    );
}

async fn start_latency(server: &Server) -> (f64, f64) {
    let before = server.done.count.load(Ordering::Relaxed);
    server.done.late.lock().unwrap().clear();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for n in 0..1_000 {
        ticks.tick().await;
        let scheduler = Arc::clone(&server.scheduler);
        tokio::spawn(async move { scheduler.submit_tasks(&grant(), vec![task(n, None)]).await.unwrap() });
    }
    wait_for(&server.done, before + 1_000).await;
    quantiles(std::mem::take(&mut *server.done.late.lock().unwrap()))
}

async fn lateness(server: &Server) -> (f64, f64) {
    let before = server.done.count.load(Ordering::Relaxed);
    server.done.late.lock().unwrap().clear();
    let first = server.scheduler.now() + 3_000;
    for batch in 0..10 {
        let new = (0..BATCH).map(|n| task(n, Some(first + (batch * BATCH + n) as i64))).collect();
        server.scheduler.submit_tasks(&grant(), new).await.unwrap();
    }
    wait_for(&server.done, before + 10 * BATCH).await;
    quantiles(std::mem::take(&mut *server.done.late.lock().unwrap()))
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let tasks = value("--tasks").map_or(50_000, |text| text.parse().expect("a number of tasks"));
    let stores = match value("--store").map(String::as_str) {
        Some("postgres") => vec![true],
        Some(_) => vec![false],
        None => vec![false, true],
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for postgres in stores {
        runtime.block_on(async {
            println!("# {}", if postgres { "PostgreSQL (its own CPU is not in the numbers)" } else { "SQLite" });
            let server = server(postgres).await;
            let (rate, each) = throughput(&server, tasks).await;
            println!("tasks, whole way: {rate:.0}/s, {each:.1} µs CPU each (aim 30000/s, 40 µs)");
            let (plain_rate, plain_each) = plain_loop(&server.db, tasks).await;
            println!("plain batched loop on the same database: {plain_rate:.0}/s, {plain_each:.1} µs CPU each");
            println!("ratio to that loop: {:.2} of its rate, {:.2} of its CPU", rate / plain_rate, each / plain_each);
            println!(
                "ratio to what a SKIP LOCKED loop did on a quiet machine: {:.2} of its rate ({:.0}/s), {:.2} of its CPU ({:.0} µs)",
                rate / RECORDED_LOOP.0,
                RECORDED_LOOP.0,
                each / RECORDED_LOOP.1,
                RECORDED_LOOP.1
            );
            if postgres {
                beside_procrastinate(rate, each);
            }
            let (p50, p99) = start_latency(&server).await;
            println!("from submission to start at 100/s: p50 {p50:.1} ms, p99 {p99:.1} ms (aim p99 5 ms; BullMQ 4.5 ms)");
            let (p50, p99) = lateness(&server).await;
            println!("10,000 timers, 1,000 due each second: late by p50 {p50:.1} ms, p99 {p99:.1} ms (aim p99 20 ms; BullMQ 94 ms)");
            server.stopping.cancel();
        });
    }
}
