//! Models in memory, by name and version.
//!
//! A version is ready once it was loaded and has answered once (the first answer is slower than all others, and nobody's
//! request). The highest version is the one that is asked when none is named. A request holds the version that it began
//! with, so that a swap or an unloading never fails it; memory is freed when the last such request ends.

mod repository;
mod types;
mod warm;

pub use repository::{Listed, Repository};
pub use types::{About, Loaded, Version};
