//! What clients ask about the server itself.

use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{Answer, Dialect, reply};

/// The routes.
pub(super) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .open("/health", health)
        .open("/api/3.0/mlflow/server-info", server_info)
        .open("/ajax-api/3.0/mlflow/server-info", server_info)
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
