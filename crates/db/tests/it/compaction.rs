//! Forgetting the past, and telling so.

use std::time::Duration;

use mcplane_core::Error;
use mcplane_db::Compactor;

use crate::store::{Store, assert_expired, revisions, table, write};

pub(crate) async fn a_compacted_past_is_expired(store: Store) {
    let db = store.open().await;
    for name in ["a", "b", "c", "d"] {
        write(&db, "x", name).await.unwrap();
    }
    let mut slow = db.subscribe("x", 1).unwrap();
    assert_eq!(db.compact_to(3).await.unwrap(), 3);
    assert_eq!(table(&db).await.iter().map(|row| row.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(db.feed().compacted(), 3);
    assert_expired(slow.next().await);
    assert_expired(db.subscribe("x", 2));
    let mut snapshot = db.snapshot().await.unwrap();
    assert_expired(db.undo_since(&mut snapshot, "x", "", 2).await);
    assert_eq!(db.undo_since(&mut snapshot, "x", "", 3).await.unwrap().len(), 2);
    drop(snapshot);
    assert_eq!(revisions(&db.subscribe("x", 3).unwrap().next().await.unwrap()), [4, 5]);
    assert_eq!(db.compact_to(2).await.unwrap(), 3, "no way back");

    db.close().await;
    let db = store.open().await;
    assert_expired(db.subscribe("x", 2));
    assert_eq!(write(&db, "x", "e").await.unwrap(), 6);
}

pub(crate) async fn compaction_goes_by_age(store: Store) {
    let db = store.open().await;
    let compactor = Compactor::new(db.clone(), Duration::from_secs(3600));
    assert_eq!(compactor.run_once().await.unwrap(), 1, "an empty feed");
    // Ages in the end: 70, 60, -10, -20 (a clock that was wrong for a while) and 0 minutes.
    for minutes in [0, 10, 70, 10, -20] {
        store.clock.advance(minutes * 60_000);
        write(&db, "x", "a").await.unwrap();
    }
    assert_eq!(compactor.run_once().await.unwrap(), 2);
    store.clock.advance(59 * 60_000);
    assert_eq!(compactor.run_once().await.unwrap(), 3);
    store.clock.advance(100 * 24 * 3600 * 1000);
    assert_eq!(compactor.run_once().await.unwrap(), 6);
    assert!(table(&db).await.is_empty());
    assert_eq!(write(&db, "x", "a").await.unwrap(), 7);
}

pub(crate) async fn compaction_never_reaches_the_future(store: Store) {
    let db = store.open().await;
    write(&db, "x", "a").await.unwrap();
    assert_eq!(db.compact_to(i64::MAX).await.unwrap(), 2);
    let mut subscription = db.subscribe("x", 2).unwrap();
    write(&db, "x", "b").await.unwrap();
    assert_eq!(revisions(&subscription.next().await.unwrap()), [3]);
}

pub(crate) async fn an_interrupted_compaction_is_completed(store: Store) {
    let db = store.open().await;
    for _ in 0..5 {
        write(&db, "x", "a").await.unwrap();
    }
    db.close().await;
    // As if the server had been killed between the promise and the removal.
    store.administer("UPDATE head SET compacted = 4").await;
    let db = store.open().await;
    assert_expired(db.subscribe("x", 3));
    store.clock.advance(3_600_000);
    write(&db, "x", "b").await.unwrap();
    assert_eq!(db.compact_to(1).await.unwrap(), 4);
    assert_eq!(table(&db).await.iter().map(|row| row.0).collect::<Vec<_>>(), [5, 6, 7]);
}

pub(crate) async fn compaction_under_readers_loses_nothing_silently(store: Store) {
    const LAST: i64 = 601;
    let db = store.open().await;
    let readers: Vec<_> = (0..20)
        .map(|reader| {
            let db = db.clone();
            tokio::spawn(async move {
                let (mut reached, mut expired) = (1, 0);
                let mut subscription = db.subscribe("x", reached).unwrap();
                while reached < LAST {
                    match subscription.next().await {
                        Ok(batch) => {
                            for change in batch {
                                assert_eq!(change.revision, reached + 1, "a gap, or a change twice");
                                reached = change.revision;
                            }
                        }
                        Err(Error::Expired(_)) => {
                            // As a client does: list, then watch from there.
                            expired += 1;
                            reached = db.snapshot().await.unwrap().revisions().await.unwrap().0;
                            match db.subscribe("x", reached) {
                                Ok(anew) => subscription = anew,
                                Err(Error::Expired(_)) => {}
                                Err(other) => unreachable!("{other}"),
                            }
                        }
                        Err(other) => unreachable!("{other}"),
                    }
                    tokio::time::sleep(Duration::from_millis(reader)).await;
                    if reader % 2 == 0 && reached < LAST {
                        // Begins anew behind memory, so that it must read the table while that is being compacted.
                        match db.subscribe("x", reached) {
                            Ok(anew) => subscription = anew,
                            Err(Error::Expired(_)) => expired += 1,
                            Err(other) => unreachable!("{other}"),
                        }
                    }
                }
                expired
            })
        })
        .collect();
    for revision in 2..=LAST {
        assert_eq!(write(&db, "x", "a").await.unwrap(), revision);
        if revision % 20 == 0 {
            db.compact_to(revision - 5).await.unwrap();
        }
    }
    for reader in futures::future::join_all(readers).await {
        reader.unwrap();
    }
}
