//! `/api/3.0/mlflow/traces/…`, and what clients of today still ask of 2.0.

use axum::body::Body;
use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse as _;
use mcplane_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::assessments::{Assessment, read_change, required};
use super::measures::{Aggregation, Question, View};
use super::otlp::Span;
use super::search::Search;
use super::service::Deletion;
use super::spans::{document, message};
use super::types::{NewTrace, TraceInfo, TraceState, duration, moment, parse_duration, parse_moment};
use crate::experiments::ExperimentId;
use crate::mlflow::fields::{Fields, invalid, missing};
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::scope::TRACES;
use crate::tags::{Tag, cut};

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    let mut dialect = dialect
        .post("3.0/mlflow/traces", TRACES.to("create"), start)
        .get("3.0/mlflow/traces/{trace_id}", TRACES.to("get"), get)
        .get("3.0/mlflow/traces/get", TRACES.to("get"), get_with_spans)
        .get("3.0/mlflow/traces/batchGet", TRACES.to("get"), batch_get)
        .post("3.0/mlflow/traces/search", TRACES.to("list"), search)
        .post("3.0/mlflow/traces/metrics", TRACES.to("list"), metrics)
        .post("3.0/mlflow/traces/calculate-filter-correlation", TRACES.to("list"), correlation)
        .post("3.0/mlflow/traces/batchGetInfos", TRACES.to("get"), batch_get_infos)
        .post("3.0/mlflow/traces/{trace_id}/assessments", TRACES.to("update"), assess)
        .get("3.0/mlflow/traces/{trace_id}/assessments/{id}", TRACES.to("get"), get_assessment)
        .patch("3.0/mlflow/traces/{trace_id}/assessments/{id}", TRACES.to("update"), change_assessment)
        .delete("3.0/mlflow/traces/{trace_id}/assessments/{id}", TRACES.to("update"), remove_assessment)
        .post("2.0/mlflow/traces/link-to-run", TRACES.to("update"), link_to_run)
        .post("2.0/mlflow/traces/link-prompts", TRACES.to("update"), link_prompts);
    for version in ["2.0", "3.0"] {
        dialect = dialect
            .post(&format!("{version}/mlflow/traces/delete-traces"), TRACES.to("delete"), delete)
            .patch(&format!("{version}/mlflow/traces/{{trace_id}}/tags"), TRACES.to("update"), set_tag)
            .delete(&format!("{version}/mlflow/traces/{{trace_id}}/tags"), TRACES.to("update"), remove_tag)
            .get(&format!("{version}/mlflow/get-trace-artifact"), TRACES.to("get"), artifact);
    }
    dialect
}

/// Longest value of metadata and of a tag that is shown, in characters.
pub(super) const LONGEST_SHOWN: (usize, usize) = (250, 4096);

/// A trace in the protocol's form.
pub(super) fn info(trace: &TraceInfo) -> Value {
    let mut shown = json!({
        "trace_id": trace.id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": trace.experiment}},
        "request_time": moment(trace.requested_at),
        "state": trace.state.name(),
    });
    let texts = [
        ("client_request_id", &trace.client_request_id),
        ("request_preview", &trace.request_preview),
        ("response_preview", &trace.response_preview),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            shown[name] = text.as_str().into();
        }
    }
    if let Some(ms) = trace.duration {
        shown["execution_duration"] = duration(ms).into();
    }
    for (name, tags, most) in
        [("trace_metadata", &trace.metadata, LONGEST_SHOWN.0), ("tags", &trace.tags, LONGEST_SHOWN.1)]
    {
        if !tags.is_empty() {
            shown[name] = Value::Object(tags.iter().map(|tag| (tag.key.clone(), short(tag, most).into())).collect());
        }
    }
    if !trace.assessments.is_empty() {
        shown["assessments"] = trace.assessments.iter().map(|assessment| assessment.message(&trace.id)).collect();
    }
    shown
}

pub(super) fn short(tag: &Tag, most: usize) -> String {
    let mut value = tag.value.clone();
    cut(&mut value, most);
    value
}

