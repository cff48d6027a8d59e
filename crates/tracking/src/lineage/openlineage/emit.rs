//! The events of a run, for others.

use jiff::Timestamp;
use mcplane_core::Result;
use mcplane_db::Snapshot;
use serde_json::{Map, Value, json};

use super::super::describe::time;
use super::super::place;
use crate::runs::store::{by_id, missing, read};
use crate::runs::{RunInfo, RunStatus};
use crate::tags::Tag;

/// Whoever sends events is named by a URL.
const PRODUCER: &str = concat!("https://mcplane.io/openlineage/", env!("CARGO_PKG_VERSION"));
const RUN_EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// What a workspace's things are called in events.
pub(crate) fn own_namespace(workspace: &str) -> String {
    format!("mcplane:{workspace}")
}

/// The events of a run so far: its start, and its end if that came.
///
/// # Errors
/// [`mcplane_core::Error::Missing`] if there is no such run.
pub(crate) async fn events_of(view: &mut Snapshot, workspace: &str, id: &str) -> Result<Vec<Value>> {
    let (sql, args) = by_id(workspace, id);
    let info = view.fetch(sql, args).await?.first().map(read).transpose()?.ok_or_else(|| missing(id))?;
    let story =
        Story { inputs: inputs(view, &info).await?, outputs: outputs(view, &info).await?, ..story(view, info).await? };
    Ok(story.events(&own_namespace(workspace)))
}

/// All that events of a run tell.
#[derive(Debug)]
struct Story {
    info: RunInfo,
    experiment: String,
    note: String,
    tags: Vec<Tag>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

#[derive(Debug)]
struct Input {
    name: String,
    digest: String,
    source_type: String,
    source: String,
    schema: String,
}

#[derive(Debug)]
struct Output {
    id: String,
    name: String,
    artifact_uri: String,
}

async fn story(view: &mut Snapshot, info: RunInfo) -> Result<Story> {
    let sql = "SELECT e.name, coalesce(t.value, '') FROM experiments e \
               LEFT JOIN experiment_tags t ON t.experiment = e.no AND t.key = 'mlflow.note.content' WHERE e.no = $1";
    let rows = view.fetch(sql, vec![info.experiment_no.into()]).await?;
    let (experiment, note) = match rows.first() {
        Some(row) => (row.text(0)?.to_owned(), row.text(1)?.to_owned()),
        None => Default::default(),
    };
    let sql = "SELECT key, value FROM run_tags WHERE run = $1 AND key LIKE 'mlflow.%' ORDER BY key";
    let rows = view.fetch(sql, vec![info.no.into()]).await?;
    let tags = rows.iter().map(|row| Ok(Tag::new(row.text(0)?, row.text(1)?))).collect::<Result<_>>()?;
    Ok(Story { info, experiment, note, tags, inputs: vec![], outputs: vec![] })
}

async fn inputs(view: &mut Snapshot, info: &RunInfo) -> Result<Vec<Input>> {
    let sql = "SELECT d.name, d.digest, d.source_type, d.source, d.schema FROM dataset_inputs i \
               JOIN datasets d ON d.no = i.dataset WHERE i.run = $1 ORDER BY i.no";
    let rows = view.fetch(sql, vec![info.no.into()]).await?;
    rows.iter()
        .map(|row| {
            let text = |column| row.text(column).map(str::to_owned);
            Ok(Input { name: text(0)?, digest: text(1)?, source_type: text(2)?, source: text(3)?, schema: text(4)? })
        })
        .collect()
}

async fn outputs(view: &mut Snapshot, info: &RunInfo) -> Result<Vec<Output>> {
    let sql = "SELECT id, name, artifact_uri FROM logged_models WHERE namespace = (SELECT namespace FROM runs WHERE no = $1) \
               AND (source_run = $2 OR id IN (SELECT model FROM run_models WHERE run = $1 AND output = 1)) ORDER BY no";
    let rows = view.fetch(sql, vec![info.no.into(), info.id.as_str().into()]).await?;
    rows.iter()
        .map(|row| {
            let text = |column| row.text(column).map(str::to_owned);
            Ok(Output { id: text(0)?, name: text(1)?, artifact_uri: text(2)? })
        })
        .collect()
}

impl Story {
    fn events(&self, own: &str) -> Vec<Value> {
        let end = match self.info.status {
            RunStatus::Scheduled => return vec![],
            RunStatus::Running => None,
            RunStatus::Finished => Some("COMPLETE"),
            RunStatus::Failed => Some("FAIL"),
            RunStatus::Killed => Some("ABORT"),
        };
        let start = self.event("START", self.info.started_at, own, false);
        let at = self.info.ended_at.unwrap_or(self.info.started_at);
        std::iter::once(start).chain(end.map(|end| self.event(end, at, own, true))).collect()
    }

