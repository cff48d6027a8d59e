//! What measures are made of: rows of traces, spans and assessments, read in bounded pages.

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Snapshot;
use serde_json::Value;

use super::assessments::Kind;
use super::measures::{Groups, Question, Sample, View};
use super::otlp::{Any, Span};
use super::search::Statement;
use super::spans::unpack;
use super::store;
use super::types::{NAME_TAG, SESSION, TraceState, USAGE};
use crate::Tracking;
use crate::filter::trace_measures::{Restriction, parse};
use crate::filter::{Comparison, Field, Operator, Value as Wanted};

/// Rows of a page.
const ROWS: i64 = 20_000;
/// Traces of a page whose spans are unpacked.
const UNPACKED: i64 = 200;

impl Tracking {
    /// Measures traces, or what belongs to them.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what can't be asked.
    pub(crate) async fn measure_traces(&self, grant: &Grant, question: &Question) -> Result<Vec<Value>> {
        question.check()?;
        let mut filter = Vec::new();
        let mut narrower = Vec::new();
        for text in &question.filters {
            match parse(text)? {
                Restriction::Trace(comparison) => filter.push(comparison),
                Restriction::Span(..) if question.view != View::Spans => {
                    return Err(misplaced("span", "SPANS", question));
                }
                Restriction::Assessment(..) if question.view != View::Assessments => {
                    return Err(misplaced("assessment", "ASSESSMENTS", question));
                }
                Restriction::Span(property, value) | Restriction::Assessment(property, value) => {
                    narrower.push((property, value));
                }
            }
        }
        let by_span = question.view == View::Spans && question.metric.ends_with("_cost");
        for (op, bound) in [(Operator::Ge, question.from), (Operator::Le, question.until)] {
            // Costs lie where their spans do; everything else where its trace does.
            filter.extend(bound.filter(|_| !by_span).map(|bound| Comparison {
                field: Field::Attribute("timestamp_ms"),
                op,
                value: Wanted::Integer(bound),
            }));
        }
        let mut groups = Groups::new(question);
        if !question.experiments.is_empty() {
            let mut view = self.db.snapshot().await?;
            let chosen = Statement::new(view.dialect(), grant.namespace()?, &question.experiments, &filter, &[])?;
            match question.view {
                View::Traces => traces(&mut view, &chosen, question, &mut groups).await?,
                View::Spans => spans(&mut view, &chosen, question, &narrower, &mut groups).await?,
                View::Assessments => assessments(&mut view, &chosen, question, &narrower, &mut groups).await?,
            }
        }
        Ok(groups.points())
    }
}

fn misplaced(what: &str, view: &str, question: &Question) -> Error {
    let asked = question.view.name();
    Error::bad_request(format!("Filtering by {what} is only supported for {view} view type, got {asked}"))
}

async fn traces(view: &mut Snapshot, chosen: &Statement, question: &Question, groups: &mut Groups<'_>) -> Result<()> {
    let columns = format!(
        "t.no, t.requested_at, t.duration, t.state, \
         (SELECT value FROM trace_tags WHERE trace = t.no AND key = '{NAME_TAG}'), \
         (SELECT value FROM trace_metadata WHERE trace = t.no AND key = '{SESSION}'), \
         (SELECT value FROM trace_metadata WHERE trace = t.no AND key = '{USAGE}')"
    );
    let mut after = 0;
    loop {
        let rows = chosen.rows(view, &columns, "", "t.no", after, ROWS).await?;
        for row in &rows {
            after = row.int(0)?;
            let (name, session, usage) = (row.optional_text(4)?, row.optional_text(5)?, row.optional_text(6)?);
            let state = TraceState::from_number(row.int(3)?).name();
            let mut sample = Sample { at: row.int(1)?, ..Sample::default() };
            match question.metric.as_str() {
                "trace_count" => sample.value = Some(1.0),
                "session_count" => sample.distinct = session,
                "latency" => sample.value = row.optional_int(2)?.map(|ms| ms as f64),
                tokens => sample.value = usage.and_then(|usage| number(usage, tokens)),
            }
            groups.add(&sample, |property| match property {
                "trace_name" => name.map(str::to_owned),
                _ => Some(state.to_owned()),
            });
        }
        if (rows.len() as i64) < ROWS {
            return Ok(());
        }
    }
}

fn number(json: &str, key: &str) -> Option<f64> {
    serde_json::from_str::<Value>(json).ok()?.get(key)?.as_f64()
}

