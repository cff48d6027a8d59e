//! Pairs of elements of tensors whose shapes differ.
//!
//! <https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md>

use crate::engine::tabular::attributes::Fault;
use crate::engine::tabular::inputs::Budget;

/// The shape that two shapes broadcast to.
pub(super) fn shape(left: &[usize], right: &[usize]) -> Fault<Vec<usize>> {
    let rank = left.len().max(right.len());
    let length = |shape: &[usize], place: usize| match (place + shape.len()).checked_sub(rank) {
        Some(index) => shape[index],
        None => 1,
    };
    (0..rank)
        .map(|place| match (length(left, place), length(right, place)) {
            (one, other) if one == other => Ok(one),
            (1, other) => Ok(other),
            (one, 1) => Ok(one),
            _ => Err(format!("shapes {left:?} and {right:?} do not go together")),
        })
        .collect()
}

/// Places of a tensor's elements in the order of a larger shape that it broadcasts to.
pub(super) fn places(from: &[usize], to: &[usize]) -> impl Iterator<Item = usize> {
    let mut strides = vec![0; to.len()];
    let mut stride = 1;
    for (index, &length) in from.iter().enumerate().rev() {
        if length > 1 {
            strides[to.len() - from.len() + index] = stride;
        }
        stride *= length;
    }
    walk(to.to_vec(), strides, 0)
}

/// Places reached by steps of given strides, the last dimension first.
pub(super) fn walk(shape: Vec<usize>, strides: Vec<usize>, start: usize) -> impl Iterator<Item = usize> {
    let count = shape.iter().product::<usize>();
    let mut at = vec![0; shape.len()];
    let mut place = start;
    (0..count).map(move |_| {
        let now = place;
        for index in (0..shape.len()).rev() {
            at[index] += 1;
            place = place.wrapping_add(strides[index]);
            if at[index] < shape[index] {
                break;
            }
            place = place.wrapping_sub(strides[index].wrapping_mul(shape[index]));
            at[index] = 0;
        }
        now
    })
}

/// Shape without the leading ones.
fn trimmed(shape: &[usize]) -> &[usize] {
    let ones = shape.iter().take_while(|&&length| length == 1).count();
    &shape[ones..]
}

/// A function of every pair of elements.
pub(super) fn zip<T, U>(
    (left, left_shape): (&[T], &[usize]),
    (right, right_shape): (&[T], &[usize]),
    budget: &Budget,
    pair: impl Fn(&T, &T) -> U,
) -> Fault<(Vec<usize>, Vec<U>)> {
    let shape = shape(left_shape, right_shape)?;
    let count = budget.room(&shape)?;
    let made = if count == 0 {
        Vec::new()
    } else if left_shape == right_shape {
        left.iter().zip(right).map(|(left, right)| pair(left, right)).collect()
    } else if left.len() == count && shape.ends_with(trimmed(right_shape)) {
        // A number for all, or a row for each row.
        left.chunks(right.len()).flat_map(|row| row.iter().zip(right)).map(|(left, right)| pair(left, right)).collect()
    } else if right.len() == count && shape.ends_with(trimmed(left_shape)) {
        right.chunks(left.len()).flat_map(|row| left.iter().zip(row)).map(|(left, right)| pair(left, right)).collect()
    } else {
        let places = places(left_shape, &shape).zip(places(right_shape, &shape));
        places.map(|(one, other)| pair(&left[one], &right[other])).collect()
    };
    Ok((shape, made))
}
