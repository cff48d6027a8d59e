//! Units of work: their revisions, their isolation, the fate of their group.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::join_all;
use mcplane_core::{Error, Result};
use mcplane_db::{Db, Dialect, Revision, audit};
use tokio::sync::oneshot;

use crate::store::{Store, append, assert_unavailable, note, notes, revisions, table, unit, write};

/// What a unit of the storm does after its changes.
const FATES: [&str; 5] = ["commit", "commit", "refuse", "panic", "break"];

pub(crate) async fn revisions_are_contiguous_and_ordered_whatever_fails(store: Store) {
    let db = store.open().await;
    let mut subscription = db.subscribe("storm", 1).unwrap();
    let reader = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.last() != Some(&"end".to_owned()) {
            seen.extend(subscription.next().await.unwrap().iter().map(|change| change.name.to_string()));
        }
        seen
    });
    let writers = (0..64).map(|writer| {
        let db = db.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for round in 0..20 {
                let fate = FATES[(writer * 7 + round * 3) % FATES.len()];
                let changes = 1 + (writer + round) % 3;
                if let Ok(revisions) = storm(&db, format!("{writer}-{round}"), changes, fate).await {
                    assert_eq!(fate, "commit");
                    acknowledged.extend(revisions);
                }
            }
            acknowledged
        })
    });
    let acknowledged: Vec<_> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    let end = write(&db, "storm", "end").await.unwrap();

    let table = table(&db).await;
    let expected: Vec<Revision> = (2..=end).collect();
    assert_eq!(table.iter().map(|row| row.0).collect::<Vec<_>>(), expected);
    assert_eq!(acknowledged.iter().collect::<BTreeSet<_>>().len() + 1, expected.len(), "a revision was given twice");
    assert_eq!(reader.await.unwrap(), table.into_iter().map(|row| row.2).collect::<Vec<_>>());

    db.close().await;
    let db = store.open().await;
    assert_eq!(write(&db, "storm", "later").await.unwrap(), end + 1);
}

async fn storm(db: &Db, name: String, changes: usize, fate: &'static str) -> Result<Vec<Revision>> {
    db.write(unit(move |tx| {
        Box::pin(async move {
            let mut revisions = Vec::new();
            for _ in 0..changes {
                revisions.push(append(tx, "storm", &name, "{}").await?);
            }
            match fate {
                "commit" => return Ok(revisions),
                "refuse" => return Err(Error::bad_request("no")),
                "panic" => std::panic::resume_unwind(Box::new("a bug")),
                _ => tx.execute("INSERT INTO no_such_table VALUES (1)", vec![]).await?,
            };
            Ok(revisions)
        })
    }))
    .await
}

/// Holds the writer inside a group until told to go on, so that what is written meanwhile joins that group.
pub(crate) async fn hold(db: &Db) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
    let (release, released) = oneshot::channel::<()>();
    let (entered, inside) = oneshot::channel::<()>();
    let db = db.clone();
    let held = tokio::spawn(async move {
        let hold = unit(move |_| {
            Box::pin(async move {
                let _ = entered.send(());
                let _ = released.await;
                Ok(())
            })
        });
        db.write(hold).await
    });
    inside.await.unwrap();
    (release, held)
}

pub(crate) async fn a_failing_unit_is_undone_alone(store: Store) {
    let db = store.open_with_notes().await;
    let (release, held) = hold(&db).await;
    let make = |id: i64, fate: &'static str| {
        let db = db.clone();
        async move {
            db.write(unit(move |tx| {
                Box::pin(async move {
                    note(tx, id, fate).await?;
                    append(tx, "notes", fate, "{}").await?;
                    tx.audit(audit::Entry { name: fate.to_owned(), ..audit::Entry::default() });
                    match fate {
                        "refused" => Err(Error::bad_request("no")),
                        // A fault of its own says nothing about the database.
                        "unavailable" => Err(Error::Unavailable { message: "not mine".to_owned(), source: None }),
                        "panicked" => std::panic::resume_unwind(Box::new("a bug")),
                        "broken" => note(tx, 1, "twice").await,
                        _ => Ok(()),
                    }
                })
            }))
            .await
        }
    };
    let fates = ["good", "refused", "unavailable", "good", "panicked", "broken", "broken", "good"];
    let mut units = join_all(fates.iter().enumerate().map(|(id, fate)| make(id as i64 + 1, fate)));
    assert!((&mut units).now_or_never().is_none(), "all are waiting");
    release.send(()).unwrap();
    let outcomes = units.await;
    held.await.unwrap().unwrap();
    for (fate, outcome) in fates.iter().zip(&outcomes) {
        assert_eq!(outcome.is_ok(), *fate == "good", "{fate}: {outcome:?}");
    }
    assert!(matches!(outcomes[1], Err(Error::BadRequest(_))));
    assert!(matches!(outcomes[4], Err(Error::Internal(_))));
    assert_eq!(notes(&db).await, [1, 4, 8]);
    let table = table(&db).await;
    assert_eq!(
        table.iter().map(|row| (row.0, row.2.as_str())).collect::<Vec<_>>(),
        [(2, "good"), (3, "good"), (4, "good")]
    );
    assert_eq!(db.verify_audit().await.unwrap(), Ok(3));
}

