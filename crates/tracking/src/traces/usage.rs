//! Tokens and costs of a whole trace. Some tools write at a parent the sum of its children, so what lies below a span that
//! has numbers does not count again.

use std::collections::HashMap;

use serde_json::Value;

use super::otlp::{Any, Span};
use super::spans::double;

/// Numbers that belong together: tokens, or costs.
pub(crate) struct Measure {
    attribute: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    whole: bool,
}

pub(crate) const TOKENS: Measure = Measure {
    attribute: "mlflow.chat.tokenUsage",
    required: &["input_tokens", "output_tokens", "total_tokens"],
    optional: &["cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation_input_tokens_above_1hr"],
    whole: true,
};
pub(crate) const COSTS: Measure = Measure {
    attribute: "mlflow.llm.cost",
    required: &["input_cost", "output_cost", "total_cost"],
    optional: &[],
    whole: false,
};

impl Measure {
    /// The sum over a trace as JSON; `None` if no span has any.
    pub(crate) fn of(&self, spans: &[Span]) -> Option<String> {
        let places: HashMap<&[u8], usize> =
            spans.iter().enumerate().map(|(place, span)| (span.span_id.as_slice(), place)).collect();
        let mut children: Vec<Vec<usize>> = vec![vec![]; spans.len()];
        let mut open = Vec::new();
        for (place, span) in spans.iter().enumerate() {
            let parent = places.get(span.parent_span_id.as_slice()).filter(|parent| **parent != place);
            match parent.and_then(|parent| children.get_mut(*parent)) {
                Some(siblings) => siblings.push(place),
                None => open.push(place),
            }
        }
        let mut totals: HashMap<&str, f64> = HashMap::new();
        let mut found = false;
        while let Some(place) = open.pop() {
            match spans.get(place).and_then(|span| self.numbers(span)) {
                Some(numbers) => {
                    found = true;
                    numbers.for_each(|(key, number)| *totals.entry(key).or_default() += number);
                }
                None => open.extend(children.get(place).into_iter().flatten()),
            }
        }
        found.then(|| {
            self.json(|key| totals.get(key).copied().or_else(|| self.required.contains(&key).then_some(0.0)))
        })?
    }

    /// The JSON with just the keys and numbers that are known; `None` if there are none.
    pub(crate) fn normal(&self, text: &str) -> Option<String> {
        let value: Value = serde_json::from_str(text).ok()?;
        self.json(|key| value.get(key).and_then(Value::as_f64).filter(|number| !self.whole || number.fract() == 0.0))
    }

    fn json(&self, number: impl Fn(&'static str) -> Option<f64>) -> Option<String> {
        let keys = self.required.iter().chain(self.optional);
        let entries: Vec<String> = keys
            .filter_map(|key| {
                let number = number(key).filter(|number| number.is_finite())?;
                Some(if self.whole {
                    format!("\"{key}\": {}", number as i64)
                } else {
                    format!("\"{key}\": {}", double(number))
                })
            })
            .collect();
        (!entries.is_empty()).then(|| format!("{{{}}}", entries.join(", ")))
    }

    fn numbers<'s>(&self, span: &'s Span) -> Option<impl Iterator<Item = (&'static str, f64)> + use<'s, '_>> {
        let Some(Any::Map(map)) = span.attribute(self.attribute) else { return None };
        Some(self.required.iter().chain(self.optional).filter_map(|key| {
            let number = match map.values.iter().find(|entry| entry.key == *key)?.any()? {
                Any::Int(number) => *number as f64,
                Any::Double(number) => *number,
                _ => return None,
            };
            Some((*key, number))
        }))
    }

    /// Whether any of the spans has such numbers.
    pub(crate) fn in_any(&self, spans: &[Span]) -> bool {
        spans.iter().any(|span| matches!(span.attribute(self.attribute), Some(Any::Map(_))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::otlp::{AnyValue, KeyValue, Map};
    use super::*;

    fn span(id: u8, parent: u8, tokens: Option<i64>) -> Span {
        let number = |key: &str, number| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(Any::Int(number)) }),
        };
        let usage = tokens.map(|tokens| KeyValue {
            key: TOKENS.attribute.to_owned(),
            value: Some(AnyValue { value: Some(Any::Map(Map { values: vec![number("input_tokens", tokens)] })) }),
        });
        let parent_span_id = if parent == 0 { vec![] } else { vec![parent] };
        Span { span_id: vec![id], parent_span_id, attributes: usage.into_iter().collect(), ..Span::default() }
    }

    #[test]
    fn sums_are_not_counted_twice() {
        let spans =
            [span(1, 0, None), span(2, 1, Some(5)), span(3, 2, Some(4)), span(4, 1, Some(2)), span(5, 99, Some(1))];
        assert_eq!(TOKENS.of(&spans).unwrap(), r#"{"input_tokens": 8, "output_tokens": 0, "total_tokens": 0}"#);
        assert_eq!(TOKENS.of(&spans[..1]), None);
        assert_eq!(COSTS.of(&spans), None);
        // Spans that are each other's parent are below no root.
        assert_eq!(TOKENS.of(&[span(1, 2, Some(1)), span(2, 1, Some(1))]), None);
    }

    #[test]
    fn what_clients_sum_is_normalised() {
        assert_eq!(
            TOKENS.normal(r#"{"total_tokens": 7, "input_tokens": 3.0, "x": 1, "output_tokens": 0.5}"#).unwrap(),
            r#"{"input_tokens": 3, "total_tokens": 7}"#
        );
        assert_eq!(COSTS.normal(r#"{"input_cost": 1}"#).unwrap(), r#"{"input_cost": 1.0}"#);
        assert_eq!(COSTS.normal("nonsense"), None);
    }
}
