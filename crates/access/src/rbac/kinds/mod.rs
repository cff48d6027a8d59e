//! The four kinds of the API group, with Kubernetes' rules and columns.

mod binding;
mod role;

use std::sync::Arc;

use mcplane_objects::storage::Storage;
use mcplane_objects::{RegisteredKind, Registry};
use serde_json::Value;

pub(crate) use binding::fill_groups;
pub use binding::{ClusterRoleBindingKind, RoleBindingKind};
pub use role::{ClusterRoleKind, RoleKind};

use super::RbacAuthorizer;
use super::admission::Guard;

/// Registers the kinds, each behind the guard against escalation.
pub(crate) fn register(registry: &mut Registry, table: &Arc<dyn Storage>, authorizer: &Arc<RbacAuthorizer>) {
    registry
        .add(RegisteredKind::new::<RoleKind>(Arc::clone(table)).admit(Guard::role(authorizer)))
        .add(RegisteredKind::new::<RoleBindingKind>(Arc::clone(table)).admit(Guard::role_binding(authorizer)))
        .add(RegisteredKind::new::<ClusterRoleKind>(Arc::clone(table)).admit(Guard::cluster_role(authorizer)))
        .add(
            RegisteredKind::new::<ClusterRoleBindingKind>(Arc::clone(table))
                .admit(Guard::cluster_role_binding(authorizer)),
        );
}

/// A text in an object; empty if there is none.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
