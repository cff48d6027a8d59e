//! What only one of the databases can suffer: a network in between, a file that is full or locked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use mcplane_core::Result;
use mcplane_db::{Db, StoreUrl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::store::{Store, append, assert_unavailable, note, notes, revisions, table, unit, write};
use crate::units::hold;

/// What the network does.
const WHOLE: u8 = 0;
/// Connections are closed as soon as something is sent.
const CUT: u8 = 1;
/// Lets a commit pass, and loses the answer; then is whole again.
const LOSES_COMMIT: u8 = 2;

/// A network between mcplane and PostgreSQL that can break.
struct Network {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
}

impl Network {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(AtomicU8::new(WHOLE));
        let shared = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, mode }
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mode: Arc<AtomicU8>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                if mode.load(Ordering::SeqCst) == CUT {
                    return;
                }
                server.write_all(&up[..length]).await.unwrap();
                let committing = up[..length].windows(7).any(|window| window == b"COMMIT\0");
                if committing && mode.compare_exchange(LOSES_COMMIT, WHOLE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    // Until the server has answered, it may not have done it.
                    let _ = server.read(&mut down).await;
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn postgres_behind_a_network() -> (Store, Network, Db) {
    let store = Store::postgres();
    store.open_with_notes().await.close().await;
    let StoreUrl::Postgres(url) = &store.url else { unreachable!() };
    let (user, server) = url.rsplit_once('@').unwrap();
    let (server, database) = server.split_once('/').unwrap();
    let network = Network::before(server.parse().unwrap()).await;
    let through = format!("{user}@{}/{database}", network.address).parse().unwrap();
    let db = Db::open(&through, store.clock.clone()).await.unwrap();
    (store, network, db)
}

async fn note_and_append(db: &Db, id: i64) -> Result<i64> {
    db.write(unit(move |tx| {
        Box::pin(async move {
            note(tx, id, "").await?;
            append(tx, "notes", "n", "{}").await
        })
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_postgres_is_told_and_survived() {
    let (_store, network, db) = postgres_behind_a_network().await;
    let mut subscription = db.subscribe("notes", 1).unwrap();
    assert_eq!(note_and_append(&db, 1).await.unwrap(), 2);
    for outage in 0..3 {
        network.set(CUT);
        assert_unavailable(note_and_append(&db, 100).await);
        assert_unavailable(note_and_append(&db, 100).await);
        let reading = db.fetch("SELECT 1", vec![]);
        assert_unavailable(tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap());
        network.set(WHOLE);
        assert_eq!(note_and_append(&db, 2 + outage).await.unwrap(), 3 + outage, "neither gap nor reuse");
        assert_eq!(notes(&db).await, (1..=2 + outage).collect::<Vec<_>>());
    }
    assert_eq!(revisions(&subscription.next().await.unwrap()), [2, 3, 4, 5]);
    assert_eq!(table(&db).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_postgres_within_a_group_fails_the_whole_group() {
    let (store, network, db) = postgres_behind_a_network().await;
    let mut subscription = db.subscribe("notes", 1).unwrap();
    for killed in [false, true] {
        let (release, held) = hold(&db).await;
        let one = tokio::spawn({
            let db = db.clone();
            async move { note_and_append(&db, 1).await }
        });
        let two = tokio::spawn({
            let db = db.clone();
            async move { note_and_append(&db, 2).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        if killed {
            // As a restart of the server does to each connection.
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";
            store.administer(others).await;
        } else {
            network.set(CUT);
        }
        release.send(()).unwrap();
        assert_unavailable(held.await.unwrap());
        // The group is lost with its first statement; what had not joined it yet may have gone into the next one.
        let outcomes = [one.await.unwrap(), two.await.unwrap()];
        network.set(WHOLE);
        let written: Vec<i64> = (1..).zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| id).collect();
        assert_eq!(notes(&db).await, written);
        for id in &written {
            store.administer(&format!("DELETE FROM notes WHERE id = {id}")).await;
        }
    }
    let last = note_and_append(&db, 3).await.unwrap();
    let expected: Vec<i64> = (2..=last).collect();
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        seen.extend(revisions(&subscription.next().await.unwrap()));
    }
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_postgres_whose_answer_is_lost_is_published_all_the_same() {
    let (_store, network, db) = postgres_behind_a_network().await;
    let mut subscription = db.subscribe("notes", 1).unwrap();
    assert_eq!(note_and_append(&db, 1).await.unwrap(), 2);
    network.set(LOSES_COMMIT);
    assert_unavailable(note_and_append(&db, 2).await);
    // A client that lists now sees it, and must be able to watch from there.
    assert_eq!(notes(&db).await, [1, 2]);
    let (revision, _) = db.snapshot().await.unwrap().revisions().await.unwrap();
    assert_eq!(revision, 3);
    let mut from_list = db.subscribe("notes", revision).unwrap();
    // Nobody writes; it is published nevertheless.
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await.unwrap();
        seen.extend(revisions(&batch.unwrap()));
    }
    assert_eq!(seen, [2, 3]);
    assert_eq!(note_and_append(&db, 3).await.unwrap(), 4);
    assert_eq!(revisions(&from_list.next().await.unwrap()), [4]);
    assert_eq!(revisions(&subscription.next().await.unwrap()), [4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_lost_acknowledged_writes_is_refused() {
    let store = Store::postgres();
    let db = store.open_with_notes().await;
    note_and_append(&db, 1).await.unwrap();
    note_and_append(&db, 2).await.unwrap();
    store.administer("DELETE FROM changes WHERE revision = 3; UPDATE head SET revision = 2").await;
    let refused = note_and_append(&db, 3).await;
    assert!(
        refused.as_ref().is_err_and(|error| error.to_string().contains("went back from revision 3 to 2")),
        "{refused:?}"
    );
    db.close().await;
    assert_eq!(note_and_append(&store.open().await, 3).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lax_postgres_is_told_to_be_durable() {
    let store = Store::postgres();
    let StoreUrl::Postgres(url) = &store.url else { unreachable!() };
    let database = url.rsplit('/').next().unwrap();
    for (setting, value) in [("synchronous_commit", "off"), ("default_transaction_isolation", "serializable")] {
        store.administer(&format!("ALTER DATABASE {database} SET {setting} = '{value}'")).await;
    }
    let db = store.open().await;
    let shown = |setting: &'static str| {
        db.write(unit(move |tx| Box::pin(async move { Ok(tx.fetch(setting, vec![]).await?[0].text(0)?.to_owned()) })))
    };
    assert_eq!(shown("SHOW synchronous_commit").await.unwrap(), "on");
    assert_eq!(shown("SHOW transaction_isolation").await.unwrap(), "read committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sqlite_refuses_writes_and_recovers() {
    let store = Store::sqlite();
    let db = store.open_with_notes().await;
    let mut subscription = db.subscribe("notes", 1).unwrap();
    let limit = |pages: &'static str| {
        db.write(unit(move |tx| Box::pin(async move { tx.fetch(pages, vec![]).await?[0].int(0) })))
    };
    // SQLite raises the limit to the size that the file has.
    limit("PRAGMA max_page_count = 1").await.unwrap();
    let large = || {
        db.write(unit(|tx| {
            Box::pin(async move {
                let body = "x".repeat(1 << 20);
                append(tx, "notes", "large", &body).await
            })
        }))
    };
    for _ in 0..3 {
        let (release, held) = hold(&db).await;
        let both = async { tokio::join!(note_and_append(&db, 1), large()) };
        let ((small, large), ()) = tokio::join!(both, async { release.send(()).unwrap() });
        held.await.unwrap().unwrap_err();
        assert_unavailable(small);
        assert_unavailable(large);
        assert!(notes(&db).await.is_empty() && table(&db).await.is_empty());
    }
    limit("PRAGMA max_page_count = 1000000").await.unwrap();
    assert_eq!(large().await.unwrap(), 2);
    assert_eq!(note_and_append(&db, 1).await.unwrap(), 3);
    assert_eq!(revisions(&subscription.next().await.unwrap()), [2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite_is_waited_for() {
    let store = Store::sqlite();
    let db = store.open().await;
    let StoreUrl::Sqlite(path) = &store.url else { unreachable!() };
    // As a backup tool would.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::Executor::execute(&mut other, "BEGIN IMMEDIATE").await.unwrap();
    let writing = write(&db, "x", "a");
    let unlocking = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::Executor::execute(&mut other, "ROLLBACK").await.unwrap();
    };
    let (written, ()) = tokio::join!(writing, unlocking);
    assert_eq!(written.unwrap(), 2);
}
