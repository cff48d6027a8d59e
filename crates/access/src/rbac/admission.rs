//! The guard against escalation, as an admission of the engine.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use mcplane_core::{Caller, Error, Result};
use mcplane_objects::admission::{Admission, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Policy, RbacAuthorizer, escalation};

type Check<R> = fn(&Policy, &Caller, Option<&R>, &R) -> Result<()>;

/// Asks, by the latest policy, whether the caller may hand out what is being written. What hands out nothing new, such as
/// a label, passes.
pub(crate) struct Guard<R> {
    authorizer: Arc<RbacAuthorizer>,
    check: Check<R>,
}

impl<R: DeserializeOwned + Send + Sync + 'static> Guard<R> {
    fn asking(authorizer: &Arc<RbacAuthorizer>, check: Check<R>) -> Arc<dyn Admission> {
        Arc::new(Self { authorizer: Arc::clone(authorizer), check })
    }
}

impl Guard<Role> {
    pub(crate) fn role(authorizer: &Arc<RbacAuthorizer>) -> Arc<dyn Admission> {
        Self::asking(authorizer, |policy, caller, old, new| match old {
            Some(old) if old.rules == new.rules => Ok(()),
            _ => escalation::check_role(policy, caller, new),
        })
    }
}

impl Guard<ClusterRole> {
    pub(crate) fn cluster_role(authorizer: &Arc<RbacAuthorizer>) -> Arc<dyn Admission> {
        Self::asking(authorizer, |policy, caller, old, new| match old {
            Some(old)
                if old.rules == new.rules
                    && old.aggregation_rule == new.aggregation_rule
                    // Labels decide which sums the role is part of.
                    && old.metadata.labels == new.metadata.labels =>
            {
                Ok(())
            }
            _ => escalation::check_cluster_role(policy, caller, old, new),
        })
    }
}

impl Guard<RoleBinding> {
    pub(crate) fn role_binding(authorizer: &Arc<RbacAuthorizer>) -> Arc<dyn Admission> {
        Self::asking(authorizer, |policy, caller, old, new| match old {
            Some(old) if old.role_ref == new.role_ref && old.subjects == new.subjects => Ok(()),
            _ => escalation::check_role_binding(policy, caller, new),
        })
    }
}

impl Guard<ClusterRoleBinding> {
    pub(crate) fn cluster_role_binding(authorizer: &Arc<RbacAuthorizer>) -> Arc<dyn Admission> {
        Self::asking(authorizer, |policy, caller, old, new| match old {
            Some(old) if old.role_ref == new.role_ref && old.subjects == new.subjects => Ok(()),
            _ => escalation::check_cluster_role_binding(policy, caller, new),
        })
    }
}

impl<R: DeserializeOwned + Send + Sync> Admission for Guard<R> {
    fn admit<'a>(&'a self, request: Request<'a>, new: &'a mut Value) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let typed = |value: &Value| R::deserialize(value).map_err(Error::internal);
            let (old, new) = (request.old.map(typed).transpose()?, typed(new)?);
            (self.check)(&self.authorizer.policy(), &request.context.caller, old.as_ref(), &new)
        })
    }
}
