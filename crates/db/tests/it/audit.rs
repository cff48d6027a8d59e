//! The audit log: append-only, chained, searchable.

use mcplane_db::audit::{Entry, Query, Record};
use mcplane_db::{Db, Dialect};

use crate::store::{Store, unit};

async fn record(db: &Db, entries: impl IntoIterator<Item = Entry> + Send + 'static) {
    let entries: Vec<Entry> = entries.into_iter().collect();
    db.write(unit(|tx| {
        Box::pin(async move {
            entries.into_iter().for_each(|entry| tx.audit(entry));
            Ok(())
        })
    }))
    .await
    .unwrap();
}

fn entry(number: i64) -> Entry {
    let text = |field: &str| format!("{field}{}", number % 3);
    Entry {
        actor: text("actor"),
        verb: text("verb"),
        resource: text("resource"),
        namespace: text("namespace"),
        name: text("name"),
        outcome: "allowed".to_owned(),
        code: number,
        trace: format!("trace{number}"),
        source: "127.0.0.1".to_owned(),
        detail: "ß\n\"'".to_owned(),
    }
}

pub(crate) async fn entries_are_chained_and_append_only(store: Store) {
    let db = store.open().await;
    assert_eq!(db.verify_audit().await.unwrap(), Ok(0));
    for number in 0..10 {
        record(&db, (0..number).map(entry)).await;
    }
    // More than one page of the check.
    record(&db, (0..2500).map(entry)).await;
    assert_eq!(db.verify_audit().await.unwrap(), Ok(2545));
    for sql in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "DELETE FROM audit WHERE sequence = 3"] {
        let error = store.try_administer(sql).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    if store.dialect() == Dialect::Postgres {
        store.try_administer("TRUNCATE audit").await.unwrap_err();
    }
    db.close().await;
    let db = store.open().await;
    record(&db, [entry(1)]).await;
    assert_eq!(db.verify_audit().await.unwrap(), Ok(2546));
}

pub(crate) async fn tampering_is_found(store: Store) {
    let db = store.open().await;
    record(&db, (0..20).map(entry)).await;
    store
        .administer(match store.dialect() {
            Dialect::Sqlite => "DROP TRIGGER audit_is_not_updated; DROP TRIGGER audit_is_not_deleted",
            Dialect::Postgres => "DROP TRIGGER audit_is_append_only ON audit",
        })
        .await;
    store.administer("CREATE TABLE kept AS SELECT * FROM audit").await;
    store.administer("CREATE TABLE kept_head AS SELECT * FROM head").await;
    for (tampering, found) in [
        ("UPDATE audit SET outcome = 'denied' WHERE sequence = 7", 7),
        ("UPDATE audit SET at = at + 1 WHERE sequence = 1", 1),
        // The same text, cut elsewhere.
        ("UPDATE audit SET actor = actor || 'v', verb = substr(verb, 2) WHERE sequence = 3", 3),
        ("DELETE FROM audit WHERE sequence = 12", 12),
        ("DELETE FROM audit WHERE sequence >= 18", 18),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET sequence = 100 WHERE sequence = 20", 20),
        ("UPDATE audit SET sequence = 0 WHERE sequence = 1", 1),
        ("UPDATE head SET audit_hash = ''", 20),
    ] {
        store.administer(tampering).await;
        assert_eq!(db.verify_audit().await.unwrap(), Err(found), "{tampering}");
        store.administer("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept").await;
        store.administer("DELETE FROM head; INSERT INTO head SELECT * FROM kept_head").await;
        assert_eq!(db.verify_audit().await.unwrap(), Ok(20));
    }
}

pub(crate) async fn entries_are_found_by_each_field(store: Store) {
    let db = store.open().await;
    for number in 0..9 {
        record(&db, [entry(number)]).await;
        store.clock.advance(1000);
    }
    let find = |query: Query| {
        let db = &db;
        async move {
            let query = Query { limit: if query.limit == 0 { 100 } else { query.limit }, ..query };
            let records = db.audit(&query).await.unwrap();
            records.iter().map(|record: &Record| record.sequence).collect::<Vec<_>>()
        }
    };
    let one = |text: &str| text.to_owned();
    let all = Query::default;
    assert_eq!(find(all()).await, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    for query in [
        Query { actor: one("actor1"), ..all() },
        Query { verb: one("verb1"), ..all() },
        Query { resource: one("resource1"), ..all() },
        Query { namespace: one("namespace1"), ..all() },
        Query { name: one("name1"), ..all() },
    ] {
        assert_eq!(find(query.clone()).await, [8, 5, 2]);
        assert_eq!(find(Query { limit: 2, ..query.clone() }).await, [8, 5]);
        assert_eq!(find(Query { before: 8, ..query.clone() }).await, [5, 2]);
        assert_eq!(find(Query { since: 1_700_000_004_000, ..query.clone() }).await, [8, 5]);
        assert_eq!(find(Query { trace: one("trace4"), ..query }).await, [5]);
    }
    assert!(find(Query { actor: one("' OR ''='"), ..all() }).await.is_empty());
    assert!(find(Query { limit: -1, ..all() }).await.is_empty());
    let found = db.audit(&Query { trace: one("trace4"), limit: 1, ..all() }).await.unwrap();
    assert_eq!((found[0].entry.clone(), found[0].at), (entry(4), 1_700_000_004_000));
}
