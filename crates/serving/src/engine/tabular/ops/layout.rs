//! What changes a shape and not the elements.

use super::broadcast::{places, shape as broadcast, walk};
use super::{Attributes, Built, Fault, Inputs, function};
use crate::engine::tabular::inputs::{axis, refuse};
use crate::tensor::{Data, MAX_RANK, Tensor, elements};

pub(super) fn reshape(attributes: &Attributes<'_>) -> Fault<Built> {
    let keep_zeros = attributes.int("allowzero", 0)? != 0;
    let fixed = attributes.has("shape").then(|| attributes.ints("shape").map(<[i64]>::to_vec)).transpose()?;
    function(move |inputs| {
        let wanted = match &fixed {
            Some(shape) => shape.clone(),
            None => inputs.ints(1)?.ok_or("the shape is missing")?,
        };
        let (old, data) = inputs.take(0)?.into_parts();
        Tensor::new(resolve(&old, &wanted, keep_zeros)?, data)
    })
}

/// The shape that `Reshape` means: 0 is the old length, -1 what is left.
fn resolve(old: &[usize], wanted: &[i64], keep_zeros: bool) -> Fault<Vec<usize>> {
    if wanted.len() > MAX_RANK {
        return Err(format!("{} dimensions are more than {MAX_RANK}", wanted.len()));
    }
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (index, &length) in wanted.iter().enumerate() {
        shape.push(match length {
            0 if !keep_zeros => *old.get(index).ok_or("a 0 stands for a length that the input does not have")?,
            -1 if open.replace(index).is_some() => return Err("only one length may be -1".to_owned()),
            -1 => 1,
            _ => usize::try_from(length).map_err(|_| format!("length {length} is negative"))?,
        });
    }
    if let Some(index) = open {
        let (count, rest) = (elements(old), elements(&shape));
        let (Some(count), Some(rest)) = (count, rest) else { return Err("the shape is too large".to_owned()) };
        shape[index] = match (count, rest) {
            (0, 0) => 0,
            (_, 0) => return Err("the length for -1 is not determined".to_owned()),
            (count, rest) if count % rest == 0 => count / rest,
            (count, rest) => return Err(format!("{count} elements do not fill rows of {rest}")),
        };
    }
    Ok(shape)
}

pub(super) fn flatten(attributes: &Attributes<'_>) -> Fault<Built> {
    let split = attributes.int("axis", 1)?;
    function(move |inputs| {
        let (old, data) = inputs.take(0)?.into_parts();
        let rank = old.len();
        let split = if split == rank as i64 { rank } else { axis(split, rank.max(1))? };
        Tensor::new(vec![old[..split].iter().product(), old[split..].iter().product()], data)
    })
}

/// The axes of an attribute until version 12, of an input since.
fn axes(fixed: &[i64], inputs: &Inputs<'_>, rank: usize) -> Fault<Option<Vec<usize>>> {
    let given = if fixed.is_empty() { inputs.ints(1)? } else { Some(fixed.to_vec()) };
    given.map(|axes| axes.into_iter().map(|one| axis(one, rank)).collect()).transpose()
}

pub(super) fn squeeze(attributes: &Attributes<'_>) -> Fault<Built> {
    let fixed = attributes.ints("axes")?.to_vec();
    function(move |inputs| {
        let axes = axes(&fixed, inputs, inputs.get(0)?.shape().len())?;
        let (old, data) = inputs.take(0)?.into_parts();
        let goes = |index: usize| axes.as_ref().map_or(old[index] == 1, |axes| axes.contains(&index));
        if let Some(index) = (0..old.len()).find(|&index| goes(index) && old[index] != 1) {
            return Err(format!("dimension {index} has length {} and can't be dropped", old[index]));
        }
        Tensor::new((0..old.len()).filter(|&index| !goes(index)).map(|index| old[index]).collect(), data)
    })
}

