//! The tables of traces.

use std::collections::HashMap;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Row, Snapshot, Tx};

use super::assessments::{Assessment, Kind};
use super::types::{TraceInfo, TraceState};
use crate::experiments::ExperimentId;
use crate::tags::{Tag, hash};

/// The columns of a trace, of `traces t` joined with its `experiments e`.
pub(crate) const COLUMNS: &str = "t.no, t.id, e.id, t.requested_at, t.duration, t.state, t.client_request_id, \
                                  t.request_preview, t.response_preview";

/// Reads [`COLUMNS`].
pub(crate) fn read(row: &Row) -> Result<TraceInfo> {
    let text = |column| Ok(row.optional_text(column)?.map(str::to_owned));
    Ok(TraceInfo {
        no: row.int(0)?,
        id: row.text(1)?.to_owned(),
        experiment: ExperimentId(row.int(2)?),
        requested_at: row.int(3)?,
        duration: row.optional_int(4)?,
        state: TraceState::from_number(row.int(5)?),
        client_request_id: text(6).map_err(|error: Error| error)?,
        request_preview: text(7).map_err(|error: Error| error)?,
        response_preview: text(8).map_err(|error: Error| error)?,
        metadata: vec![],
        tags: vec![],
        assessments: vec![],
    })
}

/// The traces with these ids, in that order.
pub(crate) async fn by_ids(view: &mut Snapshot, namespace: &str, ids: &[&str]) -> Result<Vec<TraceInfo>> {
    let list = view.dialect().texts(2);
    let sql = format!(
        "SELECT {COLUMNS} FROM traces t JOIN experiments e ON e.no = t.experiment WHERE t.namespace = $1 AND t.id IN {list}"
    );
    let rows = view.fetch(sql, vec![namespace.into(), Arg::list(ids)]).await?;
    let places: HashMap<&str, usize> = ids.iter().enumerate().rev().map(|(place, id)| (*id, place)).collect();
    let mut infos = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    infos.sort_by_key(|info| places.get(info.id.as_str()).copied());
    assemble(view, infos).await
}

/// Adds to traces what belongs to them: a query for each kind of thing, however many traces there are.
pub(crate) async fn assemble(view: &mut Snapshot, mut infos: Vec<TraceInfo>) -> Result<Vec<TraceInfo>> {
    if infos.is_empty() {
        return Ok(infos);
    }
    let numbers: Vec<i64> = infos.iter().map(|info| info.no).collect();
    let mut tags = pairs(view, "trace_tags", &numbers).await?;
    let mut metadata = pairs(view, "trace_metadata", &numbers).await?;
    let mut said = assessments(view, &numbers).await?;
    for info in &mut infos {
        info.tags = tags.remove(&info.no).unwrap_or_default();
        info.metadata = metadata.remove(&info.no).unwrap_or_default();
        info.assessments = said.remove(&info.no).unwrap_or_default();
    }
    Ok(infos)
}

async fn pairs(view: &mut Snapshot, table: &str, traces: &[i64]) -> Result<HashMap<i64, Vec<Tag>>> {
    let list = view.dialect().numbers(1);
    let sql = format!("SELECT trace, key, value FROM {table} WHERE trace IN {list} ORDER BY trace, key");
    let mut found: HashMap<i64, Vec<Tag>> = HashMap::with_capacity(traces.len());
    for row in view.fetch(sql, vec![Arg::list(traces)]).await? {
        found.entry(row.int(0)?).or_default().push(Tag::new(row.text(1)?, row.text(2)?));
    }
    Ok(found)
}

/// The parts of spans of traces.
pub(crate) async fn parts(view: &mut Snapshot, traces: &[i64]) -> Result<HashMap<i64, Vec<Vec<u8>>>> {
    let list = view.dialect().numbers(1);
    let sql = format!("SELECT trace, spans FROM trace_spans WHERE trace IN {list} ORDER BY trace, part");
    let mut found: HashMap<i64, Vec<Vec<u8>>> = HashMap::with_capacity(traces.len());
    for row in view.fetch(sql, vec![Arg::list(traces)]).await? {
        found.entry(row.int(0)?).or_default().push(row.bytes(1)?.to_vec());
    }
    Ok(found)
}