fn with_spans((trace, spans): (TraceInfo, Vec<Span>)) -> Value {
    let mut shown = json!({"trace_info": info(&trace)});
    if !spans.is_empty() {
        shown["spans"] = spans.iter().map(message).collect();
    }
    shown
}

/// A map of texts.
fn pairs(fields: &Fields, name: &str) -> Result<Vec<Tag>> {
    match fields.raw(name) {
        None => Ok(vec![]),
        Some(Value::Object(map)) => map
            .iter()
            .map(|(key, value)| Ok(Tag::new(key.as_str(), value.as_str().ok_or_else(|| invalid(name, value))?)))
            .collect(),
        Some(other) => Err(invalid(name, other)),
    }
}

/// The experiment that a location names.
pub(super) fn experiment(location: &Fields) -> Result<Option<String>> {
    let Some(experiment) = location.message("mlflow_experiment")? else { return Ok(None) };
    Ok(Some(experiment.text("experiment_id")?.to_owned()))
}

fn new_trace(fields: &Fields, now: i64) -> Result<NewTrace> {
    let info = required(fields, "trace")?.message("trace_info")?.unwrap_or_default();
    let location = info.message("trace_location")?.unwrap_or_default();
    let text = |name: &str| -> Result<Option<String>> { Ok(info.optional_text(name)?.map(str::to_owned)) };
    let said = info.messages("assessments")?;
    Ok(NewTrace {
        id: info.required_text("trace_id")?.to_owned(),
        experiment: experiment(&location)?.ok_or_else(|| missing("trace_location"))?,
        requested_at: parse_moment(info.text("request_time")?).unwrap_or_default(),
        duration: info.optional_text("execution_duration")?.and_then(parse_duration),
        state: TraceState::from_name(info.text("state")?),
        client_request_id: text("client_request_id")?,
        request_preview: text("request_preview")?,
        response_preview: text("response_preview")?,
        metadata: pairs(&info, "trace_metadata")?,
        tags: pairs(&info, "tags")?,
        assessments: said.iter().map(|said| Assessment::read(said, now)).collect::<Result<_>>()?,
    })
}

async fn start(Call { door, grant, fields }: Call) -> Answer {
    let new = new_trace(&fields, door.tracking.db.clock().now())?;
    let trace = door.tracking.start_trace(&grant, new).await?;
    reply(&json!({"trace": {"trace_info": info(&trace)}}))
}

async fn get(Path(id): Path<String>, Call { door, grant, .. }: Call) -> Answer {
    let trace = door.tracking.trace(&grant, &id).await?;
    reply(&json!({"trace": {"trace_info": info(&trace)}}))
}

async fn get_with_spans(Call { door, grant, fields }: Call) -> Answer {
    let (id, partial) = (fields.required_text("trace_id")?, fields.flag("allow_partial")?);
    let found = door.tracking.traces_with_spans(&grant, &[id], None, partial).await?.pop();
    let (trace, spans) = found.ok_or_else(|| Error::Missing(format!("Trace with ID {id} is not found.")))?;
    let incomplete =
        || Error::Missing(format!("Trace with ID {id} is not fully exported yet, please try again later."));
    reply(&json!({"trace": with_spans((trace, spans.ok_or_else(incomplete)?))}))
}

/// The experiments to which a request limits itself, if it does.
fn scope(fields: &Fields) -> Result<Option<Vec<ExperimentId>>> {
    if !fields.has("experiment_ids") {
        return Ok(None);
    }
    fields.texts("experiment_ids")?.into_iter().map(ExperimentId::parse).collect::<Result<_>>().map(Some)
}

/// The experiments of a question, which must name some.
fn required_scope(fields: &Fields) -> Result<Vec<ExperimentId>> {
    scope(fields)?.ok_or_else(|| missing("experiment_ids"))
}

