//! OpenLineage: the events in which systems tell each other what read and made which data.

mod emit;
mod event;

pub(super) use emit::{events_of, own_namespace};
pub(super) use event::Report;
