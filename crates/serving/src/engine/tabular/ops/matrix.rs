//! Products of matrices.

use std::ops::{Add, AddAssign, Mul};

use super::arithmetic::{self, Operation};
use super::{Attributes, Built, Fault, Inputs, function};
use crate::engine::tabular::inputs::{Budget, refuse};
use crate::tensor::{Data, Tensor};

/// `made[row] += left[row] · right`, where `right` has `columns` columns; the inner loop runs along memory.
fn multiply<T: Copy + AddAssign + Mul<Output = T>>(left: &[T], right: &[T], columns: usize, made: &mut [T]) {
    let inner = right.len() / columns.max(1);
    for (left, made) in left.chunks(inner.max(1)).zip(made.chunks_mut(columns.max(1))) {
        for (&factor, right) in left.iter().zip(right.chunks(columns.max(1))) {
            for (sum, &value) in made.iter_mut().zip(right) {
                *sum += factor * value;
            }
        }
    }
}

/// The sum of products in eight lanes, which the compiler turns into vector instructions.
pub(in crate::engine::tabular) fn dot<T>(left: &[T], right: &[T]) -> T
where
    T: Copy + Default + Add<Output = T> + Mul<Output = T>,
{
    let (left_chunks, left_rest) = left.as_chunks::<8>();
    let (right_chunks, right_rest) = right.as_chunks::<8>();
    let mut lanes = [T::default(); 8];
    for (left, right) in left_chunks.iter().zip(right_chunks) {
        for lane in 0..8 {
            lanes[lane] = lanes[lane] + left[lane] * right[lane];
        }
    }
    let rest = left_rest.iter().zip(right_rest).fold(T::default(), |sum, (&left, &right)| sum + left * right);
    lanes.into_iter().fold(rest, |sum, lane| sum + lane)
}

fn product(left: &Data, right: &Data, (rows, inner, columns): (usize, usize, usize), budget: &Budget) -> Fault<Data> {
    let count = budget.room(&[rows, columns])?;
    budget.work(rows as u64 * inner as u64 * columns as u64)?;
    macro_rules! same {
        ($($variant:ident $zero:expr),*) => {
            match (left, right) {
                $((Data::$variant(left), Data::$variant(right)) => {
                    let mut made = vec![$zero; count];
                    if inner > 0 {
                        multiply(left, right, columns, &mut made);
                    }
                    Ok(Data::$variant(made))
                })*
                (left, right) if left.datatype() == right.datatype() => refuse(left),
                (left, right) => Err(format!("{} and {} do not go together", left.datatype(), right.datatype())),
            }
        };
    }
    same!(F32 0.0, F64 0.0)
}

/// `MatMul` of any rows with one matrix, or with one vector.
pub(super) fn matmul(inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    let (left, right) = (inputs.get(0)?, inputs.get(1)?);
    let no_match = || format!("matrices of shapes {:?} and {:?} can't be multiplied", left.shape(), right.shape());
    let (&inner, outer) = left.shape().split_last().ok_or_else(no_match)?;
    let (columns, tail) = match *right.shape() {
        [length] if length == inner => (1, &[][..]),
        [length, ref columns] if length == inner => (*columns, std::slice::from_ref(columns)),
        _ => return Err(no_match()),
    };
    let shape = [outer, tail].concat();
    let rows = outer.iter().product();
    Tensor::new(shape, product(left.data(), right.data(), (rows, inner, columns), inputs.budget)?)
}

fn transposed(tensor: &Tensor, yes: bool) -> Fault<Tensor> {
    let [rows, columns] = *tensor.shape() else { return Err(format!("shape {:?} is no matrix", tensor.shape())) };
    if !yes {
        return Ok(tensor.clone());
    }
    let places = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    Tensor::new(vec![columns, rows], tensor.data().pick(places))
}

pub(super) fn gemm(attributes: &Attributes<'_>) -> Fault<Built> {
    let flag = |name| attributes.int(name, 0).map(|value| value != 0);
    let (turn_left, turn_right) = (flag("transA")?, flag("transB")?);
    let (alpha, beta) = (attributes.float("alpha", 1.0)?, attributes.float("beta", 1.0)?);
    function(move |inputs| {
        let budget = inputs.budget;
        let (left, right) = (transposed(inputs.get(0)?, turn_left)?, transposed(inputs.get(1)?, turn_right)?);
        let ([rows, inner], [length, columns]) = (left.shape(), right.shape()) else {
            return Err("Gemm takes matrices".to_owned());
        };
        if inner != length {
            return Err(format!("matrices of shapes {:?} and {:?} can't be multiplied", left.shape(), right.shape()));
        }
        let data = product(left.data(), right.data(), (*rows, *inner, *columns), budget)?;
        let made = scaled(Tensor::new(vec![*rows, *columns], data)?, alpha)?;
        let Some(bias) = inputs.optional(2) else { return Ok(made) };
        let sum = arithmetic::pair(Operation::Add, &made, &scaled(bias.clone(), beta)?, budget)?;
        if sum.shape() == made.shape() { Ok(sum) } else { Err(format!("shape {:?} of C is too large", bias.shape())) }
    })
}

fn scaled(tensor: Tensor, factor: f32) -> Fault<Tensor> {
    if factor == 1.0 {
        return Ok(tensor);
    }
    let (shape, data) = tensor.into_parts();
    let data = match data {
        Data::F32(values) => Data::F32(values.into_iter().map(|value| value * factor).collect()),
        Data::F64(values) => Data::F64(values.into_iter().map(|value| value * f64::from(factor)).collect()),
        other => return refuse(&other),
    };
    Tensor::new(shape, data)
}
