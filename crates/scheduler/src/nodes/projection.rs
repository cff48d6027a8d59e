//! Writes what machines look like to their rows and to the feed.

use std::sync::Arc;

use mcplane_core::{Result, Timestamp, clock};
use mcplane_db::{Arg, Dialect, Tx};
use mcplane_objects::object::{self, ObjectExt as _};
use mcplane_objects::storage::{Key, Shown, publish};
use serde_json::Value;

use super::object::{Known, lost, shown};
use super::{Facts, NODES, is_silent};
use crate::scheduler::Scheduler;

/// How often a beat is told to those who watch.
const TELL_EACH_MS: i64 = 5 * 60_000;

/// Tells that this machine lives, and which others do not any more.
///
/// # Errors
/// When the store fails.
pub async fn beat(scheduler: &Scheduler) -> Result<()> {
    let (name, identity) = (Arc::clone(&scheduler.node), scheduler.identity.clone());
    let facts = Facts::gather(scheduler.config.capacity, scheduler.config.worker_pool_size);
    scheduler
        .db
        .write(move |tx| {
            Box::pin(async move {
                // Before any row is touched: who shows another machine as lost holds it, too.
                tx.lock().await?;
                heard(tx, &name, &identity, &facts).await?;
                miss(tx).await
            })
        })
        .await
}

/// The time by which beats are compared: the one clock that all servers on a database have.
async fn common_now(tx: &mut Tx) -> Result<Timestamp> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(tx.now());
    }
    let rows = tx.fetch(format!("SELECT {}", tx.dialect().now_ms()), vec![]).await?;
    rows.first().map_or(Ok(tx.now()), |row| row.int(0))
}

/// Keeps that a machine was heard.
async fn heard(tx: &mut Tx, name: &str, incarnation: &str, facts: &Facts) -> Result<()> {
    let now = common_now(tx).await?;
    let sql = "UPDATE nodes SET heartbeat_at = $3, incarnation = $2 WHERE name = $1 RETURNING uid, revision, object";
    let rows = tx.fetch(sql, vec![name.into(), incarnation.into(), now.into()]).await?;
    let Some(row) = rows.first() else {
        let known = Known { uid: uuid::Uuid::new_v4().to_string(), created_at: now, heard_at: now, changed_at: now };
        let Some((revision, text)) = publish(tx, &key(name), (0, ""), &shown(name, &known, facts)).await? else {
            return Ok(());
        };
        let sql = "INSERT INTO nodes (name, uid, incarnation, heartbeat_at, revision, object) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let args = vec![name.into(), known.uid.into(), incarnation.into(), now.into(), revision.into(), text.into()];
        return tx.execute(sql, args).await.map(drop);
    };
    let (uid, revision, text) = (row.text(0)?, row.int(1)?, row.text(2)?);
    let node = object::parse(text)?;
    let was = seen(&node);
    let time = |field: &str| clock::parse_rfc3339(node["status"]["conditions"][0][field].as_str().unwrap_or_default());
    let told = time("lastHeartbeatTime").unwrap_or_default();
    let known = Known {
        uid: uid.to_owned(),
        created_at: clock::parse_rfc3339(node.meta_text("creationTimestamp")).unwrap_or(now),
        heard_at: if was && (told..told + TELL_EACH_MS).contains(&now) { told } else { now },
        changed_at: time("lastTransitionTime").filter(|_| was).unwrap_or(now),
    };
    let change = publish(tx, &key(name), (revision, text), &shown(name, &known, facts)).await?;
    keep(tx, name, change).await
}

/// Whether a node is shown as ready.
fn seen(node: &Value) -> bool {
    node["status"]["conditions"][0]["status"] == "True"
}

/// Shows machines that are silent as not ready.
async fn miss(tx: &mut Tx) -> Result<()> {
    let now = common_now(tx).await?;
    let sql = "SELECT name, revision, object, heartbeat_at FROM nodes WHERE heartbeat_at <= $1";
    for row in tx.fetch(sql, vec![(now - super::SILENCE_MS).into()]).await? {
        let (name, revision, text, heard_at): (_, _, _, Timestamp) =
            (row.text(0)?, row.int(1)?, row.text(2)?, row.int(3)?);
        let node = object::parse(text)?;
        if seen(&node) && is_silent(heard_at, now) {
            // Another server may have heard it since, whose beat then shows it as ready again.
            let change = publish(tx, &key(name), (revision, text), &lost(node, heard_at, now)).await?;
            keep(tx, name, change).await?;
        }
    }
    Ok(())
}

async fn keep(tx: &mut Tx, name: &str, change: Option<Shown>) -> Result<()> {
    let Some((revision, text)) = change else { return Ok(()) };
    let sql = "UPDATE nodes SET revision = $2, object = $3 WHERE name = $1";
    tx.execute(sql, vec![name.into(), revision.into(), Arg::from(text)]).await.map(drop)
}

fn key(name: &str) -> Key {
    Key::new(&Arc::from(NODES), "", name)
}
