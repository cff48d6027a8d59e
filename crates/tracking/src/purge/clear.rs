//! Clears away what is out of reach: rows, files, and last what remembers them.

use std::time::Instant;

use mcplane_core::{Error, Result};
use mcplane_db::Arg;

use super::store::{self, Thing};
use super::tables::{OF_EXPERIMENTS, OF_MODELS, OF_RUNS, OF_TRACES, Rows};
use super::types::Kind;
use crate::Tracking;

/// Things that are cleared away together.
const TOGETHER: i64 = 200;

impl Kind {
    /// How the folder of a thing's artifacts ends. Others are not deleted: what a location says is partly the client's choice.
    fn folder(self, id: &str) -> String {
        match self {
            Self::Run | Self::Experiment => format!("{id}/artifacts"),
            Self::Model => format!("models/{id}/artifacts"),
            Self::Trace => format!("traces/{}/artifacts", id.rsplit_once('~').map_or(id, |(id, _)| id)),
        }
    }

    const fn rows(self) -> &'static [Rows] {
        match self {
            Self::Run => OF_RUNS,
            Self::Experiment => OF_EXPERIMENTS,
            Self::Model => OF_MODELS,
            Self::Trace => OF_TRACES,
        }
    }
}

/// What clearing came to.
#[derive(Debug, Default)]
pub(super) struct Cleared {
    /// There is nothing left.
    pub(super) whole: bool,
    /// Folders that are not ours.
    pub(super) elsewhere: Vec<String>,
}

impl Tracking {
    /// Clears away what is out of reach in `namespace`, until `deadline`.
    pub(super) async fn clear(&self, namespace: &str, deadline: Instant) -> Result<Cleared> {
        // Two at the same files would only be in each other's way.
        let _turn = self.purging.lock().await;
        let mut cleared = Cleared::default();
        while let Some((kind, things)) = self.next(namespace).await? {
            if Instant::now() >= deadline {
                return Ok(cleared);
            }
            let emptied = kind == Kind::Experiment && self.remove_children(namespace, &things).await? > 0;
            if !emptied {
                self.clear_things(namespace, kind, things, &mut cleared.elsewhere).await?;
            }
        }
        cleared.whole = true;
        Ok(cleared)
    }

    /// What is to be cleared away next. Experiments go last: until they are empty, they give up what they hold.
    async fn next(&self, namespace: &str) -> Result<Option<(Kind, Vec<Thing>)>> {
        for kind in [Kind::Run, Kind::Model, Kind::Trace, Kind::Experiment] {
            let things = store::pending(&self.db, kind, namespace, TOGETHER).await?;
            if !things.is_empty() {
                return Ok(Some((kind, things)));
            }
        }
        Ok(None)
    }

    /// Puts what experiments hold out of reach; tells how much that was.
    async fn remove_children(&self, namespace: &str, experiments: &[Thing]) -> Result<u64> {
        let (numbers, namespace) = (numbers(experiments), namespace.to_owned());
        let mut removed = 0;
        for kind in [Kind::Run, Kind::Model, Kind::Trace] {
            let (numbers, namespace) = (numbers.clone(), namespace.clone());
            removed += self
                .db
                .write(move |tx| Box::pin(async move { store::remove_children(tx, kind, &namespace, &numbers).await }))
                .await?;
        }
        Ok(removed)
    }

    async fn clear_things(
        &self,
        namespace: &str,
        kind: Kind,
        things: Vec<Thing>,
        elsewhere: &mut Vec<String>,
    ) -> Result<()> {
        let numbers = numbers(&things);
        let list = self.db.dialect().numbers(1);
        // Rows tell where the files are, so files go first.
        for thing in things.iter().filter(|thing| !thing.artifacts.is_empty()) {
            match self.purge_folder(namespace, &thing.artifacts, &kind.folder(&thing.id)).await {
                Err(Error::BadRequest(_)) => elsewhere.push(thing.artifacts.clone()),
                done => done?,
            }
        }
        for rows in kind.rows() {
            store::clear(&self.db, *rows, Arg::list(&numbers), &list).await?;
        }
        self.db.write(move |tx| Box::pin(async move { store::finish(tx, kind, kind.rows(), &numbers).await })).await
    }
}

fn numbers(things: &[Thing]) -> Vec<i64> {
    things.iter().map(|thing| thing.no).collect()
}
