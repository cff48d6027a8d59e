//! What prepares features: scaling, normalising, filling gaps.

use super::{Attributes, Built, Fault, Inputs, function};
use crate::engine::tabular::inputs::refuse;
use crate::engine::tabular::ops::cast::cast;
use crate::tensor::{Data, Datatype, Tensor};

/// The numbers of a tensor in single precision.
pub(super) fn singles(inputs: &mut Inputs<'_>, index: usize) -> Fault<(Vec<usize>, Vec<f32>)> {
    let (shape, data) = inputs.take(index)?.into_parts();
    match data {
        Data::F32(values) => Ok((shape, values)),
        other @ (Data::F64(_) | Data::I64(_) | Data::I32(_)) => match cast(&other, Datatype::Fp32)? {
            Data::F32(values) => Ok((shape, values)),
            other => refuse(&other),
        },
        other => refuse(&other),
    }
}

fn width(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1).max(1)
}

/// The one of a list that belongs to a column: a list of one is for all.
fn of<T: Copy>(list: &[T], columns: usize) -> Fault<impl Fn(usize) -> T> {
    if list.len() != 1 && list.len() < columns {
        return Err(format!("it is made for {} columns, got {columns}", list.len()));
    }
    let shared = list.len() == 1;
    Ok(move |column: usize| list[if shared { 0 } else { column }])
}

pub(super) fn scaler(attributes: &Attributes<'_>) -> Fault<Built> {
    let (offset, scale) = (attributes.floats("offset")?.to_vec(), attributes.floats("scale")?.to_vec());
    if offset.len() != scale.len() || scale.is_empty() {
        return Err("offset and scale must be as many".to_owned());
    }
    function(move |inputs| {
        if let Data::F64(values) = inputs.get(0)?.data() {
            let shape = inputs.get(0)?.shape().to_vec();
            let width = width(&shape);
            let (offset, scale) = (of(&offset, width)?, of(&scale, width)?);
            let one = |(index, value): (usize, &f64)| {
                ((value - f64::from(offset(index % width))) * f64::from(scale(index % width))) as f32
            };
            return Tensor::new(shape, Data::F32(values.iter().enumerate().map(one).collect()));
        }
        let (shape, mut values) = singles(inputs, 0)?;
        let width = width(&shape);
        let (offset, scale) = (of(&offset, width)?, of(&scale, width)?);
        for row in values.chunks_mut(width) {
            for (column, value) in row.iter_mut().enumerate() {
                *value = (*value - offset(column)) * scale(column);
            }
        }
        Tensor::new(shape, Data::F32(values))
    })
}

pub(super) fn normalizer(attributes: &Attributes<'_>) -> Fault<Built> {
    let normalize: fn(&mut [f32]) = match attributes.text("norm", "MAX")? {
        "MAX" => |row| {
            let most = row.iter().fold(f32::MIN, |most, &value| if value > most { value } else { most });
            if most != 0.0 {
                row.iter_mut().for_each(|value| *value /= most);
            }
        },
        "L1" => |row| {
            let sum: f32 = row.iter().map(|value| value.abs()).sum();
            if sum != 0.0 {
                row.iter_mut().for_each(|value| *value /= sum);
            }
        },
        "L2" => |row| {
            let sum: f32 = row.iter().map(|value| value * value).sum();
            if sum != 0.0 {
                row.iter_mut().for_each(|value| *value = (*value * *value / sum).sqrt().copysign(*value));
            }
        },
        other => return Err(format!("norm {other:?} does not exist")),
    };
    function(move |inputs| {
        let (shape, mut values) = singles(inputs, 0)?;
        values.chunks_mut(width(&shape)).for_each(normalize);
        Tensor::new(shape, Data::F32(values))
    })
}

pub(super) fn imputer(attributes: &Attributes<'_>) -> Fault<Built> {
    let floats = attributes.floats("imputed_value_floats")?.to_vec();
    let ints = attributes.ints("imputed_value_int64s")?.to_vec();
    let gap = attributes.float("replaced_value_float", 0.0)?;
    let gap_int = attributes.int("replaced_value_int64", 0)?;
    if floats.is_empty() == ints.is_empty() {
        return Err("it must fill gaps with either floats or integers".to_owned());
    }
    function(move |inputs| {
        let (shape, data) = inputs.take(0)?.into_parts();
        let width = width(&shape);
        match data {
            Data::F32(mut values) if ints.is_empty() => {
                let with = of(&floats, width)?;
                for (index, value) in values.iter_mut().enumerate() {
                    if *value == gap || (value.is_nan() && gap.is_nan()) {
                        *value = with(index % width);
                    }
                }
                Tensor::new(shape, Data::F32(values))
            }
            Data::I64(mut values) if floats.is_empty() => {
                let with = of(&ints, width)?;
                for (index, value) in values.iter_mut().enumerate() {
                    if *value == gap_int {
                        *value = with(index % width);
                    }
                }
                Tensor::new(shape, Data::I64(values))
            }
            other => refuse(&other),
        }
    })
}

pub(super) fn binarizer(attributes: &Attributes<'_>) -> Fault<Built> {
    let threshold = attributes.float("threshold", 0.0)?;
    function(move |inputs| {
        let (shape, mut values) = singles(inputs, 0)?;
        values.iter_mut().for_each(|value| *value = if *value > threshold { 1.0 } else { 0.0 });
        Tensor::new(shape, Data::F32(values))
    })
}

/// `FeatureVectorizer`: columns side by side, in single precision.
pub(super) fn vectorizer(inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    let mut parts = Vec::with_capacity(inputs.all.len());
    for index in 0..inputs.all.len() {
        let (rows, columns) = inputs.get(index)?.matrix();
        parts.push((rows, columns, singles(inputs, index)?.1));
    }
    let (rows, columns) = (parts.first().map_or(0, |part| part.0), parts.iter().map(|part| part.1).sum());
    if parts.iter().any(|part| part.0 != rows) {
        return Err("the inputs have different numbers of rows".to_owned());
    }
    let mut made = Vec::with_capacity(inputs.budget.room(&[rows, columns])?);
    for row in 0..rows {
        parts.iter().for_each(|(_, width, values)| made.extend_from_slice(&values[row * width..(row + 1) * width]));
    }
    Tensor::new(vec![rows, columns], Data::F32(made))
}
