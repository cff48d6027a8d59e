//! The tables `metric_latest` and `metric_chunks`.

use std::collections::HashMap;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Batch, Row, Snapshot, Tx};
use serde::Serialize;

use super::chunk;
use super::merge::{Change, FULL, Known};
use super::types::{Metric, Point};
use crate::runs::store::RunKey;

fn broken(_: chunk::Broken) -> Error {
    Error::internal("a chunk of points can't be read")
}

/// The value of a point from the columns that hold it.
fn value(row: &Row, value: usize, nan: usize) -> Result<f64> {
    if row.int(nan)? != 0 { Ok(f64::NAN) } else { row.float(value) }
}

/// What there is of those metrics of a run, with their open chunks.
pub(super) async fn known(tx: &mut Tx, run: RunKey, keys: &[&str]) -> Result<HashMap<String, Known>> {
    const QUERY: &str = "SELECT l.key, l.step, l.recorded_at, l.value, l.nan, l.points, l.chunks, l.closed_to, \
                                coalesce(c.data, '') \
                         FROM metric_latest l \
                         LEFT JOIN metric_chunks c ON c.run = l.run AND c.key = l.key AND c.no = l.chunks - 1 \
                         WHERE l.run = $1 AND l.key ";
    let (sql, arg) = match keys {
        [key] => (format!("{QUERY} = $2"), Arg::from(*key)),
        keys => (format!("{QUERY} IN {}", tx.dialect().texts(2)), Arg::list(keys)),
    };
    let mut found = HashMap::with_capacity(keys.len());
    for row in tx.fetch(sql, vec![run.no.into(), arg]).await? {
        let latest = Point { step: row.int(1)?, timestamp: row.int(2)?, value: value(&row, 3, 4)? };
        let mut open = Vec::new();
        let chunks = row.int(6)?;
        if chunks > 0 {
            chunk::decode(row.bytes(8)?, &mut open).map_err(broken)?;
        }
        let known = Known { latest, points: row.int(5)?, chunks, closed_to: row.int(7)?, open };
        found.insert(row.text(0)?.to_owned(), known);
    }
    Ok(found)
}

/// In which closed chunks of a metric points may be.
#[derive(Debug, Serialize)]
pub(super) struct Wanted<'k> {
    key: &'k str,
    open: i64,
    from_at: i64,
    to_at: i64,
    from_step: i64,
    to_step: i64,
}

impl<'k> Wanted<'k> {
    /// Those in which one of `points` may be.
    pub(super) fn of(key: &'k str, known: &Known, points: &[Point]) -> Self {
        let (times, steps) = (points.iter().map(|point| point.timestamp), points.iter().map(|point| point.step));
        Self {
            key,
            open: known.chunks - 1,
            from_at: times.clone().min().unwrap_or_default(),
            to_at: times.max().unwrap_or_default(),
            from_step: steps.clone().min().unwrap_or_default(),
            to_step: steps.max().unwrap_or_default(),
        }
    }
}

/// The points of closed chunks of a run, by key.
pub(super) async fn closed(tx: &mut Tx, run: RunKey, wanted: &[Wanted<'_>]) -> Result<HashMap<String, Vec<Point>>> {
    let mut found: HashMap<String, Vec<Point>> = HashMap::with_capacity(wanted.len());
    if wanted.is_empty() {
        return Ok(found);
    }
    let columns = ["open", "from_at", "to_at", "from_step", "to_step"].map(|name| (name, "bigint"));
    let list = tx.dialect().records(2, &[&[("key", "text")], &columns[..]].concat());
    // In the words of the index by time; `+` keeps SQLite from walking all chunks of the key instead.
    let sql = format!(
        "SELECT c.key, c.data FROM {list} w CROSS JOIN metric_chunks c WHERE c.run = $1 AND c.key = w.key \
         AND c.last_at >= w.from_at AND c.first_at <= w.to_at AND c.points >= {FULL} AND +c.no < w.open \
         AND c.last_step >= w.from_step AND c.first_step <= w.to_step"
    );
    for row in tx.fetch(sql, vec![run.no.into(), Arg::list(wanted)]).await? {
        let key = row.text(0)?;
        let points = match found.get_mut(key) {
            Some(points) => points,
            None => found.entry(key.to_owned()).or_default(),
        };
        chunk::decode(row.bytes(1)?, points).map_err(broken)?;
    }
    Ok(found)
}

fn decoded(rows: &[Row]) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for row in rows {
        chunk::decode(row.bytes(0)?, &mut points).map_err(broken)?;
    }
    Ok(points)
}

