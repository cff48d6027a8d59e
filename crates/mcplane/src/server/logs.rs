//! Logs on standard error: text for people on a terminal, otherwise one JSON object a line in the Elastic Common
//! Schema (<https://www.elastic.co/guide/en/ecs/current>).

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

const ECS_VERSION: &str = "8.11.0";

/// Starts logging for the whole process; a second call changes nothing.
pub fn init(config: &LogConfig) {
    let terminal = io::stderr().is_terminal();
    let text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry().with(config.level.filter());
    let started = if text {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        registry
            .with(tracing_subscriber::fmt::layer().with_ansi(colour).with_target(false).with_writer(io::stderr))
            .try_init()
    } else {
        registry.with(EcsLayer::new(io::stderr)).try_init()
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(log.origin = place, "panic: {}", panic.payload_as_str().unwrap_or("no message"));
        }));
    }
}

/// Writes events in the Elastic Common Schema, with the fields of the spans around them.
#[derive(Debug)]
pub struct EcsLayer<W> {
    writer: W,
}

impl<W> EcsLayer<W> {
    /// A layer that writes to what `writer` makes.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// Fields of a span, kept in its extensions.
struct SpanFields(Map<String, Value>);

impl<S, W> Layer<S> for EcsLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut EcsVisitor(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut::<SpanFields>()
        {
            values.record(&mut EcsVisitor(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("@timestamp".into(), format!("{:.3}", jiff::Timestamp::now()).into());
        line.insert("log.level".into(), metadata.level().as_str().to_ascii_lowercase().into());
        line.insert("message".into(), "".into());
        line.insert("ecs.version".into(), ECS_VERSION.into());
        line.insert("service.name".into(), "mcplane".into());
        line.insert("service.version".into(), env!("CARGO_PKG_VERSION").into());
        line.insert("log.logger".into(), metadata.target().into());
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(fields)) = span.extensions().get::<SpanFields>() {
                for (name, value) in fields {
                    // Scopes come innermost first; the innermost value stands.
                    line.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        event.record(&mut EcsVisitor(&mut line));
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // Nobody is left to tell if the log can't be written.
        let _ = self.writer.make_writer_for(metadata).write_all(text.as_bytes());
    }
}

/// Puts fields under their ECS names: dotted names are ECS's own, `error` is `error.message`, the rest are labels.
struct EcsVisitor<'a>(&'a mut Map<String, Value>);

impl EcsVisitor<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let name = match field.name() {
            "message" => "message".to_owned(),
            "error" => "error.message".to_owned(),
            name if name.contains('.') => name.to_owned(),
            name => format!("labels.{name}"),
        };
        self.0.insert(name, value.into());
    }
}

impl Visit for EcsVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, error_chain(value));
    }
}

/// An error with its causes, outermost first, without a cause that its parent already tells.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(action: impl FnOnce()) -> Value {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::registry().with(EcsLayer::new(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, action);
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "one line an event: {text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn events_carry_ecs_fields_and_those_of_their_spans() {
        let line = logged(|| {
            let outer = tracing::info_span!("outer", trace.id = "abc", user.name = tracing::field::Empty, depth = 1);
            outer.record("user.name", "ann");
            let _outer = outer.enter();
            let _inner = tracing::info_span!("inner", depth = 2).entered();
            let error = io::Error::other("disk\nfull");
            tracing::warn!(error = &error as &dyn Error, attempts = 3, "can't write");
        });
        for (name, value) in [
            ("log.level", Value::from("warn")),
            ("message", "can't write".into()),
            ("trace.id", "abc".into()),
            ("user.name", "ann".into()),
            ("error.message", "disk\nfull".into()),
            ("labels.attempts", 3.into()),
            ("labels.depth", 2.into()),
            ("service.name", "mcplane".into()),
            ("ecs.version", ECS_VERSION.into()),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        let timestamp = line["@timestamp"].as_str().unwrap();
        assert!(mcplane_core::clock::parse_rfc3339(timestamp).is_some() && timestamp.ends_with('Z'), "{timestamp}");
    }

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Middle);
        #[derive(Debug, thiserror::Error)]
        #[error("middle: {0}")]
        struct Middle(#[source] io::Error);
        assert_eq!(error_chain(&Outer(Middle(io::Error::other("inner")))), "outer: middle: inner");
    }
}
