//! Logging in: a password for a token.

use std::sync::Arc;

use mcplane_core::{Context, Error, Result};
use mcplane_db::{Db, audit};
use mcplane_objects::Resource as _;

use super::attempts::{Attempts, TooMany};
use super::hasher::Hasher;
use super::row::UserRow;
use super::{User, Users, storage};
use crate::tokens::{IssuedToken, LocalIssuer, LocalUser};

/// The way in for local users.
pub(crate) struct Logins {
    db: Db,
    hasher: Arc<Hasher>,
    issuer: Arc<LocalIssuer>,
    attempts: Attempts,
}

impl Logins {
    pub(crate) fn new(users: &Users, issuer: Arc<LocalIssuer>) -> Self {
        Self { db: users.db.clone(), hasher: Arc::clone(&users.hasher), issuer, attempts: Attempts::default() }
    }

    /// A token for the user of that name and password.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], the same for a wrong password, a disabled and an unknown user;
    /// [`Error::TooManyRequests`] after repeated failures.
    pub(crate) async fn login(&self, context: &Context, name: &str, password: String) -> Result<IssuedToken> {
        let now = self.db.clock().now();
        let attempt = Attempt { logins: self, context, name };
        if let Err(TooMany { retry_after_s, first }) = self.attempts.begin(&context.source, name, now) {
            if first {
                // Once a window: refusals are cheap, entries are for ever.
                attempt.record(None, "denied", 429, "too many failed logins").await?;
            }
            let message = "too many failed logins; try again later".to_owned();
            return Err(Error::TooManyRequests { message, retry_after_s });
        }
        let row = if name.contains('\0') { None } else { storage::find(&self.db, name).await? };
        let hash = row.as_ref().filter(|row| row.may_log_in()).and_then(UserRow::password_hash).map(str::to_owned);
        let right = self.hasher.verify(password, hash).await?;
        let Some(row) = row.as_ref().filter(|_| right) else {
            let known = row.as_ref();
            let detail = if known.is_some() { "wrong password, or the user may not log in" } else { "unknown user" };
            attempt.record(known, "denied", 401, detail).await?;
            return Err(Error::Unauthorized("the user name or the password is wrong".to_owned()));
        };
        let user = LocalUser { name: row.name.to_string(), uid: row.id, role: row.role.clone() };
        let issued = self.issuer.issue_user(&user, now)?;
        self.attempts.succeeded(&context.source, name);
        attempt.record(Some(row), "allowed", 200, &format!("credential-id JTI={}", issued.token_id)).await?;
        Ok(issued)
    }
}

struct Attempt<'a> {
    logins: &'a Logins,
    context: &'a Context,
    name: &'a str,
}

impl Attempt<'_> {
    /// Names of users who don't exist are not recorded: people type passwords into the wrong field.
    async fn record(&self, user: Option<&UserRow>, outcome: &str, code: i64, detail: &str) -> Result<()> {
        let name = user.map_or("", |_| self.name).to_owned();
        let entry = audit::Entry {
            actor: name.clone(),
            verb: "login".to_owned(),
            resource: User::KIND.resource(),
            name,
            outcome: outcome.to_owned(),
            code,
            trace: self.context.trace.to_string(),
            source: self.context.source.clone(),
            detail: detail.to_owned(),
            ..audit::Entry::default()
        };
        let write = self.logins.db.write(move |tx| {
            Box::pin(async move {
                tx.audit(entry);
                Ok(())
            })
        });
        write.await
    }
}
