//! The rules of traces.

use axum::body::Body;
use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;

use super::assessments::{Assessment, Change};
use super::otlp::Span;
use super::spans::unpack;
use super::store::{self, Columns, TraceKey};
use super::types::{
    ARTIFACTS_TAG, COST, FINALIZED, IN_STORE, LOCATION_TAG, NAME_TAG, NewTrace, SESSION, SIZE_STATS, TraceInfo,
    TraceState, USAGE, check_texts, value_of,
};
use super::usage::{COSTS, TOKENS};
use crate::Tracking;
use crate::experiments::{self, Experiment, ExperimentId};
use crate::purge;
use crate::runs::service::below;
use crate::tags::{LONGEST_KEY, LONGEST_TAG, Tag, check_length, check_name, check_text, cut};

/// Most traces that one request may link or name.
const MOST_LINKS: usize = 100;
/// Tags that only the server sets.
const SYSTEM_TAGS: [&str; 3] = [LOCATION_TAG, "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure"];
/// The one of [`SYSTEM_TAGS`] that clients may delete.
const CLEARABLE: &str = "mlflow.trace.archivalFailure";

/// What to delete of an experiment's traces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deletion {
    pub(crate) until: Option<i64>,
    pub(crate) most: Option<i64>,
    pub(crate) ids: Vec<String>,
}

impl Deletion {
    fn check(&self) -> Result<()> {
        let message = match (self.until, self.most, self.ids.is_empty()) {
            (None, _, true) => "Either `max_timestamp_millis` or `trace_ids` must be specified.".to_owned(),
            (Some(_), _, false) => "Only one of `max_timestamp_millis` and `trace_ids` can be specified.".to_owned(),
            (_, Some(_), false) => "`max_traces` can't be specified if `trace_ids` is specified.".to_owned(),
            (_, Some(most), _) if most <= 0 => format!("`max_traces` must be a positive integer, received {most}."),
            _ => return Ok(()),
        };
        Err(Error::bad_request(message))
    }
}

impl Tracking {
    /// Makes a trace, or adds to one whose spans came first.
    ///
    /// # Errors
    /// [`Error::Missing`] without the experiment, [`Error::BadRequest`] if that is deleted.
    pub async fn start_trace(&self, grant: &Grant, new: NewTrace) -> Result<TraceInfo> {
        let experiment = ExperimentId::parse(&new.experiment)?;
        let new = checked(new)?;
        self.ensure_default(grant).await?;
        let id = new.id.clone();
        let scope = grant.namespace()?.to_owned();
        self.db.write(move |tx| Box::pin(async move { start(tx, &scope, experiment, &new).await })).await?;
        self.trace(grant, &id).await
    }

