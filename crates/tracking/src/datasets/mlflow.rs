//! `/api/2.0/mlflow/runs/log-inputs`, `runs/outputs` and `experiments/search-datasets`.

use std::sync::Arc;

use mcplane_core::Result;
use serde::Serialize;

use super::types::{Dataset, DatasetInput, DatasetSummary, Lineage, ModelOutput};
use crate::mlflow::fields::{Fields, missing};
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::scope::{EXPERIMENTS, RUNS};
use crate::tags::Tag;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .post("2.0/mlflow/runs/log-inputs", RUNS.to("update"), log_inputs)
        .post("2.0/mlflow/runs/outputs", RUNS.to("update"), log_outputs)
        .post("2.0/mlflow/experiments/search-datasets", EXPERIMENTS.to("list"), search)
        // The path as the protocol's definition spells it, which clients generated from it use.
        .post("2.0mlflow/experiments/search-datasets", EXPERIMENTS.to("list"), search)
}

/// What a run read, in the protocol's form.
#[derive(Debug, Serialize)]
pub(crate) struct InputsMessage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_inputs: Vec<DatasetInput>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_inputs: Vec<ModelMessage>,
}

#[derive(Debug, Serialize)]
struct ModelMessage {
    model_id: String,
}

/// What a run made, in the protocol's form.
#[derive(Debug, Serialize)]
pub(crate) struct OutputsMessage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_outputs: Vec<ModelOutput>,
}

/// Both messages of a run.
pub(crate) fn messages(lineage: Lineage) -> (InputsMessage, OutputsMessage) {
    let model_inputs = lineage.models.into_iter().map(|model_id| ModelMessage { model_id }).collect();
    let inputs = InputsMessage { dataset_inputs: lineage.datasets, model_inputs };
    (inputs, OutputsMessage { model_outputs: lineage.outputs })
}

#[derive(Serialize)]
struct Found {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_summaries: Vec<DatasetSummary>,
}

fn dataset_input(fields: &Fields) -> Result<DatasetInput> {
    let dataset = fields.message("dataset")?.unwrap_or_default();
    let text = |name: &str| dataset.text(name).map(str::to_owned);
    let dataset = Dataset {
        name: text("name")?,
        digest: text("digest")?,
        source_type: text("source_type")?,
        source: text("source")?,
        schema: text("schema")?,
        profile: text("profile")?,
    };
    Ok(DatasetInput { tags: Tag::read(fields, "tags")?, dataset: Arc::new(dataset) })
}

async fn log_inputs(Call { door, grant, fields }: Call) -> Answer {
    let run = fields.required_text("run_id")?;
    let datasets = fields.messages("datasets")?.iter().map(dataset_input).collect::<Result<_>>()?;
    let models = fields.messages("models")?;
    let models = models.iter().map(|model| model.text("model_id").map(str::to_owned)).collect::<Result<_>>()?;
    door.tracking.log_inputs(&grant, run, datasets, models).await?;
    reply_empty()
}

async fn log_outputs(Call { door, grant, fields }: Call) -> Answer {
    let run = fields.required_text("run_id")?;
    if !fields.has("models") {
        return Err(missing("models").into());
    }
    let output = |model: &Fields| {
        let step = model.optional_int("step")?.unwrap_or_default();
        Ok(ModelOutput { model_id: model.text("model_id")?.to_owned(), step })
    };
    let models = fields.messages("models")?.iter().map(output).collect::<Result<_>>()?;
    door.tracking.log_outputs(&grant, run, models).await?;
    reply_empty()
}

async fn search(Call { door, grant, fields }: Call) -> Answer {
    let dataset_summaries = door.tracking.search_datasets(&grant, &fields.texts("experiment_ids")?).await?;
    reply(&Found { dataset_summaries })
}
