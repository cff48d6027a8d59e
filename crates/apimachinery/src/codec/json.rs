//! JSON bodies, read in one pass that also notices repeated keys.

use std::cell::RefCell;
use std::fmt;
use std::iter;

use mcplane_core::Error;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::MAX_DEPTH;
use super::decoded::{Decoded, Step, report};

/// Reads one JSON value of any type. Integers of 64 bits stay exact, other numbers become floats.
pub fn decode(body: &[u8]) -> Result<Decoded, Error> {
    let text = text(body)?;
    if text.trim_ascii().is_empty() {
        return Err(Error::bad_request("the request body is empty"));
    }
    let duplicates = RefCell::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node { duplicates: &duplicates, depth: 0, at: None }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| Error::bad_request(format!("the request body is not valid JSON: {error}")))?;
    Ok(Decoded { value, duplicates: duplicates.into_inner() })
}

/// The body as text. JSON and YAML bodies are UTF-8.
pub(super) fn text(body: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(body).map_err(|error| {
        let offset = error.valid_up_to();
        Error::bad_request(format!("the request body is not valid UTF-8: bad byte at offset {offset}"))
    })
}

/// A value to come, and where it will be. Lives on the stack, so that paths cost nothing until a key is repeated.
struct Node<'a> {
    duplicates: &'a RefCell<Vec<String>>,
    depth: usize,
    at: Option<At<'a>>,
}

#[derive(Clone, Copy)]
struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

impl Node<'_> {
    /// The depth of what is in this value.
    fn enter<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth < MAX_DEPTH {
            Ok(self.depth + 1)
        } else {
            Err(E::custom(format_args!("more than {MAX_DEPTH} levels of nesting")))
        }
    }

    #[cold]
    fn repeated(&self, key: &str) {
        let mut path: Vec<Step<'_>> = iter::successors(self.at.as_ref(), |at| at.parent).map(|at| at.step).collect();
        path.reverse();
        path.push(Step::Key(key));
        report(&mut self.duplicates.borrow_mut(), path.into_iter());
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.enter()?;
        let mut items = Vec::new();
        loop {
            let at = Some(At { parent: self.at.as_ref(), step: Step::Index(items.len()) });
            match seq.next_element_seed(Node { duplicates: self.duplicates, depth, at })? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.enter()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let at = Some(At { parent: self.at.as_ref(), step: Step::Key(&key) });
            let value = map.next_value_seed(Node { duplicates: self.duplicates, depth, at })?;
            match object.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) => {
                    self.repeated(entry.key());
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn refused(body: &[u8]) -> String {
        let error = decode(body).unwrap_err();
        assert_eq!(error.http_status(), 400);
        error.to_string()
    }

    #[test]
    fn the_last_of_repeated_keys_counts_and_all_are_reported() {
        let body = br#"{"a": 1, "spec": {"foo": 1, "list": [{"x": 1}, {"x": 1, "x": 2, "x": 3}], "foo": 2}, "a": [2]}"#;
        let decoded = decode(body).unwrap();
        assert_eq!(decoded.value, json!({"a": [2], "spec": {"foo": 2, "list": [{"x": 1}, {"x": 3}]}}));
        assert_eq!(
            decoded.duplicates,
            [r#"duplicate field "spec.list[1].x""#, r#"duplicate field "spec.foo""#, r#"duplicate field "a""#]
        );
    }

    #[test]
    fn reports_of_repeated_keys_stay_small() {
        let long = "k".repeat(100_000);
        let pairs: String = (0..1000).map(|i| format!(",\"k{i}\":0,\"k{i}\":0")).collect();
        let decoded = decode(format!("{{\"{long}\":{{\"\":0{pairs}}}}}").as_bytes()).unwrap();
        // Once cut, the paths are alike.
        assert_eq!(decoded.duplicates.len(), 1);
        assert!(decoded.duplicates[0].len() < 600);
        let decoded = decode(format!("{{\"\":0{pairs}}}").as_bytes()).unwrap();
        assert_eq!(decoded.duplicates.len(), 100);
    }

    #[test]
    fn numbers_keep_their_value() {
        let body = b"[9223372036854775807, -9223372036854775808, 18446744073709551615, 1.5, 1e3, 0.1]";
        let expected = json!([i64::MAX, i64::MIN, u64::MAX, 1.5, 1000.0, 0.1]);
        assert_eq!(decode(body).unwrap().value, expected);
    }

    #[test]
    fn what_is_wrong_is_said_precisely() {
        assert_eq!(refused(b" \n"), "the request body is empty");
        assert_eq!(refused(b"{\"a\":\"\xff\"}"), "the request body is not valid UTF-8: bad byte at offset 6");
        assert_eq!(refused(b"{} x"), "the request body is not valid JSON: trailing characters at line 1 column 4");
        assert_eq!(refused(b"{\"a\": 1,}"), "the request body is not valid JSON: trailing comma at line 1 column 9");
        assert!(refused(b"{\"a\": [1, 2").contains("EOF while parsing a list"));
        assert!(refused(b"{\"a\": NaN}").contains("expected value"));
        assert!(refused(b"{1: 2}").contains("key must be a string"));
        assert!(refused(br#""\ud800""#).contains("line 1"));
    }

    #[test]
    fn depth_is_limited() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(decode(nested(MAX_DEPTH).as_bytes()).is_ok());
        let message = refused(nested(MAX_DEPTH + 1).as_bytes());
        assert!(message.contains("more than 100 levels of nesting at line 1 column 102"), "{message}");
        refused("{\"a\":".repeat(1_000_000).as_bytes());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..8).prop_map(|pairs| Value::from(Map::from_iter(pairs))),
            ]
        })
    }

    proptest! {
        #[test]
        fn valid_json_reads_as_serde_json_reads_it(value in any_value(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let decoded = decode(&text).unwrap();
            prop_assert_eq!(&decoded.value, &serde_json::from_slice::<Value>(&text).unwrap());
            prop_assert!(decoded.duplicates.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&body).is_ok(), serde_json::from_slice::<Value>(&body).is_ok());
        }

        #[test]
        fn near_json_is_read_or_refused(body in r#"[\[\]{}",:a0-9eE.+\\ -]{0,40}"#) {
            prop_assert_eq!(decode(body.as_bytes()).is_ok(), serde_json::from_str::<Value>(&body).is_ok());
        }
    }
}
