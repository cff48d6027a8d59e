//! Paths of the object API, parsed once.

use std::borrow::Cow;

use axum::http::Method;
use mcplane_core::{Attributes, Error, Result};

/// A path below `/api/VERSION` or `/apis/GROUP/VERSION`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ResourcePath {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl ResourcePath {
    /// Parses a whole path, in which segments are still percent-encoded.
    pub(super) fn parse(path: &str) -> Result<Self> {
        let parts = path.split('/').map(decode).collect::<Result<Vec<_>>>()?;
        let mut parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        let (group, version) = match parts[..] {
            ["", "api", version, ..] => ("", version),
            ["", "apis", group, version, ..] if !group.is_empty() => (group, version),
            _ => return Err(Error::NoSuchPath),
        };
        parts.drain(..if group.is_empty() { 3 } else { 4 });
        let mut namespace = "";
        // `namespaces/x/status` is about the namespace itself, `namespaces/x/configmaps` about what is in it.
        if parts.len() > 2 && parts[0] == "namespaces" && !["status", "finalize"].contains(&parts[2]) {
            namespace = parts[1];
            parts.drain(..2);
            if namespace.is_empty() {
                return Err(Error::NoSuchPath);
            }
        }
        let part = |index: usize| parts.get(index).copied().unwrap_or("").to_owned();
        if parts.is_empty() || parts.len() > 3 || parts.iter().any(|part| part.is_empty()) {
            return Err(Error::NoSuchPath);
        }
        Ok(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            plural: part(0),
            name: part(1),
            subresource: part(2),
        })
    }

    /// What a request to this path asks to be allowed. `selected_name` is the name that a field selector fixes.
    pub(super) fn attributes(&self, method: &Method, watch: bool, selected_name: Option<&str>) -> Result<Attributes> {
        let verb = match (method.as_str(), self.name.is_empty()) {
            ("GET" | "HEAD", _) if watch => "watch",
            ("GET" | "HEAD", true) => "list",
            ("GET" | "HEAD", false) => "get",
            ("POST", _) => "create",
            ("PUT", false) => "update",
            ("PATCH", false) => "patch",
            ("DELETE", true) => "deletecollection",
            ("DELETE", false) => "delete",
            (method, _) => return Err(Error::MethodNotAllowed(format!("{method} is not supported here"))),
        };
        let narrows = self.name.is_empty() && ["list", "watch", "deletecollection"].contains(&verb);
        let name = selected_name.filter(|_| narrows).unwrap_or(&self.name);
        let attributes = Attributes::resource(verb, &self.group, &self.plural, &self.namespace, name);
        Ok(attributes.with_subresource(&self.subresource))
    }
}

fn decode(segment: &str) -> Result<Cow<'_, str>> {
    let decoded = percent_encoding::percent_decode_str(segment).decode_utf8().map_err(|_| Error::NoSuchPath)?;
    // A decoded slash or dot segment can't be part of any name; refuse it before anything interprets it.
    if decoded.contains('/') || decoded == "." || decoded == ".." || decoded.contains('\0') {
        return Err(Error::NoSuchPath);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Option<[String; 4]> {
        let path = ResourcePath::parse(&format!("/apis/g/v1/{rest}")).ok()?;
        assert_eq!((path.group.as_str(), path.version.as_str()), ("g", "v1"));
        assert_eq!(ResourcePath::parse(&format!("/api/v1/{rest}")).unwrap().group, "");
        Some([path.namespace, path.plural, path.name, path.subresource])
    }

    #[test]
    fn namespaces_are_both_resource_and_prefix() {
        for (rest, expected) in [
            ("namespaces", ["", "namespaces", "", ""]),
            ("namespaces/a", ["", "namespaces", "a", ""]),
            ("namespaces/a/status", ["", "namespaces", "a", "status"]),
            ("namespaces/a/finalize", ["", "namespaces", "a", "finalize"]),
            ("namespaces/a/configmaps", ["a", "configmaps", "", ""]),
            ("namespaces/a/configmaps/b", ["a", "configmaps", "b", ""]),
            ("namespaces/a/serviceaccounts/b/token", ["a", "serviceaccounts", "b", "token"]),
            ("nodes/n", ["", "nodes", "n", ""]),
            ("clusterroles/system%3Aadmin", ["", "clusterroles", "system:admin", ""]),
        ] {
            assert_eq!(parse(rest).unwrap(), expected, "{rest}");
        }
    }

    #[test]
    fn strange_paths_lead_nowhere() {
        for rest in ["", "a//b", "a/b/c/d", "namespaces//configmaps", "a/b%2Fc", "a/%2e%2e", "a/%ff", "a/b%00", "a/"] {
            assert_eq!(parse(rest), None, "{rest}");
        }
        for path in
            ["", "/", "/api", "/api/v1", "/apis/g/v1", "/apis//v1/configmaps", "/other/v1/configmaps", "api/v1/a"]
        {
            assert!(ResourcePath::parse(path).is_err(), "{path}");
        }
    }
}