pub(crate) async fn a_unit_cannot_ignore_a_failed_statement(store: Store) {
    let db = store.open_with_notes().await;
    // SQLite may abandon the whole transaction, PostgreSQL refuses all that follows: neither must look like success.
    let breaking = match store.dialect() {
        Dialect::Sqlite => "INSERT OR ROLLBACK INTO notes VALUES (1, 'again')",
        Dialect::Postgres => "INSERT INTO notes VALUES (1, 'again')",
    };
    db.write(unit(|tx| Box::pin(note(tx, 1, "first")))).await.unwrap();
    let (release, held) = hold(&db).await;
    let before = db.write(unit(|tx| Box::pin(note(tx, 2, "before"))));
    let ignoring = db.write(unit(move |tx| {
        Box::pin(async move {
            let _ = tx.execute(breaking, vec![]).await;
            let _ = note(tx, 3, "stands alone").await;
            Ok(())
        })
    }));
    let abandoning = db.write(unit(|tx| {
        Box::pin(async move {
            let slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) \
                        INSERT INTO notes SELECT 4, max(i) || ' steps' FROM n";
            assert!(tx.execute(slow, vec![]).now_or_never().is_none());
            Ok(())
        })
    }));
    let after = db.write(unit(|tx| Box::pin(note(tx, 5, "after"))));
    let mut all = Box::pin(async { tokio::join!(before, ignoring, abandoning, after) });
    assert!((&mut all).now_or_never().is_none(), "all are waiting");
    release.send(()).unwrap();
    let (before, ignoring, abandoning, after) = all.await;
    let held = held.await.unwrap();
    assert!(ignoring.is_err() && abandoning.is_err());
    after.unwrap();
    match store.dialect() {
        Dialect::Sqlite => {
            // The transaction was gone, so nobody of its group may be told otherwise.
            assert_unavailable(held);
            assert_unavailable(before);
            assert_eq!(notes(&db).await, [1, 5]);
        }
        Dialect::Postgres => {
            held.unwrap();
            before.unwrap();
            assert_eq!(notes(&db).await, [1, 2, 5]);
        }
    }
    // The writer is well again.
    db.write(unit(|tx| Box::pin(note(tx, 6, "next")))).await.unwrap();
}

pub(crate) async fn a_group_whose_commit_fails_leaves_nothing(store: Store) {
    let db = store.open_with_notes().await;
    store.administer("CREATE TABLE replies (note BIGINT REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED)").await;
    let mut subscription = db.subscribe("notes", 1).unwrap();
    let (release, held) = hold(&db).await;
    let innocent = db.write(unit(|tx| {
        Box::pin(async move {
            note(tx, 1, "innocent").await?;
            tx.audit(audit::Entry::default());
            append(tx, "notes", "innocent", "{}").await
        })
    }));
    // What it refers to is looked for at the commit.
    let guilty = db.write(unit(|tx| Box::pin(tx.execute("INSERT INTO replies VALUES (99)", vec![]))));
    let mut both = Box::pin(async { tokio::join!(innocent, guilty) });
    assert!((&mut both).now_or_never().is_none());
    release.send(()).unwrap();
    let (innocent, guilty) = both.await;
    assert_unavailable(innocent);
    assert_unavailable(guilty);
    assert_unavailable(held.await.unwrap());
    assert!(notes(&db).await.is_empty() && table(&db).await.is_empty());
    assert!(subscription.ready().await.unwrap().is_empty());
    // The revision was never given, so it is not skipped either.
    assert_eq!(write(&db, "notes", "next").await.unwrap(), 2);
    assert_eq!(revisions(&subscription.next().await.unwrap()), [2]);
    assert_eq!(db.verify_audit().await.unwrap(), Ok(0));
}

