//! Searches. What a database compares is one statement; regular expressions and what spans say are looked at here, for as
//! many candidates of that statement as fill the page.

use mcplane_core::{Error, Grant, Result};
use mcplane_db::{Arg, Dialect, Row, Snapshot};
use regex::{Regex, RegexBuilder};

use super::otlp::Span;
use super::spans::{content, unpack};
use super::store::{self, COLUMNS, PROMPT, RUN};
use super::types::{SESSION, SOURCE_RUN, TraceInfo, value_of};
use crate::Tracking;
use crate::experiments::ExperimentId;
use crate::filter::like::{self, Case};
use crate::filter::page::PageToken;
use crate::filter::{Comparison, Field, Operator, Order, Value, traces as grammar};
use crate::query::{ALWAYS, Args, direction, not_positive, unexpected};
use crate::tags::hash;

/// Candidates that are looked at in one go.
const BATCH: u64 = 200;
/// Most candidates that one request looks at before it gives a short page and a token for the rest.
const MOST_CANDIDATES: u64 = 20_000;
/// Numbers of traces that are read in one go.
const MOST_NUMBERS: i64 = 100_000;
/// Largest compiled regular expression in bytes.
const LARGEST_REGEX: usize = 1 << 20;

/// A search.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    pub(crate) experiments: Vec<String>,
    pub(crate) filter: String,
    pub(crate) order_by: Vec<String>,
    pub(crate) most: i64,
    pub(crate) page_token: String,
}

impl Tracking {
    /// The traces that a search finds, and the token of the next page.
    pub(crate) async fn search_traces(
        &self,
        grant: &Grant,
        search: &Search,
    ) -> Result<(Vec<TraceInfo>, Option<String>)> {
        let Ok(most) = usize::try_from(search.most) else { return Err(not_positive(search.most)) };
        if most == 0 {
            return Err(not_positive(0));
        }
        let experiments =
            search.experiments.iter().map(|id| ExperimentId::parse(id)).collect::<Result<Vec<ExperimentId>>>()?;
        let filter = grammar::parse(&search.filter)?;
        let order = grammar::parse_order_by(&search.order_by)?;
        let offset = PageToken::decode(&search.page_token)?.offset;
        let tests = tests(&filter)?;
        if experiments.is_empty() {
            return Ok((vec![], None));
        }
        let mut view = self.db.snapshot().await?;
        let statement = Statement::new(view.dialect(), grant.namespace()?, &experiments, &filter, &order)?;
        if tests.is_empty() {
            let found = statement.page(&mut view, offset, most as u64).await?;
            let next = (found.len() == most).then(|| PageToken { offset: offset + most as u64 }.encode());
            return Ok((store::assemble(&mut view, found).await?, next));
        }
        let mut found: Vec<TraceInfo> = Vec::new();
        let mut at = offset;
        while at - offset < MOST_CANDIDATES {
            let candidates = statement.page(&mut view, at, BATCH).await?;
            let last = (candidates.len() as u64) < BATCH;
            for (trace, passes) in pass(&mut view, candidates, &tests).await? {
                at += 1;
                if passes {
                    found.push(trace);
                }
                if found.len() == most {
                    return Ok((found, Some(PageToken { offset: at }.encode())));
                }
            }
            if last {
                return Ok((found, None));
            }
        }
        Ok((found, Some(PageToken { offset: at }.encode())))
    }
}

/// A condition that no database looks at.
enum Test<'f> {
    /// A text of the trace against a regular expression.
    Text(&'f Field, Regex),
    /// All of these must hold for one span.
    Span(Vec<SpanTest<'f>>),
}

struct SpanTest<'f> {
    key: &'f str,
    op: Operator,
    value: &'f Value,
    regex: Option<Regex>,
}

