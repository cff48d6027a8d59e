//! Filters of measures of traces: one comparison each, `trace.status = 'OK'`, `span.name = 'plan'`, with nothing but `=`.

use mcplane_core::Result;

use super::clause::{self, Parts, Style, bad, trim_backticks};
use super::python;
use super::statement::Timestamp;
use super::{Comparison, Field, Operator, Value};

/// What a filter restricts.
#[derive(Debug, Clone, PartialEq)]
pub enum Restriction {
    /// The traces.
    Trace(Comparison),
    /// The spans: a property (`name`, `status` or `type`) and its value.
    Span(&'static str, String),
    /// The assessments: a property (`name` or `type`) and its value.
    Assessment(&'static str, String),
}

const STYLE: Style = Style { quoted: false, timestamp: Timestamp::Reserved };
/// Views, with their properties and whether those have keys.
const VIEWS: [(&str, &[(&str, bool)]); 3] = [
    ("trace", &[("status", false), ("tag", true), ("metadata", true)]),
    ("span", &[("name", false), ("status", false), ("type", false)]),
    ("assessment", &[("name", false), ("type", false)]),
];

/// What one filter restricts.
///
/// # Errors
/// [`mcplane_core::Error::BadRequest`] unless it is one comparison that is known.
pub fn parse(filter: &str) -> Result<Restriction> {
    let mut found = clause::parse(filter, STYLE, restriction)?;
    match (found.pop(), found.is_empty()) {
        (Some(restriction), true) => Ok(restriction),
        (Some(_), false) => bad("Invalid clause(s) in filter string: AND"),
        (None, _) => bad(format!("Invalid filter: '{filter}'. Expected one filter clause.")),
    }
}

fn restriction(parts: Parts<'_, '_>) -> Result<Restriction> {
    let (view, property, key) = names(parts.left)?;
    if parts.op != "=" {
        return bad(format!("Invalid comparator: '{}', only '=' operator is supported", parts.op));
    }
    let value = match parts.right.map(|node| clause::quoted(node.text)) {
        Some(Ok(Value::Text(text))) => text,
        Some(Err(error)) => return Err(error),
        _ => return bad(format!("Expected a quoted string value for {property} value (e.g. 'my-value').")),
    };
    let of_trace =
        |field| Restriction::Trace(Comparison { field, op: Operator::Eq, value: Value::Text(value.clone()) });
    Ok(match (view, property) {
        ("trace", "status") => of_trace(Field::Attribute("status")),
        ("trace", "tag") => of_trace(Field::Tag(key)),
        ("trace", _) => of_trace(Field::Metadata(key)),
        ("span", property) => Restriction::Span(property, value),
        (_, property) => Restriction::Assessment(property, value),
    })
}

/// View, property and key of an identifier.
fn names(identifier: &str) -> Result<(&'static str, &'static str, String)> {
    let mut parts = identifier.splitn(3, '.');
    let (Some(view), Some(property)) = (parts.next(), parts.next()) else {
        return bad(format!(
            "Invalid identifier {}. Columns should be specified as 'trace.<key>', 'span.<key>', 'assessment.<key>'.",
            python::repr(identifier)
        ));
    };
    let view = trim_backticks(view);
    let Some((view, properties)) = VIEWS.iter().find(|(known, _)| *known == view) else {
        let known = python::repr_list(&VIEWS.map(|(view, _)| view));
        return bad(format!("Invalid view type '{view}'. Valid values are dict_keys({known})"));
    };
    let Some((property, keyed)) = properties.iter().find(|(known, _)| *known == property) else {
        let known = python::repr_list(&properties.iter().map(|(known, _)| *known).collect::<Vec<_>>());
        return bad(format!(
            "Invalid entity '{property}' specified for view type '{view}'. Valid entities are {known}"
        ));
    };
    match (parts.next(), keyed) {
        (None, true) => {
            bad(format!("Filtering by {property} requires a key, e.g. '{view}.{property}.<key> = <value>'"))
        }
        (Some(_), false) => {
            bad(format!("Filtering by {property} does not require a key, use '{view}.{property}' instead"))
        }
        (key, _) => Ok((view, property, clause::key(key.unwrap_or_default()).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comparison_is_understood() {
        let trace =
            |field| Restriction::Trace(Comparison { field, op: Operator::Eq, value: Value::Text("x".to_owned()) });
        assert_eq!(parse("trace.status = 'x'").unwrap(), trace(Field::Attribute("status")));
        assert_eq!(parse("trace.tag.`a.b c` = \"x\"").unwrap(), trace(Field::Tag("a.b c".to_owned())));
        assert_eq!(parse("trace.metadata.k = 'x'").unwrap(), trace(Field::Metadata("k".to_owned())));
        assert_eq!(parse("span.type = 'LLM'").unwrap(), Restriction::Span("type", "LLM".to_owned()));
        assert_eq!(parse("assessment.name = 'q'").unwrap(), Restriction::Assessment("name", "q".to_owned()));
    }

    #[test]
    fn anything_else_is_refused() {
        for (filter, why) in [
            ("", "Invalid filter: ''. Expected one filter clause."),
            ("trace.status = 'a' AND trace.status = 'b'", "Invalid clause(s) in filter string: AND"),
            ("status = 'a'", "Invalid identifier 'status'. Columns should be specified as"),
            ("x.y = 'a'", "Invalid view type 'x'. Valid values are dict_keys(['trace', 'span', 'assessment'])"),
            ("trace.foo = 'a'", "Invalid entity 'foo' specified for view type 'trace'. Valid entities are ['status', "),
            ("trace.tag = 'a'", "Filtering by tag requires a key, e.g. 'trace.tag.<key> = <value>'"),
            ("trace.status.k = 'a'", "Filtering by status does not require a key, use 'trace.status' instead"),
            ("trace.status != 'a'", "Invalid comparator: '!=', only '=' operator is supported"),
            ("trace.status = OK", "Parameter value is either not quoted"),
        ] {
            let found = parse(filter).unwrap_err().to_string();
            assert!(found.starts_with(why), "{filter}: {found}");
        }
    }
}
