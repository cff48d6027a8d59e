//! Tensors as little-endian bytes behind the JSON.

use bytes::Bytes;

use super::Mistake;
use crate::engine::tabular::proto::from_raw;
use crate::tensor::{Data, Datatype, Tensor, elements};

/// Makes a tensor of its part of the body.
pub(super) fn tensor(name: &str, datatype: Datatype, shape: Vec<usize>, raw: &Bytes) -> Result<Tensor, Mistake> {
    let of_input = |message: String| format!("input {name:?}: {message}");
    let count = elements(&shape).ok_or_else(|| of_input(format!("shape {shape:?} is larger than what is answered")))?;
    let data = match datatype.size() {
        Some(size) if Some(raw.len()) == count.checked_mul(size) => from_raw(datatype, raw).map_err(of_input)?,
        Some(size) => {
            let message =
                format!("shape {shape:?} of {datatype} takes {} bytes, but there are {}", count * size, raw.len());
            return Err(of_input(message));
        }
        None => Data::Bytes(strings(raw, count).map_err(of_input)?),
    };
    Tensor::new(shape, data).map_err(of_input)
}

/// Strings, each behind its length in four bytes.
fn strings(raw: &Bytes, count: usize) -> Result<Vec<Bytes>, Mistake> {
    let short = || format!("the bytes end before {count} strings");
    let mut at = 0;
    let mut all = Vec::with_capacity(count.min(raw.len() / 4));
    while at < raw.len() {
        let length = raw[at..].first_chunk::<4>().ok_or_else(short)?;
        let start = at + 4;
        let end = start
            .checked_add(u32::from_le_bytes(*length) as usize)
            .filter(|&end| end <= raw.len())
            .ok_or_else(short)?;
        if all.len() == count {
            return Err(format!("the bytes have more than {count} strings"));
        }
        all.push(raw.slice(start..end));
        at = end;
    }
    if all.len() == count { Ok(all) } else { Err(short()) }
}

/// Appends the elements.
pub(super) fn write(data: &Data, to: &mut Vec<u8>) {
    macro_rules! raw {
        ($values:expr) => {
            to.extend($values.iter().flat_map(|value| value.to_le_bytes()))
        };
    }
    match data {
        Data::Bool(values) => to.extend(values.iter().map(|&value| u8::from(value))),
        Data::U8(values) => to.extend_from_slice(values),
        Data::U16(values) | Data::F16(values) | Data::Bf16(values) => raw!(values),
        Data::U32(values) => raw!(values),
        Data::U64(values) => raw!(values),
        Data::I8(values) => raw!(values),
        Data::I16(values) => raw!(values),
        Data::I32(values) => raw!(values),
        Data::I64(values) => raw!(values),
        Data::F32(values) => raw!(values),
        Data::F64(values) => raw!(values),
        Data::Bytes(values) => {
            for value in values {
                to.extend((value.len() as u32).to_le_bytes());
                to.extend_from_slice(value);
            }
        }
    }
}
