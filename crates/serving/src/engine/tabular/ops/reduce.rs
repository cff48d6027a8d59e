//! What makes one number of many along axes.

use super::broadcast::walk;
use super::{Attributes, Built, Fault, function};
use crate::engine::tabular::inputs::{axis, refuse};
use crate::tensor::{Data, Tensor};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduction {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    SumSquare,
    L1,
    L2,
    LogSum,
    LogSumExp,
}

impl Reduction {
    pub(super) fn named(kind: &str) -> Option<Self> {
        Some(match kind {
            "ReduceSum" => Self::Sum,
            "ReduceMean" => Self::Mean,
            "ReduceMax" => Self::Max,
            "ReduceMin" => Self::Min,
            "ReduceProd" => Self::Prod,
            "ReduceSumSquare" => Self::SumSquare,
            "ReduceL1" => Self::L1,
            "ReduceL2" => Self::L2,
            "ReduceLogSum" => Self::LogSum,
            "ReduceLogSumExp" => Self::LogSumExp,
            _ => return None,
        })
    }

    /// The number that some numbers become.
    fn of(self, values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
        let count = values.len() as f64;
        match self {
            Self::Sum => values.sum(),
            Self::Mean => values.sum::<f64>() / count,
            Self::Max => {
                values.fold(f64::NEG_INFINITY, |most, value| if value > most || value.is_nan() { value } else { most })
            }
            Self::Min => {
                values.fold(f64::INFINITY, |least, value| if value < least || value.is_nan() { value } else { least })
            }
            Self::Prod => values.product(),
            Self::SumSquare => values.map(|value| value * value).sum(),
            Self::L1 => values.map(f64::abs).sum(),
            Self::L2 => values.map(|value| value * value).sum::<f64>().sqrt(),
            Self::LogSum => values.sum::<f64>().ln(),
            Self::LogSumExp => {
                let most = values.clone().fold(f64::NEG_INFINITY, f64::max);
                let shift = if most.is_finite() { most } else { 0.0 };
                values.map(|value| (value - shift).exp()).sum::<f64>().ln() + shift
            }
        }
    }
}

/// How a shape falls apart: what stays, what goes, and the strides of both.
struct Split {
    kept: Vec<usize>,
    kept_strides: Vec<usize>,
    gone: Vec<usize>,
    gone_strides: Vec<usize>,
}

impl Split {
    fn new(shape: &[usize], axes: &[usize]) -> Self {
        let stride = |index: usize| shape[index + 1..].iter().product::<usize>();
        let (gone, kept): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(|index| axes.contains(index));
        let of = |all: &[usize]| {
            (all.iter().map(|&index| shape[index]).collect(), all.iter().map(|&index| stride(index)).collect())
        };
        let ((kept, kept_strides), (gone, gone_strides)) = (of(&kept), of(&gone));
        Self { kept, kept_strides, gone, gone_strides }
    }

    /// For each number made, the places that it is made of.
    fn groups(&self) -> impl Iterator<Item = Vec<usize>> {
        let offsets: Vec<usize> = walk(self.gone.clone(), self.gone_strides.clone(), 0).collect();
        walk(self.kept.clone(), self.kept_strides.clone(), 0)
            .map(move |start| offsets.iter().map(|offset| start + offset).collect())
    }
}

fn kept_shape(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let lengths = shape.iter().enumerate();
    lengths
        .filter(|(index, _)| keep || !axes.contains(index))
        .map(|(index, &length)| if axes.contains(&index) { 1 } else { length })
        .collect()
}

pub(super) fn build(reduction: Reduction, attributes: &Attributes<'_>) -> Fault<Built> {
    let keep = attributes.int("keepdims", 1)? != 0;
    let same_if_empty = attributes.int("noop_with_empty_axes", 0)? != 0;
    let fixed = attributes.ints("axes")?.to_vec();
    function(move |inputs| {
        let given = if fixed.is_empty() { inputs.ints(1)?.unwrap_or_default() } else { fixed.clone() };
        let input = inputs.get(0)?;
        let rank = input.shape().len();
        if given.is_empty() && same_if_empty {
            return inputs.take(0);
        }
        let axes: Vec<usize> = match given.as_slice() {
            [] => (0..rank).collect(),
            axes => axes.iter().map(|&one| axis(one, rank)).collect::<Fault<_>>()?,
        };
        let split = Split::new(input.shape(), &axes);
        inputs.budget.room(&split.kept)?;
        macro_rules! reduced {
            ($values:expr, $variant:ident, $type:ty) => {
                Data::$variant(
                    split
                        .groups()
                        .map(|group| reduction.of(group.iter().map(|&place| $values[place] as f64)) as $type)
                        .collect(),
                )
            };
        }
        // Empty groups of a shape like [2, 0] have no places, and sums of nothing.
        let data = match input.data() {
            Data::F32(values) => reduced!(values, F32, f32),
            Data::F64(values) => reduced!(values, F64, f64),
            Data::I32(values) => reduced!(values, I32, i32),
            Data::I64(values) => Data::I64(
                split.groups().map(|group| whole(reduction, group.iter().map(|&place| values[place]))).collect(),
            ),
            other => return refuse(other),
        };
        Tensor::new(kept_shape(input.shape(), &axes, keep), data)
    })
}

