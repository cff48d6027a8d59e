//! Traces: what an application did for a request, as spans, with what people and models said of it.
//!
//! A client tells of a trace and sends its spans on different ways and in any order; whichever comes first makes the trace.
//! What the client tells counts more than what its spans tell.

mod assessments;
pub(crate) mod collector;
mod correlation;
mod ingest;
mod measured;
mod measures;
pub(crate) mod mlflow;
pub(crate) mod mlflow_v2;
mod otlp;
mod otlp_json;
mod preview;
mod search;
mod semantics;
pub(crate) mod service;
mod spans;
pub(crate) mod store;
mod types;
mod usage;

pub use assessments::Assessment;
pub use types::{NewTrace, TraceInfo, TraceState};

pub(crate) use spans::hex;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::Formatter;

/// JSON as Python writes it: spaces behind commas and colons, in ASCII. Values are stored so, because filters compare them.
pub(crate) fn python_json(value: &Value) -> String {
    let mut bytes = Vec::new();
    // Values always have a JSON form.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced));
    let text = String::from_utf8(bytes).unwrap_or_default();
    crate::mlflow::fields::in_ascii(&text)
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
