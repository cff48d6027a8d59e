//! `runs/create-promptlab-run`: what the pages keep of a prompt that was tried on a model: a run with what went in and what came
//! out, and a model that asks the same again.
//!
//! Its files are for YAML readers, and JSON is YAML.

use axum::body::Body;
use mcplane_core::clock::rfc3339_micro;
use mcplane_core::{Error, Grant, Result};
use serde_json::{Value, json};

use super::mlflow::{Found, RunMessage};
use super::types::{NewRun, RunStatus, RunUpdate};
use crate::Tracking;
use crate::logged_models::LegacyModel;
use crate::metrics::LogBatch;
use crate::mlflow::fields::Fields;
use crate::mlflow::{Answer, Call, reply};
use crate::tags::Tag;

const TABLE: &str = "eval_results_table.json";
/// The version of MLflow whose client loads the model.
const MLFLOW: &str = "3.17.2";

/// What was tried.
#[derive(Debug, Default)]
struct Trial {
    template: String,
    parameters: Vec<Tag>,
    route: String,
    model_parameters: Vec<Tag>,
    input: String,
    output: Value,
    output_parameters: Vec<Tag>,
}

pub(super) async fn create(Call { door, grant, fields }: Call) -> Answer {
    let required =
        ["experiment_id", "prompt_template", "prompt_parameters", "model_route", "model_input", "mlflow_version"];
    if let Some(name) = required.into_iter().find(|name| is_empty(fields.raw(name))) {
        return Err(Error::bad_request(format!("CreatePromptlabRun request must specify {name}.")).into());
    }
    let tracking = &door.tracking;
    let now = tracking.db.clock().now();
    let user = fields.text("user_id")?;
    let new = NewRun {
        id: String::new(),
        experiment: fields.text("experiment_id")?.to_owned(),
        user_id: if user.is_empty() { "unknown" } else { user }.to_owned(),
        started_at: fields.optional_int("start_time")?.unwrap_or(now),
        name: fields.text("run_name")?.to_owned(),
        tags: Tag::read(&fields, "tags")?,
    };
    let trial = Trial::read(&fields)?;
    let run = tracking.create_run(&grant, new).await?.info;
    let kept = tracking.keep_trial(&grant, &run.id, &run.artifact_uri, &trial).await;
    // The run is there in any case, and says how it went.
    let status = kept.map_or(RunStatus::Failed, |()| RunStatus::Finished);
    let ended_at = Some(tracking.db.clock().now());
    tracking.update_run(&grant, &run.id, RunUpdate { status: Some(status), ended_at, name: None }).await?;
    reply(&Found { run: RunMessage::from(tracking.run(&grant, &run.id).await?) })
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

impl Trial {
    fn read(fields: &Fields) -> Result<Self> {
        let text = |name: &str| fields.text(name).map(str::to_owned);
        Ok(Self {
            template: text("prompt_template")?,
            parameters: pairs(fields, "prompt_parameters")?,
            route: text("model_route")?,
            model_parameters: pairs(fields, "model_parameters")?,
            input: text("model_input")?,
            output: fields.raw("model_output").cloned().unwrap_or_default(),
            output_parameters: pairs(fields, "model_output_parameters")?,
        })
    }

    fn batch(&self) -> LogBatch {
        let table = json!([{"path": TABLE, "type": "table"}]).to_string();
        let own = [Tag::new("model_route", &self.route), Tag::new("prompt_template", &self.template)];
        LogBatch {
            params: self.model_parameters.iter().cloned().chain(own).collect(),
            tags: vec![
                Tag::new("mlflow.loggedArtifacts", table),
                Tag::new("mlflow.runSourceType", "PROMPT_ENGINEERING"),
            ],
            ..LogBatch::default()
        }
    }

    /// What went in and what came out, as a table of one row.
    fn table(&self) -> Value {
        let (mut columns, mut row) = (Vec::<Value>::new(), Vec::<Value>::new());
        let mut add = |column: &str, value: Value| {
            columns.push(column.into());
            row.push(value);
        };
        let pairs = |tags: &[Tag]| tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect::<Vec<_>>();
        pairs(&self.parameters).into_iter().for_each(|(key, value)| add(&key, value.into()));
        add("prompt", self.input.as_str().into());
        add("output", self.output.clone());
        pairs(&self.output_parameters).into_iter().for_each(|(key, value)| add(&key, value.into()));
        json!({"columns": columns, "data": [row]})
    }

    /// The description of the model.
    fn model(&self, run: &str, now: i64) -> Value {
        let column = |name: &str| json!({"type": "string", "name": name, "required": true});
        let inputs: Vec<Value> = self.parameters.iter().map(|tag| column(&tag.key)).collect();
        let made = rfc3339_micro(now).replace('T', " ").replace('Z', "");
        json!({
            "artifact_path": "model",
            "run_id": run,
            "utc_time_created": made,
            "mlflow_version": MLFLOW,
            "signature": {"inputs": json!(inputs).to_string(), "outputs": json!([column("output")]).to_string(), "params": null},
            "flavors": {"python_function": {
                "loader_module": "mlflow.prompt.promptlab_model",
                "parameters_path": "parameters.yaml",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            }},
        })
    }

    /// Its files.
    fn files(&self, model: &Value) -> [(&'static str, String); 6] {
        let map = |tags: &[Tag]| {
            tags.iter().map(|tag| (tag.key.clone(), tag.value.clone().into())).collect::<serde_json::Map<_, _>>()
        };
        let needs = format!("mlflow[gateway]=={MLFLOW}");
        let parameters = json!({
            "prompt_template": self.template,
            "prompt_parameters": map(&self.parameters),
            "model_parameters": map(&self.model_parameters),
            "model_route": self.route,
        });
        let environment =
            json!({"python": "3.11", "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]});
        let conda = json!({"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": ["python=3.11", "pip", {"pip": [needs]}]});
        [
            (TABLE, self.table().to_string()),
            ("model/MLmodel", model.to_string()),
            ("model/parameters.yaml", parameters.to_string()),
            ("model/python_env.yaml", environment.to_string()),
            ("model/conda.yaml", conda.to_string()),
            ("model/requirements.txt", format!("{needs}\n")),
        ]
    }
}

/// Keys with values, which become texts.
fn pairs(fields: &Fields, name: &str) -> Result<Vec<Tag>> {
    let text = |value: Option<&Value>| match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Ok(fields.messages(name)?.iter().map(|pair| Tag::new(text(pair.raw("key")), text(pair.raw("value")))).collect())
}

impl Tracking {
    async fn keep_trial(&self, grant: &Grant, run: &str, artifacts: &str, trial: &Trial) -> Result<()> {
        let model = trial.model(run, self.db.clock().now());
        self.log_batch(grant, run, trial.batch()).await?;
        self.log_model_in_run(grant, run, LegacyModel::parse(&model.to_string())?).await?;
        for (path, content) in trial.files(&model) {
            let place = self.place_below(grant, artifacts, path)?;
            self.put_artifact(grant, &place, Body::from(content), u64::MAX).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_a_table_of_one_row() {
        let trial = Trial {
            parameters: vec![Tag::new("q", "why?")],
            input: "Answer: why?".to_owned(),
            output: "because".into(),
            output_parameters: vec![Tag::new("latency", "100")],
            ..Trial::default()
        };
        let expected = json!({"columns": ["q", "prompt", "output", "latency"], "data": [["why?", "Answer: why?", "because", "100"]]});
        assert_eq!(trial.table(), expected);
        let made = trial.model("r", 0)["utc_time_created"].clone();
        assert_eq!(made, json!("1970-01-01 00:00:00.000000"));
    }
}
