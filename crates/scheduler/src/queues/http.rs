//! `/tasks/v1/namespaces/{namespace}/queues`.

use axum::extract::Path;
use serde::{Deserialize, Serialize};

use super::Queue;
use crate::http::{Admitted, Answer, Call, Paths, reply};
use crate::scope::QUEUES;

pub(crate) fn routes(paths: Paths) -> Paths {
    paths.on("GET", "queues", ("list", QUEUES), list).on("PATCH", "queues/{name}", ("patch", QUEUES), set)
}

#[derive(Serialize)]
struct Listed {
    queues: Vec<Queue>,
}

async fn list(Admitted { scheduler, grant }: Admitted) -> Answer {
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

async fn set(Path((_, name)): Path<(String, String)>, Call { scheduler, grant, body }: Call<Changes>) -> Answer {
    reply(&scheduler.set_queue(&grant, &name, body.paused, body.weight, body.limit).await?)
}
