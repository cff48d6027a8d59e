//! `/api/3.0/mlflow/scorers/…`.

use mcplane_core::{Error, Result};
use serde_json::{Value, json};

use super::ScorerVersion;
use crate::experiments::ExperimentId;
use crate::mlflow::fields::Fields;
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::scope::SCORERS;
use crate::traces::mlflow::list;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .post("3.0/mlflow/scorers/register", SCORERS.to("create"), register)
        .get("3.0/mlflow/scorers/list", SCORERS.to("list"), latest)
        .get("3.0/mlflow/scorers/versions", SCORERS.to("get"), versions)
        .get("3.0/mlflow/scorers/get", SCORERS.to("get"), get)
        .delete("3.0/mlflow/scorers/delete", SCORERS.to("delete"), delete)
        .get("3.0/mlflow/scorers/online-configs", SCORERS.to("list"), online)
}

fn shown(scorer: &ScorerVersion) -> Value {
    json!({
        "experiment_id": scorer.experiment.0,
        "scorer_name": scorer.name,
        "scorer_version": scorer.version,
        "serialized_scorer": scorer.content,
        "creation_time": scorer.created_at,
        "scorer_id": scorer.id,
    })
}

/// Experiment and name, which must be there.
fn named(fields: &Fields) -> Result<(&str, &str)> {
    Ok((fields.required_text("experiment_id")?, fields.required_text("name")?))
}

async fn register(Call { door, grant, fields }: Call) -> Answer {
    let (experiment, name) = named(&fields)?;
    let content = fields.required_text("serialized_scorer")?;
    let scorer = door.tracking.register_scorer(&grant, experiment, name, content).await?;
    reply(&json!({
        "version": scorer.version,
        "scorer_id": scorer.id,
        "experiment_id": scorer.experiment,
        "name": scorer.name,
        "serialized_scorer": scorer.content,
        "creation_time": scorer.created_at,
    }))
}

async fn latest(Call { door, grant, fields }: Call) -> Answer {
    let (one, several) = (fields.text("experiment_id")?, fields.has("experiment_ids"));
    let experiments = match (one, several) {
        ("", false) => None,
        ("", true) => {
            Some(fields.texts("experiment_ids")?.into_iter().map(ExperimentId::parse).collect::<Result<_>>()?)
        }
        (one, false) => {
            let id = ExperimentId::parse(one)?;
            door.tracking.experiment(&grant, id).await?.check_active()?;
            Some(vec![id])
        }
        _ => {
            let message = "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to scope the query to \
                           multiple experiments, or 'experiment_id' to scope it to a single experiment.";
            return Err(Error::bad_request(message).into());
        }
    };
    list("scorers", door.tracking.scorers(&grant, experiments.as_deref()).await?.iter().map(shown).collect())
}

async fn versions(Call { door, grant, fields }: Call) -> Answer {
    let (experiment, name) = named(&fields)?;
    list("scorers", door.tracking.scorer_versions(&grant, experiment, name).await?.iter().map(shown).collect())
}

async fn get(Call { door, grant, fields }: Call) -> Answer {
    let (experiment, name) = named(&fields)?;
    let version = fields.optional_int("version")?;
    reply(&json!({"scorer": shown(&door.tracking.scorer(&grant, experiment, name, version).await?)}))
}

async fn delete(Call { door, grant, fields }: Call) -> Answer {
    let (experiment, name) = named(&fields)?;
    door.tracking.delete_scorer(&grant, experiment, name, fields.optional_int("version")?).await?;
    reply_empty()
}

/// Which scorers the server runs by itself: none.
async fn online(_: Call) -> Answer {
    reply(&json!({"configs": []}))
}
