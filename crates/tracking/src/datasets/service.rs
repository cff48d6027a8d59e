//! The rules of what runs read and write.

use std::collections::HashSet;

use mcplane_core::{Error, Grant, Result};

use super::store;
use super::types::{DatasetInput, DatasetSummary, ModelOutput};
use crate::Tracking;
use crate::experiments::ExperimentId;
use crate::tags::check_text;

const MOST_EXPERIMENTS: usize = 20;
const MOST_SUMMARIES: i64 = 1000;

impl Tracking {
    /// Logs that a run read datasets and models. Of datasets with one name and digest the first counts.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for texts that are too long or a deleted run.
    pub async fn log_inputs(
        &self,
        grant: &Grant,
        run_id: &str,
        mut datasets: Vec<DatasetInput>,
        models: Vec<String>,
    ) -> Result<()> {
        datasets.iter().try_for_each(DatasetInput::check)?;
        models.iter().try_for_each(|model| check_text(model))?;
        let mut seen = HashSet::new();
        datasets.retain(|input| seen.insert((input.dataset.name.clone(), input.dataset.digest.clone())));
        let models: Vec<_> = models.into_iter().map(|model_id| ModelOutput { model_id, step: 0 }).collect();
        self.change_run(grant, run_id, |run, tx, _, _| {
            Box::pin(async move {
                store::insert_inputs(tx, run, &datasets).await?;
                store::put_models(tx, run.no, false, &models).await
            })
        })
        .await
    }

    /// Logs that a run made models.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a deleted run.
    pub async fn log_outputs(&self, grant: &Grant, run_id: &str, models: Vec<ModelOutput>) -> Result<()> {
        models.iter().try_for_each(|model| check_text(&model.model_id))?;
        self.change_run(grant, run_id, |run, tx, _, _| {
            Box::pin(async move { store::put_models(tx, run.no, true, &models).await })
        })
        .await
    }

    /// The datasets that runs of the experiments read, at most 1000.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for no experiment or more than 20.
    pub async fn search_datasets(&self, grant: &Grant, experiments: &[&str]) -> Result<Vec<DatasetSummary>> {
        if experiments.is_empty() {
            return Err(Error::bad_request("SearchDatasets request must specify at least one experiment_id."));
        }
        if experiments.len() > MOST_EXPERIMENTS {
            return Err(Error::bad_request(format!(
                "SearchDatasets request cannot specify more than {MOST_EXPERIMENTS} experiment_ids. Received {} experiment_ids.",
                experiments.len()
            )));
        }
        let ids: Vec<i64> =
            experiments.iter().map(|id| ExperimentId::parse(id).map(|id| id.0)).collect::<Result<_>>()?;
        store::summaries(&self.db, grant.namespace()?, &ids, MOST_SUMMARIES).await
    }
}
