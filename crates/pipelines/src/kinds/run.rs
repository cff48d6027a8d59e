//! `PipelineRun`: a pipeline is to run once, with these arguments.

use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, anything, of_kind, text};
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{GROUP, RUNS, VERSION};
use crate::ir::Plan;

/// A run of a pipeline.
#[derive(Debug, Default, Deserialize)]
pub struct PipelineRun {
    /// What is wanted.
    #[serde(default)]
    pub spec: RunSpec,
}

/// A reference to an object of the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// Its name.
    pub name: String,
}

/// What a run is to do. Only the wish to end it may change.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunSpec {
    /// The compiled pipeline, as an object or as text.
    pub pipeline_spec: Value,
    /// What it says to platforms, where that is not in the text.
    pub platform_spec: Value,
    /// A pipeline, of which the newest version runs.
    pub pipeline_ref: Option<Reference>,
    /// A version of a pipeline.
    pub version_ref: Option<Reference>,
    /// Arguments by the names of the pipeline's parameters.
    pub parameters: Map<String, Value>,
    /// Whether work may be taken from earlier runs; what the pipeline says, if left out.
    pub enable_cache: Option<bool>,
    /// Service account of the steps.
    pub service_account_name: String,
    /// What people call the run.
    pub display_name: String,
    /// The run is to end.
    pub terminate: bool,
}

/// Reads a compiled pipeline that is an object, or the text of its file.
///
/// # Errors
/// With the place in the document and the reason.
pub(crate) fn parse_spec(spec: &Value, platform: &Value) -> Result<Plan, FieldError> {
    let parsed = match spec {
        Value::Null => return Err(FieldError::required("spec.pipelineSpec", "give the compiled pipeline")),
        Value::String(text) => Plan::parse(text),
        spec if spec.get("pipeline_spec").or_else(|| spec.get("pipelineSpec")).is_some() => {
            Plan::parse(&spec.to_string())
        }
        spec => Plan::from_values(spec.clone(), platform),
    };
    parsed.map_err(|error| FieldError::invalid("spec.pipelineSpec", Value::Null, error.to_string()))
}

/// The text of a compiled pipeline, from which it is read again whenever the run is taken up.
pub(crate) fn spec_text(spec: &Value, platform: &Value) -> String {
    match spec {
        Value::String(text) => text.clone(),
        spec if platform.is_null() => spec.to_string(),
        spec => json!({"pipeline_spec": spec, "platform_spec": platform}).to_string(),
    }
}

/// Checks arguments against what the pipeline takes.
pub(crate) fn arguments(plan: &Plan, given: &Map<String, Value>) -> Vec<FieldError> {
    match crate::resolve::arguments(plan, given.clone()) {
        Ok(_) => vec![],
        Err(why) => vec![FieldError::invalid("spec.parameters", Value::Null, why)],
    }
}

static SCHEMA: OwnSchema = OwnSchema::new(run_schema);

impl Resource for PipelineRun {
    const KIND: Kind = Kind {
        status: true,
        generation: true,
        strategic_merge: false,
        short_names: &["prun"],
        selectable: &["status.state"],
        columns: &[
            Column { name: "Pipeline", format: "string", priority: 0, cell: |run| of_status(run, "pipeline") },
            Column { name: "State", format: "string", priority: 0, cell: |run| of_status(run, "state") },
            Column { name: "Steps", format: "string", priority: 0, cell: |run| steps(run).into() },
            AGE,
            Column { name: "Message", format: "string", priority: 1, cell: |run| of_status(run, "message") },
        ],
        ..Kind::namespaced(GROUP, &[VERSION], "PipelineRun", RUNS, "pipelinerun")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let spec = &new.spec;
        if let Some(old) = old {
            let mut errors = Vec::new();
            let wish = |spec: &RunSpec| RunSpec { terminate: false, ..spec.clone() };
            if wish(spec) != wish(&old.spec) {
                errors.push(FieldError::forbidden("spec", "a run does not change, but for `terminate`: make another"));
            }
            if old.spec.terminate && !spec.terminate {
                errors.push(FieldError::forbidden("spec.terminate", "a run that is to end can't go on"));
            }
            return errors;
        }
        let named = [&spec.pipeline_ref, &spec.version_ref];
        let sources = usize::from(!spec.pipeline_spec.is_null()) + named.iter().filter(|named| named.is_some()).count();
        if sources != 1 {
            let detail = "give exactly one of pipelineSpec, pipelineRef and versionRef";
            return vec![FieldError::invalid("spec", Value::Null, detail)];
        }
        if named.into_iter().flatten().any(|reference| reference.name.is_empty()) {
            return vec![FieldError::required("spec.pipelineRef.name", "name the pipeline or its version")];
        }
        if spec.pipeline_spec.is_null() {
            return vec![];
        }
        match parse_spec(&spec.pipeline_spec, &spec.platform_spec) {
            Ok(plan) => arguments(&plan, &spec.parameters),
            Err(error) => vec![error],
        }
    }
}

