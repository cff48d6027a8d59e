//! The trace protocol as JSON: names in camel case, ids in hexadecimal digits, 64-bit numbers as numbers or texts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mcplane_core::{Error, Result};
use serde_json::Value;

use super::otlp::{
    Any, AnyValue, Event, ExportRequest, KeyValue, Link, List, MOST_SPANS, Map, Resource, ResourceSpans, ScopeSpans,
    Span, Status,
};

/// Reads a request. The parser bounds how deep values nest.
///
/// # Errors
/// [`Error::BadRequest`] for what is no such message, [`Error::TooLarge`] for too many spans.
pub(crate) fn decode(body: &[u8]) -> Result<ExportRequest> {
    let invalid = || Error::bad_request("Invalid OpenTelemetry format");
    let value: Value = serde_json::from_slice(body).map_err(|_| invalid())?;
    if !value.is_object() {
        return Err(invalid());
    }
    let request = export(&value).ok_or_else(invalid)?;
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    if scopes.map(|scope| scope.spans.len()).sum::<usize>() > MOST_SPANS {
        return Err(Error::TooLarge(format!("a request takes at most {MOST_SPANS} spans")));
    }
    Ok(request)
}

fn export(value: &Value) -> Option<ExportRequest> {
    Some(ExportRequest { resource_spans: list(value, "resourceSpans", resource_spans)? })
}

fn resource_spans(value: &Value) -> Option<ResourceSpans> {
    let resource = match value.get("resource") {
        None | Some(Value::Null) => None,
        Some(resource) => Some(Resource { attributes: attributes(resource)? }),
    };
    Some(ResourceSpans { resource, scope_spans: list(value, "scopeSpans", scope_spans)? })
}

fn scope_spans(value: &Value) -> Option<ScopeSpans> {
    Some(ScopeSpans { spans: list(value, "spans", span)? })
}

fn span(value: &Value) -> Option<Span> {
    Some(Span {
        trace_id: id(value, "traceId")?,
        span_id: id(value, "spanId")?,
        parent_span_id: id(value, "parentSpanId")?,
        name: text(value, "name")?,
        start_time_unix_nano: time(value, "startTimeUnixNano")?,
        end_time_unix_nano: time(value, "endTimeUnixNano")?,
        attributes: attributes(value)?,
        events: list(value, "events", event)?,
        links: list(value, "links", link)?,
        status: match value.get("status") {
            None | Some(Value::Null) => None,
            Some(status) => Some(Status { message: text(status, "message")?, code: code(status.get("code"))? }),
        },
    })
}

fn event(value: &Value) -> Option<Event> {
    let time_unix_nano = time(value, "timeUnixNano")?;
    Some(Event { time_unix_nano, name: text(value, "name")?, attributes: attributes(value)? })
}

fn link(value: &Value) -> Option<Link> {
    Some(Link { trace_id: id(value, "traceId")?, span_id: id(value, "spanId")?, attributes: attributes(value)? })
}

fn attributes(value: &Value) -> Option<Vec<KeyValue>> {
    list(value, "attributes", key_value)
}

fn key_value(value: &Value) -> Option<KeyValue> {
    Some(KeyValue { key: text(value, "key")?, value: optional(value.get("value"))? })
}

fn optional(value: Option<&Value>) -> Option<Option<AnyValue>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(value) => Some(Some(any_value(value)?)),
    }
}

fn any_value(value: &Value) -> Option<AnyValue> {
    let Some((name, value)) = value.as_object()?.iter().next() else { return Some(AnyValue { value: None }) };
    let any = match name.as_str() {
        "stringValue" => Any::Text(value.as_str()?.to_owned()),
        "boolValue" => Any::Bool(value.as_bool()?),
        "intValue" => Any::Int(whole(value)?),
        "doubleValue" => Any::Double(double(value)?),
        "bytesValue" => Any::Bytes(BASE64_STANDARD.decode(value.as_str()?).ok()?),
        "arrayValue" => Any::List(List { values: list(value, "values", any_value)? }),
        "kvlistValue" => Any::Map(Map { values: list(value, "values", key_value)? }),
        _ => return Some(AnyValue { value: None }),
    };
    Some(AnyValue { value: Some(any) })
}

/// A list in which every item must be right; empty if it is not there.
fn list<T>(value: &Value, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value.as_object()?.get(name) {
        None | Some(Value::Null) => Some(vec![]),
        Some(items) => items.as_array()?.iter().map(read).collect(),
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    match value.as_object()?.get(name) {
        None | Some(Value::Null) => Some(String::new()),
        Some(text) => text.as_str().map(str::to_owned),
    }
}

/// Bytes from hexadecimal digits.
fn id(value: &Value, name: &str) -> Option<Vec<u8>> {
    let text = text(value, name)?;
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    pairs.collect()
}

fn time(value: &Value, name: &str) -> Option<u64> {
    match value.as_object()?.get(name) {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64(),
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        number => number.as_f64(),
    }
}

fn code(value: Option<&Value>) -> Option<i32> {
    Some(match value {
        None | Some(Value::Null) => 0,
        Some(Value::String(name)) => match name.as_str() {
            "STATUS_CODE_UNSET" => 0,
            "STATUS_CODE_OK" => 1,
            "STATUS_CODE_ERROR" => 2,
            _ => return None,
        },
        Some(number) => i32::try_from(number.as_i64()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn body(span: Value) -> Vec<u8> {
        json!({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn spans_are_read() {
        let request = decode(&body(json!({
            "traceId": "5B8EFFf798038103d269b633813fc60c",
            "spanId": "eee19b7ec3c1b174",
            "name": "s",
            "kind": 3,
            "startTimeUnixNano": "1544712660000000000",
            "endTimeUnixNano": 1_544_712_661_000_000_000_u64,
            "attributes": [
                {"key": "text", "value": {"stringValue": "a"}},
                {"key": "int", "value": {"intValue": "-5"}},
                {"key": "list", "value": {"arrayValue": {"values": [{"doubleValue": 1.5}, {}]}}},
                {"key": "map", "value": {"kvlistValue": {"values": [{"key": "b", "value": {"boolValue": true}}]}}},
                {"key": "none"},
            ],
            "events": [{"timeUnixNano": "7", "name": "e"}],
            "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
        })))
        .unwrap();
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.trace_id[0], span.trace_id.len(), span.span_id.len()), (0x5b, 16, 8));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1544712660000000000, 1544712661000000000));
        assert_eq!((span.text("text"), span.attribute("int")), (Some("a"), Some(&Any::Int(-5))));
        let Some(Any::List(list)) = span.attribute("list") else { panic!("a list") };
        assert_eq!(list.values[0].value, Some(Any::Double(1.5)));
        assert!(matches!(span.attribute("map"), Some(Any::Map(_))));
        assert_eq!((span.events[0].time_unix_nano, span.failed(), span.is_root()), (7, true, true));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "[]",
            "{",
            "7",
            r#"{"resourceSpans": {}}"#,
            r#"{"resourceSpans": [1]}"#,
            r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}"#,
            r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "abc"}]}]}]}"#,
            r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": -1}]}]}]}"#,
        ] {
            assert_eq!(decode(bad.as_bytes()).unwrap_err().to_string(), "Invalid OpenTelemetry format", "{bad}");
        }
        assert_eq!(decode(b"{}").unwrap(), ExportRequest::default());
        let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(500), "]}}".repeat(500));
        let deep = format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{deep}}}]}}}}]}}"#);
        assert!(decode(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(body in r#"[\{\}\[\]":,a-z0-9]{0,80}"#) {
            let _ = decode(body.as_bytes());
        }
    }
}