/// The parts of spans of one trace.
pub(crate) async fn parts_of(tx: &mut Tx, trace: i64) -> Result<Vec<Vec<u8>>> {
    let sql = "SELECT spans FROM trace_spans WHERE trace = $1 ORDER BY part";
    tx.fetch(sql, vec![trace.into()]).await?.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec)).collect()
}

/// Adds a part of spans.
pub(crate) async fn add_part(tx: &mut Tx, trace: i64, spans: Vec<u8>) -> Result<()> {
    let sql = "INSERT INTO trace_spans (trace, part, spans) \
               SELECT $1, coalesce(max(part), 0) + 1, $2 FROM trace_spans WHERE trace = $1";
    tx.execute(sql, vec![trace.into(), spans.into()]).await.map(drop)
}

/// A trace as writes need it.
#[derive(Debug, Clone)]
pub(crate) struct TraceKey {
    pub(crate) no: i64,
    pub(crate) requested_at: i64,
    pub(crate) duration: Option<i64>,
    pub(crate) state: TraceState,
}

/// Finds a trace.
pub(crate) async fn find(tx: &mut Tx, namespace: &str, id: &str) -> Result<Option<TraceKey>> {
    let sql = "SELECT no, requested_at, duration, state FROM traces WHERE namespace = $1 AND id = $2";
    let rows = tx.fetch(sql, vec![namespace.into(), id.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(TraceKey {
        no: row.int(0)?,
        requested_at: row.int(1)?,
        duration: row.optional_int(2)?,
        state: TraceState::from_number(row.int(3)?),
    }))
}

/// What a row of `traces` holds.
#[derive(Debug, Clone)]
pub(crate) struct Columns<'c> {
    pub(crate) experiment: i64,
    pub(crate) requested_at: i64,
    pub(crate) duration: Option<i64>,
    pub(crate) state: TraceState,
    pub(crate) client_request_id: Option<&'c str>,
    pub(crate) request_preview: Option<&'c str>,
    pub(crate) response_preview: Option<&'c str>,
}

fn optional(text: Option<&str>) -> Arg {
    Arg::OptionalText(text.map(std::sync::Arc::from))
}

/// Adds a trace; the database gives its number.
pub(crate) async fn insert(tx: &mut Tx, namespace: &str, id: &str, columns: &Columns<'_>) -> Result<i64> {
    let sql = "INSERT INTO traces (namespace, id, experiment, requested_at, duration, state, client_request_id, \
               request_preview, response_preview) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING no";
    let args = vec![
        namespace.into(),
        id.into(),
        columns.experiment.into(),
        columns.requested_at.into(),
        columns.duration.into(),
        (columns.state as i64).into(),
        optional(columns.client_request_id),
        optional(columns.request_preview),
        optional(columns.response_preview),
    ];
    let rows = tx.fetch(sql, args).await?;
    rows.first().ok_or_else(|| Error::internal("an insert without a number"))?.int(0)
}