pub(crate) async fn an_acknowledged_write_can_be_read_and_watched(store: Store) {
    let db = store.open_with_notes().await;
    let mut subscription = db.subscribe("notes", 1).unwrap();
    for id in 1..50 {
        let revision = db
            .write(unit(move |tx| {
                Box::pin(async move {
                    note(tx, id, "").await?;
                    append(tx, "notes", "n", "{}").await
                })
            }))
            .await
            .unwrap();
        assert_eq!(db.feed().revision(), revision);
        assert_eq!(notes(&db).await.last(), Some(&id));
        assert_eq!(revisions(&subscription.ready().await.unwrap()), [revision]);
        assert_eq!(subscription.reached(), revision);
    }
}

pub(crate) async fn a_caller_that_goes_away_leaves_all_or_nothing(store: Store) {
    let db = store.open_with_notes().await;
    let (release, held) = hold(&db).await;
    let mut waiting = Box::pin(db.write(unit(|tx| Box::pin(note(tx, 1, "never begun")))));
    assert!((&mut waiting).now_or_never().is_none());
    drop(waiting);
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    db.write(unit(|tx| Box::pin(note(tx, 2, "")))).await.unwrap();
    assert_eq!(notes(&db).await, [2], "a unit that nobody waits for is not begun");

    let (entered, inside) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let mut begun = Box::pin(db.write(unit(|tx| {
        Box::pin(async move {
            note(tx, 3, "first half").await?;
            let _ = entered.send(());
            let _ = released.await;
            note(tx, 4, "second half").await
        })
    })));
    assert!((&mut begun).now_or_never().is_none());
    inside.await.unwrap();
    drop(begun);
    release.send(()).unwrap();
    db.write(unit(|tx| Box::pin(note(tx, 5, "")))).await.unwrap();
    assert_eq!(notes(&db).await, [2, 3, 4, 5], "a unit that began is completed");
}

pub(crate) async fn what_postgres_cannot_store_fails_or_is_cleaned(store: Store) {
    let db = store.open().await;
    let (release, held) = hold(&db).await;
    let bad = db.write(unit(|tx| Box::pin(append(tx, "notes", "n\0", "{}"))));
    let audited = db.write(unit(|tx| {
        Box::pin(async move {
            let detail = format!("a\0{}", "ä".repeat(4000));
            tx.audit(audit::Entry { detail, ..audit::Entry::default() });
            append(tx, "notes", "n", "{}").await
        })
    }));
    let mut both = Box::pin(async { tokio::join!(bad, audited) });
    assert!((&mut both).now_or_never().is_none());
    release.send(()).unwrap();
    let (bad, audited) = both.await;
    assert!(matches!(bad, Err(Error::BadRequest(_))), "{bad:?}");
    assert_eq!(audited.unwrap(), 2);
    held.await.unwrap().unwrap();
    let records = db.audit(&audit::Query { limit: 10, ..audit::Query::default() }).await.unwrap();
    let detail = &records[0].entry.detail;
    assert!(detail.starts_with("a\u{fffd}ää") && detail.len() <= 4098, "{} bytes", detail.len());
}

pub(crate) async fn large_units_and_large_groups_are_stored(store: Store) {
    let db = store.open().await;
    let many = db.write(unit(|tx| {
        Box::pin(async move {
            let mut last = 0;
            for number in 0..1000 {
                last = append(tx, "many", &number.to_string(), "{}").await?;
            }
            Ok(last)
        })
    }));
    assert_eq!(many.await.unwrap(), 1001);

    // More units than one group takes, and more bytes.
    let body: Arc<str> = "x".repeat(1 << 20).into();
    let units = (0..300).map(|number| {
        let body = if number % 10 == 0 { Arc::clone(&body) } else { "{}".into() };
        db.write(unit(move |tx| Box::pin(async move { append(tx, "large", &number.to_string(), &body).await })))
    });
    let given: BTreeSet<Revision> = join_all(units).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(given, (1002..1302).collect());
    assert_eq!(table(&db).await.len(), 1300);
}
