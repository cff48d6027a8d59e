//! Events are for looking at what happened lately: they go after an hour.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, Error, ResourceExt as _};

use super::client::found;

/// How long an event is kept after it was last seen, as Kubernetes does by default.
const KEEP: SignedDuration = SignedDuration::from_hours(1);
const EVERY: Duration = Duration::from_secs(300);
const PAGE: u32 = 500;

pub(super) async fn run(client: Client) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = expire(&client, Timestamp::now() - KEEP).await {
            tracing::warn!(%error, "old events could not be removed; it will be tried again");
        }
    }
}

async fn expire(client: &Client, before: Timestamp) -> Result<(), Error> {
    let all: Api<Event> = Api::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = all.list(&page).await?;
        for event in list.items.iter().filter(|event| last_seen(event).is_some_and(|seen| seen < before)) {
            let namespace = event.namespace().unwrap_or_default();
            let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
            found(events.delete(&event.name_any(), &DeleteParams::default()).await)?;
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let moments = [
        series,
        event.last_timestamp.as_ref().map(|time| time.0),
        event.event_time.as_ref().map(|time| time.0),
        event.metadata.creation_timestamp.as_ref().map(|time| time.0),
    ];
    moments.into_iter().flatten().max()
}