    /// Begins a trace for a client that does not give ids, and keeps spans in a file.
    ///
    /// # Errors
    /// [`Error::Missing`] without the experiment, [`Error::BadRequest`] for bad tags.
    pub(crate) async fn begin_trace(
        &self,
        grant: &Grant,
        experiment: &str,
        at: i64,
        metadata: Vec<Tag>,
        tags: Vec<Tag>,
    ) -> Result<TraceInfo> {
        let experiment = ExperimentId::parse(experiment)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let new = checked(NewTrace::in_progress(id.clone(), experiment, at, metadata, tags))?;
        self.ensure_default(grant).await?;
        let scope = grant.namespace()?.to_owned();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let trace = insert(tx, &scope, experiment, &new).await?;
                    store::put_pairs(tx, "trace_metadata", trace, &last_of_each(new.metadata)).await
                })
            })
            .await?;
        self.trace(grant, &id).await
    }

    /// Ends a trace; its metadata and tags are added to those that it has.
    ///
    /// # Errors
    /// [`Error::Missing`] without the trace, [`Error::BadRequest`] for bad tags.
    pub(crate) async fn end_trace(
        &self,
        grant: &Grant,
        id: &str,
        at: i64,
        state: TraceState,
        metadata: Vec<Tag>,
        tags: Vec<Tag>,
    ) -> Result<TraceInfo> {
        let new = checked(NewTrace::in_progress(String::new(), ExperimentId(0), at, metadata, tags))?;
        self.change_trace(grant, id, move |key, tx| {
            Box::pin(async move {
                let ended = TraceKey { duration: Some(at.saturating_sub(key.requested_at)), state, ..key };
                store::update_from_spans(tx, &ended, [None, None]).await?;
                store::put_pairs(tx, "trace_tags", ended.no, &last_of_each(new.tags)).await?;
                store::put_pairs(tx, "trace_metadata", ended.no, &last_of_each(new.metadata)).await
            })
        })
        .await?;
        self.trace(grant, id).await
    }

    /// The file with the spans of a trace that has none in the store.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub(crate) async fn trace_file(&self, grant: &Grant, id: &str) -> Result<Body> {
        let absent = || Error::Missing("Trace data not found for path=traces.json".to_owned());
        let trace = self.trace(grant, id).await?;
        let folder = value_of(&trace.tags, ARTIFACTS_TAG).ok_or_else(absent)?;
        let place = self.place_below(grant, folder, "traces.json").map_err(|_| absent())?;
        match self.open_artifact(&place, None).await {
            Ok(object) => Ok(Body::from_stream(object.body)),
            Err(Error::Missing(_)) => Err(absent()),
            Err(error) => Err(error),
        }
    }

    /// The trace without its spans.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn trace(&self, grant: &Grant, id: &str) -> Result<TraceInfo> {
        let found = self.traces(grant, &[id], None).await?.pop();
        found.ok_or_else(|| missing(id))
    }

    /// Those of the traces that there are, in that order; in one of `experiments` only, if those are given.
    pub(crate) async fn traces(
        &self,
        grant: &Grant,
        ids: &[&str],
        experiments: Option<&[ExperimentId]>,
    ) -> Result<Vec<TraceInfo>> {
        let mut view = self.db.snapshot().await?;
        let mut found = store::by_ids(&mut view, grant.namespace()?, ids).await?;
        found.retain(|trace| experiments.is_none_or(|list| list.contains(&trace.experiment)));
        Ok(found)
    }

    /// Traces with their spans. Of those that the client has not sent completely, `partial` gives what there is; others are
    /// left out.
    pub(crate) async fn traces_with_spans(
        &self,
        grant: &Grant,
        ids: &[&str],
        experiments: Option<&[ExperimentId]>,
        partial: bool,
    ) -> Result<Vec<(TraceInfo, Option<Vec<Span>>)>> {
        let mut view = self.db.snapshot().await?;
        let mut found = store::by_ids(&mut view, grant.namespace()?, ids).await?;
        found.retain(|trace| experiments.is_none_or(|list| list.contains(&trace.experiment)));
        let numbers: Vec<i64> = found.iter().map(|trace| trace.no).collect();
        let mut parts = store::parts(&mut view, &numbers).await?;
        drop(view);
        let with_spans = found.into_iter().map(|trace| {
            if value_of(&trace.tags, LOCATION_TAG) != Some(IN_STORE) {
                return Err(Error::WrongState("Trace data not stored in tracking store".to_owned()));
            }
            let spans = unpack(parts.remove(&trace.no).unwrap_or_default().iter().map(Vec::as_slice))?;
            let complete = partial || (!spans.is_empty() && spans.len() >= expected_spans(&trace));
            Ok((trace, complete.then_some(spans)))
        });
        with_spans.collect()
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad tag, [`Error::Missing`] without the trace.
    pub async fn set_trace_tag(&self, grant: &Grant, id: &str, tag: Tag) -> Result<()> {
        check_mutable(&tag.key, "set")?;
        let tag = checked_tag(tag)?;
        self.change_trace(grant, id, move |key, tx| {
            Box::pin(async move { store::put_pairs(tx, "trace_tags", key.no, &[tag]).await })
        })
        .await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such tag.
    pub async fn remove_trace_tag(&self, grant: &Grant, id: &str, key: &str) -> Result<()> {
        check_mutable(key, "deleted")?;
        let (grant, id, key) = (grant.clone(), id.to_owned(), key.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let found = store::find(tx, grant.namespace()?, &id).await?;
                    let removed = match found {
                        Some(trace) => store::remove_tag(tx, trace.no, &key).await?,
                        None => false,
                    };
                    if removed {
                        return Ok(());
                    }
                    Err(Error::Missing(format!("No trace tag with key '{key}' for trace with ID '{id}'")))
                })
            })
            .await
    }

    /// Deletes traces of an experiment with their files; tells how many. What takes too long to clear away is out of reach,
    /// and cleared away later.
    pub(crate) async fn delete_traces(&self, grant: &Grant, experiment: &str, deletion: Deletion) -> Result<usize> {
        deletion.check()?;
        let experiment = ExperimentId::parse(experiment)?;
        let scope = grant.namespace()?.to_owned();
        let grant = grant.clone();
        let deleted = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let scope = grant.namespace()?;
                    let Some(experiment) = experiments::store::find(tx, scope, experiment).await? else { return Ok(0) };
                    let chosen = match deletion.until {
                        Some(until) => {
                            store::oldest(tx, experiment.no, until, deletion.most.unwrap_or(i64::MAX)).await?
                        }
                        None => {
                            let ids: Vec<&str> = deletion.ids.iter().map(String::as_str).collect();
                            let named = store::numbers(tx, scope, &ids).await?;
                            store::within(tx, experiment.no, &named).await?
                        }
                    };
                    purge::remove_traces(tx, scope, &chosen).await?;
                    let what = format!("{} traces", chosen.len());
                    tx.audit(audit::entry(&grant, "delete", &experiment.id.to_string(), "allowed", 200, &what));
                    Ok(chosen.len())
                })
            })
            .await?;
        if deleted > 0 {
            self.clear_traces(&scope).await;
        }
        Ok(deleted)
    }

    /// Links traces to a run, or to something else (`kind`); those that there are not are passed over.
    pub(crate) async fn link_traces(
        &self,
        grant: &Grant,
        ids: Vec<String>,
        kind: i64,
        targets: Vec<String>,
    ) -> Result<()> {
        if ids.len() > MOST_LINKS {
            return Err(Error::bad_request(format!(
                "Cannot link more than {MOST_LINKS} traces to a run in a single request. Provided {} traces.",
                ids.len()
            )));
        }
        check_texts(targets.iter().map(String::as_str))?;
        let scope = grant.namespace()?.to_owned();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
                    let traces = store::numbers(tx, &scope, &ids).await?;
                    store::link(tx, &traces, kind, &targets).await
                })
            })
            .await
    }

    /// Adds an assessment to a trace. The one that it overrides counts no longer.
    pub(crate) async fn assess(&self, grant: &Grant, trace: &str, assessment: Assessment) -> Result<Assessment> {
        let id = trace.to_owned();
        self.change_trace(grant, trace, move |key, tx| {
            Box::pin(async move {
                if let Some(other) = &assessment.overrides
                    && !store::set_valid(tx, key.no, other, false).await?
                {
                    return Err(missing_assessment(other, &id));
                }
                store::put_assessment(tx, key.no, &assessment).await?;
                Ok(assessment)
            })
        })
        .await
    }

    /// An assessment of a trace.
    pub(crate) async fn assessment(&self, grant: &Grant, trace: &str, id: &str) -> Result<Assessment> {
        let found = self.traces(grant, &[trace], None).await?.pop();
        let found = found.ok_or_else(|| missing_for_assessment(trace))?;
        let assessment = found.assessments.into_iter().find(|assessment| assessment.id == id);
        assessment.ok_or_else(|| missing_assessment(id, trace))
    }

    /// Changes an assessment.
    pub(crate) async fn change_assessment(
        &self,
        grant: &Grant,
        trace: &str,
        id: &str,
        change: Change,
    ) -> Result<Assessment> {
        let (grant, trace, id) = (grant.clone(), trace.to_owned(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let key = store::find(tx, grant.namespace()?, &trace).await?;
                    let key = key.ok_or_else(|| missing_for_assessment(&trace))?;
                    let found = store::assessment(tx, key.no, &id).await?;
                    let mut assessment = found.ok_or_else(|| missing_assessment(&id, &trace))?;
                    assessment.apply(change, tx.now())?;
                    store::put_assessment(tx, key.no, &assessment).await?;
                    Ok(assessment)
                })
            })
            .await
    }

    /// Deletes an assessment, if it is there; the one that it replaced counts again.
    pub(crate) async fn remove_assessment(&self, grant: &Grant, trace: &str, id: &str) -> Result<()> {
        let (grant, trace, id) = (grant.clone(), trace.to_owned(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let Some(key) = store::find(tx, grant.namespace()?, &trace).await? else { return Ok(()) };
                    let Some(assessment) = store::assessment(tx, key.no, &id).await? else { return Ok(()) };
                    if let Some(other) = &assessment.overrides {
                        store::set_valid(tx, key.no, other, true).await?;
                    }
                    store::remove_assessment(tx, key.no, &id).await
                })
            })
            .await
    }

    /// Finds a trace and changes what belongs to it in one transaction.
    async fn change_trace<T, F>(&self, grant: &Grant, id: &str, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(TraceKey, &'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (scope, id) = (grant.namespace()?.to_owned(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let key = store::find(tx, &scope, &id).await?.ok_or_else(|| missing(&id))?;
                    change(key, tx).await
                })
            })
            .await
    }
}

