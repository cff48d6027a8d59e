//! Spans that arrive, from whoever speaks OpenTelemetry: to traces, and what the spans tell of them.

use std::collections::BTreeMap;

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;

use super::otlp::{Any, ExportRequest, KeyValue, Resource, Span};
use super::preview::preview;
use super::semantics::translate;
use super::service::{artifacts_tag, checked_tag, last_of_each, no_experiment};
use super::spans::{dumped, hex, pack, unpack};
use super::store::{self, Columns, TraceKey};
use super::types::{COST, FINALIZED, IN_STORE, LOCATION_TAG, SESSION, TraceState, USAGE, USER, value_of};
use super::usage::{COSTS, TOKENS};
use crate::Tracking;
use crate::experiments::{self, ExperimentId};
use crate::tags::{LONGEST_KEY, Tag, check_length, check_text};

/// Attribute with the id of the trace, as clients of this dialect know it.
const REQUEST_ID: &str = "mlflow.traceRequestId";
const INPUTS: &str = "mlflow.spanInputs";
const OUTPUTS: &str = "mlflow.spanOutputs";
/// Attributes of a root span that are tags of the trace.
const TAG_PREFIX: &str = "mlflow.traceTag.";
const SESSIONS: [&str; 2] = ["session.id", "gen_ai.conversation.id"];

/// The spans of one trace in one request, with what they tell.
#[derive(Debug, Clone, Default)]
struct Arrival {
    spans: Vec<Span>,
    started_at: i64,
    ended_at: Option<i64>,
    /// Known once the root has come.
    state: Option<TraceState>,
    previews: [Option<String>; 2],
    session: Option<String>,
    user: Option<String>,
    tags: Vec<Tag>,
}

impl Tracking {
    /// Takes in spans; traces that there are not yet are made in the experiment. Gives the ids of the traces whose root came.
    pub(crate) async fn take_spans(&self, grant: &Grant, experiment: &str, arrivals: Arrivals) -> Result<Vec<String>> {
        let Arrivals(arrivals) = arrivals;
        if arrivals.is_empty() {
            return Ok(vec![]);
        }
        let experiment = ExperimentId::parse(experiment)?;
        self.ensure_default(grant).await?;
        let scope = grant.namespace()?.to_owned();
        let rooted = arrivals.iter().filter(|(_, arrival)| arrival.state.is_some()).map(|(id, _)| id.clone()).collect();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    for (id, arrival) in arrivals {
                        take(tx, &scope, experiment, &id, arrival).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(rooted)
    }
}

async fn take(tx: &mut Tx, scope: &str, experiment: ExperimentId, id: &str, arrival: Arrival) -> Result<()> {
    let mut tags = arrival.tags;
    let state = arrival.state;
    let (key, fresh) = match store::find(tx, scope, id).await? {
        Some(key) => (key, false),
        None => {
            let experiment =
                experiments::store::find(tx, scope, experiment).await?.ok_or_else(|| no_experiment(experiment))?;
            let key = TraceKey {
                no: 0,
                requested_at: arrival.started_at,
                duration: arrival.ended_at.map(|end| end - arrival.started_at),
                state: state.unwrap_or(TraceState::InProgress),
            };
            let columns = Columns {
                experiment: experiment.no,
                requested_at: key.requested_at,
                duration: key.duration,
                state: key.state,
                client_request_id: None,
                request_preview: None,
                response_preview: None,
            };
            tags.push(artifacts_tag(&experiment, id));
            let no = store::insert(tx, scope, id, &columns).await?;
            (TraceKey { no, ..key }, true)
        }
    };
    let known = if fresh { vec![] } else { store::metadata(tx, key.no).await? };
    let updated = merged(key, arrival.started_at, arrival.ended_at, state, value_of(&known, FINALIZED).is_some());
    let [request, response] = &arrival.previews;
    store::update_from_spans(tx, &updated, [request.as_deref(), response.as_deref()]).await?;

    let mut metadata = Vec::new();
    for (name, value) in [(SESSION, arrival.session), (USER, arrival.user)] {
        metadata.extend(value.filter(|_| value_of(&known, name).is_none()).map(|value| Tag::new(name, value)));
    }
    metadata.extend(measures(tx, updated.no, fresh, &known, &arrival.spans).await?);
    store::put_pairs(tx, "trace_metadata", updated.no, &last_of_each(metadata)).await?;
    tags.push(Tag::new(LOCATION_TAG, IN_STORE));
    store::put_pairs(tx, "trace_tags", updated.no, &last_of_each(tags)).await?;
    store::add_part(tx, updated.no, pack(arrival.spans)?).await
}

/// The trace with what the spans tell; if the client has told of it, its times are the client's.
fn merged(
    key: TraceKey,
    started_at: i64,
    ended_at: Option<i64>,
    state: Option<TraceState>,
    finalized: bool,
) -> TraceKey {
    let open = matches!(key.state, TraceState::InProgress | TraceState::Unspecified);
    let state = state.filter(|_| open).unwrap_or(key.state);
    if finalized {
        return TraceKey { state, ..key };
    }
    let requested_at = key.requested_at.min(started_at);
    let end = key.duration.map(|duration| key.requested_at + duration).max(ended_at);
    TraceKey { requested_at, duration: end.map(|end| end - requested_at), state, ..key }
}

/// Tokens and costs of the whole trace, unless the client has told them.
async fn measures(tx: &mut Tx, trace: i64, fresh: bool, known: &[Tag], arrived: &[Span]) -> Result<Vec<Tag>> {
    let told = value_of(known, FINALIZED).is_some();
    let wanted: Vec<_> = [(USAGE, TOKENS), (COST, COSTS)]
        .into_iter()
        .filter(|(key, measure)| measure.in_any(arrived) && !(told && value_of(known, key).is_some()))
        .collect();
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    let mut parts = if fresh { vec![] } else { store::parts_of(tx, trace).await? };
    parts.push(pack(arrived.to_vec())?);
    let spans = unpack(parts.iter().map(Vec::as_slice))?;
    Ok(wanted.iter().filter_map(|(key, measure)| Some(Tag::new(*key, measure.of(&spans)?))).collect())
}

/// The spans of a request by their traces.
#[derive(Debug)]
pub(crate) struct Arrivals(BTreeMap<String, Arrival>);

/// Reads what a request says of traces.
///
/// # Errors
/// [`Error::BadRequest`] for spans without ids, or with such as no span has.
pub(crate) fn arrivals(request: ExportRequest) -> Result<Arrivals> {
    let mut arrivals: BTreeMap<String, Arrival> = BTreeMap::new();
    for resource_spans in request.resource_spans {
        let tags = resource_spans.resource.map(resource_tags).unwrap_or_default();
        for span in resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let (id, span) = normal(span)?;
            let arrival = arrivals.entry(id).or_default();
            if arrival.tags.is_empty() {
                arrival.tags.clone_from(&tags);
            }
            arrival.add(span);
        }
    }
    Ok(Arrivals(arrivals))
}

