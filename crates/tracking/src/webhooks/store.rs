//! The tables `webhooks` and `webhook_events`.

use std::collections::HashMap;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Row, Tx};

use super::Webhook;
use super::event::Kind;

const COLUMNS: &str = "no, namespace, id, name, description, url, secret, active, created_at, updated_at";

fn read(row: &Row) -> Result<Webhook> {
    Ok(Webhook {
        no: row.int(0)?,
        namespace: row.text(1)?.to_owned(),
        id: row.text(2)?.to_owned(),
        name: row.text(3)?.to_owned(),
        description: row.optional_text(4)?.map(str::to_owned),
        url: row.text(5)?.to_owned(),
        secret: row.text(6)?.to_owned(),
        active: row.int(7)? != 0,
        created_at: row.int(8)?,
        updated_at: row.int(9)?,
        events: vec![],
    })
}

/// The ids of those who want to know of an event.
pub(super) async fn listening(tx: &mut Tx, namespace: &str, event: &str) -> Result<Vec<String>> {
    let sql = "SELECT w.id FROM webhooks w JOIN webhook_events e ON e.webhook = w.no AND e.event = $2 \
               WHERE w.namespace = $1 AND w.active = 1 ORDER BY w.no";
    let rows = tx.fetch(sql, vec![namespace.into(), event.into()]).await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// The webhook, without its events.
pub(super) async fn find(tx: &mut Tx, namespace: &str, id: &str) -> Result<Webhook> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE namespace = $1 AND id = $2");
    let rows = tx.fetch(sql, vec![namespace.into(), id.into()]).await?;
    rows.first().map(read).transpose()?.ok_or_else(|| missing(id))
}

/// The webhook.
pub(super) async fn get(db: &Db, namespace: &str, id: &str) -> Result<Webhook> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE namespace = $1 AND id = $2");
    let rows = db.fetch(sql, vec![namespace.into(), id.into()]).await?;
    with_events(db, rows.iter().map(read).collect::<Result<_>>()?).await?.pop().ok_or_else(|| missing(id))
}

/// The webhook of any namespace.
pub(super) async fn by_id(db: &Db, id: &str) -> Result<Option<Webhook>> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE id = $1");
    db.fetch(sql, vec![id.into()]).await?.first().map(read).transpose()
}

/// The newest first.
pub(super) async fn list(db: &Db, namespace: &str, offset: i64, limit: i64) -> Result<Vec<Webhook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM webhooks WHERE namespace = $1 ORDER BY created_at DESC, no DESC LIMIT $2 OFFSET $3"
    );
    let rows = db.fetch(sql, vec![namespace.into(), limit.into(), offset.into()]).await?;
    with_events(db, rows.iter().map(read).collect::<Result<_>>()?).await
}

/// Adds what webhooks are told of.
async fn with_events(db: &Db, mut webhooks: Vec<Webhook>) -> Result<Vec<Webhook>> {
    let numbers: Vec<i64> = webhooks.iter().map(|webhook| webhook.no).collect();
    let list = db.dialect().numbers(1);
    let sql = format!("SELECT webhook, event FROM webhook_events WHERE webhook IN {list}");
    let mut wanted: HashMap<i64, Vec<String>> = HashMap::new();
    for row in db.fetch(sql, vec![Arg::list(&numbers)]).await? {
        wanted.entry(row.int(0)?).or_default().push(row.text(1)?.to_owned());
    }
    for webhook in &mut webhooks {
        let names = wanted.remove(&webhook.no).unwrap_or_default();
        webhook.events = names.iter().filter_map(|name| Kind::named(name)).collect();
        webhook.events.sort_by_key(|kind| (kind.entity, kind.action));
    }
    Ok(webhooks)
}

/// How many there are.
pub(super) async fn count(tx: &mut Tx, namespace: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM webhooks WHERE namespace = $1";
    tx.fetch(sql, vec![namespace.into()]).await?.first().map_or(Ok(0), |row| row.int(0))
}

/// Adds a webhook; the database gives its number.
pub(super) async fn insert(tx: &mut Tx, webhook: &Webhook) -> Result<()> {
    let sql = "INSERT INTO webhooks (namespace, id, name, description, url, secret, active, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) RETURNING no";
    let args = vec![
        webhook.namespace.as_str().into(),
        webhook.id.as_str().into(),
        webhook.name.as_str().into(),
        Arg::OptionalText(webhook.description.as_deref().map(Into::into)),
        webhook.url.as_str().into(),
        webhook.secret.as_str().into(),
        webhook.active.into(),
        webhook.created_at.into(),
    ];
    let rows = tx.fetch(sql, args).await?;
    let no = rows.first().ok_or_else(|| Error::internal("an insert without a number"))?.int(0)?;
    put_events(tx, no, &webhook.events).await
}

/// Changes all but id, number and events.
pub(super) async fn update(tx: &mut Tx, webhook: &Webhook) -> Result<()> {
    let sql = "UPDATE webhooks SET name = $2, description = $3, url = $4, secret = $5, active = $6, updated_at = $7 \
               WHERE no = $1";
    let args = vec![
        webhook.no.into(),
        webhook.name.as_str().into(),
        Arg::OptionalText(webhook.description.as_deref().map(Into::into)),
        webhook.url.as_str().into(),
        webhook.secret.as_str().into(),
        webhook.active.into(),
        webhook.updated_at.into(),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Says what a webhook is told of.
pub(super) async fn put_events(tx: &mut Tx, no: i64, events: &[Kind]) -> Result<()> {
    tx.execute("DELETE FROM webhook_events WHERE webhook = $1", vec![no.into()]).await?;
    let args = events.iter().flat_map(|kind| [no.into(), kind.name().into()]).collect();
    tx.execute_rows("INSERT INTO webhook_events (webhook, event)", 2, args, "").await
}

/// Removes a webhook.
pub(super) async fn remove(tx: &mut Tx, no: i64) -> Result<()> {
    tx.execute("DELETE FROM webhook_events WHERE webhook = $1", vec![no.into()]).await?;
    tx.execute("DELETE FROM webhooks WHERE no = $1", vec![no.into()]).await.map(drop)
}

fn missing(id: &str) -> Error {
    Error::Missing(format!("Webhook with ID {id} not found."))
}
