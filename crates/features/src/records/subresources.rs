//! `featureviews/materializations`, which takes what is told, and `featureviews/history`, which gives it back.

use axum::body::Body;
use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result};
use mcplane_objects::{Perform, Read};
use serde_json::{Value, json};

use super::{Features, Told};

/// Materialisations that a history holds.
const MOST_LISTED: u32 = 100;

impl Perform for Features {
    fn perform<'a>(&'a self, grant: &'a Grant, mut body: Value) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move {
            let unreadable = |error| Error::bad_request(format!("spec: {error}"));
            let told: Told = serde_json::from_value(body["spec"].take()).map_err(unreadable)?;
            let recorded = self.record(grant, told).await?;
            let by = json!({"recordedBy": recorded.recorded_by, "recordedAt": recorded.recorded_at});
            Ok(json!({"metadata": {}, "spec": recorded.told, "status": by}))
        })
    }
}

impl Read for Features {
    fn read<'a>(&'a self, grant: &'a Grant, _: &'a str) -> BoxFuture<'a, Result<Body>> {
        Box::pin(async move {
            let history = self.history(grant, MOST_LISTED).await?;
            Ok(json!({"materializations": history}).to_string().into())
        })
    }
}
