//! The OpenLineage event of a step that ended: what it read, and what it made.

use std::collections::BTreeMap;

use mcplane_core::clock::rfc3339;
use serde_json::{Value, json};
use uuid::Uuid;

use super::StepEnd;
use crate::run::NodeId;
use crate::values::{Artifact, Bindings};

const PRODUCER: &str = concat!("https://mcplane.io/pipelines/", env!("CARGO_PKG_VERSION"));
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
/// Datasets of one event, by the limits of whoever takes it.
const MOST: usize = 500;

pub(super) fn event(end: &StepEnd<'_>, id: &str) -> Value {
    let job = json!({
        "namespace": format!("mcplane:{}", end.run.namespace),
        "name": format!("{}.{}", end.run.pipeline, end.task),
    });
    let parent = super::run_id(&end.run.uid, &NodeId::root());
    json!({
        "eventType": if end.succeeded { "COMPLETE" } else { "FAIL" },
        "eventTime": rfc3339(end.at),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": {
            "runId": hyphenated(id),
            "facets": {"parent": {
                "_producer": PRODUCER,
                "_schemaURL": "https://openlineage.io/spec/facets/1-1-0/ParentRunFacet.json",
                "run": {"runId": hyphenated(&parent)},
                "job": {"namespace": job["namespace"], "name": end.run.pipeline},
            }},
        },
        "job": job,
        "inputs": datasets(end.inputs, end.digests),
        "outputs": datasets(end.outputs, end.digests),
    })
}

fn hyphenated(id: &str) -> String {
    Uuid::try_parse(id).map_or_else(|_| id.to_owned(), |id| id.hyphenated().to_string())
}

fn datasets(bindings: &Bindings, digests: &BTreeMap<String, String>) -> Vec<Value> {
    let all = bindings.artifacts.values().flat_map(|list| list.iter());
    all.filter_map(|artifact| dataset(artifact, digests)).take(MOST).collect()
}

/// An artifact with content is known by its place and its digest; one elsewhere by its place.
fn dataset(artifact: &Artifact, digests: &BTreeMap<String, String>) -> Option<Value> {
    let digest = digests.get(&artifact.uri);
    let (namespace, name) = match artifact.uri.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/')?;
            (format!("{scheme}://{host}"), path.to_owned())
        }
        // An artifact of metadata alone, such as metrics, has no file.
        None => {
            digest?;
            ("file".to_owned(), artifact.path().into_owned())
        }
    };
    let facet = |name: &str, version: &str, mut facet: Value| {
        facet["_producer"] = PRODUCER.into();
        facet["_schemaURL"] = format!("https://openlineage.io/spec/facets/{version}/{name}.json").into();
        facet
    };
    let mut facets = json!({
        "type": {"_producer": PRODUCER, "_schemaURL": SCHEMA, "datasetType": artifact.artifact_type.schema_title},
    });
    if let Some(digest) = digest {
        let version = json!({"datasetVersion": format!("sha256:{digest}")});
        facets["version"] = facet("DatasetVersionDatasetFacet", "1-0-1", version);
    }
    (!name.is_empty()).then(|| json!({"namespace": namespace, "name": name, "facets": facets}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_datasets_with_their_digests() {
        let artifact = |uri: &str| Artifact { uri: uri.to_owned(), ..Artifact::default() };
        let digests = [("/data/a".to_owned(), "d1".to_owned())].into();
        let file = dataset(&artifact("/data/a"), &digests).unwrap();
        assert_eq!((&file["namespace"], &file["name"]), (&json!("file"), &json!("/data/a")));
        assert_eq!(file["facets"]["version"]["datasetVersion"], "sha256:d1");
        let away = dataset(&artifact("s3://bucket/key"), &digests).unwrap();
        assert_eq!((&away["namespace"], &away["name"]), (&json!("s3://bucket"), &json!("key")));
        assert_eq!(dataset(&artifact("/data/none"), &digests), None);
        assert_eq!(dataset(&artifact(""), &digests), None);
    }
}
