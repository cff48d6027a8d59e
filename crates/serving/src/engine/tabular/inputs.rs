//! What an operator is given when it runs.

use std::borrow::Cow;
use std::cell::Cell;

use super::attributes::Fault;
use crate::tensor::{Data, MAX_ELEMENTS, Tensor, elements};

/// What one request may still spend. A model's file can be small and ask for endless work, so work is counted.
#[derive(Debug)]
pub(super) struct Budget {
    /// Elements that may still be made: a bound on memory.
    elements: Cell<usize>,
    /// Multiplications and the like that may still be done: a bound on time.
    work: Cell<u64>,
}

impl Budget {
    /// What is enough for any request that fits into its own limits.
    pub(super) fn full() -> Self {
        Self { elements: Cell::new(2 * MAX_ELEMENTS), work: Cell::new(1 << 36) }
    }

    /// Room for a tensor.
    pub(super) fn room(&self, shape: &[usize]) -> Fault<usize> {
        let count = elements(shape).ok_or_else(|| format!("a tensor of shape {shape:?} is too large"))?;
        let left = self.elements.get().checked_sub(count).ok_or("the request makes the model take too much memory")?;
        self.elements.set(left);
        Ok(count)
    }

    /// Time for so many elementary steps.
    pub(super) fn work(&self, steps: u64) -> Fault<()> {
        let left = self.work.get().checked_sub(steps).ok_or("the request makes the model take too long")?;
        self.work.set(left);
        Ok(())
    }
}

/// The inputs of one run of one node. An input may be left out; one that nobody needs afterwards is owned.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    pub(super) all: Vec<Option<Cow<'a, Tensor>>>,
    pub(super) budget: &'a Budget,
}

impl Inputs<'_> {
    pub(super) fn get(&self, index: usize) -> Fault<&Tensor> {
        self.optional(index).ok_or_else(|| format!("input {index} is missing"))
    }

    pub(super) fn optional(&self, index: usize) -> Option<&Tensor> {
        self.all.get(index)?.as_deref()
    }

    /// An input to change in place; copied only if somebody else needs it.
    pub(super) fn take(&mut self, index: usize) -> Fault<Tensor> {
        let found = self.all.get_mut(index).and_then(Option::take);
        found.map(Cow::into_owned).ok_or_else(|| format!("input {index} is missing"))
    }

    /// A list of integers such as a shape or axes.
    pub(super) fn ints(&self, index: usize) -> Fault<Option<Vec<i64>>> {
        match self.optional(index).map(Tensor::data) {
            None => Ok(None),
            Some(Data::I64(values)) => Ok(Some(values.clone())),
            Some(Data::I32(values)) => Ok(Some(values.iter().copied().map(i64::from).collect())),
            Some(other) => Err(format!("input {index} must be a list of integers, got {}", other.datatype())),
        }
    }
}

/// An axis that may be counted from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Fault<usize> {
    let absolute = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(absolute)
        .ok()
        .filter(|&absolute| absolute < rank)
        .ok_or_else(|| format!("axis {axis} does not exist in {rank} dimensions"))
}

/// A sentence about a type that an operator does not take.
pub(super) fn refuse<T>(data: &Data) -> Fault<T> {
    Err(format!("elements of type {} are not supported", data.datatype()))
}
