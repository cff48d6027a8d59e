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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use axum::http::{Method, Request, Response};
    use serde_json::{Value, json};

    use super::*;

    fn event(name: &str, times: Value) -> Value {
        let mut event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "n"}, "involvedObject": {},
        });
        for (field, value) in times.as_object().unwrap() {
            if field == "creationTimestamp" {
                event["metadata"][field] = value.clone();
            } else {
                event[field] = value.clone();
            }
        }
        event
    }

    #[tokio::test]
    async fn events_go_by_when_they_were_last_seen() {
        let (old, new) = ("2024-01-01T00:00:00Z", "2024-01-01T02:00:00Z");
        let pages = [
            json!([
                event("a", json!({"creationTimestamp": old})),
                event("b", json!({"creationTimestamp": old, "lastTimestamp": new})),
                event("c", json!({"creationTimestamp": old, "eventTime": "2024-01-01T02:00:00.000000Z"})),
            ]),
            json!([
                event(
                    "d",
                    json!({"creationTimestamp": old, "series": {"lastObservedTime": "2024-01-01T02:00:00.000000Z"}})
                ),
                event("e", json!({"creationTimestamp": old, "lastTimestamp": old})),
                event("f", json!({"creationTimestamp": new})),
                event("g", json!({})),
            ]),
        ];
        let deleted = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&deleted);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let second = request.uri().query().unwrap_or("").contains("continue=more");
            let answer = if request.method() == Method::DELETE {
                log.lock().unwrap().push(request.uri().path().trim_end_matches('?').to_owned());
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
            } else {
                let metadata = if second { json!({}) } else { json!({"continue": "more"}) };
                json!({"kind": "EventList", "apiVersion": "v1", "metadata": metadata, "items": pages[usize::from(second)]})
            };
            async move { Ok::<_, Infallible>(Response::new(Body::from(answer.to_string()))) }
        });
        expire(&Client::new(service, "default"), "2024-01-01T01:00:00Z".parse().unwrap()).await.unwrap();
        let prefix = "/api/v1/namespaces/n/events";
        assert_eq!(*deleted.lock().unwrap(), [format!("{prefix}/a"), format!("{prefix}/e")]);
    }
}
