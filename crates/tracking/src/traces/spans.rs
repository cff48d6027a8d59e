//! Spans in the forms that clients read: the protocol's JSON, and the older JSON in which every attribute is a text of JSON.
//! The latter is also what a search for text looks through, so it is written as Python writes it.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use mcplane_core::{Error, Result};
use prost::Message;
use serde_json::{Map, Value, json};

use super::otlp::{Any, Event, KeyValue, Link, Span};

/// Spans as they are stored.
#[derive(Clone, PartialEq, Message)]
struct Part {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<Span>,
}

/// Spans to the bytes that are stored.
pub(crate) fn pack(spans: Vec<Span>) -> Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&Part { spans }.encode_to_vec()).map_err(Error::internal)?;
    encoder.finish().map_err(Error::internal)
}

/// The spans of all parts, of those with one id the last. Roots come first, then the earliest.
pub(crate) fn unpack<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Result<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for part in parts {
        let mut bytes = Vec::new();
        ZlibDecoder::new(part).read_to_end(&mut bytes).map_err(Error::internal)?;
        for span in Part::decode(bytes.as_slice()).map_err(Error::internal)?.spans {
            let place = *places.entry(span.span_id.clone()).or_insert(spans.len());
            match spans.get_mut(place) {
                Some(earlier) => *earlier = span,
                None => spans.push(span),
            }
        }
    }
    spans.sort_by_key(|span| (!span.is_root(), span.start_time_unix_nano));
    Ok(spans)
}

/// A span in the protocol's JSON.
pub(crate) fn message(span: &Span) -> Value {
    let mut message = Map::new();
    message.insert("trace_id".to_owned(), BASE64_STANDARD.encode(&span.trace_id).into());
    message.insert("span_id".to_owned(), BASE64_STANDARD.encode(&span.span_id).into());
    if !span.is_root() {
        message.insert("parent_span_id".to_owned(), BASE64_STANDARD.encode(&span.parent_span_id).into());
    }
    if !span.name.is_empty() {
        message.insert("name".to_owned(), span.name.as_str().into());
    }
    for (name, time) in
        [("start_time_unix_nano", span.start_time_unix_nano), ("end_time_unix_nano", span.end_time_unix_nano)]
    {
        if time != 0 {
            message.insert(name.to_owned(), time.into());
        }
    }
    put_list(&mut message, "attributes", span.attributes.iter().map(attribute));
    put_list(&mut message, "events", span.events.iter().map(event));
    put_list(&mut message, "links", span.links.iter().map(link));
    let status = span.status.as_ref();
    let mut ended = Map::new();
    if let Some(text) = status.map(|status| &status.message).filter(|text| !text.is_empty()) {
        ended.insert("message".to_owned(), text.as_str().into());
    }
    if let Some(code @ (1 | 2)) = status.map(|status| status.code) {
        ended.insert("code".to_owned(), status_code(code).into());
    }
    message.insert("status".to_owned(), ended.into());
    message.into()
}

fn put_list(message: &mut Map<String, Value>, name: &str, items: impl Iterator<Item = Value>) {
    let items: Vec<Value> = items.collect();
    if !items.is_empty() {
        message.insert(name.to_owned(), items.into());
    }
}

fn event(event: &Event) -> Value {
    let mut message = Map::new();
    if event.time_unix_nano != 0 {
        message.insert("time_unix_nano".to_owned(), event.time_unix_nano.into());
    }
    message.insert("name".to_owned(), event.name.as_str().into());
    put_list(&mut message, "attributes", event.attributes.iter().map(attribute));
    message.into()
}

fn link(link: &Link) -> Value {
    let mut message = Map::new();
    message.insert("trace_id".to_owned(), BASE64_STANDARD.encode(&link.trace_id).into());
    message.insert("span_id".to_owned(), BASE64_STANDARD.encode(&link.span_id).into());
    put_list(&mut message, "attributes", link.attributes.iter().map(attribute));
    message.into()
}

fn attribute(attribute: &KeyValue) -> Value {
    json!({"key": attribute.key, "value": any(attribute.any())})
}

