//! Replays what MLflow made of many filters, orders and page tokens; then anything at all, which must not panic.

use mcplane_core::Result;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::logged_models::OrderBy;
use super::page::{LoggedModelsToken, PageToken};
use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/filter/", $name, ".jsonl"))
    };
}

fn field(field: &Field) -> Json {
    match field {
        Field::Metric(key) => json!({"metric": key}),
        Field::Param(key) => json!({"param": key}),
        Field::Tag(key) => json!({"tag": key}),
        Field::Attribute(name) => json!({"attribute": name}),
        Field::Dataset(DatasetKey::Name) => json!({"dataset": "name"}),
        Field::Dataset(DatasetKey::Digest) => json!({"dataset": "digest"}),
        Field::Dataset(DatasetKey::Context) => json!({"dataset": "context"}),
        Field::Metadata(key) => json!({"metadata": key}),
        Field::Span(key) => json!({"span": key}),
        Field::Feedback(key) => json!({"feedback": key}),
        Field::Expectation(key) => json!({"expectation": key}),
        Field::IssueId => json!({"issue": "id"}),
    }
}

fn number(number: f64) -> Json {
    json!({"number": python::repr_float(number)})
}

fn comparison(comparison: &Comparison) -> Json {
    let value = match &comparison.value {
        Value::Text(text) => json!({"text": text}),
        Value::Integer(integer) => json!({"integer": integer}),
        Value::Number(value) => number(*value),
        Value::TextList(texts) => json!({"list": texts}),
        Value::Null => Json::Null,
    };
    json!({"field": field(&comparison.field), "op": comparison.op.as_str(), "value": value})
}

fn order(order: &Order) -> Json {
    json!({"field": field(&order.field), "ascending": order.ascending})
}

/// Compares what we make of every line with what MLflow made of it.
fn replay<T>(name: &str, lines: &str, parse: impl Fn(&Json) -> Result<Vec<T>>, show: impl Fn(&T) -> Json) {
    let mut wrong = Vec::new();
    for line in lines.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let ours = match parse(&case["input"]) {
            Ok(items) => json!({"result": items.iter().map(&show).collect::<Vec<_>>()}),
            Err(error) => json!({"error": error.to_string()}),
        };
        let same = match case.get("crash") {
            // An internal error there is a message of our own here.
            Some(_) => ours.get("error").is_some(),
            None => ["result", "error"].iter().all(|key| ours.get(key) == case.get(key)),
        };
        if !same {
            wrong.push(format!("{line}\n  ours: {ours}"));
        }
    }
    let count = lines.lines().count();
    assert!(count > 0, "{name} is empty");
    assert!(wrong.is_empty(), "{name}: {} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn filters(name: &str, lines: &str, parse: fn(&str) -> Result<Vec<Comparison>>) {
    replay(name, lines, |input| parse(input.as_str().unwrap()), comparison);
}

fn orders(name: &str, lines: &str, parse: fn(&[String]) -> Result<Vec<Order>>) {
    replay(name, lines, |input| parse(&serde_json::from_value::<Vec<String>>(input.clone()).unwrap()), order);
}

#[test]
fn filters_of_runs() {
    filters("runs", fixture!("runs"), runs::parse);
}

#[test]
fn filters_of_experiments() {
    filters("experiments", fixture!("experiments"), experiments::parse);
}

#[test]
fn filters_of_registered_models() {
    filters("registered_models", fixture!("registered_models"), registered_models::parse);
}

#[test]
fn filters_of_model_versions() {
    filters("model_versions", fixture!("model_versions"), model_versions::parse);
}

#[test]
fn filters_of_logged_models() {
    filters("logged_models", fixture!("logged_models"), logged_models::parse);
}

#[test]
fn filters_of_traces() {
    filters("traces", fixture!("traces"), traces::parse);
}

#[test]
fn every_order() {
    orders("runs", fixture!("order_runs"), runs::parse_order_by);
    orders("experiments", fixture!("order_experiments"), experiments::parse_order_by);
    orders("registered_models", fixture!("order_registered_models"), registered_models::parse_order_by);
    orders("model_versions", fixture!("order_model_versions"), model_versions::parse_order_by);
    orders("traces", fixture!("order_traces"), traces::parse_order_by);
    let parse =
        |input: &Json| logged_models::parse_order_by(&serde_json::from_value::<Vec<OrderBy>>(input.clone()).unwrap());
    replay("logged_models", fixture!("order_logged_models"), parse, order);
}

#[test]
fn page_tokens() {
    let parse = |input: &Json| PageToken::decode(input.as_str().unwrap()).map(|token| vec![token]);
    replay("page", fixture!("page"), parse, |token: &PageToken| json!(token.offset));
    for line in fixture!("page_encoded").lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let token = PageToken { offset: case["offset"].as_u64().unwrap() };
        assert_eq!(token.encode(), case["token"].as_str().unwrap());
        assert_eq!(PageToken::decode(&token.encode()).ok(), (token.offset > 0).then_some(token));
    }
}

