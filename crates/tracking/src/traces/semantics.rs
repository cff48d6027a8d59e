//! What other libraries call things: attributes of OpenTelemetry's conventions for generative AI, and of older ones, in the
//! words of this dialect. What a span says in those words itself stays.

use super::otlp::{Any, AnyValue, KeyValue, Map, Span};

const TYPE: &str = "mlflow.spanType";
const INPUTS: &str = "mlflow.spanInputs";
const OUTPUTS: &str = "mlflow.spanOutputs";
const USAGE: &str = "mlflow.chat.tokenUsage";
const TOOLS: &str = "mlflow.chat.tools";
const MODEL: &str = "mlflow.llm.model";
const PROVIDER: &str = "mlflow.llm.provider";

/// A convention: which attributes mean what. Of several keys the first that says something counts.
struct Convention {
    kind: &'static str,
    kinds: &'static [(&'static str, &'static str)],
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
    /// Of tokens: read, written, both, read from a cache, written to it.
    tokens: [&'static [&'static str]; 5],
    model: &'static [&'static str],
    provider: &'static [&'static str],
    tools: &'static [&'static str],
}

/// The names of [`Convention::tokens`] in this dialect.
const TOKENS: [&str; 5] =
    ["input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];

const CONVENTIONS: [Convention; 3] = [
    // OpenInference.
    Convention {
        kind: "openinference.span.kind",
        kinds: &[
            ("TOOL", "TOOL"),
            ("CHAIN", "CHAIN"),
            ("LLM", "LLM"),
            ("RETRIEVER", "RETRIEVER"),
            ("EMBEDDING", "EMBEDDING"),
            ("AGENT", "AGENT"),
            ("RERANKER", "RERANKER"),
            ("UNKNOWN", "UNKNOWN"),
            ("GUARDRAIL", "GUARDRAIL"),
            ("EVALUATOR", "EVALUATOR"),
        ],
        inputs: &["input.value"],
        outputs: &["output.value"],
        tokens: [
            &["llm.token_count.prompt"],
            &["llm.token_count.completion"],
            &["llm.token_count.total"],
            &["llm.token_count.prompt_details.cache_read"],
            &["llm.token_count.prompt_details.cache_write"],
        ],
        model: &["llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"],
        provider: &["llm.provider"],
        tools: &[],
    },
    // OpenTelemetry's own.
    Convention {
        kind: "gen_ai.operation.name",
        kinds: &[
            ("chat", "CHAT_MODEL"),
            ("create_agent", "AGENT"),
            ("embeddings", "EMBEDDING"),
            ("execute_tool", "TOOL"),
            ("generate_content", "LLM"),
            ("invoke_agent", "AGENT"),
            ("text_completion", "LLM"),
            ("response", "LLM"),
        ],
        inputs: &["gen_ai.input.messages", "gen_ai.tool.call.arguments"],
        outputs: &["gen_ai.output.messages", "gen_ai.tool.call.result"],
        tokens: [
            &["gen_ai.usage.input_tokens"],
            &["gen_ai.usage.output_tokens"],
            &[],
            &["gen_ai.usage.cache_read.input_tokens"],
            &["gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"],
        ],
        model: &["gen_ai.response.model", "gen_ai.request.model"],
        provider: &["gen_ai.provider.name"],
        tools: &["gen_ai.tool.definitions"],
    },
    // Traceloop's.
    Convention {
        kind: "traceloop.span.kind",
        kinds: &[
            ("workflow", "WORKFLOW"),
            ("task", "TASK"),
            ("agent", "AGENT"),
            ("tool", "TOOL"),
            ("unknown", "UNKNOWN"),
        ],
        inputs: &["traceloop.entity.input"],
        outputs: &["traceloop.entity.output"],
        tokens: [
            &["gen_ai.usage.prompt_tokens"],
            &["gen_ai.usage.completion_tokens"],
            &["llm.usage.total_tokens"],
            &[],
            &[],
        ],
        model: &[],
        provider: &["gen_ai.system"],
        tools: &[],
    },
];

/// Adds to a span what its attributes mean in this dialect.
pub(crate) fn translate(span: &mut Span) {
    let mut added = Vec::new();
    if span.text(TYPE).is_none_or(|kind| kind == "UNKNOWN")
        && let Some(kind) = CONVENTIONS.iter().find_map(|convention| convention.kind_of(span))
    {
        span.attributes.retain(|attribute| attribute.key != TYPE);
        added.push(KeyValue::text(TYPE, kind));
    }
    type Keys = fn(&Convention) -> &'static [&'static str];
    let fields: [(&str, Keys); 5] = [
        (INPUTS, |convention| convention.inputs),
        (OUTPUTS, |convention| convention.outputs),
        (TOOLS, |convention| convention.tools),
        (MODEL, |convention| convention.model),
        (PROVIDER, |convention| convention.provider),
    ];
    for (key, keys) in fields {
        if span.attribute(key).is_some() {
            continue;
        }
        let found = CONVENTIONS.iter().flat_map(keys).find_map(|key| said(span, key));
        added.extend(found.map(|value| entry(key, value.clone())));
    }
    if span.attribute(USAGE).is_none() {
        added.extend(CONVENTIONS.iter().find_map(|convention| convention.usage(span)).map(|map| entry(USAGE, map)));
    }
    span.attributes.append(&mut added);
}