async fn metrics(Call { door, grant, fields }: Call) -> Answer {
    let experiments = required_scope(&fields)?;
    let view = View::read(fields.raw("view_type").ok_or_else(|| missing("view_type"))?);
    let metric = fields.required_text("metric_name")?.to_owned();
    if !fields.has("aggregations") {
        return Err(missing("aggregations").into());
    }
    let aggregation = |asked: &Fields| {
        let percentile =
            asked.raw("percentile_value").map(|_| asked.required_number("percentile_value")).transpose()?;
        Aggregation::read(asked.raw("aggregation_type"), percentile)
    };
    let own = |name: &str| Ok(fields.texts(name)?.into_iter().map(str::to_owned).collect());
    let question = Question {
        experiments,
        view,
        metric,
        aggregations: fields.messages("aggregations")?.iter().map(aggregation).collect::<Result<_>>()?,
        dimensions: own("dimensions").map_err(|error: Error| error)?,
        filters: own("filters").map_err(|error: Error| error)?,
        interval: fields.optional_int("time_interval_seconds")?,
        from: fields.optional_int("start_time_ms")?,
        until: fields.optional_int("end_time_ms")?,
        most: usize::try_from(fields.optional_int("max_results")?.unwrap_or(MOST_POINTS)).unwrap_or_default(),
    };
    list("data_points", door.tracking.measure_traces(&grant, &question).await?)
}

async fn correlation(Call { door, grant, fields }: Call) -> Answer {
    let experiments = required_scope(&fields)?;
    let filters = [fields.required_text("filter_string1")?, fields.required_text("filter_string2")?];
    let base = fields.text("base_filter")?;
    reply(&door.tracking.correlate_traces(&grant, &experiments, filters, base).await?)
}

fn ids(fields: &Fields) -> Result<Vec<&str>> {
    if fields.has("trace_ids") { fields.texts("trace_ids") } else { Err(missing("trace_ids")) }
}

async fn batch_get(Call { door, grant, fields }: Call) -> Answer {
    let scope = scope(&fields)?;
    let found = door.tracking.traces_with_spans(&grant, &ids(&fields)?, scope.as_deref(), false).await?;
    let complete = found.into_iter().filter_map(|(trace, spans)| Some(with_spans((trace, spans?))));
    list("traces", complete.collect())
}

async fn batch_get_infos(Call { door, grant, fields }: Call) -> Answer {
    let scope = scope(&fields)?;
    let found = door.tracking.traces(&grant, &ids(&fields)?, scope.as_deref()).await?;
    list("trace_infos", found.iter().map(info).collect())
}

/// Most traces of a page; how many there are if the client does not say.
const PAGE: (i64, i64) = (500, 100);
/// Points of measures if the client does not say.
const MOST_POINTS: i64 = 1000;

pub(super) fn search_in(fields: &Fields, experiments: Vec<String>) -> Result<Search> {
    let most = fields.optional_int("max_results")?.unwrap_or(PAGE.1);
    if most > PAGE.0 {
        return Err(invalid("max_results", fields.raw("max_results").unwrap_or(&Value::Null)));
    }
    Ok(Search {
        experiments,
        filter: fields.text("filter")?.to_owned(),
        order_by: fields.texts("order_by")?.into_iter().map(str::to_owned).collect(),
        most,
        page_token: fields.text("page_token")?.to_owned(),
    })
}

pub(super) fn page(traces: Vec<Value>, token: Option<String>) -> Answer {
    let mut shown = json!({});
    if !traces.is_empty() {
        shown["traces"] = traces.into();
    }
    if let Some(token) = token {
        shown["next_page_token"] = token.into();
    }
    reply(&shown)
}

async fn search(Call { door, grant, fields }: Call) -> Answer {
    if !fields.has("locations") {
        return Err(missing("locations").into());
    }
    let locations = fields.messages("locations")?;
    let experiments =
        locations.iter().filter_map(|location| experiment(location).transpose()).collect::<Result<_>>()?;
    let (found, token) = door.tracking.search_traces(&grant, &search_in(&fields, experiments)?).await?;
    page(found.iter().map(info).collect(), token)
}

