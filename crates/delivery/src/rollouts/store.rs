//! The SQL of rollouts.

use mcplane_core::{Error, Result, Timestamp};
use mcplane_db::{Arg, Db, Row, Tx};
use serde::{Deserialize, Serialize};

use super::{Judgement, RolloutSpec, State};
use mcplane_monitoring::live::Tally;

/// A rollout that began.
#[derive(Debug, Clone, PartialEq)]
pub struct Going {
    /// Uid of the object.
    pub uid: String,
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Counts changes, so that of two servers one decides.
    pub step: i64,
    /// Counts the stages that traffic went through: samples are of one.
    pub epoch: i64,
    /// The spec as it was when the version began.
    pub spec: RolloutSpec,
    /// Where it is.
    pub state: State,
    /// What was seen last.
    pub judgement: Option<Judgement>,
    /// When that was.
    pub looked_at: Timestamp,
}

/// What both versions did in a stage, as one server saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// The version that goes out.
    pub version: Tally,
    /// The one that serves.
    pub stable: Tally,
}

impl Samples {
    /// Both together.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self { version: self.version.merged(other.version), stable: self.stable.merged(other.stable) }
    }
}

/// Something that was decided, for good.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// Its place among all.
    pub no: i64,
    /// One word.
    pub action: String,
    /// The version that goes out.
    pub version: String,
    /// The version that serves.
    pub stable: String,
    /// The sentence, with the numbers.
    pub message: String,
    /// All numbers, if it was a look.
    pub judgement: Option<Judgement>,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

const COLUMNS: &str = "uid, namespace, name, step, epoch, spec, state, judgement, looked_at";

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn written(value: &impl Serialize) -> Result<Arg> {
    Ok(serde_json::to_string(value).map_err(Error::internal)?.into())
}

fn optional(judgement: Option<&Judgement>) -> Result<Arg> {
    let text = judgement.map(serde_json::to_string).transpose().map_err(Error::internal)?;
    Ok(text.map(std::sync::Arc::<str>::from).into())
}

fn read(row: &Row) -> Result<Going> {
    let text = |column| row.text(column).map(str::to_owned);
    Ok(Going {
        uid: text(0)?,
        namespace: text(1)?,
        name: text(2)?,
        step: row.int(3)?,
        epoch: row.int(4)?,
        spec: json(row.text(5)?)?,
        state: json(row.text(6)?)?,
        judgement: row.optional_text(7)?.map(json).transpose()?,
        looked_at: row.int(8)?,
    })
}

/// All rollouts that began.
pub async fn all(db: &Db) -> Result<Vec<Going>> {
    let rows = db.fetch(format!("SELECT {COLUMNS} FROM rollouts ORDER BY uid"), vec![]).await?;
    rows.iter().map(read).collect()
}

/// One rollout, under the lock.
pub async fn get(tx: &mut Tx, uid: &str) -> Result<Option<Going>> {
    let sql = format!("SELECT {COLUMNS} FROM rollouts WHERE uid = $1");
    tx.fetch(sql, vec![uid.into()]).await?.first().map(read).transpose()
}

/// Writes a rollout whose `step` is one more than that of the row.
///
/// # Errors
/// `Conflict` in the words of [`Error::WrongState`] when somebody else was faster.
pub async fn put(tx: &mut Tx, going: &Going) -> Result<()> {
    let sql = "INSERT INTO rollouts (uid, namespace, name, step, epoch, spec, state, judgement, looked_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
               ON CONFLICT (uid) DO UPDATE SET step = $4, epoch = $5, spec = $6, state = $7, judgement = $8, looked_at = $9 \
               WHERE rollouts.step = $4 - 1";
    let args = vec![
        going.uid.as_str().into(),
        going.namespace.as_str().into(),
        going.name.as_str().into(),
        going.step.into(),
        going.epoch.into(),
        written(&going.spec)?,
        written(&going.state)?,
        optional(going.judgement.as_ref())?,
        going.looked_at.into(),
    ];
    match tx.execute(sql, args).await? {
        1 => Ok(()),
        _ => Err(Error::WrongState("somebody else just moved this rollout; look again".to_owned())),
    }
}

