//! Elements as JSON.

use std::fmt::Display;
use std::io::Write as _;

use crate::tensor::{Data, Tensor, bf16_to_f32, f16_to_f32};

/// Appends elements with commas between.
pub(super) fn flat(data: &Data, to: &mut Vec<u8>) {
    range(data, 0..data.len(), to);
}

/// Appends a tensor as lists in lists.
pub(crate) fn nested(tensor: &Tensor, to: &mut Vec<u8>) {
    lists(tensor.data(), tensor.shape(), 0, to);
}

/// The depth is at most that of a tensor.
fn lists(data: &Data, shape: &[usize], start: usize, to: &mut Vec<u8>) {
    match *shape {
        [] => range(data, start..start + 1, to),
        [length] => {
            to.push(b'[');
            range(data, start..start + length, to);
            to.push(b']');
        }
        [length, ref inner @ ..] => {
            let width: usize = inner.iter().product();
            to.push(b'[');
            for index in 0..length {
                if index > 0 {
                    to.push(b',');
                }
                lists(data, inner, start + index * width, to);
            }
            to.push(b']');
        }
    }
}

fn range(data: &Data, range: std::ops::Range<usize>, to: &mut Vec<u8>) {
    match data {
        Data::Bool(values) => joined(&values[range], to, display),
        Data::U8(values) => joined(&values[range], to, display),
        Data::U16(values) => joined(&values[range], to, display),
        Data::U32(values) => joined(&values[range], to, display),
        Data::U64(values) => joined(&values[range], to, display),
        Data::I8(values) => joined(&values[range], to, display),
        Data::I16(values) => joined(&values[range], to, display),
        Data::I32(values) => joined(&values[range], to, display),
        Data::I64(values) => joined(&values[range], to, display),
        Data::F16(values) => joined(&values[range], to, |value, to| single(&f16_to_f32(*value), to)),
        Data::Bf16(values) => joined(&values[range], to, |value, to| single(&bf16_to_f32(*value), to)),
        Data::F32(values) => joined(&values[range], to, single),
        Data::F64(values) => joined(&values[range], to, double),
        Data::Bytes(values) => {
            joined(&values[range], to, |value, to| write_string(&String::from_utf8_lossy(value), to))
        }
    }
}

fn joined<T>(values: &[T], to: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            to.push(b',');
        }
        write(value, to);
    }
}

fn display(value: &impl Display, to: &mut Vec<u8>) {
    // Writing to a vector can't fail.
    let _ = write!(to, "{value}");
}

/// The shortest text that reads back as the same number.
fn single(value: &f32, to: &mut Vec<u8>) {
    match value.is_finite() {
        true => drop(serde_json::to_writer(to, value)),
        false => not_finite(f64::from(*value), to),
    }
}

fn double(value: &f64, to: &mut Vec<u8>) {
    match value.is_finite() {
        true => drop(serde_json::to_writer(to, value)),
        false => not_finite(*value, to),
    }
}

fn not_finite(value: f64, to: &mut Vec<u8>) {
    let word: &[u8] = match value {
        f64::INFINITY => b"\"Infinity\"",
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"null",
    };
    to.extend_from_slice(word);
}

/// Appends a string with its quotes.
pub(crate) fn write_string(text: &str, to: &mut Vec<u8>) {
    drop(serde_json::to_writer(to, text));
}
