//! Reviews of identity: the caller's own, and that behind a token.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Error, FieldError, Grant, Result, Subject};
use mcplane_objects::Perform;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answered, user_info};
use crate::authenticate::Authenticator;
use crate::tokens::{Identity, LocalIssuer};

/// Audiences that one review may ask for.
const MOST_AUDIENCES: usize = 32;

/// Answers SelfSubjectReviews.
pub(super) struct SelfReview;

impl Perform for SelfReview {
    fn perform<'a>(&'a self, grant: &'a Grant, body: Value) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move { Ok(answered(body, json!({"userInfo": user_info(&grant.context().caller)}))) })
    }
}

/// Answers TokenReviews.
pub(super) struct TokenReview {
    authenticator: Arc<Authenticator>,
    issuer: Arc<LocalIssuer>,
}

/// Not printable: it holds a token.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    token: String,
    audiences: Option<Vec<String>>,
}

impl TokenReview {
    pub(super) fn new(authenticator: Arc<Authenticator>, issuer: Arc<LocalIssuer>) -> Self {
        Self { authenticator, issuer }
    }

    /// Whom the token speaks of, and for which of the audiences it is good.
    async fn review(&self, spec: &Spec) -> Result<(Identity, Vec<String>)> {
        let asked = spec.audiences.as_deref().unwrap_or_default();
        if asked.is_empty() {
            let own = self.issuer.realm().audiences.clone();
            return Ok((self.authenticator.identify(&spec.token).await?, own));
        }
        let now = self.authenticator.clock.now();
        let for_one = |audience: &String| self.issuer.verify_for(&spec.token, std::slice::from_ref(audience), now);
        let good = asked.iter().filter(|audience| for_one(audience).is_ok()).cloned().collect();
        let identity = self.issuer.verify_for(&spec.token, asked, now)?;
        self.authenticator.check(&identity).await?;
        Ok((identity, good))
    }
}

impl Perform for TokenReview {
    fn perform<'a>(&'a self, _: &'a Grant, mut body: Value) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move {
            // Serde's message could quote the token.
            let spec: Spec = body.get("spec").map_or(Ok(Spec::default()), Spec::deserialize).map_err(|_| {
                Error::bad_request("TokenReview has a bad spec: token is a text, audiences a list of texts")
            })?;
            let invalid = |cause| Err(Error::invalid(Subject::new("authentication.k8s.io", "TokenReview", ""), cause));
            if spec.token.is_empty() {
                return invalid(FieldError::required("spec.token", ""));
            }
            let count = spec.audiences.as_ref().map_or(0, Vec::len);
            if count > MOST_AUDIENCES {
                return invalid(FieldError::invalid("spec.audiences", count, "may not name more than 32 audiences"));
            }
            let status = match self.review(&spec).await {
                Ok((identity, audiences)) => {
                    json!({"authenticated": true, "user": user_info(&identity.caller()), "audiences": audiences})
                }
                Err(Error::Unauthorized(reason)) => json!({"authenticated": false, "user": {}, "error": reason}),
                Err(error) => return Err(error),
            };
            // The client has the token; logs of answers should not.
            if let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut) {
                spec.remove("token");
            }
            Ok(answered(body, status))
        })
    }
}