async fn spans(
    view: &mut Snapshot,
    chosen: &Statement,
    question: &Question,
    narrower: &[(&'static str, String)],
    groups: &mut Groups<'_>,
) -> Result<()> {
    let mut after = 0;
    loop {
        let rows = chosen.rows(view, "t.no, t.requested_at", "", "t.no", after, UNPACKED).await?;
        let times = rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect::<Result<Vec<_>>>()?;
        let numbers: Vec<i64> = times.iter().map(|(number, _)| *number).collect();
        let mut parts = store::parts(view, &numbers).await?;
        for (number, at) in times {
            after = number;
            for span in unpack(parts.remove(&number).unwrap_or_default().iter().map(Vec::as_slice))? {
                if narrower.iter().all(|(name, value)| property(&span, name).is_some_and(|is| is == *value)) {
                    add_span(&span, at, question, groups);
                }
            }
        }
        if (rows.len() as i64) < UNPACKED {
            return Ok(());
        }
    }
}

fn add_span(span: &Span, of_trace: i64, question: &Question, groups: &mut Groups<'_>) {
    let mut sample = Sample { at: of_trace, ..Sample::default() };
    match question.metric.as_str() {
        "span_count" => sample.value = Some(1.0),
        "latency" => {
            let nanos = span.end_time_unix_nano.checked_sub(span.start_time_unix_nano);
            sample.value = nanos.map(|nanos| (nanos / 1_000_000) as f64);
        }
        cost => {
            sample.at = (span.start_time_unix_nano / 1_000_000).cast_signed();
            sample.value = cost_of(span, cost);
            if question.from.is_some_and(|from| sample.at < from)
                || question.until.is_some_and(|until| sample.at > until)
            {
                return;
            }
        }
    }
    groups.add(&sample, |name| property(span, name.trim_start_matches("span_")));
}

fn cost_of(span: &Span, key: &str) -> Option<f64> {
    let Some(Any::Map(map)) = span.attribute("mlflow.llm.cost") else { return None };
    match map.values.iter().find(|entry| entry.key == key)?.any()? {
        Any::Double(number) => Some(*number),
        Any::Int(number) => Some(*number as f64),
        _ => None,
    }
}

fn property(span: &Span, name: &str) -> Option<String> {
    let text = |key| span.text(key).map(str::to_owned);
    match name {
        "name" => Some(span.name.clone()),
        "type" => text("mlflow.spanType"),
        "status" => Some(span.status_name().to_owned()),
        "model_name" => text("mlflow.llm.model"),
        _ => text("mlflow.llm.provider"),
    }
}

async fn assessments(
    view: &mut Snapshot,
    chosen: &Statement,
    question: &Question,
    narrower: &[(&'static str, String)],
    groups: &mut Groups<'_>,
) -> Result<()> {
    let mut after = 0;
    let join = "JOIN trace_assessments a ON a.trace = t.no AND a.valid = 1";
    loop {
        let columns = "a.no, t.requested_at, a.name, a.value, a.kind";
        let rows = chosen.rows(view, columns, join, "a.no", after, ROWS).await?;
        for row in &rows {
            after = row.int(0)?;
            let (name, value) = (row.text(2)?, row.text(3)?);
            let kind = match Kind::from_number(row.int(4)?)? {
                Kind::Feedback => "feedback",
                Kind::Expectation => "expectation",
                Kind::Issue => "issue",
            };
            let fits = |(property, wanted): &(&str, String)| *wanted == if *property == "name" { name } else { kind };
            if !narrower.iter().all(fits) {
                continue;
            }
            let counted = question.metric == "assessment_count";
            let measured = if counted { Some(1.0) } else { aggregate(value) };
            groups.add(&Sample { at: row.int(1)?, value: measured, distinct: None }, |property| {
                Some(if property == "assessment_name" { name } else { value }.to_owned())
            });
        }
        if (rows.len() as i64) < ROWS {
            return Ok(());
        }
    }
}

/// The number that a value counts as: yes and no are one and zero.
fn aggregate(json: &str) -> Option<f64> {
    match serde_json::from_str(json).ok()? {
        Value::Bool(flag) => Some(f64::from(u8::from(flag))),
        Value::Number(number) => number.as_f64().filter(|number| number.is_finite()),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "yes" => Some(1.0),
            "no" => Some(0.0),
            _ => None,
        },
        _ => None,
    }
}
