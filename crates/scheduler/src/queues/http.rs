//! `/tasks/v1/namespaces/{namespace}/queues`.

use axum::extract::Path;
use mcplane_objects::http::namespaced::{Answer, OptionalBody, reply};
use serde::{Deserialize, Serialize};

use super::Queue;
use crate::http::{Admitted, MOST_BYTES, Paths};
use crate::scope::QUEUES;

pub(crate) fn routes(paths: Paths) -> Paths {
    paths.get("queues", ("list", QUEUES), list).patch("queues/{name}", ("patch", QUEUES), set)
}

#[derive(Serialize)]
struct Listed {
    queues: Vec<Queue>,
}

async fn list(Admitted { service: scheduler, grant }: Admitted) -> Answer {
    reply(&Listed { queues: scheduler.queues(&grant).await? })
}

/// What changes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    paused: Option<bool>,
    weight: Option<i64>,
    limit: Option<i64>,
}

async fn set(
    Admitted { service: scheduler, grant }: Admitted,
    Path((_, name)): Path<(String, String)>,
    OptionalBody(body): OptionalBody<Changes, MOST_BYTES>,
) -> Answer {
    reply(&scheduler.set_queue(&grant, &name, body.paused, body.weight, body.limit).await?)
}
