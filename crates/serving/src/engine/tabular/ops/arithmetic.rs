//! Functions of pairs of elements: arithmetic, comparison, logic, choice.

use super::broadcast::{places, shape, zip};
use super::cast::cast;
use super::{Attributes, Built, Fault, Inputs, function};
use crate::engine::tabular::inputs::{Budget, refuse};
use crate::tensor::{Data, Tensor};

/// Arithmetic on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    Mean,
}

impl Operation {
    pub(super) fn named(kind: &str) -> Option<Self> {
        Some(match kind {
            "Add" | "Sum" => Self::Add,
            "Sub" => Self::Sub,
            "Mul" => Self::Mul,
            "Div" => Self::Div,
            "Pow" => Self::Pow,
            "Max" => Self::Max,
            "Min" => Self::Min,
            "Mean" => Self::Mean,
            _ => return None,
        })
    }
}

/// A number of a tensor.
trait Number: Copy {
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn pow(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    /// Integers can't be divided by it.
    fn is_bad_divisor(self) -> bool;
}

macro_rules! float_number {
    ($type:ty) => {
        impl Number for $type {
            fn add(self, other: Self) -> Self {
                self + other
            }
            fn sub(self, other: Self) -> Self {
                self - other
            }
            fn mul(self, other: Self) -> Self {
                self * other
            }
            fn div(self, other: Self) -> Self {
                self / other
            }
            fn pow(self, other: Self) -> Self {
                if other == 2.0 { self * self } else { self.powf(other) }
            }
            // NaN wins, unlike in the standard library.
            fn max(self, other: Self) -> Self {
                if self > other || self.is_nan() { self } else { other }
            }
            fn min(self, other: Self) -> Self {
                if self < other || self.is_nan() { self } else { other }
            }
            fn is_bad_divisor(self) -> bool {
                false
            }
        }
    };
}

macro_rules! int_number {
    ($type:ty) => {
        impl Number for $type {
            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            fn sub(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            fn div(self, other: Self) -> Self {
                self.wrapping_div(other)
            }
            fn pow(self, other: Self) -> Self {
                u32::try_from(other)
                    .map_or_else(|_| (self as f64).powf(other as f64) as Self, |other| self.wrapping_pow(other))
            }
            fn max(self, other: Self) -> Self {
                Ord::max(self, other)
            }
            fn min(self, other: Self) -> Self {
                Ord::min(self, other)
            }
            fn is_bad_divisor(self) -> bool {
                self == 0
            }
        }
    };
}

float_number!(f32);
float_number!(f64);
int_number!(i32);
int_number!(i64);

type Shaped<'a, T> = (&'a [T], &'a [usize]);

fn numbers<T: Number>(
    operation: Operation,
    left: Shaped<'_, T>,
    right: Shaped<'_, T>,
    budget: &Budget,
) -> Fault<(Vec<usize>, Vec<T>)> {
    // Matched outside of the loops, so that each of them is one instruction and vectorised.
    match operation {
        Operation::Add | Operation::Mean => zip(left, right, budget, |left, right| left.add(*right)),
        Operation::Sub => zip(left, right, budget, |left, right| left.sub(*right)),
        Operation::Mul => zip(left, right, budget, |left, right| left.mul(*right)),
        Operation::Div if right.0.iter().any(|value| value.is_bad_divisor()) => {
            Err("integers divided by zero".to_owned())
        }
        Operation::Div => zip(left, right, budget, |left, right| left.div(*right)),
        Operation::Pow => zip(left, right, budget, |left, right| left.pow(*right)),
        Operation::Max => zip(left, right, budget, |left, right| left.max(*right)),
        Operation::Min => zip(left, right, budget, |left, right| left.min(*right)),
    }
}

pub(super) fn pair(operation: Operation, left: &Tensor, right: &Tensor, budget: &Budget) -> Fault<Tensor> {
    let converted;
    let right = if operation == Operation::Pow && left.datatype() != right.datatype() {
        // Only the exponent may be of another type than its base.
        converted = Tensor::new(right.shape().to_vec(), cast(right.data(), left.datatype())?)?;
        &converted
    } else {
        right
    };
    macro_rules! same {
        ($($variant:ident)*) => {
            match (left.data(), right.data()) {
                $((Data::$variant(one), Data::$variant(other)) => {
                    let (shape, made) = numbers(operation, (one, left.shape()), (other, right.shape()), budget)?;
                    Tensor::new(shape, Data::$variant(made))
                })*
                (one, other) if one.datatype() == other.datatype() => refuse(one),
                (one, other) => Err(format!("{} and {} do not go together", one.datatype(), other.datatype())),
            }
        };
    }
    same!(F32 F64 I32 I64)
}

pub(super) fn build(operation: Operation, attributes: &Attributes<'_>) -> Fault<Built> {
    if attributes.has("axis") || attributes.has("broadcast") {
        return Err("broadcasting as before version 7 is not supported".to_owned());
    }
    let count = attributes.inputs;
    function(move |inputs| {
        if count == 1 {
            return inputs.take(0);
        }
        let mut sum = pair(operation, inputs.get(0)?, inputs.get(1)?, inputs.budget)?;
        for index in 2..count {
            sum = pair(operation, &sum, inputs.get(index)?, inputs.budget)?;
        }
        if operation != Operation::Mean {
            return Ok(sum);
        }
        let divisor = Tensor::new(Vec::new(), cast(&Data::I64(vec![count as i64]), sum.datatype())?)?;
        pair(Operation::Div, &sum, &divisor, inputs.budget)
    })
}

/// A truth about two elements.
#[derive(Debug, Clone, Copy)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Xor,
}

impl Comparison {
    pub(super) fn named(kind: &str) -> Option<Self> {
        Some(match kind {
            "Equal" => Self::Equal,
            "Less" => Self::Less,
            "LessOrEqual" => Self::LessOrEqual,
            "Greater" => Self::Greater,
            "GreaterOrEqual" => Self::GreaterOrEqual,
            "And" => Self::And,
            "Or" => Self::Or,
            "Xor" => Self::Xor,
            _ => return None,
        })
    }
}

fn truths<T: PartialOrd>(
    comparison: Comparison,
    left: Shaped<'_, T>,
    right: Shaped<'_, T>,
    budget: &Budget,
) -> Fault<(Vec<usize>, Vec<bool>)> {
    match comparison {
        Comparison::Equal => zip(left, right, budget, |left, right| left == right),
        Comparison::Less => zip(left, right, budget, |left, right| left < right),
        Comparison::LessOrEqual => zip(left, right, budget, |left, right| left <= right),
        Comparison::Greater => zip(left, right, budget, |left, right| left > right),
        Comparison::GreaterOrEqual => zip(left, right, budget, |left, right| left >= right),
        Comparison::And | Comparison::Or | Comparison::Xor => Err("only BOOL has logic".to_owned()),
    }
}

pub(super) fn compare(comparison: Comparison, inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    let (left, right, budget) = (inputs.get(0)?, inputs.get(1)?, inputs.budget);
    let shapes = (left.shape(), right.shape());
    macro_rules! same {
        ($($variant:ident)*) => {
            match (comparison, left.data(), right.data()) {
                (Comparison::And, Data::Bool(one), Data::Bool(other)) => {
                    zip((one, shapes.0), (other, shapes.1), budget, |one, other| *one && *other)?
                }
                (Comparison::Or, Data::Bool(one), Data::Bool(other)) => {
                    zip((one, shapes.0), (other, shapes.1), budget, |one, other| *one || *other)?
                }
                (Comparison::Xor, Data::Bool(one), Data::Bool(other)) => {
                    zip((one, shapes.0), (other, shapes.1), budget, |one, other| one != other)?
                }
                $((_, Data::$variant(one), Data::$variant(other)) => {
                    truths(comparison, (one, shapes.0), (other, shapes.1), budget)?
                })*
                (_, one, other) if one.datatype() == other.datatype() => return refuse(one),
                (_, one, other) => {
                    return Err(format!("{} and {} do not go together", one.datatype(), other.datatype()));
                }
            }
        };
    }
    let (shape, made) = same!(F32 F64 I32 I64 Bool Bytes);
    Tensor::new(shape, Data::Bool(made))
}

/// `Where`: elements of one tensor or the other.
pub(super) fn choose(inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    let (condition, yes, no) = (inputs.get(0)?, inputs.get(1)?, inputs.get(2)?);
    let Data::Bool(condition_data) = condition.data() else { return refuse(condition.data()) };
    let shape = shape(&shape(condition.shape(), yes.shape())?, no.shape())?;
    inputs.budget.room(&shape)?;
    let places = places(condition.shape(), &shape).zip(places(yes.shape(), &shape).zip(places(no.shape(), &shape)));
    macro_rules! same {
        ($($variant:ident)*) => {
            match (yes.data(), no.data()) {
                $((Data::$variant(yes), Data::$variant(no)) => {
                    let chosen = |(condition, (one, other)): (usize, (usize, usize))| {
                        if condition_data[condition] { yes[one].clone() } else { no[other].clone() }
                    };
                    let made = places.map(chosen).collect();
                    Tensor::new(shape.clone(), Data::$variant(made))
                })*
                (one, other) if one.datatype() == other.datatype() => refuse(one),
                (one, other) => Err(format!("{} and {} do not go together", one.datatype(), other.datatype())),
            }
        };
    }
    same!(F32 F64 I32 I64 Bool Bytes)
}
