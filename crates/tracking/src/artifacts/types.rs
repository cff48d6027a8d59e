//! What artifacts are kept in.

use mcplane_blobs::{Blobs, External};

/// Where artifacts are kept.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// What `mlflow-artifacts:` means.
    pub blobs: Blobs,
    /// Largest artifact, in bytes.
    pub most_bytes: u64,
    /// Where others keep models that may be registered.
    pub external: External,
}

/// One name in a folder of artifacts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Artifact {
    /// Where it is, relative to what was listed.
    pub path: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Bytes; folders have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}
