//! Reviews of access, answered from the latest policy.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::authz::Target;
use mcplane_core::{Grant, Result};
use mcplane_objects::Perform;
use serde_json::Value;

use super::answered;
use crate::rbac::{RbacAuthorizer, review};

/// Which question is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// May I do this?
    OwnAccess,
    /// What may I do in this namespace?
    OwnRules,
    /// May they do this?
    Access,
    /// May they do this in this namespace?
    AccessInNamespace,
}

/// Answers one kind of question.
pub(super) struct AccessReview {
    authorizer: Arc<RbacAuthorizer>,
    question: Question,
}

impl AccessReview {
    pub(super) fn new(authorizer: Arc<RbacAuthorizer>, question: Question) -> Self {
        Self { authorizer, question }
    }

    fn answer(&self, grant: &Grant, spec: Value) -> Result<Value> {
        let (policy, caller) = (self.authorizer.policy(), &grant.context().caller);
        match (self.question, &grant.attributes().target) {
            (Question::OwnAccess, _) => review::self_subject_access(&*policy, caller, spec),
            (Question::OwnRules, _) => review::self_subject_rules(&policy, caller, spec),
            (Question::AccessInNamespace, Target::Resource { namespace, .. }) => {
                review::local_subject_access(&*policy, namespace, spec)
            }
            (Question::Access | Question::AccessInNamespace, _) => review::subject_access(&*policy, spec),
        }
    }
}

impl Perform for AccessReview {
    fn perform<'a>(&'a self, grant: &'a Grant, body: Value) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move {
            let spec = body.get("spec").cloned().unwrap_or_default();
            Ok(answered(body, self.answer(grant, spec)?))
        })
    }
}