fn tests(filter: &[Comparison]) -> Result<Vec<Test<'_>>> {
    let mut tests = Vec::new();
    let mut spans = Vec::new();
    for comparison in filter {
        let regex = match (&comparison.op, &comparison.value) {
            (Operator::RLike, Value::Text(pattern)) => Some(regex(pattern)?),
            _ => None,
        };
        match (&comparison.field, regex) {
            (Field::Span(key), regex) => {
                spans.push(SpanTest { key, op: comparison.op, value: &comparison.value, regex })
            }
            (field, Some(regex)) => tests.push(Test::Text(field, regex)),
            _ => {}
        }
    }
    if !spans.is_empty() {
        tests.push(Test::Span(spans));
    }
    Ok(tests)
}

/// Runs in time linear in the text, whatever the pattern.
fn regex(pattern: &str) -> Result<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(LARGEST_REGEX).build();
    built.map_err(|error| Error::bad_request(format!("Invalid regular expression '{pattern}': {error}")))
}

/// Which of the candidates pass the tests.
async fn pass(view: &mut Snapshot, candidates: Vec<TraceInfo>, tests: &[Test<'_>]) -> Result<Vec<(TraceInfo, bool)>> {
    let candidates = store::assemble(view, candidates).await?;
    let numbers: Vec<i64> = candidates.iter().map(|trace| trace.no).collect();
    let of_spans = tests.iter().any(|test| matches!(test, Test::Span(_)));
    let mut parts = if of_spans { store::parts(view, &numbers).await? } else { Default::default() };
    let judged = candidates.into_iter().map(|trace| {
        let spans = match parts.remove(&trace.no) {
            Some(parts) => unpack(parts.iter().map(Vec::as_slice))?,
            None => vec![],
        };
        let passes = tests.iter().all(|test| match test {
            Test::Text(field, regex) => texts(&trace, field).iter().any(|text| regex.is_match(text)),
            Test::Span(all) => spans.iter().any(|span| {
                let content = content(span);
                all.iter().all(|test| test.holds(span, &content))
            }),
        });
        Ok((trace, passes))
    });
    judged.collect()
}

/// The texts that a field of a trace has.
fn texts(trace: &TraceInfo, field: &Field) -> Vec<String> {
    let own = |text: &str| vec![text.to_owned()];
    match field {
        Field::Attribute("status") => own(trace.state.name()),
        Field::Attribute("client_request_id") => trace.client_request_id.iter().cloned().collect(),
        Field::Attribute(_) => own(&trace.id),
        Field::Tag(key) => value_of(&trace.tags, key).map(own).unwrap_or_default(),
        Field::Metadata(key) => value_of(&trace.metadata, key).map(own).unwrap_or_default(),
        Field::Feedback(name) | Field::Expectation(name) => {
            let kind = kind(field);
            let named =
                trace.assessments.iter().filter(|said| said.kind as i64 == kind && said.name == *name && said.valid);
            named.map(|said| super::python_json(&said.value)).collect()
        }
        _ => vec![],
    }
}

impl SpanTest<'_> {
    fn holds(&self, span: &Span, content: &str) -> bool {
        let Some(key) = self.key.strip_prefix("attributes.") else {
            return match self.key {
                "name" => self.compares(&span.name),
                "type" => span.text("mlflow.spanType").is_some_and(|kind| self.compares(kind)),
                "status" => self.compares(span.status_name()),
                _ => self.compares(content),
            };
        };
        let key = key.trim_matches('`');
        let Some(value) = span.attribute(key) else { return false };
        let value = match value {
            super::otlp::Any::Text(text) => text.clone(),
            other => super::spans::dumped(Some(other)),
        };
        self.compares(&value)
    }

    fn compares(&self, text: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(text);
        }
        match (self.op, self.value) {
            (Operator::Eq, Value::Text(value)) => text == value,
            (Operator::Ne, Value::Text(value)) => text != value,
            (Operator::Like, Value::Text(pattern)) => like::matches(text, pattern, Case::Sensitive),
            (Operator::ILike, Value::Text(pattern)) => like::matches(text, pattern, Case::Insensitive),
            (Operator::In, Value::TextList(list)) => list.iter().any(|item| item == text),
            (Operator::NotIn, Value::TextList(list)) => !list.iter().any(|item| item == text),
            _ => false,
        }
    }
}