    fn event(&self, state: &str, at: i64, own: &str, with_outputs: bool) -> Value {
        let at = Timestamp::from_millisecond(at).unwrap_or_default();
        let outputs: Vec<Value> =
            self.outputs.iter().filter(|_| with_outputs).map(|output| output.message(own)).collect();
        json!({
            "eventType": state,
            "eventTime": at.to_string(),
            "producer": PRODUCER,
            "schemaURL": RUN_EVENT,
            "run": {"runId": uuid(&self.info.id), "facets": self.run_facets(own)},
            "job": {"namespace": own, "name": self.experiment, "facets": self.job_facets()},
            "inputs": self.inputs.iter().map(|input| input.message(own)).collect::<Vec<_>>(),
            "outputs": outputs,
        })
    }

    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str()).filter(|value| !value.is_empty())
    }

    fn run_facets(&self, own: &str) -> Map<String, Value> {
        let mut facets = Map::new();
        let engine = json!({"name": "mcplane", "version": env!("CARGO_PKG_VERSION")});
        put(&mut facets, "processing_engine", "1-1-1/ProcessingEngineRunFacet", engine);
        let nominal = json!({"nominalStartTime": time(self.info.started_at)});
        put(&mut facets, "nominalTime", "1-0-1/NominalTimeRunFacet", nominal);
        if let Some(parent) = self.tag("mlflow.parentRunId") {
            let parent = json!({"run": {"runId": uuid(parent)}, "job": {"namespace": own, "name": self.experiment}});
            put(&mut facets, "parent", "1-2-0/ParentRunFacet", parent);
        }
        let mut tags = vec![json!({"key": "run_name", "value": self.info.name, "source": "MLFLOW"})];
        for key in ["mlflow.user", "mlflow.docker.image.name", "mlflow.docker.image.id", "mlflow.project.env"] {
            tags.extend(self.tag(key).map(|value| json!({"key": key, "value": value, "source": "MLFLOW"})));
        }
        put(&mut facets, "tags", "1-0-0/TagsRunFacet", json!({"tags": tags}));
        facets
    }

    fn job_facets(&self) -> Map<String, Value> {
        let mut facets = Map::new();
        let kind = json!({"processingType": "BATCH", "integration": "MLFLOW", "jobType": "EXPERIMENT"});
        put(&mut facets, "jobType", "2-0-3/JobTypeJobFacet", kind);
        if let Some(commit) = self.tag("mlflow.source.git.commit") {
            let path = self.tag("mlflow.source.name");
            let mut code = json!({
                "type": "git",
                "url": self.tag("mlflow.source.git.repoURL").or(path).unwrap_or_default(),
                "version": commit,
            });
            for (field, value) in [
                ("repoUrl", self.tag("mlflow.source.git.repoURL")),
                ("path", path),
                ("branch", self.tag("mlflow.source.git.branch")),
            ] {
                if let Some(value) = value {
                    code[field] = value.into();
                }
            }
            put(&mut facets, "sourceCodeLocation", "1-1-0/SourceCodeLocationJobFacet", code);
        }
        let note = self.tag("mlflow.note.content").unwrap_or(&self.note);
        if !note.is_empty() {
            let note = json!({"description": note, "contentType": "text/markdown"});
            put(&mut facets, "documentation", "1-1-0/DocumentationJobFacet", note);
        }
        facets
    }
}

impl Input {
    /// Data at a place is called by its place, so that others know it; what has none is ours.
    fn message(&self, own: &str) -> Value {
        let place = place::of_source(&self.source_type, &self.source);
        let (namespace, name) =
            place.as_deref().and_then(place::to_openlineage).unwrap_or_else(|| (own.to_owned(), self.name.clone()));
        let mut facets = Map::new();
        put(&mut facets, "version", "1-0-1/DatasetVersionDatasetFacet", json!({"datasetVersion": self.digest}));
        let mut source = json!({"name": self.name});
        if let Some(place) = place {
            source["uri"] = place.into();
        }
        put(&mut facets, "dataSource", "1-0-1/DatasourceDatasetFacet", source);
        if let Some(fields) = fields(&self.schema) {
            put(&mut facets, "schema", "1-2-0/SchemaDatasetFacet", json!({"fields": fields}));
        }
        json!({"namespace": namespace, "name": name, "facets": facets})
    }
}

impl Output {
    fn message(&self, own: &str) -> Value {
        let mut facets = Map::new();
        put(&mut facets, "datasetType", "1-0-1/DatasetTypeDatasetFacet", json!({"datasetType": "MODEL"}));
        let source = json!({"name": self.name, "uri": self.artifact_uri});
        put(&mut facets, "dataSource", "1-0-1/DatasourceDatasetFacet", source);
        json!({"namespace": own, "name": format!("model:{}", self.id), "facets": facets})
    }
}

