//! Tensors of the library and ours.

use std::collections::HashMap;

use bytes::Bytes;
use half::slice::HalfBitsSliceExt;
use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{
    DynMap, DynMapValueType, DynSequenceValueType, DynValue, Outlet, TensorElementType, TensorRef, ValueType,
};

use super::outline::Outline;
use crate::engine::TensorSpec;
use crate::tensor::{Data, Datatype, Tensor};

/// Our name of a type.
fn datatype(kind: TensorElementType) -> Result<Datatype, String> {
    Ok(match kind {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        other => return Err(format!("elements of type {other} are not supported")),
    })
}

/// What the library and the model say of an input or output. What `ZipMap` makes, a map for each row, is a matrix here.
pub(super) fn spec(outlet: &Outlet, outline: &Outline<'_>) -> Result<TensorSpec, String> {
    let name = outlet.name().to_owned();
    if outline.shapeless.contains(name.as_str()) {
        return Err(format!("input {name:?} is not a tensor of known rank, which is all that is supported"));
    }
    let mut labels = Vec::new();
    let (datatype, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            // A length that is not positive means any.
            let length = |&length: &i64| usize::try_from(length).ok().filter(|&length| length > 0);
            (datatype(*ty), shape.iter().map(length).collect())
        }
        ValueType::Sequence(rows) if matches!(**rows, ValueType::Map { value: TensorElementType::Float32, .. }) => {
            let unknown = || format!("{name:?} is a sequence of maps, and no ZipMap makes it");
            labels.clone_from(outline.classes.get(name.as_str()).ok_or_else(unknown)?);
            (Ok(Datatype::Fp32), vec![None, Some(labels.len())])
        }
        other => (Err(format!("type {other} is not supported")), Vec::new()),
    };
    let datatype = datatype.map_err(|message| format!("{name:?}: {message}"))?;
    Ok(TensorSpec { name, datatype, shape, labels })
}

/// A tensor as the library takes it: numbers are not copied.
pub(super) fn given(tensor: &Tensor) -> Result<SessionInputValue<'_>, String> {
    macro_rules! view {
        ($values:expr) => {
            TensorRef::from_array_view((tensor.shape(), $values)).map(Into::into)
        };
    }
    let given = match tensor.data() {
        Data::Bool(values) => view!(values.as_slice()),
        Data::U8(values) => view!(values.as_slice()),
        Data::U16(values) => view!(values.as_slice()),
        Data::U32(values) => view!(values.as_slice()),
        Data::U64(values) => view!(values.as_slice()),
        Data::I8(values) => view!(values.as_slice()),
        Data::I16(values) => view!(values.as_slice()),
        Data::I32(values) => view!(values.as_slice()),
        Data::I64(values) => view!(values.as_slice()),
        Data::F16(values) => view!(values.reinterpret_cast::<f16>()),
        Data::Bf16(values) => view!(values.reinterpret_cast::<bf16>()),
        Data::F32(values) => view!(values.as_slice()),
        Data::F64(values) => view!(values.as_slice()),
        Data::Bytes(values) => {
            let texts: Result<Vec<String>, _> = values.iter().map(|value| String::from_utf8(value.to_vec())).collect();
            let texts = texts.map_err(|_| "strings must be UTF-8".to_owned())?;
            ort::value::Tensor::from_string_array((tensor.shape(), texts.as_slice())).map(Into::into)
        }
    };
    given.map_err(|error: ort::Error| error.to_string())
}

/// A tensor that the library made.
pub(super) fn made(value: &DynValue, spec: &TensorSpec) -> Result<Tensor, String> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return matrix(value, &spec.labels);
    };
    macro_rules! copy {
        ($type:ty) => {
            value.try_extract_tensor::<$type>().map_err(words)?.1
        };
    }
    let data = match datatype(*ty)? {
        Datatype::Bool => Data::Bool(copy!(bool).to_vec()),
        Datatype::Uint8 => Data::U8(copy!(u8).to_vec()),
        Datatype::Uint16 => Data::U16(copy!(u16).to_vec()),
        Datatype::Uint32 => Data::U32(copy!(u32).to_vec()),
        Datatype::Uint64 => Data::U64(copy!(u64).to_vec()),
        Datatype::Int8 => Data::I8(copy!(i8).to_vec()),
        Datatype::Int16 => Data::I16(copy!(i16).to_vec()),
        Datatype::Int32 => Data::I32(copy!(i32).to_vec()),
        Datatype::Int64 => Data::I64(copy!(i64).to_vec()),
        Datatype::Fp16 => Data::F16(copy!(f16).iter().map(|value| value.to_bits()).collect()),
        Datatype::Bf16 => Data::Bf16(copy!(bf16).iter().map(|value| value.to_bits()).collect()),
        Datatype::Fp32 => Data::F32(copy!(f32).to_vec()),
        Datatype::Fp64 => Data::F64(copy!(f64).to_vec()),
        Datatype::Bytes => {
            let (_, texts) = value.try_extract_strings().map_err(words)?;
            Data::Bytes(texts.into_iter().map(Bytes::from).collect())
        }
    };
    let shape: Result<Vec<usize>, _> = shape.iter().map(|&length| usize::try_from(length)).collect();
    Tensor::new(shape.map_err(|_| "an output has a negative length".to_owned())?, data)
}

/// The values of a map for each row, in the order of the labels.
fn matrix(value: &DynValue, labels: &[String]) -> Result<Tensor, String> {
    let rows = value.view().downcast::<DynSequenceValueType>().map_err(words)?;
    let rows: Vec<DynMap> = rows.try_extract_sequence::<DynMapValueType>().map_err(words)?;
    let mut data = Vec::with_capacity(rows.len() * labels.len());
    for row in &rows {
        let values = by_label(row).map_err(words)?;
        for label in labels {
            data.push(*values.get(label).ok_or_else(|| format!("a row has no value of class {label:?}"))?);
        }
    }
    Tensor::new(vec![rows.len(), labels.len()], Data::F32(data))
}

fn by_label(row: &DynMap) -> ort::Result<HashMap<String, f32>> {
    if matches!(row.dtype(), ValueType::Map { key: TensorElementType::String, .. }) {
        return Ok(row.try_extract_key_values::<String, f32>()?.into_iter().collect());
    }
    Ok(row.try_extract_key_values::<i64, f32>()?.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

fn words(error: ort::Error) -> String {
    error.to_string()
}