fn kind(field: &Field) -> i64 {
    i64::from(matches!(field, Field::Expectation(_)))
}

/// The statement of a search, but for the page.
pub(super) struct Statement {
    joins: String,
    conditions: String,
    order: String,
    args: Vec<Arg>,
}

impl Statement {
    pub(super) fn new(
        dialect: Dialect,
        namespace: &str,
        experiments: &[ExperimentId],
        filter: &[Comparison],
        order: &[Order],
    ) -> Result<Self> {
        let mut draft = Draft { joins: String::new(), order: vec![], args: Args::new(dialect) };
        let numbers: Vec<i64> = experiments.iter().map(|id| id.0).collect();
        let (namespace, list) = (draft.args.bind(namespace), draft.args.numbers(&numbers));
        let mut conditions = vec![format!(
            "t.experiment IN (SELECT no FROM experiments WHERE namespace = {namespace} AND id IN {list})"
        )];
        // Spans and regular expressions are looked at later.
        let is_later =
            |comparison: &&Comparison| matches!(comparison.field, Field::Span(_)) || comparison.op == Operator::RLike;
        for comparison in filter.iter().filter(|comparison| !is_later(comparison)) {
            conditions.push(draft.condition(comparison)?);
        }
        for (place, order) in order.iter().enumerate() {
            draft.order_by(place, order)?;
        }
        for (column, direction) in [("t.requested_at", "DESC"), ("t.id", "ASC")] {
            if !draft.order.iter().any(|order| order.starts_with(column)) {
                draft.order.push(format!("{column} {direction}"));
            }
        }
        let Draft { joins, order, args } = draft;
        Ok(Self { joins, conditions: conditions.join(" AND "), order: order.join(", "), args: args.into_args() })
    }

    /// The numbers of all traces that pass a filter, in their order.
    pub(super) async fn matching(
        view: &mut Snapshot,
        namespace: &str,
        experiments: &[ExperimentId],
        filter: &str,
    ) -> Result<Vec<i64>> {
        let filter = grammar::parse(filter)?;
        let tests = tests(&filter)?;
        if experiments.is_empty() {
            return Ok(vec![]);
        }
        let statement = Self::new(view.dialect(), namespace, experiments, &filter, &[])?;
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let most = if tests.is_empty() { MOST_NUMBERS } else { BATCH as i64 };
            let columns = if tests.is_empty() { "t.no" } else { COLUMNS };
            let rows = statement.rows(view, columns, "", "t.no", after, most).await?;
            after = rows.last().map_or(Ok(after), |row| row.int(0))?;
            let last = (rows.len() as i64) < most;
            if tests.is_empty() {
                found.extend(rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>>>()?);
            } else {
                let candidates = rows.iter().map(store::read).collect::<Result<_>>()?;
                let passed = pass(view, candidates, &tests).await?;
                found.extend(passed.into_iter().filter(|(_, passes)| *passes).map(|(trace, _)| trace.no));
            }
            if last {
                return Ok(found);
            }
        }
    }

    /// Rows of the traces and of what `join` adds, in the order of `key`, from the first after `after`.
    pub(super) async fn rows(
        &self,
        view: &mut Snapshot,
        columns: &str,
        join: &str,
        key: &str,
        after: i64,
        most: i64,
    ) -> Result<Vec<Row>> {
        let Self { conditions, args, .. } = self;
        let n = args.len();
        let sql = format!(
            "SELECT {columns} FROM traces t JOIN experiments e ON e.no = t.experiment {join} \
             WHERE {conditions} AND {key} > ${} ORDER BY {key} LIMIT ${}",
            n + 1,
            n + 2
        );
        let mut args = args.clone();
        args.extend([after, most].map(Arg::from));
        view.fetch(sql, args).await
    }

    /// The traces of a page, without what belongs to them.
    async fn page(&self, view: &mut Snapshot, offset: u64, most: u64) -> Result<Vec<TraceInfo>> {
        let Self { joins, conditions, order, args } = self;
        let n = args.len();
        let sql = format!(
            "SELECT {COLUMNS} FROM traces t JOIN experiments e ON e.no = t.experiment {joins} WHERE {conditions} \
             ORDER BY {order} LIMIT ${} OFFSET ${}",
            n + 1,
            n + 2
        );
        let mut args = args.clone();
        args.extend([most, offset].map(|number| Arg::from(i64::try_from(number).unwrap_or(i64::MAX))));
        view.fetch(sql, args).await?.iter().map(store::read).collect()
    }
}

