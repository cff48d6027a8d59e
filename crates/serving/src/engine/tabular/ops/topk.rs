//! The largest or smallest elements of rows.

use super::{Attributes, Built, Fault, Inputs, Operator, operator};
use crate::engine::tabular::inputs::{axis, refuse};
use crate::tensor::{Data, Tensor};

struct TopK {
    along: i64,
    largest: bool,
    fixed: Option<i64>,
}

pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Built> {
    let fixed = attributes.has("k").then(|| attributes.int("k", 1)).transpose()?;
    operator(TopK { along: attributes.int("axis", -1)?, largest: attributes.int("largest", 1)? != 0, fixed })
}

impl Operator for TopK {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        let given = if self.fixed.is_none() { inputs.ints(1)?.and_then(|k| k.first().copied()) } else { self.fixed };
        let k = given.and_then(|k| usize::try_from(k).ok()).ok_or("k must be a number of elements")?;
        let input = inputs.get(0)?;
        let shape = input.shape();
        let along = axis(self.along, shape.len())?;
        if along + 1 != shape.len() {
            return Err("only the last axis is supported".to_owned());
        }
        let width = shape[along];
        if k > width {
            return Err(format!("{k} elements are more than the {width} that there are"));
        }
        let rows = input.len().checked_div(width).unwrap_or_default();
        let made = [&shape[..along], &[k]].concat();
        inputs.budget.room(&made)?;
        let order: Vec<usize> = match input.data() {
            Data::F32(values) => self.order(values, width, k, f32::total_cmp),
            Data::F64(values) => self.order(values, width, k, f64::total_cmp),
            Data::I64(values) => self.order(values, width, k, i64::cmp),
            other => return refuse(other),
        };
        let places = order.iter().enumerate().map(|(index, column)| index / k.max(1) * width + column);
        let values = Tensor::new(made.clone(), input.data().pick(places))?;
        debug_assert_eq!(order.len(), rows * k, "k columns of each row");
        Ok(vec![values, Tensor::new(made, Data::I64(order.into_iter().map(|column| column as i64).collect()))?])
    }
}

impl TopK {
    /// The first `k` columns of each row, the lower column first among equals.
    fn order<T>(
        &self,
        values: &[T],
        width: usize,
        k: usize,
        compare: impl Fn(&T, &T) -> std::cmp::Ordering,
    ) -> Vec<usize> {
        let mut order = Vec::new();
        for row in values.chunks(width.max(1)) {
            let mut columns: Vec<usize> = (0..row.len()).collect();
            columns.sort_by(|&one, &other| {
                let order = compare(&row[one], &row[other]);
                if self.largest { order.reverse() } else { order }
            });
            order.extend_from_slice(&columns[..k]);
        }
        order
    }
}
