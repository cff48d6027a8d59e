//! What a write of a user passes: nobody makes a user who may do more than they may themselves, and passwords become hashes.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::Result;
use mcplane_db::Db;
use mcplane_objects::admission::{Admission, Request};
use mcplane_objects::object::ObjectExt as _;
use serde_json::Value;

use super::hasher::Hasher;
use super::row::PASSWORD_HASH;
use super::{caller, spec_text, storage};
use crate::rbac::{RbacAuthorizer, escalation};

/// The admission of users.
pub(super) struct Passwords {
    db: Db,
    hasher: Arc<Hasher>,
    authorizer: Arc<RbacAuthorizer>,
}

impl Passwords {
    pub(super) fn new(db: Db, hasher: Arc<Hasher>, authorizer: Arc<RbacAuthorizer>) -> Self {
        Self { db, hasher, authorizer }
    }

    /// Whoever sets a user's password, role or ability to log in must hold what the user may do before and after.
    fn check_escalation(&self, request: &Request<'_>, new: &Value) -> Result<()> {
        if request.old.is_some_and(|old| old["spec"] == new["spec"]) {
            return Ok(());
        }
        let (policy, id) = (self.authorizer.policy(), new["status"]["id"].as_i64().unwrap_or_default());
        for state in request.old.into_iter().chain([new]) {
            let user = caller(new.name(), id, spec_text(state, "role").unwrap_or_default());
            escalation::check_user(&policy, &request.context.caller, &user)?;
        }
        Ok(())
    }

    async fn admit_user(&self, request: Request<'_>, new: &mut Value) -> Result<()> {
        self.check_escalation(&request, new)?;
        let password = new.get_mut("spec").and_then(Value::as_object_mut).and_then(|spec| spec.remove("password"));
        let Some(Value::String(password)) = password else { return Ok(()) };
        if request.dry_run {
            return Ok(());
        }
        if let Some(old) = request.old
            && self.is_current(old.name(), &password).await?
        {
            // Applying the same manifest again is no change.
            if new["spec"] == old["spec"]
                && let Some(generation) = old.meta("generation")
            {
                new.metadata_mut().insert("generation".to_owned(), generation.clone());
            }
            return Ok(());
        }
        new["spec"][PASSWORD_HASH] = self.hasher.hash(password).await?.into();
        Ok(())
    }

    async fn is_current(&self, name: &str, password: &str) -> Result<bool> {
        let row = storage::find(&self.db, name).await?;
        let Some(hash) = row.and_then(|row| row.password_hash().map(str::to_owned)) else { return Ok(false) };
        self.hasher.verify(password.to_owned(), Some(hash)).await
    }
}

impl Admission for Passwords {
    fn admit<'a>(&'a self, request: Request<'a>, new: &'a mut Value) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.admit_user(request, new))
    }
}
