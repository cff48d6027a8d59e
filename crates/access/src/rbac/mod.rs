//! Kubernetes' role-based access control: default deny, and nobody grants what they don't hold.
//!
//! [`Policy`] is a snapshot of all roles and bindings, indexed by subject. It never changes; a change of any role or
//! binding builds a new one and swaps it in with [`RbacAuthorizer::replace`].

pub mod aggregate;
pub mod bootstrap;
pub mod cover;
pub mod escalation;
pub mod evaluate;
pub mod policy;
pub mod review;

pub use evaluate::RbacAuthorizer;
pub use policy::{Policy, PolicySource};

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

#[cfg(test)]
pub(crate) mod testing;
