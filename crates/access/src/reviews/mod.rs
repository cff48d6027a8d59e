//! Questions that are posted and answered: who am I, may I, may they, whose token is this.

mod access;
mod identity;

use std::sync::Arc;

use mcplane_core::Caller;
use mcplane_objects::{Action, Perform, Registry};
use serde_json::{Value, json};

use crate::authenticate::Authenticator;
use crate::rbac::RbacAuthorizer;
use crate::tokens::LocalIssuer;
use access::AccessReview;
use identity::{SelfReview, TokenReview};

/// Registers all reviews.
pub(crate) fn register(
    registry: &mut Registry,
    authorizer: &Arc<RbacAuthorizer>,
    authenticator: &Arc<Authenticator>,
    issuer: &Arc<LocalIssuer>,
) {
    let access = |question| AccessReview::new(Arc::clone(authorizer), question);
    let tokens = TokenReview::new(Arc::clone(authenticator), Arc::clone(issuer));
    registry
        .add_virtual(authorization("SelfSubjectAccessReview", false, access(access::Question::OwnAccess)))
        .add_virtual(authorization("SelfSubjectRulesReview", false, access(access::Question::OwnRules)))
        .add_virtual(authorization("SubjectAccessReview", false, access(access::Question::Access)))
        .add_virtual(authorization("LocalSubjectAccessReview", true, access(access::Question::AccessInNamespace)))
        .add_virtual(authentication("SelfSubjectReview", SelfReview))
        .add_virtual(authentication("TokenReview", tokens));
}

fn authorization(kind: &'static str, namespaced: bool, perform: impl Perform + 'static) -> Action {
    let (name, singular) = match kind {
        "SelfSubjectAccessReview" => ("selfsubjectaccessreviews", "selfsubjectaccessreview"),
        "SelfSubjectRulesReview" => ("selfsubjectrulesreviews", "selfsubjectrulesreview"),
        "LocalSubjectAccessReview" => ("localsubjectaccessreviews", "localsubjectaccessreview"),
        _ => ("subjectaccessreviews", "subjectaccessreview"),
    };
    Action {
        path_group: "authorization.k8s.io",
        path_version: "v1",
        name,
        singular,
        api_version: "authorization.k8s.io/v1",
        kind,
        namespaced,
        perform: Arc::new(perform),
    }
}

fn authentication(kind: &'static str, perform: impl Perform + 'static) -> Action {
    let (name, singular) = match kind {
        "TokenReview" => ("tokenreviews", "tokenreview"),
        _ => ("selfsubjectreviews", "selfsubjectreview"),
    };
    Action {
        path_group: "authentication.k8s.io",
        path_version: "v1",
        name,
        singular,
        api_version: "authentication.k8s.io/v1",
        kind,
        namespaced: false,
        perform: Arc::new(perform),
    }
}

/// `body` with its answer.
fn answered(mut body: Value, status: Value) -> Value {
    if let Some(map) = body.as_object_mut() {
        map.entry("metadata").or_insert_with(|| json!({}));
        map.insert("status".to_owned(), status);
    }
    body
}

/// Kubernetes' `UserInfo`.
fn user_info(caller: &Caller) -> Value {
    let mut info = json!({"username": caller.name, "groups": caller.groups});
    if !caller.uid.is_empty() {
        info["uid"] = caller.uid.as_str().into();
    }
    if !caller.extra.is_empty() {
        info["extra"] = json!(caller.extra);
    }
    info
}
