//! `/openapi/v2`, in the protobuf of Google's gnostic: kubectl asks it whether the server validates the fields of a kind that
//! version 3 does not describe, such as `List`. It tells that alone: for each kind, that its PATCH takes `fieldValidation`.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Door;
use super::discovery::prefix;
use crate::kind::{RegisteredKind, Registry};

/// With a dot where clients ask with an `@`, which is no media type; kube-apiserver answers so, too.
const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document.
pub(super) async fn document(State(door): State<Door>) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], encode(door.objects.registry())).into_response()
}

// Field numbers of the messages in gnostic's `OpenAPIv2.proto`, each named after message and field.
const DOCUMENT_SWAGGER: u32 = 1;
const DOCUMENT_INFO: u32 = 2;
const DOCUMENT_PATHS: u32 = 8;
const INFO_TITLE: u32 = 1;
const INFO_VERSION: u32 = 2;
const PATHS_PATH: u32 = 2;
const NAMED_NAME: u32 = 1;
const NAMED_VALUE: u32 = 2;
const PATH_ITEM_PATCH: u32 = 8;
const OPERATION_PARAMETERS: u32 = 8;
const OPERATION_VENDOR_EXTENSION: u32 = 13;
const PARAMETERS_ITEM_PARAMETER: u32 = 1;
const PARAMETER_NON_BODY: u32 = 2;
const NON_BODY_QUERY: u32 = 3;
const QUERY_IN: u32 = 2;
const QUERY_NAME: u32 = 4;
const ANY_YAML: u32 = 2;

fn encode(registry: &Registry) -> Vec<u8> {
    let info = message(&[(INFO_TITLE, b"mcplane"), (INFO_VERSION, env!("CARGO_PKG_VERSION").as_bytes())]);
    let mut paths = Vec::new();
    for kind in registry.kinds().iter().filter(|kind| kind.verbs.contains(&"patch")) {
        for version in kind.versions {
            field(&mut paths, PATHS_PATH, &path(kind, version));
        }
    }
    message(&[(DOCUMENT_SWAGGER, b"2.0"), (DOCUMENT_INFO, &info), (DOCUMENT_PATHS, &paths)])
}

fn path(kind: &RegisteredKind, version: &str) -> Vec<u8> {
    let query = message(&[(QUERY_IN, b"query"), (QUERY_NAME, b"fieldValidation")]);
    let non_body = message(&[(NON_BODY_QUERY, &query)]);
    let parameter = message(&[(PARAMETER_NON_BODY, &non_body)]);
    let parameters = message(&[(PARAMETERS_ITEM_PARAMETER, &parameter)]);
    let yaml = format!("group: {:?}\nkind: {:?}\nversion: {version:?}\n", kind.group, kind.kind);
    let any = message(&[(ANY_YAML, yaml.as_bytes())]);
    let extension = message(&[(NAMED_NAME, b"x-kubernetes-group-version-kind"), (NAMED_VALUE, &any)]);
    let operation = message(&[(OPERATION_PARAMETERS, &parameters), (OPERATION_VENDOR_EXTENSION, &extension)]);
    let item = message(&[(PATH_ITEM_PATCH, &operation)]);
    let namespace = if kind.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    let name = format!("{}{namespace}/{}/{{name}}", prefix(kind.group, version), kind.plural);
    message(&[(NAMED_NAME, name.as_bytes()), (NAMED_VALUE, &item)])
}

/// A message of length-delimited fields, which is all that the document needs.
fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    fields.iter().for_each(|(number, value)| field(&mut bytes, *number, value));
    bytes
}

fn field(bytes: &mut Vec<u8>, number: u32, value: &[u8]) {
    const LENGTH_DELIMITED: u64 = 2;
    varint(bytes, u64::from(number) << 3 | LENGTH_DELIMITED);
    varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_length_delimited() {
        assert_eq!(message(&[(2, b"ab")]), [0x12, 2, b'a', b'b']);
        let long = message(&[(13, &[7; 300])]);
        assert_eq!(long[..3], [0x6a, 0xac, 0x02]);
        assert_eq!(long.len(), 303);
    }
}
