//! YAML bodies: one document, read as the JSON that it stands for.
//!
//! Keys that are numbers or booleans become strings, as Kubernetes' conversion to JSON makes them. Anchors, aliases and
//! merge keys work, but may not expand a document by more than [`MAX_EXPANSION`]. Of the YAML 1.1 booleans only `true`
//! and `false` are booleans; a leading zero makes a number octal (`defaultMode: 0644`).
//!
//! The parser streams, and the tree is built on a stack of its own. One that first loads a whole document into events
//! lets 3 MiB of open brackets keep a core busy for half a minute before any limit is looked at; one that recurses
//! needs more stack than a thread has.

mod scalar;
mod tree;

use granit_parser::{ErrorKind, Parser};
use mcplane_core::Error;

use super::json::text;
use super::{Decoded, MAX_DEPTH};

/// Bytes and values that aliases may add to a document.
pub const MAX_EXPANSION: usize = 1 << 20;

/// Reads one YAML document of any type.
pub fn decode(body: &[u8]) -> Result<Decoded, Error> {
    let text = text(body)?;
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);

    let mut tree = tree::Tree::new(2 * text.len() + MAX_EXPANSION);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| match error.kind() {
            ErrorKind::RecursionLimitExceeded => invalid(&tree::too_deep(), *error.marker()),
            _ => invalid(&error.info(), *error.marker()),
        })?;
        tree.event(event).map_err(|reason| invalid(reason.as_ref(), span.start))?;
    }
    tree.finish().ok_or_else(|| Error::bad_request("the request body is empty"))
}

fn invalid(reason: &str, at: granit_parser::Marker) -> Error {
    let (line, column) = (at.line(), at.col() + 1);
    Error::bad_request(format!("the request body is not valid YAML: {reason} at line {line} column {column}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> Value {
        decode(text.as_bytes()).unwrap().value
    }

    fn refused(text: &str) -> String {
        let error = decode(text.as_bytes()).unwrap_err();
        assert_eq!(error.http_status(), 400);
        error.to_string()
    }

    #[test]
    fn a_manifest_reads_as_its_json() {
        let text = "---\n# the quota\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec:\n  hard:\n    \
                    pods: \"4\"\n    cpu: 1.5\n    on: yes\n    mode: 0644\n    none: ~\n    script: |\n      a [[\n      b\n...\n";
        assert_eq!(
            read(text),
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {
                "pods": "4", "cpu": 1.5, "on": "yes", "mode": 420, "none": null, "script": "a [[\nb\n"
            }}})
        );
    }

    #[test]
    fn keys_become_strings() {
        assert_eq!(
            read("{8080: a, true: b, 1.5: c, -1: d, '1': e}"),
            json!({"8080": "a", "true": "b", "1.5": "c", "-1": "d", "1": "e"})
        );
        for text in ["{[a]: b}", "{{a: b}: c}", "{~: a}"] {
            assert!(refused(text).contains("not valid YAML"), "{text}");
        }
    }

    #[test]
    fn repeated_keys_are_reported() {
        let decoded = decode(b"a: 1\nspec:\n- x: 1\n  x: 2\n1: a\n'1': b\n").unwrap();
        assert_eq!(decoded.value, json!({"a": 1, "spec": [{"x": 2}], "1": "b"}));
        assert_eq!(decoded.duplicates, ["duplicate field \"spec[0].x\"", "duplicate field \"1\""]);
    }

    #[test]
    fn numbers_keep_their_value() {
        assert_eq!(
            read("[9223372036854775807, -9223372036854775808, 18446744073709551615, 0x10, 1e3, -0.5]"),
            json!([i64::MAX, i64::MIN, u64::MAX, 16, 1000.0, -0.5])
        );
        for text in ["a: .nan", "a: .inf", "a: -.inf", "a: 1e999"] {
            refused(text);
        }
    }

    #[test]
    fn aliases_and_merge_keys_work_within_bounds() {
        assert_eq!(read("a: &x {k: v}\nb: *x\n"), json!({"a": {"k": "v"}, "b": {"k": "v"}}));
        assert_eq!(read("a: &x {k: v, m: 1}\nb:\n  <<: *x\n  m: 2\n")["b"], json!({"k": "v", "m": 2}));
        assert!(refused("a: *x").contains("not valid YAML"));
        assert!(refused("a: &x [*x]").contains("not valid YAML"));

        let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for i in 1..30 {
            bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
        }
        refused(&bomb);
        let wide = format!("- &a [{}]\n{}", "x,".repeat(100_000), "- *a\n".repeat(100_000));
        refused(&wide);
    }

    #[test]
    fn one_document_is_a_body() {
        assert!(refused("a: 1\n---\nb: 2\n").contains("not valid YAML: a second document at line"));
        assert_eq!(refused("# nothing\n---\n"), "the request body is empty");
        assert_eq!(read("# nothing\n---\n---\na: 1\n---\n"), json!({"a": 1}));
        assert_eq!(read("---\na: 1\n...\n# end\n"), json!({"a": 1}));
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_the_body() {
        let message = refused("data:\n  password: 'hunter2\n");
        assert!(message.contains("not valid YAML") && message.contains("line"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
        for text in ["a: b: c", "a: [1, 2", "%FOO\n", "!!python/object:os.system x", "a: !secret b", "@"] {
            refused(text);
        }
        let error = decode(b"a: \xff").unwrap_err();
        assert_eq!(error.to_string(), "the request body is not valid UTF-8: bad byte at offset 3");
    }

    #[test]
    fn depth_is_limited() {
        let flow = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(decode(flow(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refused(&flow(MAX_DEPTH + 1)).contains("more than 100 levels of nesting at line 1"));
        let block = |levels| format!("{}a", "- ".repeat(levels));
        assert!(decode(block(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refused(&block(MAX_DEPTH + 1)).contains("more than 100 levels of nesting at line 1"));
    }

    #[test]
    fn hostile_bodies_are_refused_soon() {
        let many = 300_000;
        for text in [
            "[".repeat(many),
            "{a: ".repeat(many),
            "- ".repeat(many),
            "? ".repeat(many),
            "[? ".repeat(many),
            "&a ".repeat(many),
            "!a ".repeat(many),
            "---\n".repeat(many),
            (0..many / 10).map(|i| format!("%TAG !a{i}! b\n")).collect(),
        ] {
            let started = std::time::Instant::now();
            assert!(decode(text.as_bytes()).is_err(), "{}", &text[..10]);
            assert!(started.elapsed().as_secs() < 10, "{} took {:?}", &text[..10], started.elapsed());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&body);
        }

        #[test]
        fn near_yaml_is_read_or_refused(body in r#"[\[\]{}"',:a0\n &*!|>%#?<~-]{0,60}"#) {
            if let Err(error) = decode(body.as_bytes()) {
                prop_assert_eq!(error.http_status(), 400);
            }
        }

        #[test]
        fn json_reads_alike(keys in prop::collection::btree_map("[a-z]{1,6}", -1000i64..1000, 0..8)) {
            let text = serde_json::to_string(&json!({"outer": [keys]})).unwrap();
            prop_assert_eq!(decode(text.as_bytes()).unwrap().value, serde_json::from_str::<Value>(&text).unwrap());
        }
    }
}
