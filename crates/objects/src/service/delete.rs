//! Deletion: at once, or marked and left to finalizers and the garbage collector.

use futures::StreamExt as _;
use mcplane_core::{Error, Grant, Result, clock};
use serde_json::Value;

use super::update::TRIES;
use super::{Call, ListOptions, Objects};
use crate::object::{Body, ObjectExt as _};
use crate::storage::{Effect, Expect, Refusal, Stored, Write};

/// What becomes of dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// The garbage collector deletes them afterwards.
    Background,
    /// The garbage collector deletes them first.
    Foreground,
    /// They stay, without their owner.
    Orphan,
}

impl Propagation {
    /// The finalizer by which the garbage collector learns of it.
    fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some(FOREGROUND),
            Self::Orphan => Some(ORPHAN),
        }
    }
}

/// The finalizer of foreground deletion.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of orphaning deletion.
pub(crate) const ORPHAN: &str = "orphan";

/// Options of deletions.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Delete only the object with this uid.
    pub uid: Option<String>,
    /// Delete only this revision.
    pub resource_version: Option<String>,
    /// What becomes of dependents; `None` for what the object's finalizers say, background if they say nothing.
    pub propagation: Option<Propagation>,
    /// Do everything but delete.
    pub dry_run: bool,
}

/// What a deletion led to.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Stored),
    /// The object waits for its finalizers.
    Waiting(Stored),
}

/// Deletions of a collection that are on their way at once: enough to fill a group commit.
const CONCURRENT: usize = 64;

impl Objects {
    /// Deletes the object.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a precondition fails.
    pub async fn delete(&self, grant: &Grant, version: &str, options: &DeleteOptions) -> Result<Deleted> {
        let call = self.call(grant, version)?;
        self.delete_named(&call, call.name, options).await
    }

    /// Deletes all objects that `list` selects; returns their last states.
    pub async fn delete_collection(
        &self,
        grant: &Grant,
        version: &str,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<Vec<Stored>> {
        let call = self.call(grant, version)?;
        let selected = self.list(grant, version, list).await?.items;
        let deletions = futures::stream::iter(selected).map(|item| {
            let call = call.clone();
            async move { self.delete_named(&Call { namespace: &item.namespace, ..call }, &item.name, options).await }
        });
        let mut gone = Vec::new();
        let mut deletions = deletions.buffered(CONCURRENT);
        while let Some(deleted) = deletions.next().await {
            match deleted {
                Ok(Deleted::Gone(object) | Deleted::Waiting(object)) => gone.push(object),
                // Somebody else was faster.
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    async fn delete_named(&self, call: &Call<'_>, name: &str, options: &DeleteOptions) -> Result<Deleted> {
        let call = &Call { name, ..call.clone() };
        for _ in 0..TRIES {
            let old = call.kind.storage.get(&call.key()).await?.ok_or_else(|| call.not_found())?;
            let before = call.parse(&old)?;
            call.check_preconditions(options, &before)?;
            if let Some(reason) = (call.kind.refuse_deletion)(&before) {
                let subject = call.subject(name);
                return Err(Error::Forbidden { message: format!("{subject} is forbidden: {reason}"), subject });
            }
            let mut last = before.clone();
            call.mark_deleted(&mut last, options.propagation, self.clock().now());
            let held = call.is_held(&last);
            if held && last == before {
                return Ok(Deleted::Waiting(old));
            }
            let body = Body::encode(&last)?;
            if options.dry_run {
                let shown = call.dry(&body, Some(&old), name);
                return Ok(if held { Deleted::Waiting(shown) } else { Deleted::Gone(shown) });
            }
            let write = Write {
                key: call.key(),
                expect: Expect::Revision(old.revision),
                deleting: true,
                // A last state without marks: the object did not wait.
                effect: if held { Effect::Put(body) } else { Effect::Remove(Body::encode(&before)?) },
                guard: None,
                counts: if held { vec![] } else { self.quotas.count(call.kind, call.namespace, -1) },
                audit: call.audit("delete", name, 200),
            };
            match call.write(write).await? {
                Ok(object) => return Ok(if held { Deleted::Waiting(object) } else { Deleted::Gone(object) }),
                Err(Refusal::Changed) => {}
                Err(refusal) => return Err(call.refused(name, refusal)),
            }
        }
        Err(call.modified())
    }
}

impl Call<'_> {
    fn check_preconditions(&self, options: &DeleteOptions, object: &Value) -> Result<()> {
        let checks = [
            ("UID", &options.uid, object.uid()),
            ("ResourceVersion", &options.resource_version, object.meta_text("resourceVersion")),
        ];
        for (what, wanted, found) in checks {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
                return Err(self.conflict(format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
                )));
            }
        }
        Ok(())
    }

    /// What a deletion changes on an object that has to wait.
    fn mark_deleted(&self, object: &mut Value, propagation: Option<Propagation>, now: i64) {
        let mut finalizers: Vec<String> = object.finalizers().into_iter().map(str::to_owned).collect();
        // A later deletion may change what becomes of dependents, as Kubernetes allows.
        if let Some(propagation) = propagation {
            finalizers.retain(|name| name != FOREGROUND && name != ORPHAN);
            finalizers.extend(propagation.finalizer().map(str::to_owned));
        }
        let already = object.is_deleting();
        let metadata = object.metadata_mut();
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), finalizers.into());
        }
        if !already {
            metadata.insert("deletionTimestamp".to_owned(), clock::rfc3339(now).into());
            metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
            if let Some(generation) = metadata.get_mut("generation") {
                *generation = (generation.as_i64().unwrap_or(1) + 1).into();
            }
            (self.kind.begin_deletion)(object);
        }
    }
}
