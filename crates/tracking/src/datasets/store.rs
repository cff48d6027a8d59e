//! The tables `datasets`, `dataset_inputs`, `dataset_input_tags` and `run_models`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Snapshot, Tx};

use super::types::{CONTEXT_TAG, Dataset, DatasetInput, DatasetSummary, Lineage, ModelOutput};
use crate::experiments::ExperimentId;
use crate::runs::store::RunKey;
use crate::tags::Tag;

/// Adds datasets that a run read. One that is an input already keeps its tags, one that the experiment knows its
/// description.
pub(crate) async fn insert_inputs(tx: &mut Tx, run: RunKey, inputs: &[DatasetInput]) -> Result<()> {
    for input in inputs {
        let dataset = dataset(tx, run.experiment_no, &input.dataset).await?;
        let sql = "INSERT INTO dataset_inputs (run, dataset) VALUES ($1, $2) ON CONFLICT (run, dataset) DO NOTHING RETURNING no";
        let rows = tx.fetch(sql, vec![run.no.into(), dataset.into()]).await?;
        let Some(row) = rows.first() else { continue };
        let no = row.int(0)?;
        let tags = input.tags.iter().flat_map(|tag| [no.into(), tag.key.as_str().into(), tag.value.as_str().into()]);
        tx.execute_rows("INSERT INTO dataset_input_tags (input, key, value)", 3, tags.collect(), "").await?;
    }
    Ok(())
}

/// The number of a dataset in an experiment, which is described if it was not.
async fn dataset(tx: &mut Tx, experiment: i64, dataset: &Dataset) -> Result<i64> {
    let Dataset { name, digest, source_type, source, schema, profile } = dataset;
    let sql = "SELECT no FROM datasets WHERE experiment = $1 AND name = $2 AND digest = $3";
    let known = tx.fetch(sql, vec![experiment.into(), name.as_str().into(), digest.as_str().into()]).await?;
    if let Some(row) = known.first() {
        return row.int(0);
    }
    let sql = "INSERT INTO datasets (experiment, name, digest, source_type, source, schema, profile) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING no";
    let texts = [name, digest, source_type, source, schema, profile].map(|text| text.as_str().into());
    let args = std::iter::once(experiment.into()).chain(texts).collect();
    let rows = tx.fetch(sql, args).await?;
    rows.first().ok_or_else(|| Error::internal("an insert without a number"))?.int(0)
}

/// Adds models that a run read, or made at a step; the last step of a model counts.
pub(crate) async fn put_models(tx: &mut Tx, run: i64, output: bool, models: &[ModelOutput]) -> Result<()> {
    // A statement may not write a row twice.
    let steps: BTreeMap<&str, i64> = models.iter().map(|model| (model.model_id.as_str(), model.step)).collect();
    let args = steps.into_iter().flat_map(|(id, step)| [run.into(), output.into(), id.into(), step.into()]).collect();
    let replace = "ON CONFLICT (run, output, model) DO UPDATE SET step = excluded.step";
    tx.execute_rows("INSERT INTO run_models (run, output, model, step)", 4, args, replace).await
}

/// What each of the runs read and made.
pub(crate) async fn lineage(view: &mut Snapshot, runs: &[i64]) -> Result<HashMap<i64, Lineage>> {
    let list = view.dialect().numbers(1);
    let mut found: HashMap<i64, Lineage> = HashMap::new();
    let sql =
        format!("SELECT run, output, model, step FROM run_models WHERE run IN {list} ORDER BY run, output, model");
    for row in view.fetch(sql, vec![Arg::list(runs)]).await? {
        let lineage = found.entry(row.int(0)?).or_default();
        let model_id = row.text(2)?.to_owned();
        if row.int(1)? == 0 {
            lineage.models.push(model_id);
        } else {
            lineage.outputs.push(ModelOutput { model_id, step: row.int(3)? });
        }
    }
    let sql = format!("SELECT no, run, dataset FROM dataset_inputs WHERE run IN {list} ORDER BY no");
    let inputs = view.fetch(sql, vec![Arg::list(runs)]).await?;
    if inputs.is_empty() {
        return Ok(found);
    }
    let mut tags = input_tags(view, runs).await?;
    let mut numbers: Vec<i64> = inputs.iter().map(|row| row.int(2)).collect::<Result<_>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    let datasets = datasets(view, &numbers).await?;
    for row in inputs {
        let dataset = datasets.get(&row.int(2)?).cloned().unwrap_or_default();
        let tags = tags.remove(&row.int(0)?).unwrap_or_default();
        found.entry(row.int(1)?).or_default().datasets.push(DatasetInput { tags, dataset });
    }
    Ok(found)
}

async fn input_tags(view: &mut Snapshot, runs: &[i64]) -> Result<HashMap<i64, Vec<Tag>>> {
    let list = view.dialect().numbers(1);
    let sql = format!(
        "SELECT input, key, value FROM dataset_input_tags \
         WHERE input IN (SELECT no FROM dataset_inputs WHERE run IN {list}) ORDER BY input, key"
    );
    let mut found: HashMap<i64, Vec<Tag>> = HashMap::new();
    for row in view.fetch(sql, vec![Arg::list(runs)]).await? {
        found.entry(row.int(0)?).or_default().push(Tag::new(row.text(1)?, row.text(2)?));
    }
    Ok(found)
}

/// Datasets by number. Runs of a page share them, as they may be large.
async fn datasets(view: &mut Snapshot, numbers: &[i64]) -> Result<HashMap<i64, Arc<Dataset>>> {
    let list = view.dialect().numbers(1);
    let sql = format!("SELECT no, name, digest, source_type, source, schema, profile FROM datasets WHERE no IN {list}");
    let rows = view.fetch(sql, vec![Arg::list(numbers)]).await?;
    rows.iter()
        .map(|row| {
            let text = |column| row.text(column).map(str::to_owned);
            let dataset = Dataset {
                name: text(1)?,
                digest: text(2)?,
                source_type: text(3)?,
                source: text(4)?,
                schema: text(5)?,
                profile: text(6)?,
            };
            Ok((row.int(0)?, Arc::new(dataset)))
        })
        .collect()
}

/// The datasets that runs of the experiments read, `most` at most.
pub(crate) async fn summaries(db: &Db, namespace: &str, ids: &[i64], most: i64) -> Result<Vec<DatasetSummary>> {
    let list = db.dialect().numbers(2);
    let sql = format!(
        "SELECT DISTINCT e.id, d.name, d.digest, coalesce(t.value, '') AS context \
         FROM experiments e JOIN datasets d ON d.experiment = e.no JOIN dataset_inputs i ON i.dataset = d.no \
         LEFT JOIN dataset_input_tags t ON t.input = i.no AND t.key = '{CONTEXT_TAG}' \
         WHERE e.namespace = $1 AND e.id IN {list} ORDER BY e.id, d.name, d.digest, context LIMIT $3"
    );
    let rows = db.fetch(sql, vec![namespace.into(), Arg::list(ids), most.into()]).await?;
    rows.iter()
        .map(|row| {
            let text = |column| row.text(column).map(str::to_owned);
            let experiment_id = ExperimentId(row.int(0)?);
            Ok(DatasetSummary { experiment_id, name: text(1)?, digest: text(2)?, context: text(3)? })
        })
        .collect()
}
