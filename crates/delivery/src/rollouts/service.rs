//! The rules of rollouts: each change of one is one transaction, with what was decided and its line in the audit log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mcplane_core::{Attributes, Context, Error, Grant, Result};
use mcplane_db::{Db, Tx, audit::Entry};
use mcplane_monitoring::live::{Hub, Tally};
use mcplane_objects::audit;
use tokio::sync::Notify;

use super::store::{self, Decision, Going, Samples};
use super::{Command, Effect, Event, Judgement, RolloutSpec, Sample, State, judge};
use crate::scope::OBJECT_GROUP;

/// As whom rollouts move by themselves.
pub(crate) const COMPONENT: &str = "rollouts";
/// Decisions of a page.
const MOST_LISTED: i64 = 1000;

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Uid of the object.
    pub uid: String,
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Rollouts over a database.
#[derive(Debug)]
pub struct Rollouts {
    db: Db,
    hub: Arc<Hub>,
    /// The name of this server: samples are of one.
    server: Arc<str>,
    /// What was seen and is not written yet, with its epoch.
    seen: Mutex<HashMap<String, (i64, Samples)>>,
    /// Something moved, and traffic has to follow.
    pub(crate) moved: Notify,
}

impl From<Tally> for Sample {
    fn from(tally: Tally) -> Self {
        Self { errors: tally.errors, latency: tally.latency, right: tally.right }
    }
}

/// What moves a rollout.
struct Move {
    next: Going,
    effects: Vec<Effect>,
    judgement: Option<Judgement>,
    entry: Entry,
    /// What the stable version did so far, when it is to count further.
    stable: Option<Tally>,
}

impl Rollouts {
    /// Rollouts that are told by `hub` what versions did.
    pub fn new(db: &Db, hub: Arc<Hub>, server: Arc<str>) -> Self {
        Self { db: db.clone(), hub, server, seen: Mutex::default(), moved: Notify::new() }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// A version begins to go out beside the stable one.
    pub async fn begin(&self, subject: Subject, spec: RolloutSpec, stable: &str) -> Result<Going> {
        let server = Arc::clone(&self.server);
        let entry = own_entry("start", &subject.namespace, &subject.name);
        let stable = stable.to_owned();
        let begun = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let before = store::get(tx, &subject.uid).await?;
                    let (state, effects) = State::begin(&spec, &stable, tx.now());
                    let (step, epoch) = before.map_or((0, 0), |before| (before.step, before.epoch));
                    let Subject { uid, namespace, name } = subject;
                    let next =
                        Going { uid, namespace, name, step, epoch, spec, state, judgement: None, looked_at: tx.now() };
                    moved(tx, &server, Move { next, effects, judgement: None, entry, stable: None }).await
                })
            })
            .await?;
        self.moved.notify_one();
        Ok(begun)
    }

    /// Keeps what the versions did since the last call, and looks at them when it is time.
    pub async fn tick(&self, going: &Going, host: &str, paused: bool) -> Result<Going> {
        let state = &going.state;
        let seen =
            Samples { version: self.hub.drain(host, &state.version), stable: self.hub.drain(host, &state.stable) };
        let seen = {
            let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = all.entry(going.uid.clone()).or_insert((0, Samples::default()));
            // What came before the stage began does not count for it.
            *kept =
                if kept.0 == going.epoch { (kept.0, kept.1.merged(seen)) } else { (going.epoch, Samples::default()) };
            kept.1
        };
        let due = self.db.clock().now() - going.looked_at >= going.spec.analysis.interval_ms();
        if !due && seen.version.is_empty() && seen.stable.is_empty() {
            return Ok(going.clone());
        }
        let (uid, epoch, server) = (going.uid.clone(), going.epoch, Arc::clone(&self.server));
        let looked = self
            .db
            .write(move |tx| Box::pin(async move { look(tx, &uid, epoch, &server, seen, paused).await }))
            .await?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(going.uid.clone(), (epoch, Samples::default()));
        let looked = looked.unwrap_or_else(|| going.clone());
        if looked.epoch != going.epoch {
            self.moved.notify_one();
        }
        Ok(looked)
    }

    /// A person says something to the rollout that the grant is for.
    ///
    /// # Errors
    /// `Missing` when nothing goes out, `WrongState` when the phase does not allow it.
    pub async fn command(&self, grant: &Grant, name: &str, command: Command) -> Result<Going> {
        let of = grant.namespace()?.to_owned();
        let found = store::all(&self.db).await?.into_iter().filter(|one| one.namespace == of && one.name == name);
        let newest = found.max_by_key(|one| one.looked_at);
        let missing = || Error::Missing(format!("nothing went out by rollout {name:?} so far"));
        let uid = newest.ok_or_else(missing)?.uid;
        let entry = audit::entry(grant, grant.verb(), name, "allowed", 200, "");
        let server = Arc::clone(&self.server);
        let going = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let gone = || Error::WrongState("this rollout is gone".to_owned());
                    let before = store::get(tx, &uid).await?.ok_or_else(gone)?;
                    let stepped = before.state.step(&before.spec, tx.now(), Event::Command(command));
                    let (state, effects) = stepped.map_err(|refused| Error::WrongState(refused.to_string()))?;
                    let judgement = before.judgement.clone();
                    let next = Going { state, ..before };
                    moved(tx, &server, Move { next, effects, judgement, entry, stable: None }).await
                })
            })
            .await?;
        self.moved.notify_one();
        Ok(going)
    }

    /// What was decided of a rollout of the grant's namespace, newest first.
    pub async fn decisions(&self, grant: &Grant, name: &str, before: Option<i64>, limit: i64) -> Result<Vec<Decision>> {
        if !(1..=MOST_LISTED).contains(&limit) {
            return Err(Error::bad_request(format!("limit: must be from 1 to {MOST_LISTED}")));
        }
        store::decisions(&self.db, grant.namespace()?, name, before.unwrap_or(i64::MAX), limit).await
    }

    /// Forgets a rollout whose object is gone.
    pub async fn forget(&self, uid: &str) -> Result<()> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        let uid = uid.to_owned();
        self.db.write(move |tx| Box::pin(async move { store::forget(tx, &uid).await })).await
    }

    /// Forgets what a namespace had.
    pub async fn empty(&self, namespace: &str) -> Result<()> {
        let namespace = namespace.to_owned();
        self.db.write(move |tx| Box::pin(async move { store::empty(tx, &namespace).await })).await
    }
}

