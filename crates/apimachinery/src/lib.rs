//! mcplane-apimachinery

pub mod codec;
pub mod names;
pub mod object_meta;
pub mod patch;
pub mod quantity;
pub mod resources;
pub mod schema;
pub mod selector;
