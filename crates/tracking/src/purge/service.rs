//! The rules of purging.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;

use super::store::{self, Thing};
use super::types::{Choice, Kind, Purged};
use crate::Tracking;

/// Things of a kind that one request puts out of reach.
const MOST: i64 = 500;
/// Things that one request may name.
const MOST_NAMED: usize = 10_000;
/// How long one request may clear away.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a client that deletes traces waits for their files to go.
const WHILE_DELETING: Duration = Duration::from_secs(3);

impl Kind {
    /// What is deleted by name before it is purged.
    const DELETED: [Self; 3] = [Self::Run, Self::Model, Self::Experiment];

    const fn plural(self) -> &'static str {
        match self {
            Self::Run => "runs",
            Self::Experiment => "experiments",
            Self::Model => "logged-models",
            Self::Trace => "traces",
        }
    }
}

impl Tracking {
    /// Purges deleted things of a namespace for good, and goes on with what earlier purges have left. It does a bounded
    /// part of the work and says whether there is more.
    ///
    /// # Errors
    /// [`Error::Missing`] for a name of nothing, [`Error::BadRequest`] for the name of what is not deleted, or not as long.
    pub async fn purge(&self, grant: &Grant, choice: Choice) -> Result<Purged> {
        let space = grant.namespace()?;
        let mut purged = Purged::default();
        for kind in Kind::DELETED {
            let things = self.chosen(space, kind, &choice).await?;
            purged.more |= choice.named.is_none() && things.len() as i64 == MOST;
            let gone = if choice.dry_run { numbers(&things) } else { self.remove(grant, kind, &things).await? };
            purged.tell(kind, things.into_iter().filter(|thing| gone.contains(&thing.no)).map(|thing| thing.id));
        }
        if !choice.dry_run {
            let cleared = self.clear(space, Instant::now() + PATIENCE).await?;
            purged.more |= !cleared.whole;
            purged.artifacts_elsewhere = cleared.elsewhere;
        }
        Ok(purged)
    }

    /// Clears away traces that are out of reach, as long as a client may wait for that.
    pub(crate) async fn clear_traces(&self, namespace: &str) {
        let cleared = self.clear(namespace, Instant::now() + WHILE_DELETING);
        match tokio::time::timeout(2 * WHILE_DELETING, cleared).await {
            Ok(Ok(cleared)) if cleared.whole => {}
            Ok(Err(error)) => tracing::warn!(%error, "deleted traces are not cleared away yet; the next purge goes on"),
            _ => tracing::info!("deleted traces are not all cleared away yet; the next purge goes on"),
        }
    }

    /// Clears away what purges have left when the server stopped.
    pub async fn finish_purges(&self) {
        let finish = async {
            for namespace in store::unfinished(&self.db).await? {
                while !self.clear(&namespace, Instant::now() + PATIENCE).await?.whole {}
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = finish.await {
            tracing::warn!(%error, "what was purged is not cleared away yet; the next purge of the namespace goes on");
        }
    }

    async fn chosen(&self, namespace: &str, kind: Kind, choice: &Choice) -> Result<Vec<Thing>> {
        let until = self.db.clock().now().saturating_sub(choice.older_than);
        let Some(named) = &choice.named else {
            return store::deleted(&self.db, kind, namespace, until, MOST).await;
        };
        let Some((_, ids)) = named.iter().find(|(named, _)| *named == kind) else { return Ok(vec![]) };
        if ids.len() > MOST_NAMED {
            return Err(Error::bad_request(format!("at most {MOST_NAMED} can be named at once")));
        }
        let things = store::named(&self.db, kind, namespace, ids).await?;
        check(kind, ids, &things, until)?;
        Ok(things)
    }

    async fn remove(&self, grant: &Grant, kind: Kind, things: &[Thing]) -> Result<HashSet<i64>> {
        if things.is_empty() {
            return Ok(HashSet::new());
        }
        let (grant, things) = (grant.clone(), things.to_vec());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let numbers: Vec<i64> = things.iter().map(|thing| thing.no).collect();
                    let gone = store::remove(tx, kind, grant.namespace()?, &numbers).await?;
                    let gone: HashSet<i64> = gone.into_iter().collect();
                    for thing in things.iter().filter(|thing| gone.contains(&thing.no)) {
                        let name = format!("{}/{}", kind.plural(), thing.id);
                        tx.audit(audit::entry(&grant, "purge", &name, "allowed", 200, ""));
                    }
                    Ok(gone)
                })
            })
            .await
    }
}

/// Puts traces out of reach, to be cleared away.
pub(crate) async fn remove_traces(tx: &mut Tx, namespace: &str, numbers: &[i64]) -> Result<()> {
    store::remove(tx, Kind::Trace, namespace, numbers).await.map(drop)
}

fn numbers(things: &[Thing]) -> HashSet<i64> {
    things.iter().map(|thing| thing.no).collect()
}

/// Whether everything that was named is there, and deleted for long enough.
fn check(kind: Kind, ids: &[String], things: &[Thing], until: i64) -> Result<()> {
    let plural = kind.plural();
    let found: HashSet<&str> = things.iter().map(|thing| thing.id.as_str()).collect();
    if let Some(id) = ids.iter().find(|id| !found.contains(id.as_str())) {
        return Err(Error::Missing(format!("there is no {id:?} among {plural}")));
    }
    let refuse = |why: &str, thing: &Thing| Error::bad_request(format!("{:?} of {plural} {why}", thing.id));
    match things.iter().find(|thing| thing.deleted_at.is_none_or(|at| at > until)) {
        Some(thing) if thing.deleted_at.is_none() => {
            Err(refuse("is not deleted, and only what is can be purged", thing))
        }
        Some(thing) => Err(refuse("was not deleted as long ago as you ask for", thing)),
        None => Ok(()),
    }
}
