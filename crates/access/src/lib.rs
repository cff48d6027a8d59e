//! Who may do what: local users and their passwords, tokens, and Kubernetes' role-based access control.
//!
//! The decisions here are pure. They read the policy, the keys and the time that they are given, so that whoever wires
//! them to a database or a protocol can't change what they decide.

pub mod rbac;
pub mod tokens;
pub mod users;
