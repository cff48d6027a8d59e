//! What becomes of the weights that leaves give.

use std::collections::HashSet;

use super::super::attributes::Fault;
use super::super::ops::scores::Second;
use super::forest::{Number, Sums};
use super::read::Ensemble;

/// `aggregate_function`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

impl Aggregate {
    pub(super) fn named(name: &str) -> Fault<Self> {
        Ok(match name {
            "AVERAGE" => Self::Average,
            "SUM" => Self::Sum,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            other => return Err(format!("aggregate_function {other:?} does not exist")),
        })
    }

    /// The function of a number, as version 5 writes it.
    pub(super) fn numbered(number: i64) -> Fault<Self> {
        [Self::Average, Self::Sum, Self::Min, Self::Max]
            .get(usize::try_from(number).unwrap_or(usize::MAX))
            .copied()
            .ok_or_else(|| format!("aggregate_function {number} does not exist"))
    }

    /// Adds one leaf's weight to a target.
    #[inline(always)]
    pub(super) fn add<T: Number>(self, target: usize, weight: T, sums: &mut [T], seen: &mut [bool]) {
        let sum = &mut sums[target];
        match self {
            Self::Average | Self::Sum => *sum += weight,
            Self::Min if seen[target] && *sum <= weight => {}
            Self::Max if seen[target] && *sum >= weight => {}
            Self::Min | Self::Max => *sum = weight,
        }
        seen[target] = true;
    }

    /// Makes the answers of a regressor's row: a target of several that no leaf spoke of keeps its zero.
    pub(super) fn finish<T: Number>(self, row: &mut Sums<'_, T>, trees: usize, base: &[f64]) {
        let single = row.sums.len() == 1;
        for (index, (sum, &seen)) in row.sums.iter_mut().zip(&*row.seen).enumerate() {
            *sum = self.mean(*sum, trees);
            if let Some(&base) = base.get(index).filter(|_| seen || single) {
                *sum += T::from_double(base);
            }
        }
    }

    fn mean<T: Number>(self, sum: T, trees: usize) -> T {
        if self == Self::Average { sum.over(trees.max(1)) } else { sum }
    }
}

/// How the class of a row is found. With two classes, leaves may have weights for one of them only, and then it is
/// their sign, or their distance from one half if all are positive, that decides. ONNX leaves this open; the reading is
/// that of onnxruntime, which converters rely on.
#[derive(Debug)]
pub(super) struct TwoClasses {
    classes: usize,
    one_score: bool,
    all_positive: bool,
}

impl TwoClasses {
    pub(super) fn of(ensemble: &Ensemble, classes: usize) -> Self {
        let weights = || ensemble.leaves.iter().flatten();
        let targets: HashSet<u32> = weights().map(|&(target, _)| target).take(1 << 16).collect();
        Self {
            classes,
            one_score: classes == 2 && targets.len() == 1,
            all_positive: weights().all(|&(_, weight)| weight >= 0.0),
        }
    }

    /// The number of the class, how a single score becomes two, and how many scores count; base values are added.
    pub(super) fn decide<T: Number>(&self, row: &mut Sums<'_, T>, base: &[f64]) -> (usize, Second, usize) {
        if self.classes != 2 {
            return (self.largest(row, base), Second::Absent, self.classes);
        }
        let (sums, seen) = (&mut row.sums, &mut row.seen);
        let mut count = 2;
        match *base {
            [_, second] if seen[1] => {
                // The base value of the first class is not used in this case.
                sums[1] = T::from_double(second) + sums[0];
                sums[0] = sums[1].negated();
            }
            // A class that no leaf spoke of keeps its zero.
            [first, _] => sums[0] += T::from_double(first),
            ref one => {
                sums[0] += T::from_double(one.first().copied().unwrap_or(0.0));
                count = if seen[1] { 2 } else { 1 };
            }
        }
        let weight = if count == 2 && seen[1] {
            sums[1]
        } else if seen[0] {
            sums[0]
        } else {
            T::ZERO
        };
        let positive = weight > T::from_double(if self.one_score && self.all_positive { 0.5 } else { 0.0 });
        let second = match (self.one_score, self.all_positive) {
            (true, true) => Second::Complement,
            (true, false) => Second::Opposite,
            (false, _) if base.is_empty() => Second::Opposite,
            (false, _) => Second::Absent,
        };
        (usize::from(positive), second, count)
    }

    /// The first of the largest among the classes that any leaf spoke of.
    fn largest<T: Number>(&self, row: &mut Sums<'_, T>, base: &[f64]) -> usize {
        for (index, &value) in base.iter().enumerate() {
            row.sums[index] += T::from_double(value);
            row.seen[index] = true;
        }
        let mut best: Option<usize> = None;
        for class in 0..row.sums.len() {
            if row.seen[class] && best.is_none_or(|best| row.sums[class] > row.sums[best]) {
                best = Some(class);
            }
        }
        best.unwrap_or(0)
    }
}
