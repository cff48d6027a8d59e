//! Subscriptions: from memory, from the table, from one to the other.

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::join_all;
use mcplane_core::Error;
use mcplane_db::Db;

use crate::store::{Store, append, revisions, unit, write};

pub(crate) async fn memory_serves_what_comes(store: Store) {
    let db = store.open().await;
    let mut maps = db.subscribe("configmaps", 1).unwrap();
    let mut secrets = db.subscribe("secrets", 1).unwrap();
    assert!(maps.next().now_or_never().is_none(), "nothing happened yet");
    write(&db, "configmaps", "a").await.unwrap();
    write(&db, "leases", "b").await.unwrap();
    write(&db, "secrets", "c").await.unwrap();
    write(&db, "configmaps", "d").await.unwrap();
    // Proves that no table is read.
    store.administer("DELETE FROM changes").await;
    assert_eq!(revisions(&maps.next().await.unwrap()), [2, 5]);
    assert_eq!(revisions(&secrets.next().await.unwrap()), [4]);
    assert!(secrets.reached() >= 4, "progress of other resources counts");
    assert!(maps.next().now_or_never().is_none());
    let change = {
        let waiting = tokio::spawn(async move { maps.next().await.unwrap().remove(0) });
        tokio::task::yield_now().await;
        write(&db, "configmaps", "e").await.unwrap();
        waiting.await.unwrap()
    };
    assert_eq!((change.revision, &*change.name, &*change.namespace), (6, "e", "ns"));
    assert_eq!(change.at, 1_700_000_000_000);
}

pub(crate) async fn the_table_serves_what_was(store: Store) {
    let db = store.open().await;
    for name in ["a", "b", "c"] {
        write(&db, "configmaps", name).await.unwrap();
        write(&db, "secrets", name).await.unwrap();
    }
    let mut all = db.subscribe("configmaps", 1).unwrap();
    assert_eq!(revisions(&all.next().await.unwrap()), [2, 4, 6]);
    assert!(all.ready().await.unwrap().is_empty());
    assert_eq!(all.reached(), 7);
    assert_eq!(revisions(&db.subscribe("configmaps", 4).unwrap().next().await.unwrap()), [6]);
    assert!(db.subscribe("nothing", 1).unwrap().ready().await.unwrap().is_empty());
    write(&db, "configmaps", "d").await.unwrap();
    assert_eq!(revisions(&all.next().await.unwrap()), [8]);
}

pub(crate) async fn long_and_heavy_pasts_come_in_pages(store: Store) {
    let db = store.open().await;
    let fill = |resource: &'static str, count: usize, bytes: usize| {
        db.write(unit(move |tx| {
            Box::pin(async move {
                let body = "x".repeat(bytes);
                for number in 0..count {
                    append(tx, resource, &number.to_string(), &body).await?;
                }
                Ok(())
            })
        }))
    };
    fill("long", 1234, 2).await.unwrap();
    fill("heavy", 20, 1 << 20).await.unwrap();
    for (resource, count, most) in [("long", 1234, 500), ("heavy", 20, 5)] {
        let mut subscription = db.subscribe(resource, 1).unwrap();
        let mut seen = Vec::new();
        while seen.len() < count {
            let page = subscription.ready().await.unwrap();
            assert!((1..=most).contains(&page.len()), "{resource}: {}", page.len());
            seen.extend(page.iter().map(|change| change.name.parse::<usize>().unwrap()));
        }
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
        assert!(subscription.ready().await.unwrap().is_empty());
    }
}

pub(crate) async fn readers_cross_from_table_to_memory_without_gap(store: Store) {
    const READERS: usize = 40;
    const LAST: i64 = 401;
    let db = store.open().await;
    let resource = |revision: i64| if revision % 3 == 0 { "odd" } else { "usual" };
    let read = |db: Db, after: i64| async move {
        let mut subscription = db.subscribe("usual", after).unwrap();
        let mut seen = Vec::new();
        while seen.last() != Some(&LAST) {
            seen.extend(revisions(&subscription.next().await.unwrap()));
            tokio::task::yield_now().await;
        }
        assert_eq!(seen, (after + 1..=LAST).filter(|revision| resource(*revision) == "usual").collect::<Vec<_>>());
    };
    let mut readers = Vec::new();
    for revision in 2..=LAST {
        assert_eq!(write(&db, resource(revision), "x").await.unwrap(), revision);
        if revision % (LAST / READERS as i64) == 0 {
            // Some from the beginning, some from the middle, some from now.
            let after = [1, revision / 2, revision][readers.len() % 3];
            readers.push(tokio::spawn(read(db.clone(), after)));
        }
    }
    for reader in join_all(readers).await {
        reader.unwrap();
    }
}

pub(crate) async fn a_list_can_always_be_followed(store: Store) {
    let db = store.open().await;
    let writer = {
        let db = db.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                write(&db, "a", "x").await.unwrap();
            }
        })
    };
    // A reader may see a commit before the feed has published it.
    while !writer.is_finished() {
        let (revision, _) = db.snapshot().await.unwrap().revisions().await.unwrap();
        let mut subscription = db.subscribe("a", revision).unwrap();
        if let Some(change) = subscription.ready().await.unwrap().first() {
            assert_eq!(change.revision, revision + 1);
        }
    }
}

pub(crate) async fn the_future_is_refused(store: Store) {
    let db = store.open().await;
    let refused = db.subscribe("a", 2);
    assert!(matches!(&refused, Err(Error::Timeout(why)) if why.contains("Too large resource version")), "{refused:?}");
    assert!(db.subscribe("a", i64::MAX).is_err());
    assert!(db.subscribe("a", -1).is_err());
    write(&db, "b", "x").await.unwrap();
    assert!(db.subscribe("a", 2).unwrap().ready().await.unwrap().is_empty());
}

pub(crate) async fn observers_see_changes_before_their_writer(store: Store) {
    let db = store.open().await;
    let mirror = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&mirror);
    db.feed().observe("a", move |change| sink.lock().unwrap().push(change.revision));
    let mut expected = Vec::new();
    for round in 0..20 {
        let revision = write(&db, if round % 2 == 0 { "a" } else { "b" }, "x").await.unwrap();
        expected.extend((round % 2 == 0).then_some(revision));
        assert_eq!(*mirror.lock().unwrap(), expected);
    }
}