pub(crate) fn list(name: &str, items: Vec<Value>) -> Answer {
    let mut shown = Map::new();
    if !items.is_empty() {
        shown.insert(name.to_owned(), items.into());
    }
    reply(&shown)
}

async fn delete(Call { door, grant, fields }: Call) -> Answer {
    let experiment = fields.required_text("experiment_id")?;
    let deletion = Deletion {
        until: fields.optional_int("max_timestamp_millis")?,
        most: fields.optional_int("max_traces")?,
        ids: fields.texts("request_ids")?.into_iter().map(str::to_owned).collect(),
    };
    let deleted = door.tracking.delete_traces(&grant, experiment, deletion).await?;
    reply(&json!({"traces_deleted": deleted}))
}

async fn set_tag(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let tag = Tag::new(fields.required_text("key")?, fields.text("value")?);
    door.tracking.set_trace_tag(&grant, &id, tag).await?;
    reply_empty()
}

async fn remove_tag(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    door.tracking.remove_trace_tag(&grant, &id, fields.required_text("key")?).await?;
    reply_empty()
}

async fn link_to_run(Call { door, grant, fields }: Call) -> Answer {
    let traces = ids(&fields)?.into_iter().map(str::to_owned).collect();
    let run = fields.required_text("run_id")?.to_owned();
    door.tracking.link_traces(&grant, traces, super::store::RUN, vec![run]).await?;
    reply_empty()
}

async fn link_prompts(Call { door, grant, fields }: Call) -> Answer {
    let id = fields.required_text("trace_id")?;
    if !fields.has("prompt_versions") {
        return Err(missing("prompt_versions").into());
    }
    let versions = fields.messages("prompt_versions")?;
    let prompt = |version: &Fields| Ok(format!("{}/{}", version.text("name")?, version.text("version")?));
    let prompts = versions.iter().map(prompt).collect::<Result<Vec<_>>>()?;
    door.tracking.trace(&grant, id).await?;
    door.tracking.link_traces(&grant, vec![id.to_owned()], super::store::PROMPT, prompts).await?;
    reply_empty()
}

fn assessment_message(assessment: &Assessment, trace: &str) -> Answer {
    reply(&json!({"assessment": assessment.message(trace)}))
}

async fn assess(Path(trace): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let assessment = Assessment::read(&required(&fields, "assessment")?, door.tracking.db.clock().now())?;
    assessment_message(&door.tracking.assess(&grant, &trace, assessment).await?, &trace)
}

async fn get_assessment(Path((trace, id)): Path<(String, String)>, Call { door, grant, .. }: Call) -> Answer {
    assessment_message(&door.tracking.assessment(&grant, &trace, &id).await?, &trace)
}

async fn change_assessment(Path((trace, id)): Path<(String, String)>, Call { door, grant, fields }: Call) -> Answer {
    let change = read_change(&fields)?;
    assessment_message(&door.tracking.change_assessment(&grant, &trace, &id, change).await?, &trace)
}

async fn remove_assessment(Path((trace, id)): Path<(String, String)>, Call { door, grant, .. }: Call) -> Answer {
    door.tracking.remove_assessment(&grant, &trace, &id).await?;
    reply_empty()
}

/// Spans as a file, which is what the pages read.
async fn artifact(Call { door, grant, fields }: Call) -> Answer {
    let id = fields.text("request_id")?;
    if id.is_empty() {
        return Err(Error::NotAcceptable("Request must include the \"request_id\" query parameter.".to_owned()).into());
    }
    let found = door.tracking.traces_with_spans(&grant, &[id], None, true).await;
    let document = match found {
        Ok(mut found) => {
            let found = found.pop().ok_or_else(|| Error::Missing(format!("Trace with ID {id} is not found.")))?;
            Body::from(document(&found.1.unwrap_or_default()))
        }
        Err(Error::WrongState(_)) => door.tracking.trace_file(&grant, id).await?,
        Err(error) => return Err(error.into()),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/plain"),
        (header::CONTENT_DISPOSITION, "attachment; filename=traces.json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, document).into_response())
}
