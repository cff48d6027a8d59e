//! A request that logs metrics, parameters and tags at once: all of it, or nothing.

use std::collections::HashSet;

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;

use super::service::{check, record};
use super::types::LogBatch;
use crate::Tracking;
use crate::filter::python;
use crate::mlflow::fields::python_json;
use crate::runs::service::put_tags;
use crate::runs::store::{self as runs, RunKey};
use crate::tags::{LONGEST_PARAM, Tag, cut, is_plain_name};

const MOST_METRICS: usize = 1000;
const MOST_PARAMS_OR_TAGS: usize = 100;
const MOST: usize = 1000;
const LONGEST_ID: usize = 256;

impl Tracking {
    /// Logs parameters, points and tags in one transaction.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is too much or bad, for a parameter that would change, or for a deleted run;
    /// [`Error::Missing`] without the run.
    pub async fn log_batch(&self, grant: &Grant, run_id: &str, batch: LogBatch) -> Result<()> {
        check_run_id(run_id)?;
        check_batch(&batch)?;
        let LogBatch { metrics, mut params, tags } = batch;
        params.iter_mut().for_each(|param| cut(&mut param.value, LONGEST_PARAM));
        let tags: Vec<Tag> = tags.into_iter().map(Tag::cut).collect();
        self.change_run(grant, run_id, |run, tx, _, id| {
            Box::pin(async move {
                log_params(tx, run, id, params).await?;
                if !metrics.is_empty() {
                    record(tx, run, metrics).await?;
                }
                if tags.is_empty() { Ok(()) } else { put_tags(tx, run, tags).await }
            })
        })
        .await
    }
}

fn check_run_id(id: &str) -> Result<()> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let starts = id.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && id.chars().all(word) && id.chars().count() <= LONGEST_ID {
        return Ok(());
    }
    let message = format!("Invalid value {} for parameter 'run_id' supplied.", python_json(&id.into()));
    Err(Error::bad_request(message))
}

fn check_batch(LogBatch { metrics, params, tags }: &LogBatch) -> Result<()> {
    for (index, metric) in metrics.iter().enumerate() {
        // The rule at length, and where it is broken, is for the few that may break it.
        if metric.timestamp < 0 || !is_plain_name(&metric.key) {
            check(metric, &format!("metrics[{index}]."))?;
        }
    }
    for (index, param) in params.iter().enumerate() {
        param.check_param(&format!("params[{index}]."))?;
    }
    for (index, tag) in tags.iter().enumerate() {
        tag.check(&format!("tags[{index}]."))?;
    }
    check_count("metrics", MOST_METRICS, metrics.len())?;
    check_count("params", MOST_PARAMS_OR_TAGS, params.len())?;
    check_count("tags", MOST_PARAMS_OR_TAGS, tags.len())?;
    check_count("metrics, params, and tags", MOST, metrics.len() + params.len() + tags.len())?;
    check_distinct(params)
}

fn check_count(what: &str, most: usize, count: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "A batch logging request can contain at most {most} {what}. Got {count} {what}. \
         Please split up {what} across multiple requests and try again."
    )))
}

fn check_distinct(params: &[Tag]) -> Result<()> {
    let mut seen = HashSet::new();
    let repeated: Vec<&str> = params.iter().map(|param| param.key.as_str()).filter(|key| !seen.insert(*key)).collect();
    if repeated.is_empty() {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "Duplicate parameter keys have been submitted: {}. Please ensure the request contains only one param value per param key.",
        python::repr_list(&repeated)
    )))
}

/// Adds the parameters that are not there. Those that are must have the same values.
async fn log_params(tx: &mut Tx, run: RunKey, run_id: &str, mut params: Vec<Tag>) -> Result<()> {
    if params.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = params.iter().map(|param| param.key.as_str()).collect();
    let there = runs::params(tx, run.no, &keys).await?;
    let old = |param: &Tag| there.iter().find(|old| old.key == param.key);
    let changed: Vec<(&Tag, &Tag)> =
        params.iter().filter_map(|new| Some((old(new)?, new))).filter(|(old, new)| old.value != new.value).collect();
    if !changed.is_empty() {
        return Err(would_change(&changed, run_id));
    }
    params.retain(|param| old(param).is_none());
    runs::insert_params(tx, run, &params).await
}

/// Old and new values as the reference prints them.
fn would_change(changed: &[(&Tag, &Tag)], run_id: &str) -> Error {
    let entry = |(old, new): &(&Tag, &Tag)| {
        let [key, old, new] = [&new.key, &old.value, &new.value].map(|text| python::repr(text));
        format!("{{'key': {key}, 'old_value': {old}, 'new_value': {new}}}")
    };
    let entries: Vec<String> = changed.iter().map(entry).collect();
    Error::bad_request(format!(
        "Changing param values is not allowed. Params were already logged='[{}]' for run ID='{run_id}'.",
        entries.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Logged;

    fn message(batch: &LogBatch) -> String {
        check_batch(batch).unwrap_err().to_string()
    }

    #[test]
    fn batches_are_bounded() {
        let point = Logged { key: "k".into(), value: 1.0, timestamp: 1, step: 0, model: None };
        let mut batch = LogBatch { metrics: vec![point; 1001], ..LogBatch::default() };
        assert_eq!(
            message(&batch),
            "A batch logging request can contain at most 1000 metrics. Got 1001 metrics. Please split up metrics across \
             multiple requests and try again."
        );
        batch.metrics.truncate(950);
        batch.params = (0..60).map(|n| Tag::new(format!("p{n}"), "")).collect();
        assert!(
            message(&batch).contains("at most 1000 metrics, params, and tags. Got 1010 metrics, params, and tags.")
        );
        batch.metrics[3].timestamp = -1;
        assert_eq!(
            message(&batch),
            "Invalid value -1 for parameter 'metrics[3].timestamp' supplied: metric 'k' (value=1.0). \
             Timestamp must be a nonnegative long (64-bit integer) "
        );
        let params = vec![Tag::new("x", "1"), Tag::new("x", "2"), Tag::new("x", "2")];
        assert!(message(&LogBatch { params, ..LogBatch::default() }).contains("submitted: ['x', 'x']. Please"));
    }

    #[test]
    fn changed_parameters_are_told_in_python() {
        let (old, new) = (Tag::new("q", "it's"), Tag::new("q", "ä\n\"'"));
        assert_eq!(
            would_change(&[(&old, &new)], "r").to_string(),
            "Changing param values is not allowed. Params were already logged='[{'key': 'q', 'old_value': \"it's\", \
             'new_value': 'ä\\n\"\\''}]' for run ID='r'."
        );
    }

    #[test]
    fn ids_of_runs_are_words() {
        assert!(check_run_id("0123abc_-").is_ok());
        assert_eq!(
            check_run_id("../x").unwrap_err().to_string(),
            "Invalid value \"../x\" for parameter 'run_id' supplied."
        );
        assert!(check_run_id("").is_err() && check_run_id(&"a".repeat(257)).is_err());
    }
}