impl Arrival {
    fn add(&mut self, span: Span) {
        let [start, end] =
            [span.start_time_unix_nano, span.end_time_unix_nano].map(|nanos| (nanos / 1_000_000).cast_signed());
        self.started_at = if self.spans.is_empty() { start } else { self.started_at.min(start) };
        self.ended_at = self.ended_at.max(Some(end));
        if self.session.is_none() {
            self.session = SESSIONS.iter().find_map(|key| short_text(&span, key));
        }
        if self.user.is_none() {
            self.user = short_text(&span, "user.id");
        }
        if span.is_root() {
            self.state.get_or_insert(if span.failed() { TraceState::Error } else { TraceState::Ok });
            let shown = |key, role| span.attribute(key).map(|value| preview(&dumped(Some(value)), role));
            self.previews = [shown(INPUTS, "user"), shown(OUTPUTS, "assistant")];
            self.tags.extend(span.attributes.iter().filter_map(trace_tag));
        }
        self.spans.push(span);
    }
}

/// A text that may be metadata of the trace.
fn short_text(span: &Span, key: &str) -> Option<String> {
    let text = span.text(key).filter(|text| !text.is_empty())?;
    check_length("value", LONGEST_KEY, text).and_then(|()| check_text(text)).ok()?;
    Some(text.to_owned())
}

fn trace_tag(attribute: &KeyValue) -> Option<Tag> {
    let key = attribute.key.strip_prefix(TAG_PREFIX)?;
    checked_tag(Tag::new(key, plain(attribute.any()))).ok()
}

/// What is told of the program that sent the spans. Names that the dialect uses itself are not for programs to set.
fn resource_tags(resource: Resource) -> Vec<Tag> {
    let own =
        |attribute: &&KeyValue| !["telemetry.sdk.", "mlflow."].iter().any(|prefix| attribute.key.starts_with(prefix));
    let tags = resource.attributes.iter().filter(own);
    tags.filter_map(|attribute| checked_tag(Tag::new(attribute.key.as_str(), plain(attribute.any()))).ok()).collect()
}

