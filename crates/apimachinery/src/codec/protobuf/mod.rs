//! Kubernetes' protobuf: an envelope (`k8s\0` and a `runtime.Unknown`) around one message of an API type.
//!
//! The message becomes the JSON that the Go type of the same name would become, but for nulls, which are left out.
//! `messages.txt` tells what the types are. Field numbers that it does not know are ignored, as Kubernetes ignores
//! them; a body of a kind that it does not know is 415, as for Kubernetes' custom resources.

mod envelope;
mod message;
mod scalar;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use mcplane_core::Error;
use serde_json::{Map, Value};

use super::{Decoded, JSON, TypeMeta, YAML, unsupported};

/// Values in one body. Empty messages take two bytes on the wire but much more as JSON, so the size of the body alone
/// would not bound the memory.
pub const MAX_VALUES: usize = 500_000;

/// Reads the object in an envelope. `fallback` tells its type where the envelope does not.
pub fn decode(body: &[u8], fallback: Option<TypeMeta<'_>>) -> Result<Decoded, Error> {
    let envelope = envelope::open(body)?;
    let implied = fallback.unwrap_or(TypeMeta { api_version: "", kind: "" });
    let api_version = if envelope.api_version.is_empty() { implied.api_version } else { envelope.api_version };
    let kind = if envelope.kind.is_empty() { implied.kind } else { envelope.kind };

    let table = table::table()?;
    let message = table.message_of(api_version, kind).ok_or_else(|| unsupported(&[JSON, YAML]))?;
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    message::read(table, message, envelope.raw, &mut object)
        .map_err(|fault| Error::bad_request(format!("the {kind} is not valid protobuf: {fault}")))?;
    Ok(Decoded { value: Value::Object(object), duplicates: Vec::new() })
}