/// Keeps what was decided.
pub async fn decided(tx: &mut Tx, going: &Going, decision: &Decision) -> Result<()> {
    let sql = "INSERT INTO rollout_decisions (uid, namespace, name, action, version, stable, message, judgement, actor, at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let args = vec![
        going.uid.as_str().into(),
        going.namespace.as_str().into(),
        going.name.as_str().into(),
        decision.action.as_str().into(),
        decision.version.as_str().into(),
        decision.stable.as_str().into(),
        decision.message.as_str().into(),
        optional(decision.judgement.as_ref())?,
        decision.actor.as_str().into(),
        decision.at.into(),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// What was decided of rollouts of a name, newest first.
pub async fn decisions(db: &Db, namespace: &str, name: &str, before: i64, limit: i64) -> Result<Vec<Decision>> {
    let sql = "SELECT no, action, version, stable, message, judgement, actor, at FROM rollout_decisions \
               WHERE namespace = $1 AND name = $2 AND no < $3 ORDER BY no DESC LIMIT $4";
    let rows = db.fetch(sql, vec![namespace.into(), name.into(), before.into(), limit.into()]).await?;
    let decision = |row: &Row| {
        let text = |column| row.text(column).map(str::to_owned);
        Ok(Decision {
            no: row.int(0)?,
            action: text(1)?,
            version: text(2)?,
            stable: text(3)?,
            message: text(4)?,
            judgement: row.optional_text(5)?.map(json).transpose()?,
            actor: text(6)?,
            at: row.int(7)?,
        })
    };
    rows.iter().map(decision).collect()
}

/// Adds what this server saw in an epoch.
pub async fn add(tx: &mut Tx, uid: &str, server: &str, epoch: i64, seen: Samples) -> Result<()> {
    let sql = "SELECT samples FROM rollout_samples WHERE uid = $1 AND server = $2 AND epoch = $3";
    let rows = tx.fetch(sql, vec![uid.into(), server.into(), epoch.into()]).await?;
    let before: Samples = rows.first().map(|row| json(row.text(0)?)).transpose()?.unwrap_or_default();
    set(tx, uid, server, epoch, before.merged(seen)).await
}

/// Puts samples in the place of all that this server saw.
pub async fn set(tx: &mut Tx, uid: &str, server: &str, epoch: i64, samples: Samples) -> Result<()> {
    let sql = "INSERT INTO rollout_samples (uid, server, epoch, samples) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (uid, server) DO UPDATE SET epoch = $3, samples = $4";
    tx.execute(sql, vec![uid.into(), server.into(), epoch.into(), written(&samples)?]).await.map(drop)
}

/// What all servers saw in an epoch.
pub async fn samples(tx: &mut Tx, uid: &str, epoch: i64) -> Result<Samples> {
    let sql = "SELECT samples FROM rollout_samples WHERE uid = $1 AND epoch = $2 ORDER BY server";
    let rows = tx.fetch(sql, vec![uid.into(), epoch.into()]).await?;
    let mut sum = Samples::default();
    for row in &rows {
        sum = sum.merged(json(row.text(0)?)?);
    }
    Ok(sum)
}

/// Forgets rollouts whose objects are gone; what was decided of them stays.
pub async fn forget(tx: &mut Tx, uid: &str) -> Result<()> {
    tx.execute("DELETE FROM rollouts WHERE uid = $1", vec![uid.into()]).await?;
    tx.execute("DELETE FROM rollout_samples WHERE uid = $1", vec![uid.into()]).await.map(drop)
}

/// Forgets everything of a namespace.
pub async fn empty(tx: &mut Tx, namespace: &str) -> Result<()> {
    let of = "DELETE FROM rollout_samples WHERE uid IN (SELECT uid FROM rollouts WHERE namespace = $1)";
    tx.execute(of, vec![namespace.into()]).await?;
    for table in ["rollouts", "rollout_decisions"] {
        tx.execute(format!("DELETE FROM {table} WHERE namespace = $1"), vec![namespace.into()]).await?;
    }
    Ok(())
}
