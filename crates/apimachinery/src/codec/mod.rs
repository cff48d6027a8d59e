//! What crosses the wire: request bodies into JSON values ([`decode`]) and `Accept` into a representation
//! ([`negotiate`]).
//!
//! Bodies come as JSON, YAML or Kubernetes' protobuf envelope. The envelope matters because kubectl's typed commands
//! send nothing else. Recorded from kubectl 1.32 (the bodies are in `tests/fixtures/codec/kubectl`):
//!
//! - protobuf: `create namespace|configmap|secret|serviceaccount|quota|role|rolebinding|clusterrole|clusterrolebinding`,
//!   `create token|job|cronjob`, `auth can-i` (with `--list` and with URLs too), `auth whoami`;
//! - JSON: whatever starts from a file (`apply`, `create -f`, `replace`), patches, `label`, `annotate`, and `delete`,
//!   which sends its `DeleteOptions` as JSON;
//! - YAML: `apply --server-side` alone, as a patch.
//!
//! Every decoder is bounded: no more than [`MAX_DEPTH`] levels, and memory in proportion to the body, whose own size
//! the HTTP door bounds.

mod accept;
mod decoded;
pub mod json;
mod media_type;
pub mod protobuf;
pub mod yaml;

pub use accept::{Accept, DiscoveryVersion, negotiate, negotiate_among};
pub use decoded::Decoded;

use mcplane_core::Error;
use serde_json::Value;

/// How many objects and lists a body may nest. Kubernetes' own kinds reach about 20; OpenAPI schemas in
/// CustomResourceDefinitions about 40.
pub const MAX_DEPTH: usize = 100;

/// Media type of JSON bodies and answers.
pub const JSON: &str = "application/json";
/// Media type of YAML bodies and answers.
pub const YAML: &str = "application/yaml";
/// Media type of Kubernetes' protobuf envelope.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// `apiVersion` and `kind` that the path of a request implies, for bodies that do not name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeMeta<'a> {
    /// Such as `rbac.authorization.k8s.io/v1`.
    pub api_version: &'a str,
    /// Such as `Role`.
    pub kind: &'a str,
}

/// Reads the object in `body`. No `Content-Type` means JSON, as it does for Kubernetes. Where the object does not name
/// its `apiVersion` or `kind`, `fallback` does.
pub fn decode(content_type: Option<&str>, body: &[u8], fallback: Option<TypeMeta<'_>>) -> Result<Decoded, Error> {
    let decoded = match media_type::essence(content_type.unwrap_or_default()).as_str() {
        "" | JSON => json::decode(body)?,
        YAML => yaml::decode(body)?,
        PROTOBUF => protobuf::decode(body, fallback)?,
        _ => return Err(unsupported(&[JSON, YAML, PROTOBUF])),
    };
    let Decoded { mut value, duplicates } = decoded;
    let Value::Object(object) = &mut value else {
        return Err(Error::bad_request("the request body must be an object"));
    };
    if let Some(TypeMeta { api_version, kind }) = fallback {
        for (key, implied) in [("apiVersion", api_version), ("kind", kind)] {
            if matches!(object.get(key), None | Some(Value::Null)) || object[key] == "" {
                object.insert(key.to_owned(), implied.into());
            }
        }
    }
    Ok(Decoded { value, duplicates })
}

/// The 415 of Kubernetes for a resource that takes bodies in the `accepted` media types.
pub fn unsupported(accepted: &[&str]) -> Error {
    Error::UnsupportedMediaType(format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        accepted.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CONFIG_MAP: TypeMeta<'_> = TypeMeta { api_version: "v1", kind: "ConfigMap" };

    #[test]
    fn the_content_type_chooses_the_decoder() {
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}});
        let text = expected.to_string();
        let yaml = "kind: ConfigMap\napiVersion: v1\ndata: {a: b}\n";
        for (content_type, body) in [
            (None, text.as_str()),
            (Some(""), &text),
            (Some("application/json"), &text),
            (Some("Application/JSON ; charset=\"utf-8\""), &text),
            (Some("application/yaml;charset=utf-8"), yaml),
        ] {
            assert_eq!(decode(content_type, body.as_bytes(), None).unwrap().value, expected, "{content_type:?}");
        }
        for content_type in ["application/x-www-form-urlencoded", "text/plain", "application/jsonx", "json"] {
            let error = decode(Some(content_type), text.as_bytes(), None).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the body of the request was in an unknown format - accepted media types include: application/json, \
                 application/yaml, application/vnd.kubernetes.protobuf"
            );
            assert_eq!(error.http_status(), 415);
        }
    }

    #[test]
    fn the_path_names_what_the_body_does_not() {
        let decoded = decode(None, br#"{"kind": null, "data": {}}"#, Some(CONFIG_MAP)).unwrap();
        assert_eq!(decoded.value, json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {}}));
        let decoded = decode(None, br#"{"kind": "Secret", "apiVersion": ""}"#, Some(CONFIG_MAP)).unwrap();
        assert_eq!(decoded.value, json!({"apiVersion": "v1", "kind": "Secret"}));
    }

    #[test]
    fn kubectl_deletes_with_json() {
        let body = include_bytes!("../../tests/fixtures/codec/kubectl/delete-options.json");
        let options = TypeMeta { api_version: "v1", kind: "DeleteOptions" };
        assert_eq!(
            decode(Some("application/json"), body, Some(options)).unwrap().value,
            json!({
                "apiVersion": "v1", "kind": "DeleteOptions",
                "gracePeriodSeconds": 5, "propagationPolicy": "Foreground",
            })
        );
    }

    #[test]
    fn a_body_is_an_object() {
        for body in ["[]", "1", "null", "\"a\""] {
            let error = decode(None, body.as_bytes(), Some(CONFIG_MAP)).unwrap_err();
            assert_eq!(error.to_string(), "the request body must be an object");
        }
    }
}