/// Adds a facet of the standard, whose schema is at `path`.
fn put(facets: &mut Map<String, Value>, name: &str, path: &str, mut facet: Value) {
    let class = path.rsplit('/').next().unwrap_or_default();
    facet["_producer"] = PRODUCER.into();
    let version = path.trim_end_matches(class);
    facet["_schemaURL"] = format!("https://openlineage.io/spec/facets/{version}{class}.json#/$defs/{class}").into();
    facets.insert(name.to_owned(), facet);
}

/// The columns of a logged schema.
fn fields(schema: &str) -> Option<Vec<Value>> {
    let schema: Value = serde_json::from_str(schema).ok()?;
    let columns = schema.get("mlflow_colspec")?.as_array()?;
    let field = |column: &Value| {
        let name = column.get("name")?.as_str()?;
        Some(match column.get("type").and_then(Value::as_str) {
            Some(kind) => json!({"name": name, "type": kind}),
            None => json!({"name": name}),
        })
    };
    Some(columns.iter().filter_map(field).collect())
}

/// The id of a run as events spell it.
fn uuid(id: &str) -> String {
    uuid::Uuid::try_parse(id).map(|id| id.to_string()).unwrap_or_else(|_| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::ExperimentId;

    fn story(status: RunStatus) -> Story {
        let info = RunInfo {
            no: 1,
            id: "67b3da4b42184903b5f8dfd7e2cb75cb".to_owned(),
            experiment: ExperimentId(1),
            experiment_no: 1,
            name: "loud-asp-928".to_owned(),
            user_id: String::new(),
            status,
            started_at: 1_793_491_200_000,
            ended_at: Some(1_793_491_200_500),
            deleted_at: None,
            artifact_uri: String::new(),
        };
        let input = Input {
            name: "train".to_owned(),
            digest: "bfeb0c6a".to_owned(),
            source_type: "s3".to_owned(),
            source: r#"{"uri": "s3://bucket/train.csv"}"#.to_owned(),
            schema: r#"{"mlflow_colspec": [{"type": "double", "name": "a", "required": true}]}"#.to_owned(),
        };
        let output = Output { id: "m-1".to_owned(), name: "clf".to_owned(), artifact_uri: "s3://b/m".to_owned() };
        let tags = vec![
            Tag::new("mlflow.source.git.commit", "abc"),
            Tag::new("mlflow.source.name", "train.py"),
            Tag::new("mlflow.parentRunId", "00000000000000000000000000000001"),
        ];
        Story {
            info,
            experiment: "fraud".to_owned(),
            note: "Finds *fraud*.".to_owned(),
            tags,
            inputs: vec![input],
            outputs: vec![output],
        }
    }

    #[test]
    fn a_run_starts_and_ends() {
        let states = |status| {
            let events = story(status).events("mcplane:default");
            events.iter().map(|event| event["eventType"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(states(RunStatus::Scheduled), [""; 0]);
        assert_eq!(states(RunStatus::Running), ["START"]);
        assert_eq!(states(RunStatus::Finished), ["START", "COMPLETE"]);
        assert_eq!(states(RunStatus::Failed), ["START", "FAIL"]);
        assert_eq!(states(RunStatus::Killed), ["START", "ABORT"]);
    }

    #[test]
    fn events_tell_code_data_and_models() {
        let events = story(RunStatus::Finished).events("mcplane:default");
        let end = &events[1];
        assert_eq!(
            (&events[0]["eventTime"], &end["eventTime"]),
            (&json!("2026-11-01T00:00:00Z"), &json!("2026-11-01T00:00:00.5Z"))
        );
        assert_eq!(end["run"]["runId"], json!("67b3da4b-4218-4903-b5f8-dfd7e2cb75cb"));
        assert_eq!(end["run"]["facets"]["parent"]["run"]["runId"], json!("00000000-0000-0000-0000-000000000001"));
        let code = &end["job"]["facets"]["sourceCodeLocation"];
        assert_eq!(
            (&code["version"], &code["path"], &code["url"]),
            (&json!("abc"), &json!("train.py"), &json!("train.py"))
        );
        assert_eq!(end["job"]["facets"]["documentation"]["description"], json!("Finds *fraud*."));
        let input = &end["inputs"][0];
        assert_eq!((&input["namespace"], &input["name"]), (&json!("s3://bucket"), &json!("train.csv")));
        assert_eq!(input["facets"]["version"]["datasetVersion"], json!("bfeb0c6a"));
        assert_eq!(input["facets"]["schema"]["fields"], json!([{"name": "a", "type": "double"}]));
        assert_eq!(
            input["facets"]["schema"]["_schemaURL"],
            json!("https://openlineage.io/spec/facets/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet")
        );
        assert_eq!(end["outputs"][0]["name"], json!("model:m-1"));
        assert_eq!(events[0]["outputs"], json!([]));
    }
}
