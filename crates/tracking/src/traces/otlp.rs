//! The messages of OpenTelemetry's trace protocol, as far as they are kept: what a client sends beyond them is skipped.
//! Spans are stored in the same form.

use mcplane_core::{Error, Result};
use prost::encoding::decode_varint;
use prost::{Message, Oneof};

/// A request to take in spans.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(crate) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) scope_spans: Vec<ScopeSpans>,
}

/// Who produced spans.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(crate) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    pub(crate) spans: Vec<Span>,
}

/// A unit of work.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(crate) name: String,
    #[prost(fixed64, tag = "7")]
    pub(crate) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(crate) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) events: Vec<Event>,
    #[prost(message, repeated, tag = "13")]
    pub(crate) links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    pub(crate) status: Option<Status>,
}

/// Something that happened during a span.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    #[prost(fixed64, tag = "1")]
    pub(crate) time_unix_nano: u64,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) attributes: Vec<KeyValue>,
}

/// A span that is related and no parent.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Link {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) span_id: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) attributes: Vec<KeyValue>,
}

/// How a span ended: 1 well, 2 with an error.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(int32, tag = "3")]
    pub(crate) code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(crate) value: Option<Any>,
}

/// A value of any kind. `prost` bounds how deep they nest.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(List),
    #[prost(message, tag = "6")]
    Map(Map),
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct List {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Map {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<KeyValue>,
}

impl KeyValue {
    pub(crate) fn text(key: &str, value: impl Into<String>) -> Self {
        Self { key: key.to_owned(), value: Some(AnyValue { value: Some(Any::Text(value.into())) }) }
    }

    pub(crate) fn any(&self) -> Option<&Any> {
        self.value.as_ref()?.value.as_ref()
    }
}

impl Span {
    /// The attribute of that key.
    pub(crate) fn attribute(&self, key: &str) -> Option<&Any> {
        self.attributes.iter().find(|attribute| attribute.key == key)?.any()
    }

    /// The attribute of that key, if it is a text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.attribute(key) {
            Some(Any::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.parent_span_id.is_empty()
    }

    /// How it ended, in words of searches.
    pub(crate) fn status_name(&self) -> &'static str {
        match self.status.as_ref().map(|status| status.code) {
            Some(1) => "OK",
            Some(2) => "ERROR",
            _ => "UNSET",
        }
    }

    pub(crate) fn failed(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.code == 2)
    }
}

/// Most spans that one request may hold: a span takes a hundred times the memory of the two bytes that it may have on the
/// wire, so they are counted before they are read.
pub(crate) const MOST_SPANS: usize = 100_000;

/// Reads a request.
///
/// # Errors
/// [`Error::BadRequest`] for what is no such message, or too much of it.
pub(crate) fn decode(body: &[u8]) -> Result<ExportRequest> {
    let invalid = || Error::bad_request("Invalid OpenTelemetry format");
    let spans = count(body, &[1, 2, 2], MOST_SPANS).ok_or_else(invalid)?;
    if spans > MOST_SPANS {
        return Err(Error::TooLarge(format!("a request takes at most {MOST_SPANS} spans")));
    }
    ExportRequest::decode(body).map_err(|_| invalid())
}

/// How many messages are at `path`, the numbers of fields from the outermost on; stops above `most`.
fn count(mut message: &[u8], path: &[u32], most: usize) -> Option<usize> {
    let Some((field, inner)) = path.split_first() else { return Some(1) };
    let mut found = 0;
    while !message.is_empty() && found <= most {
        let key = decode_varint(&mut message).ok()?;
        let skipped = match key & 7 {
            0 => {
                decode_varint(&mut message).ok()?;
                0
            }
            1 => 8,
            2 => usize::try_from(decode_varint(&mut message).ok()?).ok()?,
            5 => 4,
            // Groups, which the protocol has none of, are left to the decoder.
            _ => return Some(found),
        };
        let (value, rest) = message.split_at_checked(skipped)?;
        if key == u64::from(*field) << 3 | 2 {
            found += count(value, inner, most)?;
        }
        message = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nested(depth: usize) -> AnyValue {
        (0..depth).fold(AnyValue { value: Some(Any::Int(1)) }, |inner, _| AnyValue {
            value: Some(Any::List(List { values: vec![inner] })),
        })
    }

    fn request(value: AnyValue) -> ExportRequest {
        let span = Span { attributes: vec![KeyValue { key: "k".to_owned(), value: Some(value) }], ..Span::default() };
        let scope = ScopeSpans { spans: vec![span] };
        ExportRequest { resource_spans: vec![ResourceSpans { resource: None, scope_spans: vec![scope] }] }
    }

    #[test]
    fn what_is_sent_is_read() {
        let sent = request(nested(20));
        assert_eq!(decode(&sent.encode_to_vec()).unwrap(), sent);
        // A field that is not known: number 200, a varint.
        let mut extended = sent.encode_to_vec();
        extended.extend([0xc0, 0x0c, 0x01]);
        assert_eq!(decode(&extended).unwrap(), sent);
    }

    #[test]
    fn spans_are_counted_before_they_are_read() {
        let scope = |n| ScopeSpans { spans: vec![Span::default(); n] };
        let resource = |n| ResourceSpans { resource: Some(Resource::default()), scope_spans: vec![scope(n), scope(1)] };
        let sent = ExportRequest { resource_spans: vec![resource(2), resource(3)] }.encode_to_vec();
        assert_eq!(count(&sent, &[1, 2, 2], 100), Some(7));
        let many = ExportRequest { resource_spans: vec![resource(MOST_SPANS)] }.encode_to_vec();
        assert!(matches!(decode(&many), Err(Error::TooLarge(_))));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(decode(&request(nested(2000)).encode_to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&body);
        }
    }
}
