//! A namespace that is deleted takes along what it tracked.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mcplane_core::Result;
use mcplane_objects::controllers::Content;

use super::store;
use super::tables::OF_NAMESPACES;
use crate::Tracking;

/// How long one attempt may clear away; other namespaces wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

impl Content for Tracking {
    fn empty<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        self.empty_namespace(namespace).boxed()
    }
}

impl Tracking {
    async fn empty_namespace(&self, namespace: &str) -> Result<Option<String>> {
        // No request gets in any more; what those write that did must be seen here.
        let requests = self.passages.count(namespace);
        if requests > 0 {
            return Ok(Some(format!("requests of tracking has {requests}")));
        }
        let name = namespace.to_owned();
        self.db.write(move |tx| Box::pin(async move { store::remove_all(tx, &name).await })).await?;
        if !self.clear(namespace, Instant::now() + PATIENCE).await?.whole {
            return Ok(Some("experiments are being cleared away".to_owned()));
        }
        // Whoever watches models is told that they go.
        while self.purge_models(namespace).await? {}
        for rows in OF_NAMESPACES {
            store::clear(&self.db, *rows, namespace.into(), "$1").await?;
        }
        self.purge_workspace(namespace).await?;
        self.with_default.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
        Ok(None)
    }
}