/// A statement that is being written.
struct Draft {
    joins: String,
    order: Vec<String>,
    args: Args,
}

impl Draft {
    fn condition(&mut self, Comparison { field, op, value }: &Comparison) -> Result<String> {
        Ok(match field {
            Field::Attribute(name @ ("timestamp_ms" | "execution_time_ms" | "end_time_ms")) => {
                self.args.number(column(name), *op, value)?
            }
            Field::Attribute(name) => self.args.text(column(name), *op, value)?,
            Field::Tag(key) if key == "mlflow.linkedPrompts" => self.linked(PROMPT, value)?,
            Field::Tag(key) => self.pair("trace_tags", key, *op, value)?,
            Field::Metadata(key) if key == SOURCE_RUN && *op == Operator::Eq => {
                let (linked, told) = (self.linked(RUN, value)?, self.pair("trace_metadata", key, *op, value)?);
                format!("({linked} OR {told})")
            }
            Field::Metadata(key) => self.pair("trace_metadata", key, *op, value)?,
            Field::Feedback(name) | Field::Expectation(name) => self.assessed(kind(field), name, *op, value)?,
            Field::IssueId => {
                let named = self.args.text("a.name", Operator::Eq, value)?;
                format!("EXISTS (SELECT 1 FROM trace_assessments a WHERE a.trace = t.no AND a.kind = 2 AND {named})")
            }
            _ => return Err(unexpected()),
        })
    }

    /// A comparison of a tag or of metadata.
    fn pair(&mut self, table: &str, key: &str, op: Operator, value: &Value) -> Result<String> {
        let key = self.args.bind(key);
        let row = format!("SELECT 1 FROM {table} p WHERE p.trace = t.no AND p.key = {key}");
        Ok(match (op, value) {
            (Operator::IsNull, _) => format!("NOT EXISTS ({row})"),
            (Operator::IsNotNull, _) => format!("EXISTS ({row})"),
            (Operator::Eq, Value::Text(text)) => {
                let (hash, text) = (self.args.bind(hash(text)), self.args.bind(text.as_str()));
                format!(
                    "t.no IN (SELECT p.trace FROM {table} p WHERE p.key = {key} AND p.hash = {hash} AND p.value = {text})"
                )
            }
            (op, value) => format!("EXISTS ({row} AND {})", self.args.text("p.value", op, value)?),
        })
    }

    fn linked(&mut self, kind: i64, value: &Value) -> Result<String> {
        let target = self.args.text("l.target", Operator::Eq, value)?;
        Ok(format!("t.no IN (SELECT l.trace FROM trace_links l WHERE l.kind = {kind} AND {target})"))
    }