fn of_status(run: &Value, field: &str) -> Value {
    run["status"][field].as_str().unwrap_or_default().into()
}

/// `3/7`: steps that are done, of those that are known.
fn steps(run: &Value) -> String {
    let count = |field: &str| run["status"]["steps"][field].as_i64().unwrap_or(0);
    match count("total") {
        0 => String::new(),
        total => format!("{}/{total}", count("done")),
    }
}

fn run_schema() -> Value {
    let reference = |about: &str| json!({"type": "object", "description": about, "properties": {"name": text("Its name.")}, "required": ["name"]});
    let integer = json!({"type": "integer", "format": "int64"});
    let counts = ["total", "done", "pending", "running", "succeeded", "cached", "skipped", "failed", "canceled"];
    let counts: Map<String, Value> = counts.into_iter().map(|name| (name.to_owned(), integer.clone())).collect();
    let list = |properties: Value| json!({"type": "array", "items": {"type": "object", "properties": properties}});
    let step = json!({
        "node": text("Where it is in the pipeline: unique in the run."),
        "name": text("What people call it."),
        "kind": text("CONTAINER, IMPORTER, DAG or LOOP."),
        "state": text("PENDING, RUNNING, SUCCEEDED, SKIPPED, FAILED or CANCELED."),
        "cached": {"type": "boolean", "description": "Whether its outputs are those of earlier work."},
        "message": text("Why it is in this state."),
        "task": text("Id of the task that does the work."),
        "startedAt": text("When it began."),
        "finishedAt": text("When it ended."),
    });
    let condition = json!({
        "type": text(""), "status": text(""), "reason": text(""), "message": text(""), "lastTransitionTime": text(""),
    });
    of_kind(
        "A run of a pipeline.",
        json!({
            "pipelineSpec": anything("The compiled pipeline, as an object or as the text of its file."),
            "platformSpec": anything("What it says to platforms, if that is not in the text."),
            "pipelineRef": reference("A pipeline, of which the newest version runs."),
            "versionRef": reference("A version of a pipeline."),
            "parameters": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": "Arguments by name.",
            },
            "enableCache": {"type": "boolean", "description": "Whether work may be taken from earlier runs."},
            "serviceAccountName": text("Service account of the steps."),
            "displayName": text("What people call the run."),
            "terminate": {"type": "boolean", "description": "The run is to end."},
        }),
        json!({
            "pipeline": text("Name of the pipeline."),
            "state": text("PENDING, RUNNING, SUCCEEDED, FAILED, CANCELING or CANCELED."),
            "message": text("Why it failed."),
            "startedAt": text("When it began."),
            "finishedAt": text("When it ended."),
            "steps": {"type": "object", "description": "How many steps are in which state.", "properties": counts},
            "stepStates": list(step),
            "omittedSteps": {"type": "integer", "format": "int64", "description": "Steps that stepStates has no room for."},
            "stateHistory": list(json!({"state": text("State."), "at": text("Since when.")})),
            "experimentId": text("MLflow's experiment."),
            "runId": text("MLflow's run."),
            "conditions": list(condition),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(new: Value, old: Option<Value>) -> Vec<String> {
        let typed = |spec: Value| PipelineRun { spec: serde_json::from_value(spec).unwrap() };
        PipelineRun::validate(&typed(new), old.map(typed).as_ref()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_schema_compiles() {
        assert!(PipelineRun::schema(VERSION).is_some());
    }

    #[test]
    fn a_run_has_one_source_and_does_not_change() {
        assert!(faults(json!({}), None)[0].contains("exactly one of pipelineSpec"));
        assert!(
            faults(json!({"pipelineRef": {"name": "a"}, "versionRef": {"name": "b"}}), None)[0].contains("exactly")
        );
        assert_eq!(faults(json!({"pipelineRef": {"name": "a"}}), None), Vec::<String>::new());
        let old = json!({"pipelineRef": {"name": "a"}});
        let mut new = old.clone();
        new["terminate"] = true.into();
        assert_eq!(faults(new.clone(), Some(old.clone())), Vec::<String>::new());
        assert!(faults(old.clone(), Some(new))[0].contains("can't go on"));
        assert!(faults(json!({"pipelineRef": {"name": "b"}}), Some(old))[0].contains("make another"));
    }

    #[test]
    fn what_is_no_pipeline_is_refused_with_its_place() {
        let said = &faults(json!({"pipelineSpec": {"pipelineInfo": {"name": "p"}}}), None)[0];
        assert!(said.starts_with("spec.pipelineSpec: Invalid value"), "{said}");
        let said = &faults(json!({"pipelineSpec": "- a"}), None)[0];
        assert!(said.contains("must be an object"), "{said}");
    }
}
