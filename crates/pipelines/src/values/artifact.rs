//! Artifacts: a typed URI with metadata.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Type of an artifact: `{"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactType {
    /// Such as `system.Dataset`.
    #[serde(default, alias = "schema_title", skip_serializing_if = "String::is_empty")]
    pub schema_title: String,
    /// Such as `0.0.1`.
    #[serde(default, alias = "schema_version", skip_serializing_if = "String::is_empty")]
    pub schema_version: String,
    /// Where a schema is, instead of a title.
    #[serde(default, alias = "schema_uri", skip_serializing_if = "String::is_empty")]
    pub schema_uri: String,
    /// The schema itself, instead of a title.
    #[serde(default, alias = "instance_schema", skip_serializing_if = "String::is_empty")]
    pub instance_schema: String,
}

/// `RuntimeArtifact` of the pipeline specification.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Name; the output's key unless the task says otherwise.
    #[serde(default)]
    pub name: String,
    /// Type.
    #[serde(default, rename = "type")]
    pub artifact_type: ArtifactType,
    /// Where the content is: a plain absolute path, or an URI that was imported.
    #[serde(default)]
    pub uri: String,
    /// What the task says of it: metrics, for instance.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Where the task put the content instead of the local path of `uri`, to be brought there.
    #[serde(default, alias = "custom_path", skip_serializing_if = "Option::is_none")]
    pub custom_path: Option<String>,
}

impl Artifact {
    /// As protocol buffers' JSON.
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "name": self.name,
            "type": self.artifact_type,
            "uri": self.uri,
            "metadata": self.metadata,
        });
        if let (Value::Object(fields), Some(path)) = (&mut object, &self.custom_path) {
            fields.insert("customPath".to_owned(), Value::String(path.clone()));
        }
        object
    }

    /// Where the content is on the file system of a task.
    pub fn path(&self) -> Cow<'_, str> {
        self.custom_path.as_deref().map_or_else(|| local_path(&self.uri), Cow::Borrowed)
    }
}

/// `{"artifacts": […]}`.
pub(super) fn list_to_json(artifacts: &[Artifact]) -> Value {
    let list: Vec<Value> = artifacts.iter().map(Artifact::to_json).collect();
    json!({ "artifacts": list })
}

/// The local path of an URI, as the SDK's `Artifact.path` maps it; what has another scheme, or none, is itself.
pub fn local_path(uri: &str) -> Cow<'_, str> {
    for (scheme, mount) in [("gs://", "/gcs/"), ("minio://", "/minio/"), ("s3://", "/s3/")] {
        if let Some(rest) = uri.strip_prefix(scheme) {
            return Cow::Owned(format!("{mount}{rest}"));
        }
    }
    match uri.strip_prefix("oci://") {
        Some(rest) => Cow::Owned(format!("/oci/{}/models", rest.replace('/', "_"))),
        None => Cow::Borrowed(uri),
    }
}
