//! What roles speak of in this crate, and the namespace that a grant is for.

use mcplane_core::authz::Target;
use mcplane_core::{Attributes, Error, Grant, Result};

/// The API group of tasks, in the terms of roles.
pub const GROUP: &str = "tasks.mcplane.io";
/// Tasks.
pub const TASKS: &str = "tasks";
/// Queues.
pub const QUEUES: &str = "queues";
/// Archives of code.
pub const CODE: &str = "code";

/// What a role must allow for `verb`.
pub fn attributes(verb: &'static str, resource: &'static str, namespace: &str, name: &str) -> Attributes {
    Attributes::resource(verb, GROUP, resource, namespace, name)
}

/// The namespace that a grant is for. Every statement about tasks is bound to it.
///
/// # Errors
/// [`Error::Internal`] for a grant across namespaces, which no door of this crate asks for.
pub(crate) fn namespace(grant: &Grant) -> Result<&str> {
    match &grant.attributes().target {
        Target::Resource { namespace, .. } if !namespace.is_empty() => Ok(namespace),
        _ => Err(Error::internal("a grant without a namespace")),
    }
}
