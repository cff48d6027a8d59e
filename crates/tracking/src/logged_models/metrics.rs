//! What runs measured of models: the table `logged_model_metrics`.

use std::collections::HashMap;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Tx};

use crate::runs::store::RunKey;

/// A point that a run logs with the id of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelMetric {
    /// Id of the model.
    pub(crate) model: String,
    /// Name of the metric.
    pub(crate) key: String,
    pub(crate) value: f64,
    /// Milliseconds since the epoch, as the client says.
    pub(crate) timestamp: i64,
    pub(crate) step: i64,
    /// Empty without a dataset.
    pub(crate) dataset_name: String,
    /// Empty without a dataset.
    pub(crate) dataset_digest: String,
}

/// Adds points to the models that they name; repeats change nothing. A number that JSON lacks becomes one that it has, as
/// for the reference server: 0, or the largest.
///
/// # Errors
/// `BAD_REQUEST` for a model that is not in the run's namespace.
pub(crate) async fn record_metrics(tx: &mut Tx, run: RunKey, points: &[ModelMetric]) -> Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    let models = numbers(tx, run, points).await?;
    let mut args = Vec::with_capacity(points.len() * 8);
    for point in points {
        let unknown = || Error::NotAcceptable(format!("Logged model with ID '{}' not found.", point.model));
        let model = *models.get(&point.model).ok_or_else(unknown)?;
        args.extend([
            model.into(),
            point.key.as_str().into(),
            point.timestamp.into(),
            point.step.into(),
            run.no.into(),
            point.dataset_name.as_str().into(),
            point.dataset_digest.as_str().into(),
            storable(point.value).into(),
        ]);
    }
    let insert = "INSERT INTO logged_model_metrics \
                  (model, key, recorded_at, step, run, dataset_name, dataset_digest, value)";
    tx.execute_rows(insert, 8, args, "ON CONFLICT DO NOTHING").await
}

/// The database's numbers of the models, by id.
async fn numbers(tx: &mut Tx, run: RunKey, points: &[ModelMetric]) -> Result<HashMap<String, i64>> {
    let mut ids: Vec<&str> = points.iter().map(|point| point.model.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let list = tx.dialect().texts(1);
    let sql = format!(
        "SELECT id, no FROM logged_models WHERE id IN {list} \
         AND namespace = (SELECT namespace FROM experiments WHERE no = $2)"
    );
    let rows = tx.fetch(sql, vec![Arg::list(&ids), run.experiment_no.into()]).await?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.int(1)?))).collect()
}

fn storable(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_can_be_kept() {
        let kept = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5].map(storable);
        assert_eq!(kept, [0.0, f64::MAX, f64::MIN, 0.5]);
    }
}
