//! What is known of the nodes of an answer: one query a kind of thing.

use std::collections::HashMap;

use jiff::Timestamp;
use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Row, Snapshot};
use serde_json::{Map, Value, json};

use super::{Described, Node, reported};
use crate::runs::RunStatus;

/// Longest text in a facet, in characters: sources of datasets may have 65,535.
const LONGEST_FACET: usize = 2000;

/// Tags of runs that say from which code and where, and the facets that they become.
const RUN_TAGS: [(&str, &str); 10] = [
    ("mlflow.source.git.commit", "commit"),
    ("mlflow.source.git.branch", "branch"),
    ("mlflow.source.git.repoURL", "repository"),
    ("mlflow.source.name", "source"),
    ("mlflow.source.type", "sourceType"),
    ("mlflow.user", "user"),
    ("mlflow.docker.image.name", "image"),
    ("mlflow.docker.image.id", "imageId"),
    ("mlflow.project.env", "projectEnvironment"),
    ("mlflow.parentRunId", "parentRun"),
];

/// What is known, by node; what isn't there is not known.
#[derive(Debug, Default)]
struct Known(HashMap<Node, (String, Map<String, Value>)>);

impl Known {
    fn add(&mut self, node: Node, name: &str, facets: Value) {
        let Value::Object(facets) = facets else { return };
        let (known, all) = self.0.entry(node).or_default();
        if known.is_empty() {
            name.clone_into(known);
        }
        let said = |value: &Value| !(value.is_null() || value == "" || value == &Value::Bool(false));
        all.extend(facets.into_iter().filter(|(_, value)| said(value)));
    }
}

/// Describes nodes, in their order.
pub(super) async fn describe(view: &mut Snapshot, namespace: &str, nodes: &[Node]) -> Result<Vec<Described>> {
    let mut known = Known::default();
    runs(view, namespace, nodes, &mut known).await?;
    datasets(view, namespace, nodes, &mut known).await?;
    models(view, namespace, nodes, &mut known).await?;
    versions(view, namespace, nodes, &mut known).await?;
    for (node, of_others) in reported::describe(view, namespace, nodes).await? {
        let mut facets = json!({"reportedAt": time(of_others.event_at), "state": of_others.state});
        if !of_others.facets.is_empty() {
            facets["openlineage"] = Value::Object(of_others.facets);
        }
        known.add(node, &of_others.name, facets);
    }
    let describe = |node: &Node| {
        let (name, facets) = known.0.remove(node).unwrap_or_default();
        Described { kind: node.kind(), name, facets, node: node.clone() }
    };
    Ok(nodes.iter().map(describe).collect())
}

/// The rows of a query that holds `$1`, the namespace, and `{}` for a list; none for an empty list.
async fn rows(view: &mut Snapshot, sql: &str, namespace: &str, list: &[&str]) -> Result<Vec<Row>> {
    if list.is_empty() {
        return Ok(vec![]);
    }
    let sql = sql.replace("{}", &view.dialect().texts(2));
    view.fetch(sql, vec![namespace.into(), Arg::list(list)]).await
}

async fn runs(view: &mut Snapshot, namespace: &str, nodes: &[Node], known: &mut Known) -> Result<()> {
    let ids: Vec<&str> =
        nodes.iter().filter_map(|node| if let Node::Run(id) = node { Some(&**id) } else { None }).collect();
    let sql = "SELECT r.id, r.name, e.id, e.name, r.user_id, r.status, r.started_at, r.ended_at, r.deleted_at \
               FROM runs r JOIN experiments e ON e.no = r.experiment WHERE r.namespace = $1 AND r.id IN {}";
    for row in rows(view, sql, namespace, &ids).await? {
        let status =
            RunStatus::from_number(row.int(5)?).ok_or_else(|| Error::internal("a run in an unknown status"))?;
        let facets = json!({
            "experimentId": row.int(2)?.to_string(),
            "experiment": row.text(3)?,
            "user": row.text(4)?,
            "status": status.name(),
            "startedAt": time(row.int(6)?),
            "endedAt": row.optional_int(7)?.map(time),
            "deleted": row.optional_int(8)?.is_some(),
        });
        known.add(Node::Run(row.text(0)?.to_owned()), row.text(1)?, facets);
    }
    let keys = RUN_TAGS.map(|(key, _)| format!("'{key}'")).join(", ");
    let sql = format!(
        "SELECT r.id, t.key, t.value FROM runs r JOIN run_tags t ON t.run = r.no \
         WHERE r.namespace = $1 AND r.id IN {{}} AND t.key IN ({keys})"
    );
    for row in rows(view, &sql, namespace, &ids).await? {
        let (tag, value) = (row.text(1)?, row.text(2)?);
        if let Some((_, facet)) = RUN_TAGS.iter().find(|(key, _)| *key == tag) {
            known.add(Node::Run(row.text(0)?.to_owned()), "", json!({*facet: cut(value)}));
        }
    }
    Ok(())
}