/// Writes what changed of a run's metrics, each key once.
pub(super) async fn write(tx: &mut Tx, run: RunKey, changes: &[(&str, Change)]) -> Result<()> {
    let (mut latest, mut chunks) = (Vec::with_capacity(changes.len() * 10), Vec::new());
    for (key, change) in changes {
        let point = change.latest;
        latest.extend([
            run.no.into(),
            (*key).into(),
            run.experiment_no.into(),
            point.step.into(),
            point.timestamp.into(),
            point.comparable().into(),
            point.value.is_nan().into(),
            change.points.into(),
            change.chunks.into(),
            change.closed_to.into(),
        ]);
        for (number, points) in &change.written {
            chunks.extend([run.no.into(), (*key).into(), (*number).into()]);
            let bounds = [
                points.iter().map(|point| point.timestamp).min(),
                points.iter().map(|point| point.timestamp).max(),
                points.iter().map(|point| point.step).min(),
                points.iter().map(|point| point.step).max(),
                Some(points.len() as i64),
            ];
            chunks.extend(bounds.map(|bound| Arg::from(bound.unwrap_or_default())));
            chunks.push(chunk::encode(points).into());
        }
    }
    let mut batch = Batch::new(tx.dialect());
    batch.rows(
        "INSERT INTO metric_latest (run, key, experiment, step, recorded_at, value, nan, points, chunks, closed_to)",
        10,
        latest,
        "ON CONFLICT (run, key) DO UPDATE SET step = excluded.step, recorded_at = excluded.recorded_at, \
         value = excluded.value, nan = excluded.nan, points = excluded.points, chunks = excluded.chunks, \
         closed_to = excluded.closed_to",
    );
    batch.rows(
        "INSERT INTO metric_chunks (run, key, no, first_at, last_at, first_step, last_step, points, data)",
        9,
        chunks,
        "ON CONFLICT (run, key, no) DO UPDATE SET first_at = excluded.first_at, last_at = excluded.last_at, \
         first_step = excluded.first_step, last_step = excluded.last_step, points = excluded.points, data = excluded.data",
    );
    tx.execute_batch(batch).await
}

/// All points of a run's metric, in no order.
pub(super) async fn history(view: &mut Snapshot, run: i64, key: &str) -> Result<Vec<Point>> {
    let sql = "SELECT data FROM metric_chunks WHERE run = $1 AND key = $2 ORDER BY no";
    let points = decoded(&view.fetch(sql, vec![run.into(), key.into()]).await?)?;
    if points.is_empty() { only(view, run, key).await } else { Ok(points) }
}

/// The point of a metric that has one, and no chunk.
async fn only(view: &mut Snapshot, run: i64, key: &str) -> Result<Vec<Point>> {
    let sql = "SELECT step, recorded_at, value, nan FROM metric_latest WHERE run = $1 AND key = $2 AND chunks = 0";
    let rows = view.fetch(sql, vec![run.into(), key.into()]).await?;
    rows.iter().map(|row| Ok(Point { step: row.int(0)?, timestamp: row.int(1)?, value: value(row, 2, 3)? })).collect()
}

/// The points of a run's metric with steps in a range, in no order.
pub(super) async fn steps(view: &mut Snapshot, run: i64, key: &str, (from, to): (i64, i64)) -> Result<Vec<Point>> {
    let sql = "SELECT data FROM metric_chunks WHERE run = $1 AND key = $2 AND last_step >= $3 AND first_step <= $4 ORDER BY no";
    let args = vec![run.into(), key.into(), from.into(), to.into()];
    let mut points = decoded(&view.fetch(sql, args).await?)?;
    if points.is_empty() {
        points = only(view, run, key).await?;
    }
    points.retain(|point| (from..=to).contains(&point.step));
    Ok(points)
}

/// The database's numbers of runs of a namespace, by id.
pub(super) async fn numbers(view: &mut Snapshot, namespace: &str, runs: &[&str]) -> Result<HashMap<String, i64>> {
    let sql = format!("SELECT id, no FROM runs WHERE namespace = $1 AND id IN {}", view.dialect().texts(2));
    let rows = view.fetch(sql, vec![namespace.into(), Arg::list(runs)]).await?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.int(1)?))).collect()
}

/// The latest points of runs, by run and in the order of keys.
pub(crate) async fn latest(view: &mut Snapshot, runs: &[i64]) -> Result<HashMap<i64, Vec<Metric>>> {
    let list = view.dialect().numbers(1);
    let sql = format!(
        "SELECT run, key, step, recorded_at, value, nan FROM metric_latest WHERE run IN {list} ORDER BY run, key"
    );
    let mut found: HashMap<i64, Vec<Metric>> = HashMap::with_capacity(runs.len());
    for row in view.fetch(sql, vec![Arg::list(runs)]).await? {
        let point = Point { step: row.int(2)?, timestamp: row.int(3)?, value: value(&row, 4, 5)? };
        found.entry(row.int(0)?).or_default().push(Metric { key: row.text(1)?.to_owned(), point });
    }
    Ok(found)
}
