//! What a unit of work costs, beside what the disk can do: `cargo bench -p mcplane-db`.
//!
//! Each unit appends one change and one audit entry and writes one row. `--postgres` measures a PostgreSQL instead.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement fails by panicking")]

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcplane_core::SystemClock;
use mcplane_db::{Arg, Db, Operation, StoreUrl, Tx, audit};
use mcplane_testkit::Database;

const SPAN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = std::env::args().any(|arg| arg == "--postgres").then(Database::create_alone);
    let url = match &database {
        Some(database) => database.url().parse().unwrap(),
        None => StoreUrl::Sqlite(directory.path().join("bench.db")),
    };
    let db = Db::open(&url, Arc::new(SystemClock)).await.unwrap();
    let syncs = fdatasyncs_per_second(&directory.path().join("sync"));
    println!("fdatasync of 4 KiB: {syncs:.0}/s");
    for clients in [1, 16, 64] {
        measure(&db, clients, 1, syncs).await;
    }
    // Many writes decided together in one unit, as the objects table does.
    measure(&db, 1, 64, syncs).await;
    db.close().await;
}

fn fdatasyncs_per_second(path: &std::path::Path) -> f64 {
    let mut file = File::create(path).unwrap();
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

async fn measure(db: &Db, clients: usize, changes: usize, syncs: f64) {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let clients_running = (0..clients).map(|client| {
        let db = db.clone();
        tokio::spawn(async move {
            let (mut latencies, resource) = (Vec::new(), Arc::from("configmaps"));
            while started.elapsed() < SPAN {
                let begun = Instant::now();
                let name = format!("{clients}-{changes}-{client}-{}", latencies.len());
                let resource = Arc::clone(&resource);
                db.write(move |tx| Box::pin(create(tx, resource, name, changes))).await.unwrap();
                latencies.push(begun.elapsed());
            }
            latencies
        })
    });
    let mut latencies = Vec::new();
    for client in futures::future::join_all(clients_running).await {
        latencies.extend(client.unwrap());
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    latencies.sort();
    let p99 = latencies[latencies.len() * 99 / 100];
    let writes = (latencies.len() * changes) as f64;
    println!(
        "{clients:>3} clients x {changes:>2} changes: {:>7.0} changes/s = {:>5.1} x fdatasync; {:>5.0} us and {:>5.0} us of CPU a change; \
         p99 {p99:.1?}",
        writes / seconds,
        writes / seconds / syncs,
        seconds / writes * 1e6,
        cpu / writes * 1e6,
    );
}

async fn create(tx: &mut Tx, resource: Arc<str>, name: String, changes: usize) -> mcplane_core::Result<()> {
    let namespace = Arc::from("default");
    let mut rows = Vec::new();
    for number in 0..changes {
        let name: Arc<str> = format!("{name}-{number}").into();
        let body = |revision| -> Arc<str> {
            let data = "v".repeat(300);
            format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"{revision}"}},"data":{{"k":"{data}"}}}}"#)
                .into()
        };
        let (revision, body) = tx.change((&resource, &namespace, &name), Operation::Created, body, None).await?;
        tx.audit(audit::Entry { actor: "bench".into(), name: name.to_string(), ..audit::Entry::default() });
        rows.extend([Arg::from(Arc::clone(&resource)), Arg::from(Arc::clone(&namespace)), Arg::from(name)]);
        rows.extend([Arg::from(revision), Arg::from(0), Arg::from(body)]);
    }
    tx.execute_rows("INSERT INTO objects (resource, namespace, name, revision, deleting, body)", 6, rows, "").await
}

/// User and system time of this process so far; the kernel counts in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
