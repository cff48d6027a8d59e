//! Messages that were given up: told to administrators, and sent again when they say so.

use mcplane_core::{Error, Grant, Result};
use mcplane_db::{Arg, Db, Row, Tx};
use mcplane_objects::audit;
use serde::Serialize;
use serde_json::Value;

use crate::Tracking;

/// Length of a page that was not asked for, and of the longest that may be.
const PAGE: i64 = 100;
const MOST: i64 = 1000;

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    #[serde(skip)]
    no: i64,
    /// Unique everywhere, and the same in each attempt: the delivery id that receivers see.
    pub id: String,
    /// Whom it was for: `webhook/ID`, or `openlineage/NAMESPACE`.
    pub receiver: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// When it was given up, in milliseconds since the epoch.
    pub died_at: i64,
    /// Why.
    pub reason: String,
    /// What it says: JSON, or the text that it is.
    pub body: Value,
}

impl Tracking {
    /// Messages of a namespace that were given up, those of `receiver` only if one is named, the oldest first, and where the
    /// next page starts. They are kept for a week.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a page that can't be.
    pub async fn dead_letters(
        &self,
        grant: &Grant,
        receiver: Option<&str>,
        most: Option<i64>,
        token: &str,
    ) -> Result<(Vec<DeadLetter>, Option<String>)> {
        let most = most.unwrap_or(PAGE);
        if !(1..=MOST).contains(&most) {
            return Err(Error::bad_request(format!("limit must be between 1 and {MOST}")));
        }
        let fault = |_| Error::bad_request("continue must be what the page before said");
        let after = if token.is_empty() { 0 } else { token.parse().map_err(fault)? };
        let mut found = list(&self.db, grant.namespace()?, receiver, after, most + 1).await?;
        let more = found.len() as i64 > most;
        found.truncate(usize::try_from(most).unwrap_or_default());
        let next = found.last().filter(|_| more).map(|last| last.no.to_string());
        Ok((found, next))
    }

    /// Sends messages again that were given up: those of these ids, or all of them, up to a thousand at a time. They go out
    /// with their old ids, before what waits for the same receiver, and with the patience that a new message has. Tells how
    /// many that are.
    ///
    /// # Errors
    /// [`Error::Missing`] for an id that is not among the dead; then nothing is sent.
    pub async fn replay(&self, grant: &Grant, ids: Option<Vec<String>>) -> Result<u64> {
        if ids.as_ref().is_some_and(|ids| ids.len() as i64 > MOST) {
            return Err(Error::bad_request(format!("at most {MOST} messages can be named at once")));
        }
        let grant = grant.clone();
        let replayed = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let revived = revive(tx, grant.namespace()?, ids.as_deref()).await?;
                    if let Some(lost) = ids.iter().flatten().find(|id| !revived.contains(id)) {
                        return Err(Error::Missing(format!("there is no message {lost:?} that was given up")));
                    }
                    for id in &revived {
                        tx.audit(audit::entry(&grant, "replay", id, "allowed", 200, ""));
                    }
                    Ok(revived.len() as u64)
                })
            })
            .await?;
        self.wake.up();
        Ok(replayed)
    }
}

async fn list(db: &Db, namespace: &str, receiver: Option<&str>, after: i64, most: i64) -> Result<Vec<DeadLetter>> {
    let sql = "SELECT o.no, o.id, o.lane, o.created_at, o.dead_at, o.reason, o.body FROM outbox o \
               JOIN outbox_lanes l ON l.lane = o.lane \
               WHERE l.namespace = $1 AND o.dead_at IS NOT NULL AND o.no > $2 AND ($3 = '' OR o.lane = $3) \
               ORDER BY o.no LIMIT $4";
    let args = vec![namespace.into(), after.into(), receiver.unwrap_or_default().into(), most.into()];
    db.fetch(sql, args).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<DeadLetter> {
    let body = row.text(6)?;
    Ok(DeadLetter {
        no: row.int(0)?,
        id: row.text(1)?.to_owned(),
        receiver: row.text(2)?.to_owned(),
        created_at: row.int(3)?,
        died_at: row.int(4)?,
        reason: row.text(5)?.to_owned(),
        body: serde_json::from_str(body).unwrap_or_else(|_| body.into()),
    })
}

/// Makes the dead wait again; tells their ids.
async fn revive(tx: &mut Tx, namespace: &str, ids: Option<&[String]>) -> Result<Vec<String>> {
    let now = tx.now();
    let (which, list) = match ids {
        Some(ids) => (format!("o.id IN {}", tx.dialect().texts(3)), Arg::list(ids)),
        None => ("$3 = ''".to_owned(), "".into()),
    };
    let sql = format!(
        "UPDATE outbox SET dead_at = NULL, reason = '', created_at = $2 WHERE no IN \
         (SELECT o.no FROM outbox o JOIN outbox_lanes l ON l.lane = o.lane \
          WHERE l.namespace = $1 AND o.dead_at IS NOT NULL AND {which} ORDER BY o.no LIMIT {MOST}) RETURNING id, lane"
    );
    let rows = tx.fetch(sql, vec![namespace.into(), now.into(), list]).await?;
    let mut lanes: Vec<&str> = rows.iter().map(|row| row.text(1)).collect::<Result<_>>()?;
    lanes.sort_unstable();
    lanes.dedup();
    let sql = format!("UPDATE outbox_lanes SET due_at = coalesce(due_at, $1) WHERE lane IN {}", tx.dialect().texts(2));
    tx.execute(sql, vec![now.into(), Arg::list(&lanes)]).await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}
