//! Opening, reading, closing.

use std::time::Duration;

use futures::FutureExt as _;
use mcplane_db::{Arg, Db, StoreUrl};

use crate::store::{Store, append, assert_unavailable, note, notes, table, unit, write};
use crate::units::hold;

pub(crate) async fn closing_completes_writes_and_ends_subscriptions(store: Store) {
    let db = store.open_with_notes().await;
    let mut subscription = db.subscribe("x", 1).unwrap();
    let waiting = tokio::spawn(async move { subscription.next().await });
    let (release, held) = hold(&db).await;
    let mut queued = Box::pin(db.write(unit(|tx| Box::pin(note(tx, 1, "queued")))));
    assert!((&mut queued).now_or_never().is_none());
    let mut closing = Box::pin(db.close());
    assert!((&mut closing).now_or_never().is_none());
    release.send(()).unwrap();
    closing.await;
    held.await.unwrap().unwrap();
    queued.await.unwrap();
    assert_unavailable(waiting.await.unwrap());
    assert_unavailable(write(&db, "x", "late").await);
    assert_unavailable(db.fetch("SELECT 1", vec![]).await);
    assert_unavailable(db.subscribe("x", 1).unwrap().next().await);
    db.close().await;
    if let StoreUrl::Sqlite(path) = &store.url {
        assert!(!path.with_extension("db-wal").exists(), "the log is written back");
    }
    assert_eq!(notes(&store.open().await).await, [1]);
}

pub(crate) async fn a_reopened_database_goes_on(store: Store) {
    for round in 0..3 {
        let db = store.open().await;
        assert_eq!(db.feed().revision(), round + 1);
        assert_eq!(write(&db, "x", "a").await.unwrap(), round + 2);
        if round == 1 {
            db.close().await;
        }
    }
    assert_eq!(table(&store.open().await).await.len(), 3);
}

pub(crate) async fn snapshots_agree_with_themselves(store: Store) {
    let db = store.open_with_notes().await;
    let count = "SELECT count(*) FROM notes";
    let writer = {
        let db = db.clone();
        tokio::spawn(async move {
            for id in 0..100 {
                db.write(unit(move |tx| {
                    Box::pin(async move {
                        note(tx, id, "").await?;
                        append(tx, "notes", "n", "{}").await
                    })
                }))
                .await
                .unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let mut snapshot = db.snapshot().await.unwrap();
        let (revision, compacted) = snapshot.revisions().await.unwrap();
        tokio::task::yield_now().await;
        let rows = snapshot.fetch(count, vec![]).await.unwrap();
        assert_eq!((rows[0].int(0).unwrap() + 1, compacted), (revision, 0));
    }
}

pub(crate) async fn readers_cannot_write(store: Store) {
    let db = store.open_with_notes().await;
    db.fetch("INSERT INTO notes VALUES (1, 'x')", vec![]).await.unwrap_err();
    let mut snapshot = db.snapshot().await.unwrap();
    snapshot.fetch("INSERT INTO notes VALUES (1, 'x')", vec![]).await.unwrap_err();
    drop(snapshot);
    assert!(notes(&db).await.is_empty());
}

pub(crate) async fn nothing_shows_a_secret(store: Store) {
    let db = store.open_with_notes().await;
    let subscription = db.subscribe("x", 1).unwrap();
    let snapshot = db.snapshot().await.unwrap();
    db.write(unit(|tx| Box::pin(note(tx, 1, "hunter2")))).await.unwrap();
    let rows = db.fetch("SELECT text FROM notes", vec![]).await.unwrap();
    assert_eq!(rows[0].text(0).unwrap(), "hunter2");
    let args = [Arg::from("hunter2"), Arg::from(b"hunter2".to_vec())];
    let mut shown = format!("{db:?} {subscription:?} {snapshot:?} {rows:?} {args:?} {:?} {}", store.url, store.url);
    drop(snapshot);

    let wrong = match &store.url {
        StoreUrl::Sqlite(path) => StoreUrl::Sqlite(path.join("not-a-directory.db")),
        StoreUrl::Postgres(url) => {
            let (_, server) = url.rsplit_once('@').unwrap();
            format!("postgres://mcplane:hunter2@{server}").parse().unwrap()
        }
    };
    let error = Db::open(&wrong, store.clock.clone()).await.unwrap_err();
    assert!(error.to_string().contains("can't be opened"), "{error}");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        shown.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    if let StoreUrl::Postgres(url) = &store.url {
        let password = url.split([':', '@']).nth(2).unwrap();
        assert!(password.len() > 8 && !shown.contains(password), "{shown}");
    }
}

pub(crate) async fn the_log_is_copied_while_the_writer_lives(store: Store) {
    let db = store.open_with_notes().await;
    let StoreUrl::Sqlite(path) = &store.url else { return };
    let size = || std::fs::metadata(path).unwrap().len();
    let before = size();
    let written: u64 = 300 * 4_000;
    for id in 0..300 {
        db.write(unit(move |tx| Box::pin(async move { note(tx, id, &"x".repeat(4_000)).await }))).await.unwrap();
    }
    // Nothing but the task beside the writer copies: the writer's own limit is far away.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while size() < before + written / 2 {
        assert!(std::time::Instant::now() < deadline, "{before} bytes have become {}", size());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    db.close().await;
}

/// `.cargo/config.toml` sets it; a cache that all share would starve a connection whose pages others took.
pub(crate) async fn connections_have_caches_of_their_own(store: Store) {
    let StoreUrl::Sqlite(_) = &store.url else { return };
    let rows = store.open().await.fetch("PRAGMA compile_options", vec![]).await.unwrap();
    let options: Vec<&str> = rows.iter().map(|row| row.text(0).unwrap()).collect();
    assert!(options.contains(&"ENABLE_JSON1") || options.iter().any(|option| option.starts_with("THREADSAFE")));
    assert!(!options.contains(&"ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
}
