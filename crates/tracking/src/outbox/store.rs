//! The tables `outbox_lanes` and `outbox`.

use mcplane_core::Result;
use mcplane_db::{Arg, Db, Row, Tx};
use uuid::Uuid;

use super::Message;
use super::schedule::Next;

/// Messages that may wait in one lane; more are not taken.
const MOST_WAITING: i64 = 10_000;
/// Largest message in bytes.
const MOST_BYTES: usize = 1 << 20;

/// A lane that is ours, until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) lane: String,
    pub(super) number: i64,
}

/// Adds a message to each of some lanes. The caller holds the lock, so that messages lie in the order of what they tell of.
pub(crate) async fn enqueue(tx: &mut Tx, namespace: &str, lanes: &[String], body: &str) -> Result<()> {
    let lanes = with_room(tx, lanes, body).await?;
    let now = tx.now();
    let message =
        |lane: &String| [lane.as_str().into(), Uuid::new_v4().to_string().into(), now.into(), body.into(), "".into()];
    let args = lanes.iter().flat_map(message).collect();
    tx.execute_rows("INSERT INTO outbox (lane, id, created_at, body, reason)", 5, args, "").await?;
    let lane = |lane: &String| {
        let zero = || Arg::from(0_i64);
        [lane.as_str().into(), namespace.into(), now.into(), zero(), zero(), zero()]
    };
    let args = lanes.iter().flat_map(lane).collect();
    let columns = "INSERT INTO outbox_lanes (lane, namespace, due_at, attempts, claim, claimed_until)";
    let due = "ON CONFLICT (lane) DO UPDATE SET due_at = coalesce(outbox_lanes.due_at, excluded.due_at)";
    tx.execute_rows(columns, 6, args, due).await
}

/// The lanes that take such a message. What they don't take is lost, and the log says so.
async fn with_room(tx: &mut Tx, lanes: &[String], body: &str) -> Result<Vec<String>> {
    if body.len() > MOST_BYTES {
        tracing::warn!(lanes = lanes.len(), bytes = body.len(), "a message is too large and is not sent");
        return Ok(vec![]);
    }
    let mut free = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let sql = format!(
            "SELECT 1 FROM outbox WHERE lane = $1 AND dead_at IS NULL ORDER BY no LIMIT 1 OFFSET {}",
            MOST_WAITING - 1
        );
        if tx.fetch(sql, vec![lane.as_str().into()]).await?.is_empty() {
            free.push(lane.clone());
        } else {
            tracing::warn!(lane, "too many messages wait, and one more is not taken");
        }
    }
    Ok(free)
}

/// Lets the messages of a lane wait.
pub(crate) async fn pause(tx: &mut Tx, lane: &str) -> Result<()> {
    tx.execute("UPDATE outbox_lanes SET due_at = NULL WHERE lane = $1", vec![lane.into()]).await.map(drop)
}

/// Lets what waits in a lane go on its way, at once.
pub(crate) async fn resume(tx: &mut Tx, lane: &str) -> Result<()> {
    let now = tx.now();
    let sql = "UPDATE outbox_lanes SET due_at = $2, attempts = 0 WHERE lane = $1";
    tx.execute(sql, vec![lane.into(), now.into()]).await.map(drop)
}

/// Removes a lane with all its messages.
pub(crate) async fn remove_lane(tx: &mut Tx, lane: &str) -> Result<()> {
    tx.execute("DELETE FROM outbox WHERE lane = $1", vec![lane.into()]).await?;
    tx.execute("DELETE FROM outbox_lanes WHERE lane = $1", vec![lane.into()]).await.map(drop)
}

/// When there will be something to do.
pub(super) async fn next_due(db: &Db) -> Result<Option<i64>> {
    let sql = "SELECT min(CASE WHEN claimed_until > due_at THEN claimed_until ELSE due_at END) FROM outbox_lanes \
               WHERE due_at IS NOT NULL";
    db.fetch(sql, vec![]).await?.first().map_or(Ok(None), |row| row.optional_int(0))
}

/// Takes up to `most` lanes that are due.
pub(super) async fn claim(db: &Db, most: usize, lease: i64) -> Result<Vec<Claim>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    db.write(move |tx| {
        Box::pin(async move {
            tx.lock().await?;
            let now = tx.now();
            let sql = "UPDATE outbox_lanes SET claim = claim + 1, claimed_until = $2 WHERE lane IN \
                       (SELECT lane FROM outbox_lanes WHERE due_at <= $1 AND claimed_until <= $1 ORDER BY due_at LIMIT $3) \
                       RETURNING lane, claim";
            let rows = tx.fetch(sql, vec![now.into(), (now + lease).into(), most.into()]).await?;
            rows.iter().map(|row| Ok(Claim { lane: row.text(0)?.to_owned(), number: row.int(1)? })).collect()
        })
    })
    .await
}