/// Adds what was seen, and looks when nobody else did in this interval. `None` when the stage is another by now.
async fn look(
    tx: &mut Tx,
    uid: &str,
    epoch: i64,
    server: &Arc<str>,
    seen: Samples,
    paused: bool,
) -> Result<Option<Going>> {
    tx.lock().await?;
    let Some(before) = store::get(tx, uid).await?.filter(|row| row.epoch == epoch) else { return Ok(None) };
    if !seen.version.is_empty() || !seen.stable.is_empty() {
        store::add(tx, uid, server, epoch, seen).await?;
    }
    let now = tx.now();
    if before.state.is_over() || now - before.looked_at < before.spec.analysis.interval_ms() {
        return Ok(Some(before));
    }
    let sum = store::samples(tx, uid, epoch).await?;
    let judgement = judge(&sum.version.into(), &sum.stable.into(), &before.spec.analysis.comparison);
    let spec = RolloutSpec { paused: paused || before.spec.paused, ..before.spec.clone() };
    let stepped = before.state.step(&spec, now, Event::Look(judgement.clone()));
    let (state, effects) = stepped.map_err(|refused| Error::internal(refused.to_string()))?;
    let entry = own_entry("analyse", &before.namespace, &before.name);
    let next = Going { state, looked_at: now, ..before };
    let stable = Some(sum.stable);
    moved(tx, server, Move { next, effects, judgement: Some(judgement), entry, stable }).await.map(Some)
}

/// Writes where a rollout is now, and what was decided.
async fn moved(tx: &mut Tx, server: &str, change: Move) -> Result<Going> {
    let Move { next, effects, judgement, entry, stable } = change;
    let mut next = Going { step: next.step + 1, judgement, ..next };
    let traffic = effects.iter().any(|effect| matches!(effect, Effect::Stage(_) | Effect::All(_)));
    if traffic {
        next.epoch += 1;
        next.looked_at = tx.now();
        // A stage that leaves the stable version nothing is compared with what it did before.
        let all = next.spec.stages.get(next.state.stage).is_some_and(|stage| stage.weight == 100);
        let kept = stable.filter(|_| all && !next.state.is_over()).unwrap_or_default();
        let samples = Samples { version: Tally::default(), stable: kept };
        store::set(tx, &next.uid, server, next.epoch, samples).await?;
    }
    store::put(tx, &next).await?;
    for effect in effects {
        let Effect::Record { action, message } = effect else { continue };
        let decision = Decision {
            no: 0,
            action: action.to_owned(),
            version: next.state.version.clone(),
            stable: next.state.stable.clone(),
            message: message.clone(),
            judgement: next.judgement.clone(),
            actor: entry.actor.clone(),
            at: tx.now(),
        };
        store::decided(tx, &next, &decision).await?;
        let verb = if entry.verb == "analyse" { verb_of(action).to_owned() } else { entry.verb.clone() };
        tx.audit(Entry { verb, detail: format!("{}: {message}", next.state.version), ..entry.clone() });
    }
    Ok(next)
}

/// What the audit log calls what happened by itself.
fn verb_of(action: &str) -> &'static str {
    match action {
        "Started" => "start",
        "Promoted" => "promote",
        "Succeeded" => "complete",
        "RolledBack" => "rollback",
        "Waiting" => "wait",
        "Paused" => "pause",
        _ => "change",
    }
}

fn own_entry(verb: &'static str, namespace: &str, name: &str) -> Entry {
    let attributes = Attributes::resource(verb, OBJECT_GROUP, "rollouts", namespace, name);
    audit::describe(&Context::system(COMPONENT), &attributes, "allowed", 200, "")
}
