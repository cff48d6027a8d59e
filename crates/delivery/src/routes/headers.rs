//! Changes of headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use mcplane_core::FieldError;

use super::spec::Operations;

/// What is set, added and removed, in this order of Envoy's: removed first, then set, then added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderOperations {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

/// What would break the framing of a message, or send it elsewhere than was decided.
const PROTECTED: [HeaderName; 6] = [
    http::header::CONNECTION,
    http::header::CONTENT_LENGTH,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    http::header::TE,
    http::header::TRAILER,
];

impl HeaderOperations {
    pub(super) fn new(spec: &Operations, field: &str, errors: &mut Vec<FieldError>) -> Self {
        let mut pairs = |part: &str, pairs: &std::collections::BTreeMap<String, String>| {
            let read = pairs.iter().filter_map(|(name, value)| {
                let field = format!("{field}.{part}[{name}]");
                let value = HeaderValue::from_str(value)
                    .map_err(|_| FieldError::invalid(&field, value.as_str(), "has characters that no header may have"));
                match named(name, &field).and_then(|name| Ok((name, value?))) {
                    Ok(pair) => Some(pair),
                    Err(error) => {
                        errors.push(error);
                        None
                    }
                }
            });
            read.collect()
        };
        let (set, add) = (pairs("set", &spec.set), pairs("add", &spec.add));
        let mut remove = Vec::new();
        for (index, name) in spec.remove.iter().enumerate() {
            match named(name, &format!("{field}.remove[{index}]")) {
                Ok(name) => remove.push(name),
                Err(error) => errors.push(error),
            }
        }
        Self { remove, set, add }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Changes the headers.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name.clone(), value.clone());
        }
    }
}

fn named(name: &str, field: &str) -> Result<HeaderName, FieldError> {
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        FieldError::invalid(field, name, "is no name of a header; to change the host use rewrite.authority")
    })?;
    if PROTECTED.contains(&header) {
        return Err(FieldError::forbidden(field, "belongs to the connection and can't be changed"));
    }
    Ok(header)
}