#[test]
fn page_tokens_of_logged_models() {
    let mut seen = 0;
    for line in fixture!("page_logged_models").lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let token: LoggedModelsToken = serde_json::from_value(case["made_for"].clone()).unwrap();
        assert_eq!(token.encode(), case["token"].as_str().unwrap(), "{line}");
        let decoded = LoggedModelsToken::decode(&token.encode()).unwrap();
        assert_eq!(decoded.offset, token.offset);
        let asked: LoggedModelsToken = serde_json::from_value(case["used_for"].clone()).unwrap();
        let ids = asked.experiment_ids.unwrap();
        let checked = decoded.check(&ids, asked.filter.as_deref(), asked.order_by.as_deref());
        assert_eq!(checked.err().map(|error| error.to_string()).as_deref(), case["error"].as_str(), "{line}");
        seen += 1;
    }
    assert!(seen > 5);
    for token in ["x", "YQ==", "é", "e30", "W10=", "eyJvZmZzZXQiOiAieCJ9"] {
        let message = LoggedModelsToken::decode(token).unwrap_err().to_string();
        assert!(message.starts_with(&format!("Invalid page token: {token}. ")), "{message}");
    }
    assert_eq!(
        LoggedModelsToken::decode("YQ==").unwrap_err().to_string(),
        "Invalid page token: YQ==. Expecting value: line 1 column 1 (char 0)"
    );
}

/// Every parser at once.
fn all(text: &str) {
    let _ = runs::parse(text);
    let _ = experiments::parse(text);
    let _ = registered_models::parse(text);
    let _ = model_versions::parse(text);
    let _ = logged_models::parse(text);
    let _ = traces::parse(text);
    let orders = [text.to_owned()];
    let _ = runs::parse_order_by(&orders);
    let _ = traces::parse_order_by(&orders);
    let _ = PageToken::decode(text);
    let _ = LoggedModelsToken::decode(text);
}

#[test]
fn limits_hold() {
    let message = |filter: &str| runs::parse(filter).unwrap_err().to_string();
    assert!(message(&"x".repeat(MAX_LENGTH + 1)).contains("at most 262144 are allowed"));
    let clauses = vec!["params.a='1'"; MAX_CLAUSES + 1];
    assert!(message(&clauses.join(" AND ")).contains("501 comparisons; at most 500"));
    assert_eq!(runs::parse(&clauses[1..].join(" AND ")).unwrap().len(), MAX_CLAUSES);
    assert!(message(&" ".repeat(MAX_TOKENS + 1)).starts_with("Error on parsing filter '"));
    let texts = vec!["'0123456789abcdef0123456789abcdef'"; 4900];
    assert_eq!(runs::parse(&format!("run_id IN ({})", texts.join(","))).unwrap().len(), 1);
    let orders = vec!["metrics.a".to_owned(); MAX_ORDERS + 1];
    assert!(runs::parse_order_by(&orders).unwrap_err().to_string().contains("at most 100"));
}

/// Input that would take quadratic time or deep recursion from a careless parser.
#[test]
fn hostile_text_is_refused_quickly() {
    let started = std::time::Instant::now();
    for piece in [
        "(",
        "[",
        ")",
        "a=",
        "a.",
        "1+",
        "'",
        "''",
        "`",
        "``",
        "\"\\\"",
        "/*",
        "$a$",
        "$",
        "--",
        "case ",
        "a::",
        "in(",
        "x as ",
        "[[",
        "a[1]",
        "-",
        "1a",
        "((a),",
        "where ",
        "'\\'",
        "\u{1f600}",
    ] {
        all(&piece.repeat(1_000));
        let _ = runs::parse(&piece.repeat(MAX_TOKENS - 1));
        let _ = traces::parse(&piece.repeat(MAX_LENGTH / piece.len()));
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// Pieces that the grammar gives a meaning, in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = proptest::sample::select(vec![
        "metrics",
        "params",
        "tags",
        ".",
        "a",
        "`b c`",
        "\"q\"",
        "'t'",
        "=",
        "!=",
        ">",
        "LIKE",
        "IN",
        "NOT",
        "IS",
        "NULL",
        "AND",
        "OR",
        "(",
        ")",
        "[",
        "]",
        ",",
        "1",
        "-.5",
        "1e-3",
        " ",
        "\n",
        ";",
        "--",
        "/*",
        "*/",
        "'",
        "\"",
        "`",
        "\\",
        "timestamp",
        "name",
        "as",
        "asc",
        "case",
        "end",
        "where",
        "::",
        "$x$",
        "é",
        "\u{0}",
    ]);
    proptest::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        all(&text);
    }

    #[test]
    fn no_soup_panics(text in soup()) {
        all(&text);
    }

    /// Tokens cover the text, and what is well-formed stays what it was.
    #[test]
    fn quoted_texts_come_back(key in "[a-z ./-]{1,12}", text in "[^'\\\\]{0,20}", number in any::<f64>()) {
        let filter = format!("params.`{key}` = '{text}' AND metrics.`{key}` >= {number:.3}");
        prop_assert_eq!(runs::parse(&filter).unwrap(), vec![
            Comparison { field: Field::Param(key.clone()), op: Operator::Eq, value: Value::Text(text) },
            Comparison {
                field: Field::Metric(key),
                op: Operator::Ge,
                value: Value::Number(format!("{number:.3}").parse().unwrap()),
            },
        ]);
    }

    #[test]
    fn offsets_come_back(offset in 1..=u64::from(u32::MAX)) {
        let token = PageToken { offset };
        prop_assert_eq!(PageToken::decode(&token.encode()).unwrap(), token);
    }

    #[test]
    fn globs_match_as_patterns_do(text in "[ab%*?\\[\\]]{0,8}", pattern in "[ab%_*?\\[\\]]{0,8}") {
        let plain: String = pattern.replace(['%', '_'], "");
        let folded = like::matches(&text, &pattern, like::Case::Insensitive);
        prop_assert!(!like::matches(&text, &pattern, like::Case::Sensitive) || folded);
        prop_assert!(like::matches(&plain, &plain, like::Case::Sensitive));
    }
}
