//! Lineage: from which data and code something was made, and what was made from it.
//!
//! Little of it is stored for its own sake. What runs read and made, and which version came from which model, is in the
//! tables of those nouns; a walk reads it there, so lineage can't disagree with what it is about. Stored here is only what
//! other systems tell in OpenLineage events. Both meet where they speak of the same thing: a run by its id, a dataset by
//! the place that it was read from.

pub(crate) mod api;
mod derived;
mod describe;
mod graph;
mod node;
mod openlineage;
mod place;
mod push;
mod reported;
mod service;
mod walk;

pub use graph::{Described, Direction, Edge, EdgeKind, Graph};
pub use node::Node;
pub use push::Push;
pub use service::record_event;