pub(super) fn unsqueeze(attributes: &Attributes<'_>) -> Fault<Built> {
    let fixed = attributes.ints("axes")?.to_vec();
    function(move |inputs| {
        let old = inputs.get(0)?.shape().to_vec();
        let count = if fixed.is_empty() { inputs.ints(1)?.map_or(0, |axes| axes.len()) } else { fixed.len() };
        if count + old.len() > MAX_RANK {
            return Err(format!("{} dimensions are more than {MAX_RANK}", count + old.len()));
        }
        let axes = axes(&fixed, inputs, old.len() + count)?.ok_or("the axes are missing")?;
        let mut rest = old.iter();
        let shape = (0..old.len() + count).map(|index| match axes.contains(&index) {
            true => Ok(1),
            false => rest.next().copied().ok_or("an axis is given twice"),
        });
        Tensor::new(shape.collect::<Result<_, _>>()?, inputs.take(0)?.into_parts().1)
    })
}

pub(super) fn transpose(attributes: &Attributes<'_>) -> Fault<Built> {
    let order = attributes.ints("perm")?.to_vec();
    function(move |inputs| {
        let input = inputs.get(0)?;
        let rank = input.shape().len();
        let order: Vec<usize> = match order.as_slice() {
            [] => (0..rank).rev().collect(),
            order => order.iter().map(|&one| axis(one, rank)).collect::<Fault<_>>()?,
        };
        if order.len() != rank || (0..rank).any(|index| !order.contains(&index)) {
            return Err(format!("{order:?} is no order of {rank} dimensions"));
        }
        inputs.budget.room(input.shape())?;
        let old: Vec<usize> = (0..rank).map(|index| input.shape()[index + 1..].iter().product()).collect();
        let shape: Vec<usize> = order.iter().map(|&index| input.shape()[index]).collect();
        let strides = order.iter().map(|&index| old[index]).collect();
        Tensor::new(shape.clone(), input.data().pick(walk(shape, strides, 0)))
    })
}

pub(super) fn expand(inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    let wanted = inputs.ints(1)?.ok_or("the shape is missing")?;
    let wanted: Vec<usize> =
        wanted.into_iter().map(usize::try_from).collect::<Result<_, _>>().map_err(|_| "a length is negative")?;
    let input = inputs.get(0)?;
    let shape = broadcast(input.shape(), &wanted)?;
    inputs.budget.room(&shape)?;
    Tensor::new(shape.clone(), input.data().pick(places(input.shape(), &shape)))
}

pub(super) fn shape(attributes: &Attributes<'_>) -> Fault<Built> {
    let (start, end) = (attributes.int("start", 0)?, attributes.int("end", i64::MAX)?);
    function(move |inputs| {
        let shape = inputs.get(0)?.shape();
        let rank = shape.len() as i64;
        let bound = |value: i64| if value < 0 { value.saturating_add(rank).max(0) } else { value.min(rank) };
        let lengths: Vec<i64> = (bound(start)..bound(end)).map(|index| shape[index as usize] as i64).collect();
        Tensor::new(vec![lengths.len()], Data::I64(lengths))
    })
}

pub(super) fn constant_of_shape(attributes: &Attributes<'_>) -> Fault<Built> {
    let value = attributes.tensor("value")?.map_or(Data::F32(vec![0.0]), |tensor| tensor.data().clone());
    if value.len() != 1 {
        return refuse(&value);
    }
    function(move |inputs| {
        let wanted = inputs.ints(0)?.ok_or("the shape is missing")?;
        let shape: Vec<usize> =
            wanted.into_iter().map(usize::try_from).collect::<Result<_, _>>().map_err(|_| "a length is negative")?;
        let count = inputs.budget.room(&shape)?;
        Tensor::new(shape, value.pick(std::iter::repeat_n(0, count)))
    })
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn reshape_resolves_what_is_left() {
        assert_eq!(resolve(&[2, 3, 4], &[0, -1], false).unwrap(), [2, 12]);
        assert_eq!(resolve(&[0, 3], &[-1, 3], false).unwrap(), [0, 3]);
        assert!(resolve(&[4], &[0, -1], true).unwrap_err().contains("not determined"));
        assert!(resolve(&[4], &[-1, -1], false).is_err());
        assert!(resolve(&[4], &[3, -1], false).unwrap_err().contains("do not fill"));
        assert!(resolve(&[4], &[i64::MAX, i64::MAX, -1], false).is_err());
        assert!(resolve(&[4], &[-2], false).is_err());
    }
}