    /// A comparison of what was said of the trace, or of the session that it belongs to.
    fn assessed(&mut self, kind: i64, name: &str, op: Operator, value: &Value) -> Result<String> {
        let name = self.args.bind(name);
        let compared = match (op, value) {
            (Operator::IsNull | Operator::IsNotNull, _) => ALWAYS.to_owned(),
            (Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge, value) => {
                self.args.number("a.number", op, value)?
            }
            // Values are JSON: a text may mean a text, or what is no text.
            (Operator::Eq | Operator::Ne, Value::Text(text)) => {
                let (plain, quoted) =
                    (self.args.bind(text.as_str()), self.args.bind(super::python_json(&text.as_str().into())));
                let not = if op == Operator::Ne { "NOT " } else { "" };
                format!("{not}(a.value = {plain} OR a.value = {quoted})")
            }
            (op, value) => self.args.text("a.value", op, value)?,
        };
        let said = format!("a.kind = {kind} AND a.name = {name} AND a.valid = 1 AND {compared}");
        let session = self.args.bind(SESSION);
        let not = if op == Operator::IsNull { "NOT " } else { "" };
        Ok(format!(
            "{not}(EXISTS (SELECT 1 FROM trace_assessments a WHERE a.trace = t.no AND {said}) \
             OR EXISTS (SELECT 1 FROM trace_metadata m JOIN trace_metadata s ON s.key = m.key AND s.hash = m.hash \
             AND s.value = m.value JOIN traces o ON o.no = s.trace AND o.experiment = t.experiment \
             JOIN trace_assessments a ON a.trace = o.no AND a.session = 1 \
             WHERE m.trace = t.no AND m.key = {session} AND {said}))"
        ))
    }

    fn order_by(&mut self, place: usize, Order { field, ascending }: &Order) -> Result<()> {
        let column = match field {
            Field::Attribute(name) => column(name).to_owned(),
            Field::Tag(key) | Field::Metadata(key) => {
                let table = if matches!(field, Field::Tag(_)) { "trace_tags" } else { "trace_metadata" };
                let key = self.args.bind(key.as_str());
                let alias = format!("o{place}");
                self.joins += &format!("LEFT JOIN {table} {alias} ON {alias}.trace = t.no AND {alias}.key = {key} ");
                format!("{alias}.value")
            }
            _ => return Err(unexpected()),
        };
        // What is missing comes last in either direction.
        if !["t.requested_at", "t.id", "e.id", STATUS].contains(&column.as_str()) {
            self.order.push(format!("CASE WHEN {column} IS NULL THEN 1 ELSE 0 END"));
        }
        self.order.push(format!("{column} {}", direction(*ascending)));
        Ok(())
    }
}

const STATUS: &str =
    "CASE t.state WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' WHEN 3 THEN 'IN_PROGRESS' ELSE 'STATE_UNSPECIFIED' END";

fn column(attribute: &str) -> &'static str {
    match attribute {
        "timestamp_ms" => "t.requested_at",
        "execution_time_ms" => "t.duration",
        "end_time_ms" => "(t.requested_at + coalesce(t.duration, 0))",
        "experiment_id" => "e.id",
        "client_request_id" => "t.client_request_id",
        "status" => STATUS,
        _ => "t.id",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_compared_as_a_whole() {
        let filter = grammar::parse("span.name = 'plan' AND span.attributes.model RLIKE '^gpt-[45]$'").unwrap();
        let found = tests(&filter).unwrap();
        let [Test::Span(all)] = found.as_slice() else { panic!("one test for all conditions on spans") };
        let span = |name: &str, model: &str| Span {
            name: name.to_owned(),
            attributes: vec![super::super::otlp::KeyValue::text("model", model)],
            ..Span::default()
        };
        let holds = |span: &Span| all.iter().all(|test| test.holds(span, &content(span)));
        assert!(holds(&span("plan", "gpt-4")));
        assert!(!holds(&span("plan", "gpt-40")) && !holds(&span("other", "gpt-4")));
    }

    #[test]
    fn bad_regular_expressions_are_refused() {
        for bad in ["(", "(a{1000}){1000}"] {
            assert!(regex(bad).unwrap_err().to_string().starts_with("Invalid regular expression"), "{bad}");
        }
    }
}
