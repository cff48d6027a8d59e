//! The rules of metrics.

use std::collections::BTreeMap;

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;

use super::merge::merge;
use super::sample::sample;
use super::store::{self, Wanted};
use super::types::{Logged, Measured, Point};
use crate::Tracking;
use crate::filter::python;
use crate::logged_models::{self, ModelMetric};
use crate::runs::store::RunKey;
use crate::tags::{LONGEST_KEY, check_length, check_name};

/// A point with the run that logged it.
#[derive(Debug, Clone)]
pub struct RunPoint {
    /// Id of the run.
    pub run: String,
    /// The point.
    pub point: Point,
}

impl Tracking {
    /// Logs a point; one that is there already changes nothing.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad name or time, or for a deleted run; [`Error::Missing`] without the run.
    pub async fn log_metric(&self, grant: &Grant, run_id: &str, logged: Logged) -> Result<()> {
        check(&logged, "")?;
        self.change_run(grant, run_id, |run, tx, _, _| Box::pin(async move { record(tx, run, vec![logged]).await }))
            .await
    }

    /// A page of the points of a run's metric in the order of time, and whether more follow. A run or a metric that is not
    /// there has none.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn metric_history(
        &self,
        grant: &Grant,
        run_id: &str,
        key: &str,
        offset: usize,
        limit: Option<usize>,
    ) -> Result<(Vec<Point>, bool)> {
        let mut view = self.db.snapshot().await?;
        let run = store::numbers(&mut view, grant.namespace()?, &[run_id]).await?.into_values().next();
        let Some(run) = run else { return Ok((vec![], false)) };
        let mut points = store::history(&mut view, run, key).await?;
        points.sort_by(Point::by_time);
        points.drain(..offset.min(points.len()));
        let more = limit.is_some_and(|limit| points.len() > limit);
        points.truncate(limit.unwrap_or(usize::MAX));
        Ok((points, more))
    }

    /// The points of a metric in several runs, by id of the run and in the order of time, `most` altogether.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn metric_histories(
        &self,
        grant: &Grant,
        runs: &[&str],
        key: &str,
        most: usize,
    ) -> Result<Vec<RunPoint>> {
        let mut view = self.db.snapshot().await?;
        let numbers: BTreeMap<String, i64> =
            store::numbers(&mut view, grant.namespace()?, runs).await?.into_iter().collect();
        let mut found = Vec::new();
        for (run, no) in numbers {
            if found.len() >= most {
                break;
            }
            let mut points = store::history(&mut view, no, key).await?;
            points.sort_by(Point::by_time);
            points.truncate(most - found.len());
            found.extend(points.into_iter().map(|point| RunPoint { run: run.clone(), point }));
        }
        Ok(found)
    }

    /// At most `most` points of a metric in each of several runs, evenly over all of them or over a range of steps.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn metric_samples(
        &self,
        grant: &Grant,
        runs: &[&str],
        key: &str,
        range: Option<(i64, i64)>,
        most: usize,
    ) -> Result<Vec<RunPoint>> {
        let mut view = self.db.snapshot().await?;
        let numbers = store::numbers(&mut view, grant.namespace()?, runs).await?;
        let mut found = Vec::new();
        for run in runs {
            let Some(no) = numbers.get(*run) else { continue };
            let points = match range {
                Some(range) => store::steps(&mut view, *no, key, range).await?,
                None => store::history(&mut view, *no, key).await?,
            };
            let run_point = |point| RunPoint { run: (*run).to_owned(), point };
            found.extend(sample(points, most).into_iter().map(run_point));
        }
        Ok(found)
    }
}

/// Checks a point at `path` in the request, such as `metrics[0].`.
pub(super) fn check(logged: &Logged, path: &str) -> Result<()> {
    check_name(&logged.key, &format!("{path}name"))?;
    if logged.timestamp < 0 {
        return Err(Error::bad_request(format!(
            "Invalid value {} for parameter '{path}timestamp' supplied: metric '{}' (value={}). \
             Timestamp must be a nonnegative long (64-bit integer) ",
            logged.timestamp,
            logged.key,
            python::repr_float(logged.value)
        )));
    }
    check_length("Metric name", LONGEST_KEY, &logged.key)
}

/// Adds points to a run, and to the models that they were measured of.
pub(super) async fn record(tx: &mut Tx, run: RunKey, logged: Vec<Logged>) -> Result<()> {
    let mut by_key: BTreeMap<&str, Vec<Point>> = BTreeMap::new();
    for Logged { key, value, timestamp, step, .. } in &logged {
        by_key.entry(key).or_default().push(Point::new(*timestamp, *step, *value));
    }
    let keys: Vec<&str> = by_key.keys().copied().collect();
    let mut known = store::known(tx, run, &keys).await?;
    let wanted: Vec<Wanted<'_>> = by_key
        .iter()
        .filter_map(|(key, points)| Some((*key, known.get(*key)?, points)))
        .filter(|(_, known, points)| known.may_repeat(points))
        .map(|(key, known, points)| Wanted::of(key, known, points))
        .collect();
    let closed = store::closed(tx, run, &wanted).await?;
    let mut changes = Vec::with_capacity(by_key.len());
    for (key, points) in by_key {
        let closed = closed.get(key).map(Vec::as_slice).unwrap_or_default();
        changes.extend(merge(known.remove(key), closed, &points).map(|change| (key, change)));
    }
    store::write(tx, run, &changes).await?;
    // Points that name a model are points of that model too.
    let of_models: Vec<ModelMetric> = logged.into_iter().filter_map(of_model).collect();
    logged_models::record_metrics(tx, run, &of_models).await
}

fn of_model(logged: Logged) -> Option<ModelMetric> {
    let Logged { key, value, timestamp, step, model } = logged;
    let Measured { model, dataset_name, dataset_digest } = model?;
    Some(ModelMetric { model, key, value, timestamp, step, dataset_name, dataset_digest })
}
