//! The first answer.

use crate::engine::Model;
use crate::tensor::{Data, Tensor, elements};

/// Rows of nothing in particular: a length that is open is one.
fn zeros(model: &dyn Model) -> Option<Vec<Tensor>> {
    let made = model.inputs().iter().map(|spec| {
        let shape: Vec<usize> = spec.shape.iter().map(|length| length.unwrap_or(1)).collect();
        let count = elements(&shape)?;
        Tensor::new(shape, Data::zeros(spec.datatype, count)).ok()
    });
    made.collect()
}

/// Asks the model once. Zeros may be nothing that it knows, such as a category; that is no fault of the model.
pub(super) fn warm(name: &str, model: &dyn Model) {
    let Some(inputs) = zeros(model) else { return };
    if let Err(error) = model.infer(&inputs) {
        tracing::debug!(model = name, %error, "a row of zeros is not answered");
    }
}
