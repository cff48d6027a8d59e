//! Conditions on a request.

use std::collections::BTreeMap;

use http::HeaderName;
use mcplane_core::FieldError;
use regex::{Regex, RegexBuilder};

use super::decision::Request;
use super::spec::{HttpMatch, StringMatch};

/// Bytes that a compiled expression may take; its matching is linear in the text whatever it says.
const LARGEST_REGEX: usize = 1 << 20;

/// A condition on a text.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Any,
    Exact(String),
    Prefix(String),
    Regex(Regex),
}

impl Text {
    pub(super) fn new(spec: &StringMatch, field: &str, errors: &mut Vec<FieldError>) -> Self {
        match (&spec.exact, &spec.prefix, &spec.regex) {
            (Some(exact), None, None) => Self::Exact(exact.clone()),
            (None, Some(prefix), None) => Self::Prefix(prefix.clone()),
            (None, None, Some(regex)) => whole(regex, field, errors).map_or(Self::Any, Self::Regex),
            (None, None, None) => Self::Any,
            _ => {
                errors.push(FieldError::new(
                    field,
                    mcplane_core::FieldReason::Invalid,
                    "set one of exact, prefix and regex",
                ));
                Self::Any
            }
        }
    }

    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }

    /// With letters of ASCII alike in either case; an expression says itself what it ignores.
    fn holds_in_any_case(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text.eq_ignore_ascii_case(exact),
            Self::Prefix(prefix) => text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)),
            other => other.holds(text),
        }
    }
}

/// An expression that must match the whole text, as Envoy takes them.
pub(super) fn whole(regex: &str, field: &str, errors: &mut Vec<FieldError>) -> Option<Regex> {
    // By itself first: `a)|(b` would be one only between the parentheses.
    part(regex, field, errors)?;
    build(&format!("^(?:{regex})$"), regex, field, errors)
}

/// An expression that may match a part.
pub(super) fn part(regex: &str, field: &str, errors: &mut Vec<FieldError>) -> Option<Regex> {
    build(regex, regex, field, errors)
}

fn build(pattern: &str, regex: &str, field: &str, errors: &mut Vec<FieldError>) -> Option<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(LARGEST_REGEX).dfa_size_limit(LARGEST_REGEX).build();
    built.inspect_err(|error| errors.push(FieldError::invalid(field, regex, error.to_string()))).ok()
}

/// Conditions that all hold.
#[derive(Debug, Clone)]
pub(super) struct Match {
    pub(super) uri: Text,
    ignore_case: bool,
    scheme: Text,
    method: Text,
    authority: Text,
    headers: Vec<(HeaderName, Text)>,
    without: Vec<(HeaderName, Text)>,
    query: Vec<(String, Text)>,
    port: Option<u16>,
}

impl Match {
    pub(super) fn new(spec: &HttpMatch, field: &str, errors: &mut Vec<FieldError>) -> Self {
        let mut text = |name: &str, spec: &Option<StringMatch>| {
            spec.as_ref().map_or(Text::Any, |spec| Text::new(spec, &format!("{field}.{name}"), errors))
        };
        let (uri, scheme) = (text("uri", &spec.uri), text("scheme", &spec.scheme));
        let (method, authority) = (text("method", &spec.method), text("authority", &spec.authority));
        Self {
            uri,
            ignore_case: spec.ignore_uri_case,
            scheme,
            method,
            authority,
            headers: header_texts(&spec.headers, &format!("{field}.headers"), errors),
            without: header_texts(&spec.without_headers, &format!("{field}.withoutHeaders"), errors),
            query: spec
                .query_params
                .iter()
                .map(|(name, spec)| (name.clone(), Text::new(spec, &format!("{field}.queryParams[{name}]"), errors)))
                .collect(),
            port: spec.port,
        }
    }

    pub(super) fn holds(&self, request: &Request<'_>) -> bool {
        let uri = if self.ignore_case { Text::holds_in_any_case } else { Text::holds };
        self.port.is_none_or(|port| port == request.port)
            && uri(&self.uri, request.path)
            && self.method.holds(request.method)
            && self.scheme.holds(request.scheme)
            && self.authority.holds(request.authority)
            && self.headers.iter().all(|(name, text)| header_holds(request, name, text))
            && !self.without.iter().any(|(name, text)| header_holds(request, name, text))
            && self.query.iter().all(|(name, text)| query(request.query, name).is_some_and(|value| text.holds(value)))
    }
}

/// The first value of a header decides, as in Envoy's routes.
fn header_holds(request: &Request<'_>, name: &HeaderName, text: &Text) -> bool {
    request.header(name).is_some_and(|value| text.holds(value))
}

fn header_texts(
    specs: &BTreeMap<String, StringMatch>,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<(HeaderName, Text)> {
    let mut texts = Vec::new();
    for (name, spec) in specs {
        let field = format!("{field}[{name}]");
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(header) => texts.push((header, Text::new(spec, &field, errors))),
            Err(_) => errors.push(FieldError::invalid(field, name.as_str(), "is no name of a header")),
        }
    }
    texts
}

/// The first value of a parameter, as it stands in the address.
fn query<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| *key == name)
        .map(|(_, v)| v)
}