async fn start(tx: &mut Tx, scope: &str, experiment: ExperimentId, new: &NewTrace) -> Result<()> {
    let trace = insert(tx, scope, experiment, new).await?;
    let mut metadata = new.metadata.clone();
    metadata.push(Tag::new(FINALIZED, "true"));
    store::put_pairs(tx, "trace_metadata", trace, &last_of_each(metadata)).await?;
    for assessment in &new.assessments {
        store::put_assessment(tx, trace, assessment).await?;
    }
    Ok(())
}

/// Adds a trace with its tags, or changes one whose spans came first; gives its number.
async fn insert(tx: &mut Tx, scope: &str, experiment: ExperimentId, new: &NewTrace) -> Result<i64> {
    tx.lock().await?;
    let experiment = experiments::store::find(tx, scope, experiment).await?.ok_or_else(|| no_experiment(experiment))?;
    experiment.check_active()?;
    let columns = Columns {
        experiment: experiment.no,
        requested_at: new.requested_at,
        duration: new.duration,
        state: new.state,
        client_request_id: new.client_request_id.as_deref(),
        request_preview: new.request_preview.as_deref(),
        response_preview: new.response_preview.as_deref(),
    };
    let trace = match store::find(tx, scope, &new.id).await? {
        Some(key) => {
            store::update(tx, key.no, &columns).await?;
            key.no
        }
        None => store::insert(tx, scope, &new.id, &columns).await?,
    };
    let mut tags = new.tags.clone();
    tags.push(artifacts_tag(&experiment, &new.id));
    store::put_pairs(tx, "trace_tags", trace, &last_of_each(tags)).await?;
    Ok(trace)
}

