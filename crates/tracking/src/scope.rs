//! What a grant gives access to: which namespace, and as which noun roles speak of it.

use mcplane_core::authz::Target;
use mcplane_core::{Attributes, Error, Grant, Result};

/// A resource as roles name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noun {
    /// API group.
    pub group: &'static str,
    /// Plural name.
    pub resource: &'static str,
}

/// The group of what is tracked.
pub const GROUP: &str = "tracking.mcplane.io";

/// Experiments.
pub const EXPERIMENTS: Noun = Noun { group: GROUP, resource: "experiments" };
/// Runs, with what is logged to them.
pub const RUNS: Noun = Noun { group: GROUP, resource: "runs" };

impl Noun {
    /// What a role must allow for `verb` in `namespace`.
    pub fn attributes(self, verb: &'static str, namespace: &str) -> Attributes {
        Attributes::resource(verb, self.group, self.resource, namespace, "")
    }
}

/// The namespace that a grant is for. Every statement of this crate is bound to it.
///
/// # Errors
/// [`Error::Internal`] for a grant across namespaces, which no door of this crate asks for.
pub fn namespace(grant: &Grant) -> Result<&str> {
    match &grant.attributes().target {
        Target::Resource { namespace, .. } if !namespace.is_empty() => Ok(namespace),
        _ => Err(Error::internal("a grant without a namespace")),
    }
}