/// A text as it is, anything else as JSON.
fn plain(value: Option<&Any>) -> String {
    match value {
        Some(Any::Text(text)) => text.clone(),
        other => dumped(other),
    }
}

/// The span with ids of full length and each attribute once, and the id of its trace.
fn normal(mut span: Span) -> Result<(String, Span)> {
    span.trace_id = padded(&span.trace_id, 16)?;
    span.span_id = padded(&span.span_id, 8)?;
    span.parent_span_id = match span.parent_span_id.iter().all(|byte| *byte == 0) {
        true => vec![],
        false => padded(&span.parent_span_id, 8)?,
    };
    let id = format!("tr-{}", hex(&span.trace_id));
    span.attributes.push(KeyValue::text(REQUEST_ID, id.as_str()));
    span.attributes = once(std::mem::take(&mut span.attributes));
    translate(&mut span);
    // Wider ids than the protocol allows can't be shown again.
    span.links.retain(|link| padded(&link.trace_id, 16).is_ok() && padded(&link.span_id, 8).is_ok());
    Ok((id, span))
}

/// The attributes by their first place and with their last value.
fn once(attributes: Vec<KeyValue>) -> Vec<KeyValue> {
    let mut places = std::collections::HashMap::with_capacity(attributes.len());
    let mut kept: Vec<KeyValue> = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let place = *places.entry(attribute.key.clone()).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(earlier) => *earlier = attribute,
            None => kept.push(attribute),
        }
    }
    kept
}

fn padded(id: &[u8], length: usize) -> Result<Vec<u8>> {
    if id.is_empty() || id.len() > length {
        return Err(Error::bad_request("Cannot convert OpenTelemetry span to MLflow span"));
    }
    Ok([vec![0; length - id.len()], id.to_vec()].concat())
}

#[cfg(test)]
mod tests {
    use super::super::otlp::{ResourceSpans, ScopeSpans, Status};
    use super::*;

    fn span(id: u8, parent: &[u8], start: u64, end: u64) -> Span {
        let [start_time_unix_nano, end_time_unix_nano] = [start, end].map(|ms| ms * 1_000_000);
        Span {
            trace_id: vec![7],
            span_id: vec![id],
            parent_span_id: parent.to_vec(),
            start_time_unix_nano,
            end_time_unix_nano,
            ..Span::default()
        }
    }

    #[test]
    fn spans_tell_of_their_trace() {
        let failed = Some(Status { code: 2, message: "no".to_owned() });
        let attributes = vec![
            KeyValue::text("mlflow.traceTag.team", "blue"),
            KeyValue::text("session.id", "s"),
            KeyValue::text(REQUEST_ID, "forged"),
            KeyValue::text(INPUTS, "question"),
        ];
        let root = Span { status: failed, attributes, ..span(1, &[0; 8], 10, 30) };
        let resource = Resource {
            attributes: vec![KeyValue::text("service.name", "shop"), KeyValue::text("mlflow.trace.spansLocation", "x")],
        };
        let scope_spans = vec![ScopeSpans { spans: vec![span(2, &[1], 5, 40), root] }];
        let request = ExportRequest { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] };
        let (id, arrival) = arrivals(request).unwrap().0.pop_first().unwrap();
        assert_eq!(id, format!("tr-{}07", "0".repeat(30)));
        assert_eq!((arrival.started_at, arrival.ended_at, arrival.state), (5, Some(40), Some(TraceState::Error)));
        assert_eq!(arrival.tags, vec![Tag::new("service.name", "shop"), Tag::new("team", "blue")]);
        assert_eq!(arrival.session.as_deref(), Some("s"));
        assert_eq!(arrival.previews, [Some("\"question\"".to_owned()), None]);
        assert_eq!(arrival.spans[1].text(REQUEST_ID), Some(id.as_str()));
        assert_eq!(arrival.spans[1].parent_span_id, Vec::<u8>::new());
    }

    #[test]
    fn times_grow_until_the_client_tells_them() {
        let key = TraceKey { no: 1, requested_at: 10, duration: Some(5), state: TraceState::InProgress };
        let grown = merged(key.clone(), 8, Some(12), Some(TraceState::Ok), false);
        assert_eq!((grown.requested_at, grown.duration, grown.state), (8, Some(7), TraceState::Ok));
        let told = merged(TraceKey { state: TraceState::Error, ..key }, 8, Some(99), Some(TraceState::Ok), true);
        assert_eq!((told.requested_at, told.duration, told.state), (10, Some(5), TraceState::Error));
    }
}
