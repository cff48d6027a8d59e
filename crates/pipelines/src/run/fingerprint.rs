//! Which work is the same.
//!
//! As KFP's: the inputs, the image, the command before placeholders are replaced (they hold paths of the run), and what
//! is declared as output. Two things differ. An input artifact counts by its type, URI and metadata, where KFP takes the
//! name of its record: both stand for the one that made it, content is not read. And environment variables count, since
//! they change results. Resources, retries and platform settings do not.
//!
//! A `cacheKey` of the document stands for the inputs and the command, so that its author decides what is the same.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::types::Fingerprint;
use crate::ir::types::{Caching, Component, Container};
use crate::values::{Artifact, Bindings};

/// The fingerprint of a task, if it may be cached.
pub(super) fn of(
    pipeline: &str,
    caching: &Caching,
    component: &Component,
    container: &Container,
    inputs: &Bindings,
) -> Option<Fingerprint> {
    if !caching.enabled {
        return None;
    }
    let outputs = &component.outputs;
    let parameters = outputs.parameters.iter().map(|(name, of)| (name.clone(), Value::from(of.name())));
    let artifacts = outputs
        .artifacts
        .iter()
        .map(|(name, output)| (name.clone(), json!({"type": output.artifact_type, "metadata": output.metadata})));
    let outputs = json!({
        "parameters": parameters.collect::<Value>(),
        "artifacts": artifacts.collect::<Value>(),
    });
    let content = match &caching.key {
        Some(key) => json!({"cacheKey": key, "component": component.name, "outputs": outputs}),
        None => json!({
            "inputs": {
                "parameters": inputs.parameters.iter().map(|(name, value)| (name.clone(), Value::clone(value))).collect::<Value>(),
                "artifacts": inputs.artifacts.iter().map(|(name, list)| (name.clone(), identity(list))).collect::<Value>(),
            },
            "outputs": outputs,
            "container": {
                "image": container.image,
                "command": container.command,
                "args": container.args,
                "env": container.env,
            },
        }),
    };
    // Objects are sorted by key, so that equal content has one text.
    let digest = hexadecimal(&Sha256::digest(content.to_string()));
    Some(Fingerprint { pipeline: pipeline.to_owned(), digest })
}

fn identity(list: &[Artifact]) -> Value {
    let artifacts = list
        .iter()
        .map(|artifact| json!({"type": artifact.artifact_type, "uri": artifact.uri, "metadata": artifact.metadata}));
    artifacts.collect()
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