fn any(value: Option<&Any>) -> Value {
    match value {
        None => json!({}),
        Some(Any::Text(text)) => json!({"string_value": text}),
        Some(Any::Bool(flag)) => json!({"bool_value": flag}),
        Some(Any::Int(number)) => json!({"int_value": number}),
        Some(Any::Double(number)) if number.is_nan() => json!({"double_value": "NaN"}),
        Some(Any::Double(number)) if number.is_infinite() => {
            json!({"double_value": if *number > 0.0 { "Infinity" } else { "-Infinity" }})
        }
        Some(Any::Double(number)) => json!({"double_value": number}),
        Some(Any::Bytes(bytes)) => json!({"bytes_value": BASE64_STANDARD.encode(bytes)}),
        Some(Any::List(list)) => {
            let mut message = Map::new();
            put_list(&mut message, "values", list.values.iter().map(|item| any(item.value.as_ref())));
            json!({"array_value": message})
        }
        Some(Any::Map(map)) => {
            let mut message = Map::new();
            put_list(&mut message, "values", map.values.iter().map(attribute));
            json!({"kvlist_value": message})
        }
    }
}

const fn status_code(code: i32) -> &'static str {
    match code {
        1 => "STATUS_CODE_OK",
        2 => "STATUS_CODE_ERROR",
        _ => "STATUS_CODE_UNSET",
    }
}

/// Spans in the older JSON, as a file of a trace has them.
pub(crate) fn document(spans: &[Span]) -> String {
    let spans: Vec<_> = spans.iter().map(content).collect();
    format!("{{\"spans\":[{}]}}", spans.join(","))
}

/// A span in the older JSON.
pub(crate) fn content(span: &Span) -> String {
    let mut out = String::with_capacity(512);
    out.push_str("{\"trace_id\": ");
    text(&mut out, &BASE64_STANDARD.encode(&span.trace_id));
    out.push_str(", \"span_id\": ");
    text(&mut out, &BASE64_STANDARD.encode(&span.span_id));
    out.push_str(", \"parent_span_id\": ");
    match span.is_root() {
        true => out.push_str("null"),
        false => text(&mut out, &BASE64_STANDARD.encode(&span.parent_span_id)),
    }
    out.push_str(", \"name\": ");
    text(&mut out, &span.name);
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    // Writing to a String can't fail.
    let _ = write!(out, ", \"start_time_unix_nano\": {start}, \"end_time_unix_nano\": {end}, \"events\": ");
    list(&mut out, &span.events, |out, event| {
        out.push_str("{\"name\": ");
        text(out, &event.name);
        let _ = write!(out, ", \"time_unix_nano\": {}, \"attributes\": ", event.time_unix_nano);
        object(out, &event.attributes, dump);
        out.push('}');
    });
    let status = span.status.clone().unwrap_or_default();
    let _ = write!(out, ", \"status\": {{\"code\": \"{}\", \"message\": ", status_code(status.code));
    text(&mut out, &status.message);
    out.push_str("}, \"attributes\": ");
    object(&mut out, &span.attributes, |out, value| {
        let mut dumped = String::new();
        dump(&mut dumped, value);
        text(out, &dumped);
    });
    out.push_str(", \"links\": ");
    list(&mut out, &span.links, |out, link| {
        let _ = write!(out, "{{\"trace_id\": \"tr-{}\", \"span_id\": \"{}\"", hex(&link.trace_id), hex(&link.span_id));
        out.push_str(", \"attributes\": ");
        match link.attributes.is_empty() {
            true => out.push_str("null"),
            false => object(out, &link.attributes, dump),
        }
        out.push('}');
    });
    out.push('}');
    out
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The JSON of a value as Python's `json.dumps` writes it without escaping other scripts.
pub(crate) fn dumped(value: Option<&Any>) -> String {
    let mut out = String::new();
    dump(&mut out, value);
    out
}

fn dump(out: &mut String, value: Option<&Any>) {
    match value {
        None => out.push_str("null"),
        Some(Any::Text(value)) => text(out, value),
        Some(Any::Bool(flag)) => out.push_str(if *flag { "true" } else { "false" }),
        Some(Any::Int(number)) => drop(write!(out, "{number}")),
        Some(Any::Double(number)) => out.push_str(&double(*number)),
        Some(Any::Bytes(bytes)) => text(out, &BASE64_STANDARD.encode(bytes)),
        Some(Any::List(items)) => list(out, &items.values, |out, item| dump(out, item.value.as_ref())),
        Some(Any::Map(map)) => object(out, &map.values, dump),
    }
}

fn list<T>(out: &mut String, items: &[T], mut item: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (index, value) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        item(out, value);
    }
    out.push(']');
}