/// Shapes and counts are integers, and must stay exact.
fn whole(reduction: Reduction, values: impl ExactSizeIterator<Item = i64> + Clone) -> i64 {
    match reduction {
        Reduction::Sum => values.fold(0, i64::wrapping_add),
        Reduction::Prod => values.fold(1, i64::wrapping_mul),
        Reduction::Max => values.max().unwrap_or(i64::MIN),
        Reduction::Min => values.min().unwrap_or(i64::MAX),
        other => other.of(values.map(|value| value as f64)) as i64,
    }
}

/// `ArgMax` and `ArgMin`.
pub(super) fn arg(attributes: &Attributes<'_>, largest: bool) -> Fault<Built> {
    let (along, keep) = (attributes.int("axis", 0)?, attributes.int("keepdims", 1)? != 0);
    let last = attributes.int("select_last_index", 0)? != 0;
    function(move |inputs| {
        let input = inputs.get(0)?;
        let along = axis(along, input.shape().len())?;
        let split = Split::new(input.shape(), &[along]);
        inputs.budget.room(&split.kept)?;
        if split.gone == [0] && split.kept.iter().all(|&length| length > 0) {
            return Err("there is no largest of nothing".to_owned());
        }
        macro_rules! best {
            ($values:expr) => {
                split
                    .groups()
                    .map(|group| {
                        let better = |one: usize, than: usize| match (largest, $values[one].partial_cmp(&$values[than]))
                        {
                            (true, Some(std::cmp::Ordering::Greater)) | (false, Some(std::cmp::Ordering::Less)) => true,
                            (_, Some(std::cmp::Ordering::Equal)) => last,
                            _ => false,
                        };
                        (1..group.len())
                            .fold(0, |best, index| if better(group[index], group[best]) { index } else { best })
                            as i64
                    })
                    .collect()
            };
        }
        let made = match input.data() {
            Data::F32(values) => best!(values),
            Data::F64(values) => best!(values),
            Data::I64(values) => best!(values),
            Data::I32(values) => best!(values),
            other => return refuse(other),
        };
        Tensor::new(kept_shape(input.shape(), &[along], keep), Data::I64(made))
    })
}

/// `Softmax` and `LogSoftmax`: along one axis since version 13, along all that follow an axis before.
pub(super) fn softmax(attributes: &Attributes<'_>, log: bool) -> Fault<Built> {
    let one_axis = attributes.version >= 13;
    let along = attributes.int("axis", if one_axis { -1 } else { 1 })?;
    function(move |inputs| {
        let rank = inputs.get(0)?.shape().len();
        let along = axis(along, rank)?;
        if one_axis && along + 1 != rank {
            return Err("only the last axis is supported".to_owned());
        }
        let (shape, data) = inputs.take(0)?.into_parts();
        let width = shape[along..].iter().product::<usize>().max(1);
        macro_rules! rows {
            ($values:expr, $variant:ident) => {{
                let mut values = $values;
                for row in values.chunks_mut(width) {
                    let most = row.iter().copied().fold(row[0], |most, value| if value > most { value } else { most });
                    let sum = row.iter().map(|value| (value - most).exp()).sum::<_>();
                    for value in row {
                        *value = if log { *value - most - ln(sum) } else { (*value - most).exp() / sum };
                    }
                }
                Data::$variant(values)
            }};
        }
        let data = match data {
            Data::F32(values) => {
                fn ln(value: f32) -> f32 {
                    value.ln()
                }
                rows!(values, F32)
            }
            Data::F64(values) => {
                fn ln(value: f64) -> f64 {
                    value.ln()
                }
                rows!(values, F64)
            }
            other => return refuse(&other),
        };
        Tensor::new(shape, data)
    })
}
