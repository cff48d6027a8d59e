//! What the tests of this folder share.

use mcplane_core::Caller;
use mcplane_core::authz::{Attributes, Authorizer, Decision};
use serde_json::Value;

use super::{Policy, PolicySource};

/// A policy of a JSON list of objects, told apart by `kind`.
pub(crate) fn policy(objects: Value) -> Policy {
    Policy::build(&PolicySource::from_manifests(objects.as_array().unwrap().iter().cloned()).unwrap())
}

/// A caller of that name and those groups.
pub(crate) fn caller(name: &str, groups: &[&str]) -> Caller {
    Caller { name: name.to_owned(), groups: groups.iter().map(|&g| g.to_owned()).collect(), ..Caller::default() }
}

/// Whether the answer is yes.
pub(crate) fn allows(authorizer: &dyn Authorizer, caller: &Caller, attributes: Attributes) -> bool {
    matches!(authorizer.decide(caller, &attributes), Decision::Allow(_))
}