/// Where files of a trace lie.
pub(super) fn artifacts_tag(experiment: &Experiment, id: &str) -> Tag {
    Tag::new(ARTIFACTS_TAG, below(&experiment.artifact_location, &format!("traces/{id}/artifacts")))
}

/// Sorted by key, the last of those with the same.
pub(super) fn last_of_each(tags: Vec<Tag>) -> Vec<Tag> {
    let by_key: std::collections::BTreeMap<String, String> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    by_key.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

/// A tag that a client sets on its own, whose value is cut.
pub(super) fn checked_tag(mut tag: Tag) -> Result<Tag> {
    check_name(&tag.key, "key")?;
    check_length("key", LONGEST_KEY, &tag.key)?;
    check_text(&tag.value)?;
    if tag.key == NAME_TAG {
        check_length("Trace name", LONGEST_NAME, &tag.value)?;
    }
    cut(&mut tag.value, LONGEST_TAG);
    Ok(tag)
}

/// Longest name of a trace in characters.
const LONGEST_NAME: usize = 4096;
/// Longest id of a trace in characters.
const LONGEST_ID: usize = 50;

fn checked(mut new: NewTrace) -> Result<NewTrace> {
    check_length("trace_id", LONGEST_ID, &new.id)?;
    check_texts(
        [&new.client_request_id, &new.request_preview, &new.response_preview].into_iter().flatten().map(String::as_str),
    )?;
    check_text(&new.id)?;
    for tag in new.tags.iter().chain(&new.metadata) {
        check_length("key", LONGEST_KEY, &tag.key)?;
        check_texts([tag.key.as_str(), tag.value.as_str()])?;
    }
    check_length("Trace name", LONGEST_NAME, value_of(&new.tags, NAME_TAG).unwrap_or_default())?;
    check_length("Session ID", LONGEST_KEY, value_of(&new.metadata, SESSION).unwrap_or_default())?;
    new.tags.retain(|tag| !SYSTEM_TAGS.contains(&tag.key.as_str()));
    for tag in &mut new.tags {
        cut(&mut tag.value, LONGEST_TAG);
    }
    for (key, measure) in [(USAGE, TOKENS), (COST, COSTS)] {
        if let Some(place) = new.metadata.iter().position(|tag| tag.key == key) {
            let given = new.metadata.swap_remove(place);
            new.metadata.extend(measure.normal(&given.value).map(|value| Tag::new(key, value)));
        }
    }
    Ok(new)
}

fn check_mutable(key: &str, done: &str) -> Result<()> {
    if SYSTEM_TAGS.contains(&key) && !(done == "deleted" && key == CLEARABLE) {
        return Err(Error::bad_request(format!("Tag '{key}' is immutable and cannot be {done} on a trace.")));
    }
    Ok(())
}

/// How many spans the client has announced.
fn expected_spans(trace: &TraceInfo) -> usize {
    let stats = value_of(&trace.metadata, SIZE_STATS).and_then(|text| serde_json::from_str(text).ok());
    let spans = stats.and_then(|stats: serde_json::Value| stats["num_spans"].as_u64());
    usize::try_from(spans.unwrap_or_default()).unwrap_or_default()
}

pub(super) fn no_experiment(id: ExperimentId) -> Error {
    Error::Missing(format!("No Experiment with id={id} exists"))
}

fn missing(id: &str) -> Error {
    Error::Missing(format!("Trace with ID '{id}' not found."))
}

fn missing_for_assessment(id: &str) -> Error {
    Error::Missing(format!("Trace with request_id '{id}' not found"))
}

fn missing_assessment(id: &str, trace: &str) -> Error {
    Error::Missing(format!("Assessment with ID '{id}' not found for trace '{trace}'"))
}
