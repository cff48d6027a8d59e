//! Feature views: SQL over files, the entities that its rows are of, and when they became true and known.

mod kind;
mod types;

pub use kind::{FeatureView, GROUP, VERSION, VIEWS};
pub use types::{Feature, FeatureType, FeatureViewSpec, Format, Source};
