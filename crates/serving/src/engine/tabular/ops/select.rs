//! What picks elements and puts them together.

use super::broadcast::walk;
use super::{Attributes, Built, Fault, Inputs, function};
use crate::engine::tabular::inputs::axis;
use crate::tensor::{Data, Tensor};

pub(super) fn concat(attributes: &Attributes<'_>) -> Fault<Built> {
    let (along, count) = (attributes.int("axis", 1)?, attributes.inputs);
    function(move |inputs| {
        if count == 1 {
            return inputs.take(0);
        }
        let parts: Vec<&Tensor> = (0..count).map(|index| inputs.get(index)).collect::<Fault<_>>()?;
        let first = *parts.first().ok_or("there is nothing to put together")?;
        let along = axis(along, first.shape().len())?;
        let mut shape = first.shape().to_vec();
        shape[along] = 0;
        for part in &parts {
            let fits = |index: usize| index == along || part.shape()[index] == first.shape()[index];
            if part.shape().len() != shape.len() || !(0..shape.len()).all(fits) {
                return Err(format!("shapes {:?} and {:?} do not go together", first.shape(), part.shape()));
            }
            shape[along] += part.shape()[along];
        }
        let room = inputs.budget.room(&shape)?;
        let rows: usize = shape[..along].iter().product();
        let inner: usize = shape[along + 1..].iter().product();
        let mut made = Data::with_capacity(first.datatype(), room);
        for row in 0..rows {
            for part in &parts {
                let width = part.shape()[along] * inner;
                if !made.append(part.data(), row * width..(row + 1) * width) {
                    return Err(format!("{} and {} do not go together", first.datatype(), part.datatype()));
                }
            }
        }
        Tensor::new(shape, made)
    })
}

/// Places along an axis; they may be counted from the end.
fn resolved(indices: &[i64], length: usize) -> Fault<Vec<usize>> {
    indices
        .iter()
        .map(|&index| axis(index, length).map_err(|_| format!("index {index} is outside of {length} elements")))
        .collect()
}

pub(super) fn gather(attributes: &Attributes<'_>) -> Fault<Built> {
    let along = attributes.int("axis", 0)?;
    function(move |inputs| {
        let indices = inputs.ints(1)?.ok_or("the indices are missing")?;
        let (input, of) = (inputs.get(0)?, inputs.get(1)?.shape());
        let along = axis(along, input.shape().len())?;
        let indices = resolved(&indices, input.shape()[along])?;
        picked(inputs, input, along, &indices, of)
    })
}

/// `ArrayFeatureExtractor`: columns by number.
pub(super) fn extract(inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    let indices = inputs.ints(1)?.ok_or("the indices are missing")?;
    let input = inputs.get(0)?;
    let along = input.shape().len().checked_sub(1).ok_or("a number has no columns")?;
    let indices = resolved(&indices, input.shape()[along])?;
    let count = indices.len();
    let made = picked(inputs, input, along, &indices, &[count])?;
    if made.shape().len() > 1 {
        return Ok(made);
    }
    Tensor::new(vec![1, count], made.into_parts().1)
}

fn picked(inputs: &Inputs<'_>, input: &Tensor, along: usize, indices: &[usize], of: &[usize]) -> Fault<Tensor> {
    let shape = input.shape();
    let made: Vec<usize> = [&shape[..along], of, &shape[along + 1..]].concat();
    inputs.budget.room(&made)?;
    let rows: usize = shape[..along].iter().product();
    let inner: usize = shape[along + 1..].iter().product();
    let length = shape[along];
    let places = (0..rows).flat_map(|row| {
        indices.iter().flat_map(move |index| {
            let start = (row * length + index) * inner;
            start..start + inner
        })
    });
    Tensor::new(made, input.data().pick(places))
}

/// Bounds are attributes until version 9, inputs since.
pub(super) fn slice(attributes: &Attributes<'_>) -> Fault<Built> {
    let fixed = attributes.version < 10;
    let list = |name| attributes.ints(name).map(<[i64]>::to_vec);
    let (starts, ends, axes) = (list("starts")?, list("ends")?, list("axes")?);
    function(move |inputs| {
        let (starts, ends, axes, steps) = if fixed {
            (starts.clone(), ends.clone(), (!axes.is_empty()).then(|| axes.clone()), None)
        } else {
            let starts = inputs.ints(1)?.ok_or("the starts are missing")?;
            (starts, inputs.ints(2)?.ok_or("the ends are missing")?, inputs.ints(3)?, inputs.ints(4)?)
        };
        let input = inputs.get(0)?;
        let count = starts.len();
        let axes = axes.unwrap_or_else(|| (0..count as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; count]);
        if [ends.len(), axes.len(), steps.len()] != [count; 3] {
            return Err("starts, ends, axes and steps must be as many".to_owned());
        }
        let mut shape = input.shape().to_vec();
        let mut strides: Vec<usize> = (0..shape.len()).map(|index| shape[index + 1..].iter().product()).collect();
        let mut start_place = 0_usize;
        for (((start, end), along), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
            let along = axis(along, shape.len())?;
            let (start, length) = run(start, end, step, input.shape()[along])?;
            start_place = start_place.wrapping_add(strides[along].wrapping_mul(start));
            strides[along] = strides[along].wrapping_mul(step as usize);
            shape[along] = length;
        }
        inputs.budget.room(&shape)?;
        Tensor::new(shape.clone(), input.data().pick(walk(shape, strides, start_place)))
    })
}

/// First place and number of places that a slice takes of a length, as Python's slices do.
fn run(start: i64, end: i64, step: i64, length: usize) -> Fault<(usize, usize)> {
    let length = length as i64;
    let from_end = |value: i64| if value < 0 { value.saturating_add(length) } else { value };
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let (start, end) =
        (from_end(start).clamp(low.max(0).min(high.max(0)), high.max(0)), from_end(end).clamp(low, high.max(low)));
    let distance = if step > 0 { end - start } else { start - end };
    let stride = step.unsigned_abs();
    if stride == 0 {
        return Err("a step of 0 leads nowhere".to_owned());
    }
    let count = u64::try_from(distance).unwrap_or(0).div_ceil(stride);
    Ok((start as usize, if length == 0 { 0 } else { count as usize }))
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn slices_are_those_of_python() {
        let cases = [
            ((0, i64::MAX, 1, 5), (0, 5)),
            ((1, -1, 1, 5), (1, 3)),
            ((-2, 100, 1, 5), (3, 2)),
            ((4, i64::MIN, -2, 5), (4, 3)),
            ((i64::MAX, i64::MIN, -1, 3), (2, 3)),
            ((3, 1, 1, 5), (3, 0)),
            ((0, 1, 1, 0), (0, 0)),
            ((0, 5, 3, 5), (0, 2)),
        ];
        for ((start, end, step, length), wanted) in cases {
            assert_eq!(run(start, end, step, length), Ok(wanted), "{start}:{end}:{step} of {length}");
        }
        assert!(run(0, 1, 0, 5).is_err());
    }
}