/// Gives up the lease of a lane whose claim is ours.
pub(super) async fn release(db: &Db, claim: Claim) -> Result<()> {
    db.write(move |tx| {
        Box::pin(async move {
            tx.lock().await?;
            let sql = "UPDATE outbox_lanes SET claimed_until = 0 WHERE lane = $1 AND claim = $2";
            tx.execute(sql, vec![claim.lane.into(), claim.number.into()]).await.map(drop)
        })
    })
    .await
}

/// Ends all leases: where only one server can be, all are of one that died.
pub(super) async fn release_all(db: &Db) -> Result<()> {
    let sql = "UPDATE outbox_lanes SET claimed_until = 0 WHERE claimed_until <> 0";
    db.write(move |tx| Box::pin(async move { tx.execute(sql, vec![]).await.map(drop) })).await
}

/// What becomes of the message that a claim was about.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// It is the first of this claim.
    Begin,
    /// That message is settled, one way or the other.
    Settle { no: i64, next: Next },
    /// Nothing is sent for now.
    Rest,
}

/// Writes down what came of a message and gives the next one, if the lane is still ours and one may go now. Without one the
/// lane is free.
pub(super) async fn step(db: &Db, claim: Claim, step: Step, lease: i64) -> Result<Option<Message>> {
    db.write(move |tx| {
        Box::pin(async move {
            tx.lock().await?;
            let sql = "SELECT attempts FROM outbox_lanes WHERE lane = $1 AND claim = $2";
            let ours = tx.fetch(sql, vec![claim.lane.as_str().into(), claim.number.into()]).await?;
            let Some(attempts) = ours.first().map(|row| row.int(0)).transpose()? else { return Ok(None) };
            let begins = matches!(step, Step::Begin);
            match step {
                Step::Begin => {}
                Step::Settle { no, next: Next::Retry { at } } => {
                    set(tx, &claim.lane, Some(at), attempts + 1, 0).await?;
                    // Messages of the lane may all have been taken away meanwhile; then the next claim finds nothing.
                    tracing::debug!(lane = claim.lane, no, "a message will be tried again");
                    return Ok(None);
                }
                Step::Settle { no, next: Next::Done } => {
                    tx.execute("DELETE FROM outbox WHERE no = $1", vec![no.into()]).await?;
                }
                Step::Settle { no, next: Next::GiveUp { reason } } => {
                    let sql = "UPDATE outbox SET dead_at = $2, reason = $3 WHERE no = $1";
                    let now = tx.now();
                    tx.execute(sql, vec![no.into(), now.into(), reason.into()]).await?;
                }
                Step::Rest => {
                    set(tx, &claim.lane, None, 0, 0).await?;
                    return Ok(None);
                }
            }
            let attempts = if begins { attempts } else { 0 };
            let now = tx.now();
            match first(tx, &claim.lane, attempts).await? {
                Some(message) => {
                    set(tx, &claim.lane, Some(now), attempts, now + lease).await?;
                    Ok(Some(message))
                }
                None => set(tx, &claim.lane, None, 0, 0).await.map(|()| None),
            }
        })
    })
    .await
}

async fn set(tx: &mut Tx, lane: &str, due_at: Option<i64>, attempts: i64, claimed_until: i64) -> Result<()> {
    let sql = "UPDATE outbox_lanes SET due_at = $2, attempts = $3, claimed_until = $4 WHERE lane = $1";
    tx.execute(sql, vec![lane.into(), due_at.into(), attempts.into(), claimed_until.into()]).await.map(drop)
}

async fn first(tx: &mut Tx, lane: &str, attempts: i64) -> Result<Option<Message>> {
    let sql = "SELECT no, id, created_at, body FROM outbox WHERE lane = $1 AND dead_at IS NULL ORDER BY no LIMIT 1";
    let read = |row: &Row| {
        let (id, body) = (row.text(1)?.to_owned(), row.text(3)?.to_owned());
        Ok(Message { no: row.int(0)?, id, created_at: row.int(2)?, body, attempts })
    };
    tx.fetch(sql, vec![lane.into()]).await?.first().map(read).transpose()
}

/// Removes the dead of before `until`.
pub(super) async fn bury(db: &Db, until: i64) -> Result<()> {
    let sql = "DELETE FROM outbox WHERE no IN (SELECT no FROM outbox WHERE dead_at < $1 ORDER BY dead_at LIMIT 10000)";
    db.write(move |tx| Box::pin(async move { tx.execute(sql, vec![until.into()]).await.map(drop) })).await
}