fn object(out: &mut String, entries: &[KeyValue], mut value: impl FnMut(&mut String, Option<&Any>)) {
    out.push('{');
    for (index, entry) in entries.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        text(out, &entry.key);
        out.push_str(": ");
        value(out, entry.any());
    }
    out.push('}');
}

fn text(out: &mut String, text: &str) {
    // A text always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A double as Python prints it.
pub(crate) fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let exponent = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    if (-4..16).contains(&exponent) {
        return format!("{number:?}");
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::super::otlp::{AnyValue, List, Map as AnyMap, Status};
    use super::*;

    fn value(any: Any) -> Option<AnyValue> {
        Some(AnyValue { value: Some(any) })
    }

    fn span() -> Span {
        let numbers = List { values: vec![AnyValue { value: Some(Any::Int(1)) }, AnyValue { value: None }] };
        let inputs = AnyMap {
            values: vec![
                KeyValue { key: "z".to_owned(), value: value(Any::Double(2.0)) },
                KeyValue { key: "a".to_owned(), value: value(Any::List(numbers)) },
            ],
        };
        Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "plan \"ä\"".to_owned(),
            start_time_unix_nano: 5,
            end_time_unix_nano: 9,
            attributes: vec![
                KeyValue { key: "in".to_owned(), value: value(Any::Map(inputs)) },
                KeyValue::text("text", "x"),
                KeyValue { key: "nan".to_owned(), value: value(Any::Double(f64::NAN)) },
            ],
            status: Some(Status { code: 1, message: String::new() }),
            ..Span::default()
        }
    }

    #[test]
    fn spans_have_two_forms() {
        let expected = r#"{"trace_id": "AQEBAQEBAQEBAQEBAQEBAQ==", "span_id": "AgICAgICAgI=", "parent_span_id": null, "name": "plan \"ä\"", "start_time_unix_nano": 5, "end_time_unix_nano": 9, "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""}, "attributes": {"in": "{\"z\": 2.0, \"a\": [1, null]}", "text": "\"x\"", "nan": "NaN"}, "links": []}"#;
        assert_eq!(content(&span()), expected);
        let message = message(&span());
        assert_eq!(
            message["attributes"][0]["value"]["kvlist_value"]["values"][0]["value"],
            json!({"double_value": 2.0})
        );
        assert_eq!(message["attributes"][2]["value"], json!({"double_value": "NaN"}));
        assert_eq!(message["status"], json!({"code": "STATUS_CODE_OK"}));
        assert_eq!(message.get("parent_span_id"), None);
    }

    #[test]
    fn the_last_of_spans_with_one_id_counts() {
        let child = Span { span_id: vec![3; 8], parent_span_id: vec![2; 8], start_time_unix_nano: 1, ..span() };
        let renamed = Span { name: "again".to_owned(), ..span() };
        let parts = [pack(vec![child, span()]).unwrap(), pack(vec![renamed]).unwrap()];
        let spans = unpack(parts.iter().map(Vec::as_slice)).unwrap();
        let names: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.span_id[0])).collect();
        assert_eq!(names, [("again", 2), ("plan \"ä\"", 3)]);
    }

    #[test]
    fn doubles_are_printed_as_python_does() {
        for (number, text) in
            [(1.0, "1.0"), (0.1, "0.1"), (1e16, "1e+16"), (1.5e-7, "1.5e-07"), (-0.0, "-0.0"), (1e22, "1e+22")]
        {
            assert_eq!(double(number), text);
        }
    }
}
