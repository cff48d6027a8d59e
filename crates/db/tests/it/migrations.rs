//! Schema versions go forward, with the data.

use futures::future::join_all;
use mcplane_core::Error;
use mcplane_db::{Db, migrate_to};

use crate::store::{Store, append, revisions, table, unit, write};

pub(crate) async fn an_old_database_is_migrated_with_its_data(store: Store) {
    migrate_to(&store.url, 1).await.unwrap();
    assert!(store.try_administer("SELECT * FROM users").await.is_err(), "version 1 has no users");
    store
        .administer(
            "INSERT INTO changes VALUES (2, 5, 'configmaps', 'ns', 'old', 1, '{\"a\":1}', NULL);
             INSERT INTO objects VALUES ('configmaps', 'ns', 'old', 2, 0, '{\"a\":1}');
             INSERT INTO counters VALUES ('ns', 'count/configmaps', 1);
             UPDATE head SET revision = 2",
        )
        .await;
    let db = store.open().await;
    assert!(db.fetch("SELECT name FROM users", vec![]).await.unwrap().is_empty());
    let rows = db.fetch("SELECT o.body, c.value FROM objects o, counters c", vec![]).await.unwrap();
    assert_eq!((rows[0].text(0).unwrap(), rows[0].int(1).unwrap()), ("{\"a\":1}", 1));
    let mut subscription = db.subscribe("configmaps", 1).unwrap();
    let old = subscription.next().await.unwrap().remove(0);
    assert_eq!(
        (old.revision, old.at, &*old.name, &*old.body, old.previous.as_deref()),
        (2, 5, "old", "{\"a\":1}", None)
    );
    assert_eq!(write(&db, "configmaps", "new").await.unwrap(), 3);
    assert_eq!(revisions(&subscription.next().await.unwrap()), [3]);
}

/// Capabilities are built side by side, and one with an older number may come later.
pub(crate) async fn a_migration_below_the_newest_is_applied(store: Store) {
    store.open().await.close().await;
    let tables = "DROP TABLE webhook_events; DROP TABLE webhooks; DROP TABLE outbox; DROP TABLE outbox_lanes;";
    store.administer(&format!("{tables} DELETE FROM _sqlx_migrations WHERE version = 9")).await;
    let db = store.open().await;
    assert!(db.fetch("SELECT no FROM webhooks", vec![]).await.unwrap().is_empty());
    assert!(write(&db, "x", "a").await.is_ok());
}

pub(crate) async fn a_newer_database_is_refused(store: Store) {
    store.open().await.close().await;
    store
        .administer(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             SELECT 999, 'of tomorrow', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
    let refused = Db::open(&store.url, store.clock.clone()).await;
    let Err(Error::Unavailable { message, .. }) = refused else { unreachable!("{refused:?}") };
    assert!(message.contains("schema version 999") && message.contains("start the newer mcplane"), "{message}");
}

pub(crate) async fn a_changed_migration_is_refused(store: Store) {
    let db = store.open().await;
    db.write(unit(|tx| Box::pin(append(tx, "x", "a", "{}")))).await.unwrap();
    db.close().await;
    store.administer("UPDATE _sqlx_migrations SET checksum = substr(checksum, 2) WHERE version = 1").await;
    let refused = Db::open(&store.url, store.clock.clone()).await;
    assert!(matches!(refused, Err(Error::Internal(_))), "{refused:?}");
}

pub(crate) async fn servers_may_start_at_the_same_time(store: Store) {
    // One file serves one server, but a database may be new to several.
    let servers = if store.dialect() == mcplane_db::Dialect::Postgres { 4 } else { 1 };
    let opened = join_all((0..servers).map(|_| store.open())).await;
    let first = &opened[0];
    let mut subscription = first.subscribe("x", 1).unwrap();
    for (server, db) in opened.iter().enumerate() {
        assert_eq!(write(db, "x", format!("{server}")).await.unwrap(), server as i64 + 2);
    }
    // Each finds what the others wrote before it writes again.
    write(first, "x", "last").await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < servers + 1 {
        seen.extend(revisions(&subscription.next().await.unwrap()));
    }
    assert_eq!(seen, table(first).await.iter().map(|row| row.0).collect::<Vec<_>>());
}
