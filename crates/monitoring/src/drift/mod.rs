//! Does what comes in look like what the model was trained on? A [`Reference`] is prepared once from a column of the training
//! profile; each look then sorts the window and compares. What is prepared does not grow with the training data.

mod reference;

pub use reference::{Drift, Reference};
