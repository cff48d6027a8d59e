//! Kubernetes' role-based access control: default deny, and nobody grants what they don't hold.
//!
//! [`Policy`] is a snapshot of all roles and bindings, indexed by subject. It never changes; after a change of any role or
//! binding, [`RbacAuthorizer`] builds a new one.

mod admission;
pub mod aggregate;
pub mod bootstrap;
pub mod cover;
pub mod escalation;
pub mod evaluate;
mod follow;
pub mod kinds;
pub mod policy;
pub mod review;

pub use evaluate::{Changes, RbacAuthorizer};
pub(crate) use follow::follow;
pub use policy::{Policy, PolicySource};

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

#[cfg(test)]
pub(crate) mod testing;
