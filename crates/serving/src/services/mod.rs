//! Services that answer: KServe's `InferenceService` over versions of the model registry.
//!
//! - **A change of the model is a revision.** It has a number in its service, and one of its own everywhere, which every
//!   identifier of a prediction holds. An alias is resolved when the revision is made and never again, so that a restart
//!   serves what was served before.
//! - **Only verified content is loaded**, so that what answers is what was registered, to the bit.
//! - **The newest revision that is ready answers.** One that can't be loaded takes nothing away: the one before goes on.
//!   Whoever directs traffic ([`Pins`]) may keep more of them loaded.
//! - [`Fleet`] is what is loaded; the controller makes it true; [`spec`](Spec), what becomes of it and the status are pure.

mod controller;
mod fleet;
mod kind;
mod load;
mod reconcile;
mod scope;
mod spec;
mod status;
mod store;
mod types;

use std::sync::Arc;

use mcplane_objects::storage::Storage;
use mcplane_objects::{RegisteredKind, Registry};

pub use controller::{Parts, run};
pub use fleet::{Fleet, Pin, Pins, Running, Service};
pub use kind::InferenceService;
pub use scope::{GROUP, INFER, RESOURCE, VERSION, attributes, roles};
pub use spec::{Reference, Spec, Wanted};
pub use status::Places;
pub use store::Revisions;
pub use types::{Revision, revision_name, revision_number};

/// Adds the kind, which is kept in `storage`.
pub fn register(registry: &mut Registry, storage: Arc<dyn Storage>) {
    registry.add(RegisteredKind::new::<InferenceService>(storage));
}
