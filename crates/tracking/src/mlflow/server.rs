//! What clients ask about the server itself.

use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{Admitted, Answer, Dialect, reply};
use crate::scope::EXPERIMENTS;

/// The routes.
pub(super) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .open("/health", health)
        .open("/api/3.0/mlflow/server-info", server_info)
        .open("/ajax-api/3.0/mlflow/server-info", server_info)
        .get("2.0/mlflow/gateway-proxy", EXPERIMENTS.to("list"), no_endpoints)
        .get("3.0/mlflow/ui-telemetry", EXPERIMENTS.to("list"), no_telemetry)
}

async fn health() -> Response {
    "OK".into_response()
}

/// Clients choose how they upload and whether they send a workspace by this. Like the reference it needs no login.
async fn server_info() -> Answer {
    reply(&json!({
        "store_type": "SqlStore",
        "workspaces_enabled": true,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": false,
        "presigned_upload_model_id_supported": false,
        "features_enabled": {"gateway": false},
    }))
}

/// The pages offer models behind a gateway; there is none.
async fn no_endpoints(_: Admitted) -> Answer {
    reply(&json!({"endpoints": []}))
}

/// The pages tell their makers nothing of what is done here.
async fn no_telemetry(_: Admitted) -> Answer {
    reply(&json!({"disable_ui_events": [], "disable_ui_telemetry": true, "ui_rollout_percentage": 0}))
}