async fn datasets(view: &mut Snapshot, namespace: &str, nodes: &[Node], known: &mut Known) -> Result<()> {
    let digests: Vec<&str> = nodes
        .iter()
        .filter_map(|node| if let Node::Dataset { digest, .. } = node { Some(&**digest) } else { None })
        .collect();
    let sql = "SELECT d.name, d.digest, d.source_type, d.source FROM datasets d JOIN experiments e ON e.no = d.experiment \
               WHERE e.namespace = $1 AND d.digest IN {} ORDER BY d.no";
    let wanted: std::collections::HashSet<&Node> = nodes.iter().collect();
    for row in rows(view, sql, namespace, &digests).await? {
        let node = Node::dataset(row.text(0)?, row.text(1)?);
        if wanted.contains(&node) {
            let facets = json!({"digest": row.text(1)?, "sourceType": row.text(2)?, "source": cut(row.text(3)?)});
            known.add(node, row.text(0)?, facets);
        }
    }
    Ok(())
}

async fn models(view: &mut Snapshot, namespace: &str, nodes: &[Node], known: &mut Known) -> Result<()> {
    let ids: Vec<&str> =
        nodes.iter().filter_map(|node| if let Node::Model(id) = node { Some(&**id) } else { None }).collect();
    let sql = "SELECT id, name, model_type, artifact_uri, created_at, deleted FROM logged_models \
               WHERE namespace = $1 AND id IN {}";
    for row in rows(view, sql, namespace, &ids).await? {
        let facets = json!({
            "modelType": row.text(2)?,
            "artifactUri": row.text(3)?,
            "createdAt": time(row.int(4)?),
            "deleted": row.int(5)? != 0,
        });
        known.add(Node::Model(row.text(0)?.to_owned()), row.text(1)?, facets);
    }
    Ok(())
}

async fn versions(view: &mut Snapshot, namespace: &str, nodes: &[Node], known: &mut Known) -> Result<()> {
    let names: Vec<&str> = nodes
        .iter()
        .filter_map(|node| if let Node::ModelVersion { model, .. } = node { Some(&**model) } else { None })
        .collect();
    let numbers: Vec<i64> = nodes
        .iter()
        .filter_map(|node| if let Node::ModelVersion { version, .. } = node { Some(*version) } else { None })
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let (names_list, numbers_list) = (view.dialect().texts(2), view.dialect().numbers(3));
    let sql = format!(
        "SELECT m.name, v.version, v.major, v.minor, v.patch, v.pre, v.stage, v.source, v.created_at, v.created_by, \
         v.deleted, v.digest, v.record FROM model_versions v JOIN registered_models m ON m.no = v.model \
         WHERE m.namespace = $1 AND m.name IN {names_list} AND v.version IN {numbers_list}"
    );
    let wanted: std::collections::HashSet<&Node> = nodes.iter().collect();
    for row in view.fetch(sql, vec![namespace.into(), Arg::list(&names), Arg::list(&numbers)]).await? {
        let (name, version) = (row.text(0)?, row.int(1)?);
        let node = Node::ModelVersion { model: name.to_owned(), version };
        if !wanted.contains(&node) {
            continue;
        }
        let pre = row.text(5)?;
        let dash = if pre.is_empty() { "" } else { "-" };
        let semantic = format!("{}.{}.{}{dash}{pre}", row.int(2)?, row.int(3)?, row.int(4)?);
        let stage = ["None", "Staging", "Production", "Archived"];
        // Absent for versions without proof of what they hold.
        let record: Value = serde_json::from_str(row.text(12)?).unwrap_or_default();
        let facets = json!({
            "version": semantic,
            "stage": usize::try_from(row.int(6)?).ok().and_then(|stage_no| stage.get(stage_no)),
            "source": cut(row.text(7)?),
            "createdAt": time(row.int(8)?),
            "createdBy": row.text(9)?,
            "deleted": row.int(10)? != 0,
            "digest": row.text(11)?,
            "environment": record.get("environment"),
        });
        known.add(node, name, facets);
    }
    Ok(())
}

fn cut(text: &str) -> String {
    let mut text = text.to_owned();
    crate::tags::cut(&mut text, LONGEST_FACET);
    text
}

/// A moment as people read it; `null` for one that no calendar has.
pub(super) fn time(milliseconds: i64) -> Value {
    Timestamp::from_millisecond(milliseconds).map(|at| at.to_string().into()).unwrap_or_default()
}
