//! mcplane-apimachinery

pub mod names;
pub mod quantity;
pub mod schema;
pub mod selector;
