//! Answers to requests for inference.

use super::binary;
use super::request::Wanted;
use super::text::{flat, write_string};
use crate::engine::TensorSpec;
use crate::tensor::Tensor;

/// A body, and how much of it is JSON if binary tensors follow.
#[derive(Debug, PartialEq, Eq)]
pub struct Encoded {
    /// JSON, then the binary tensors.
    pub body: Vec<u8>,
    /// For the header [`super::HEADER_LENGTH`].
    pub json_length: Option<usize>,
}

/// Writes an answer. `tensors` are the model's outputs in its order.
pub fn encode(
    (model, version): (&str, &str),
    id: Option<&str>,
    wanted: &[Wanted],
    specs: &[TensorSpec],
    tensors: &[Tensor],
) -> Encoded {
    let mut json = Vec::with_capacity(256);
    let mut raw = Vec::new();
    json.extend_from_slice(b"{\"model_name\":");
    write_string(model, &mut json);
    json.extend_from_slice(b",\"model_version\":");
    write_string(version, &mut json);
    if let Some(id) = id {
        json.extend_from_slice(b",\"id\":");
        write_string(id, &mut json);
    }
    json.extend_from_slice(b",\"outputs\":[");
    for (index, Wanted { output, binary }) in wanted.iter().enumerate() {
        let (spec, tensor) = (&specs[*output], &tensors[*output]);
        json.extend_from_slice(if index > 0 { b",{\"name\":" } else { b"{\"name\":" });
        write_string(&spec.name, &mut json);
        json.extend_from_slice(
            format!(",\"datatype\":\"{}\",\"shape\":{:?},", tensor.datatype(), tensor.shape()).as_bytes(),
        );
        if *binary {
            let before = raw.len();
            binary::write(tensor.data(), &mut raw);
            json.extend_from_slice(
                format!("\"parameters\":{{\"binary_data_size\":{}}}}}", raw.len() - before).as_bytes(),
            );
        } else {
            json.extend_from_slice(b"\"data\":[");
            flat(tensor.data(), &mut json);
            json.extend_from_slice(b"]}");
        }
    }
    json.extend_from_slice(b"]}");
    let json_length = wanted.iter().any(|one| one.binary).then_some(json.len());
    json.append(&mut raw);
    Encoded { body: json, json_length }
}