impl Convention {
    fn kind_of(&self, span: &Span) -> Option<&'static str> {
        let kind = span.text(self.kind)?;
        self.kinds.iter().find(|(known, _)| *known == kind).map(|(_, kind)| *kind)
    }

    fn usage(&self, span: &Span) -> Option<Any> {
        let mut numbers = self.tokens.map(|keys| keys.iter().find_map(|key| whole(span.attribute(key)?)));
        let [read, written, total, ..] = &mut numbers;
        if let (None, Some(read), Some(written)) = (&total, &read, &written) {
            *total = read.checked_add(*written);
        }
        if read.is_none() && written.is_none() && total.is_none() {
            return None;
        }
        let values =
            TOKENS.iter().zip(numbers).filter_map(|(key, number)| Some(entry(key, Any::Int(number?)))).collect();
        Some(Any::Map(Map { values }))
    }
}

fn entry(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

/// The attribute, unless it says nothing.
fn said<'s>(span: &'s Span, key: &str) -> Option<&'s Any> {
    span.attribute(key).filter(|value| match value {
        Any::Text(text) => !text.is_empty(),
        Any::Bool(flag) => *flag,
        Any::Int(number) => *number != 0,
        Any::Double(number) => *number != 0.0,
        Any::List(list) => !list.values.is_empty(),
        Any::Map(map) => !map.values.is_empty(),
        Any::Bytes(bytes) => !bytes.is_empty(),
    })
}

/// A number of tokens, which some libraries write as text.
fn whole(value: &Any) -> Option<i64> {
    match value {
        Any::Int(number) => Some(*number),
        Any::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(attributes: Vec<KeyValue>) -> Span {
        let mut span = Span { attributes, ..Span::default() };
        translate(&mut span);
        span
    }

    #[test]
    fn conventions_are_understood() {
        let chat = span(vec![
            KeyValue::text("gen_ai.operation.name", "chat"),
            KeyValue::text("gen_ai.request.model", "gpt"),
            KeyValue::text("gen_ai.provider.name", "openai"),
            KeyValue::text("gen_ai.input.messages", "[{\"role\": \"user\"}]"),
            KeyValue::text("gen_ai.output.messages", ""),
            entry("gen_ai.usage.input_tokens", Any::Int(5)),
            entry("gen_ai.usage.output_tokens", Any::Text("7".to_owned())),
        ]);
        let text = |key| chat.text(key);
        assert_eq!((text(TYPE), text(MODEL), text(PROVIDER)), (Some("CHAT_MODEL"), Some("gpt"), Some("openai")));
        assert_eq!((text(INPUTS), text(OUTPUTS)), (Some("[{\"role\": \"user\"}]"), None));
        let Some(Any::Map(usage)) = chat.attribute(USAGE) else { panic!("tokens") };
        let usage: Vec<_> = usage.values.iter().map(|entry| (entry.key.as_str(), entry.any())).collect();
        let of = |key, number: &'static Any| (key, Some(number));
        assert_eq!(
            usage,
            [of("input_tokens", &Any::Int(5)), of("output_tokens", &Any::Int(7)), of("total_tokens", &Any::Int(12))]
        );
        let tool = span(vec![KeyValue::text("openinference.span.kind", "TOOL"), KeyValue::text("input.value", "x")]);
        assert_eq!((tool.text(TYPE), tool.text(INPUTS)), (Some("TOOL"), Some("x")));
    }

    #[test]
    fn what_is_said_already_stays() {
        let own = vec![KeyValue::text(TYPE, "AGENT"), KeyValue::text("gen_ai.operation.name", "chat")];
        assert_eq!(span(own.clone()).attributes, own);
        let unknown = vec![KeyValue::text(TYPE, "UNKNOWN"), KeyValue::text("gen_ai.operation.name", "chat")];
        assert_eq!(span(unknown).text(TYPE), Some("CHAT_MODEL"));
        assert_eq!(span(vec![KeyValue::text("gen_ai.operation.name", "else")]).attributes.len(), 1);
    }
}
