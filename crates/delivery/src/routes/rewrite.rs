//! Another path or host for what is sent on.

use mcplane_core::FieldError;
use regex::Regex;

use super::matching::{Text, part};
use super::spec;

/// How the request is changed before it is sent on.
#[derive(Debug, Clone, Default)]
pub(super) struct Rewrite {
    uri: Option<String>,
    regex: Option<(Regex, String)>,
    pub(super) authority: Option<String>,
}

impl Rewrite {
    pub(super) fn new(spec: &spec::Rewrite, field: &str, errors: &mut Vec<FieldError>) -> Self {
        if spec.uri.is_some() && spec.uri_regex_rewrite.is_some() {
            errors.push(FieldError::forbidden(format!("{field}.uriRegexRewrite"), "set either it or uri"));
        }
        if let Some(uri) = spec.uri.as_deref().filter(|uri| !is_path(uri)) {
            errors.push(FieldError::invalid(format!("{field}.uri"), uri, "must be a path that begins with /"));
        }
        if let Some(host) = spec.authority.as_deref().filter(|host| http::uri::Authority::try_from(*host).is_err()) {
            errors.push(FieldError::invalid(format!("{field}.authority"), host, "is no host"));
        }
        let regex = spec.uri_regex_rewrite.as_ref().and_then(|rewrite| {
            let regex = part(&rewrite.pattern, &format!("{field}.uriRegexRewrite.match"), errors)?;
            Some((regex, substitution(&rewrite.rewrite)))
        });
        Self { uri: spec.uri.clone(), regex, authority: spec.authority.clone() }
    }

    /// The path that is sent on, or `None` when it stays. `matched` is the condition that let the request through: of a
    /// prefix only the prefix is replaced.
    pub(super) fn path(&self, path: &str, matched: &Text) -> Option<String> {
        if let Some((regex, with)) = &self.regex {
            let rewritten = regex.replace_all(path, with.as_str());
            // What is not a path any more would be another request.
            return is_path(&rewritten).then(|| rewritten.into_owned());
        }
        let uri = self.uri.as_deref()?;
        let rest = match matched {
            Text::Prefix(prefix) => path.get(prefix.len()..).unwrap_or_default(),
            Text::Any => path.strip_prefix('/').unwrap_or(path),
            Text::Exact(_) | Text::Regex(_) => "",
        };
        Some(format!("{uri}{rest}"))
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
}

/// RE2's `\1` as the expression engine writes it.
fn substitution(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek().copied()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                characters.next();
                out.push_str(&format!("${{{digit}}}"));
            }
            ('\\', Some('\\')) => {
                characters.next();
                out.push('\\');
            }
            ('$', _) => out.push_str("$$"),
            (other, _) => out.push(other),
        }
    }
    out
}
