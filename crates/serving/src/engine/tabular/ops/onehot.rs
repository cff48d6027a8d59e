//! `OneHotEncoder`.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::{Attributes, Fault, Inputs, Operator};
use crate::engine::tabular::inputs::refuse;
use crate::tensor::{Data, Tensor};

/// A column for each category.
pub(super) struct OneHot {
    ints: HashMap<i64, usize, RandomState>,
    texts: HashMap<Bytes, usize, RandomState>,
    width: usize,
    /// What is no category becomes zeros rather than an error.
    zeros: bool,
}

impl OneHot {
    pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Self> {
        let (ints, texts) = (attributes.ints("cats_int64s")?, attributes.texts("cats_strings")?);
        if ints.is_empty() == texts.is_empty() {
            return Err("it must have categories, either integers or strings".to_owned());
        }
        let width = ints.len() + texts.len();
        let ints = ints.iter().enumerate().map(|(place, &one)| (one, place)).collect();
        let texts = texts.into_iter().enumerate().map(|(place, one)| (one, place)).collect();
        Ok(Self { ints, texts, width, zeros: attributes.int("zeros", 1)? != 0 })
    }
}

impl Operator for OneHot {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        let input = inputs.get(0)?;
        let shape = [input.shape(), &[self.width]].concat();
        let mut made = vec![0.0; inputs.budget.room(&shape)?];
        let mut set = |row: usize, found: Option<&usize>| match found {
            Some(place) => {
                made[row * self.width + place] = 1.0;
                Ok(())
            }
            None if self.zeros => Ok(()),
            None => Err(format!("the value of row {row} is none of the {} categories", self.width)),
        };
        macro_rules! all {
            ($values:expr, $found:expr) => {
                $values.iter().enumerate().try_for_each(|(row, value)| set(row, $found(value)))?
            };
        }
        match input.data() {
            Data::Bytes(values) if !self.texts.is_empty() => all!(values, |value| self.texts.get(value)),
            Data::Bytes(_) => return Err("the categories are integers, got BYTES".to_owned()),
            _ if self.ints.is_empty() => return Err(format!("the categories are strings, got {}", input.datatype())),
            Data::I64(values) => all!(values, |value| self.ints.get(value)),
            Data::I32(values) => all!(values, |value: &i32| self.ints.get(&i64::from(*value))),
            Data::F32(values) => all!(values, |value: &f32| self.ints.get(&(*value as i64))),
            Data::F64(values) => all!(values, |value: &f64| self.ints.get(&(*value as i64))),
            other => return refuse(other),
        }
        Ok(vec![Tensor::new(shape, Data::F32(made))?])
    }

    fn bytes(&self) -> usize {
        self.width * size_of::<(Bytes, usize)>()
    }
}