/// Changes a trace; a preview that is absent stays.
pub(crate) async fn update(tx: &mut Tx, trace: i64, columns: &Columns<'_>) -> Result<()> {
    let sql = "UPDATE traces SET experiment = $2, requested_at = $3, duration = $4, state = $5, client_request_id = $6, \
               request_preview = coalesce($7, request_preview), response_preview = coalesce($8, response_preview) WHERE no = $1";
    let args = vec![
        trace.into(),
        columns.experiment.into(),
        columns.requested_at.into(),
        columns.duration.into(),
        (columns.state as i64).into(),
        optional(columns.client_request_id),
        optional(columns.request_preview),
        optional(columns.response_preview),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Changes what spans tell of a trace.
pub(crate) async fn update_from_spans(tx: &mut Tx, key: &TraceKey, previews: [Option<&str>; 2]) -> Result<()> {
    let sql = "UPDATE traces SET requested_at = $2, duration = $3, state = $4, request_preview = coalesce(request_preview, $5), \
               response_preview = coalesce(response_preview, $6) WHERE no = $1";
    let [request, response] = previews.map(optional);
    let args =
        vec![key.no.into(), key.requested_at.into(), key.duration.into(), (key.state as i64).into(), request, response];
    tx.execute(sql, args).await.map(drop)
}

/// Sets tags or metadata (`table`), whose keys must differ.
pub(crate) async fn put_pairs(tx: &mut Tx, table: &str, trace: i64, pairs: &[Tag]) -> Result<()> {
    let rows = pairs
        .iter()
        .flat_map(|pair| [trace.into(), pair.key.as_str().into(), pair.value.as_str().into(), hash(&pair.value).into()])
        .collect();
    let before = format!("INSERT INTO {table} (trace, key, value, hash)");
    tx.execute_rows(
        &before,
        4,
        rows,
        "ON CONFLICT (trace, key) DO UPDATE SET value = excluded.value, hash = excluded.hash",
    )
    .await
}

/// The metadata of a trace.
pub(crate) async fn metadata(tx: &mut Tx, trace: i64) -> Result<Vec<Tag>> {
    let rows = tx.fetch("SELECT key, value FROM trace_metadata WHERE trace = $1", vec![trace.into()]).await?;
    rows.iter().map(|row| Ok(Tag::new(row.text(0)?, row.text(1)?))).collect()
}

/// Removes a tag; tells whether it was there.
pub(crate) async fn remove_tag(tx: &mut Tx, trace: i64, key: &str) -> Result<bool> {
    let sql = "DELETE FROM trace_tags WHERE trace = $1 AND key = $2";
    Ok(tx.execute(sql, vec![trace.into(), key.into()]).await? > 0)
}

/// Kind of a link to a run.
pub(crate) const RUN: i64 = 1;
/// Kind of a link to a version of a prompt.
pub(crate) const PROMPT: i64 = 2;

/// Links a trace to something, once.
pub(crate) async fn link(tx: &mut Tx, traces: &[i64], kind: i64, targets: &[&str]) -> Result<()> {
    let rows = traces
        .iter()
        .flat_map(|trace| targets.iter().flat_map(move |target| [(*trace).into(), kind.into(), (*target).into()]))
        .collect();
    tx.execute_rows("INSERT INTO trace_links (trace, kind, target)", 3, rows, "ON CONFLICT DO NOTHING").await
}

/// The numbers of traces by their ids.
pub(crate) async fn numbers(tx: &mut Tx, namespace: &str, ids: &[&str]) -> Result<Vec<i64>> {
    let list = tx.dialect().texts(2);
    let sql = format!("SELECT no FROM traces WHERE namespace = $1 AND id IN {list}");
    tx.fetch(sql, vec![namespace.into(), Arg::list(ids)]).await?.iter().map(|row| row.int(0)).collect()
}

/// The numbers of the oldest traces of an experiment, up to a time.
pub(crate) async fn oldest(tx: &mut Tx, experiment: i64, until: i64, most: i64) -> Result<Vec<i64>> {
    let sql = "SELECT no FROM traces WHERE experiment = $1 AND requested_at <= $2 ORDER BY requested_at, id LIMIT $3";
    tx.fetch(sql, vec![experiment.into(), until.into(), most.into()]).await?.iter().map(|row| row.int(0)).collect()
}

/// Of these traces, those that are in the experiment.
pub(crate) async fn within(tx: &mut Tx, experiment: i64, traces: &[i64]) -> Result<Vec<i64>> {
    let list = tx.dialect().numbers(2);
    let sql = format!("SELECT no FROM traces WHERE experiment = $1 AND no IN {list}");
    tx.fetch(sql, vec![experiment.into(), Arg::list(traces)]).await?.iter().map(|row| row.int(0)).collect()
}

const ASSESSMENT: &str = "trace, id, kind, name, value, valid, overrides, created_at, updated_at, details";

fn read_assessment(row: &Row) -> Result<Assessment> {
    Ok(Assessment {
        id: row.text(1)?.to_owned(),
        kind: Kind::from_number(row.int(2)?)?,
        name: row.text(3)?.to_owned(),
        value: serde_json::from_str(row.text(4)?).map_err(Error::internal)?,
        valid: row.int(5)? != 0,
        overrides: row.optional_text(6)?.map(str::to_owned),
        created_at: row.int(7)?,
        updated_at: row.int(8)?,
        details: serde_json::from_str(row.text(9)?).map_err(Error::internal)?,
    })
}

async fn assessments(view: &mut Snapshot, traces: &[i64]) -> Result<HashMap<i64, Vec<Assessment>>> {
    let list = view.dialect().numbers(1);
    let sql = format!("SELECT {ASSESSMENT} FROM trace_assessments WHERE trace IN {list} ORDER BY no");
    let mut found: HashMap<i64, Vec<Assessment>> = HashMap::new();
    for row in view.fetch(sql, vec![Arg::list(traces)]).await? {
        found.entry(row.int(0)?).or_default().push(read_assessment(&row)?);
    }
    Ok(found)
}

/// An assessment of a trace.
pub(crate) async fn assessment(tx: &mut Tx, trace: i64, id: &str) -> Result<Option<Assessment>> {
    let sql = format!("SELECT {ASSESSMENT} FROM trace_assessments WHERE trace = $1 AND id = $2");
    tx.fetch(sql, vec![trace.into(), id.into()]).await?.first().map(read_assessment).transpose()
}

/// Sets an assessment. What searches compare is computed here: the value as JSON, and as a number if it is one.
pub(crate) async fn put_assessment(tx: &mut Tx, trace: i64, assessment: &Assessment) -> Result<()> {
    let sql = "INSERT INTO trace_assessments (trace, id, kind, name, value, number, valid, session, overrides, created_at, \
               updated_at, details) VALUES ($1, $2, $3, $4, $5, CAST($6 AS DOUBLE PRECISION), $7, $8, $9, $10, $11, $12) \
               ON CONFLICT (trace, id) DO UPDATE SET name = excluded.name, value = excluded.value, number = excluded.number, \
               valid = excluded.valid, session = excluded.session, updated_at = excluded.updated_at, details = excluded.details";
    let number = assessment.value.as_f64().map(super::spans::double);
    let details = serde_json::to_string(&assessment.details).map_err(Error::internal)?;
    let args = vec![
        trace.into(),
        assessment.id.as_str().into(),
        (assessment.kind as i64).into(),
        assessment.name.as_str().into(),
        super::python_json(&assessment.value).into(),
        optional(number.as_deref()),
        assessment.valid.into(),
        assessment.of_session().into(),
        optional(assessment.overrides.as_deref()),
        assessment.created_at.into(),
        assessment.updated_at.into(),
        details.into(),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Says whether an assessment counts; tells whether it is there.
pub(crate) async fn set_valid(tx: &mut Tx, trace: i64, id: &str, valid: bool) -> Result<bool> {
    let sql = "UPDATE trace_assessments SET valid = $3 WHERE trace = $1 AND id = $2";
    Ok(tx.execute(sql, vec![trace.into(), id.into(), valid.into()]).await? > 0)
}

/// Deletes an assessment.
pub(crate) async fn remove_assessment(tx: &mut Tx, trace: i64, id: &str) -> Result<()> {
    let sql = "DELETE FROM trace_assessments WHERE trace = $1 AND id = $2";
    tx.execute(sql, vec![trace.into(), id.into()]).await.map(drop)
}
