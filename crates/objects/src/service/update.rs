//! Replacing an object, its status or its finalizers.

use mcplane_apimachinery::codec::Decoded;
use mcplane_apimachinery::object_meta;
use mcplane_core::{Error, Grant, Result};
use serde_json::Value;

use super::{Call, Objects, WriteOptions, Written};
use crate::admission;
use crate::object::{Body, ObjectExt as _};
use crate::storage::{Effect, Expect, Refusal, Stored, Write};

/// Tries of a change that names no revision, when others write the same object. Of those that are tried together one wins,
/// so this is also how many may change one object at once.
pub(super) const TRIES: usize = 512;

impl Objects {
    /// Replaces the object, or its subresource, with what is in `decoded`.
    ///
    /// # Errors
    /// `Conflict` when the body names another revision than the stored one, `Invalid`, `NotFound`, `Forbidden`.
    pub async fn update(
        &self,
        grant: &Grant,
        version: &str,
        decoded: Decoded,
        options: &WriteOptions,
    ) -> Result<Written> {
        let call = self.call(grant, version)?;
        let (new, warnings) = call.intake(decoded, options)?;
        call.check_identity(&new)?;
        for _ in 0..TRIES {
            let old = call.kind.storage.get(&call.key()).await?.ok_or_else(|| call.not_found())?;
            if new.revision()?.is_some_and(|revision| revision != old.revision) {
                return Err(call.modified());
            }
            match self.replace(&call, &old, new.clone(), options.dry_run).await? {
                Ok(object) => return Ok(Written { object, warnings }),
                Err(Refusal::Changed) if new.revision()?.is_none() => {}
                Err(refusal) => return Err(call.refused(call.name, refusal)),
            }
        }
        Err(call.modified())
    }

    /// Makes `new` the successor of `old`.
    pub(super) async fn replace(
        &self,
        call: &Call<'_>,
        old: &Stored,
        new: Value,
        dry_run: bool,
    ) -> Result<std::result::Result<Stored, Refusal>> {
        let before = call.parse(old)?;
        let mut new = call.restrict(new, &before)?;
        // What a client says of the creation is ignored, as in Kubernetes: manifests carry it from where they were made.
        put(&mut new["metadata"], "creationTimestamp", before.meta("creationTimestamp").cloned());
        object_meta::carry_over(new.metadata_mut(), &before["metadata"]);
        // Set only now: a body may leave its revision out.
        new.metadata_mut().insert("resourceVersion".to_owned(), old.revision.to_string().into());
        (call.kind.prepare)(&mut new, Some(&before));
        call.count_generation(&mut new, &before);
        let faults = object_meta::validate_update(&new["metadata"], &before["metadata"]);
        call.validate(&new, Some(&before), faults)?;
        for admission in &call.kind.admission {
            let (kind, namespace) = (&**call.kind, call.namespace);
            let (context, old) = (call.grant.context(), Some(&before));
            let request = admission::Request { context, kind, namespace, old, dry_run };
            admission.admit(request, &mut new).await?;
        }
        if new == before {
            return Ok(Ok(old.clone()));
        }
        let body = Body::encode(&new)?;
        if dry_run {
            return Ok(Ok(call.dry(&body, Some(old), call.name)));
        }
        let finished = new.is_deleting() && !call.is_held(&new);
        let write = Write {
            key: call.key(),
            expect: Expect::Revision(old.revision),
            deleting: new.is_deleting(),
            effect: if finished { Effect::Remove(body) } else { Effect::Put(body) },
            guard: None,
            counts: if finished { self.quotas.count(call.kind, call.namespace, -1) } else { vec![] },
            audit: call.audit(call.grant.verb(), call.name, 200),
        };
        call.write(write).await
    }
}

impl Call<'_> {
    /// The object in the body must be the one in the path.
    pub(super) fn check_identity(&self, new: &Value) -> Result<()> {
        let (name, namespace) = (new.name(), new.namespace());
        if name != self.name {
            return Err(Error::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                self.name
            )));
        }
        if !namespace.is_empty() && namespace != self.namespace {
            return Err(Error::bad_request(format!(
                "the namespace of the object ({namespace}) does not match the namespace on the URL ({})",
                self.namespace
            )));
        }
        Ok(())
    }

    /// Lets through what the path may change: the status alone, the finalizers of the spec alone, or all but the status.
    fn restrict(&self, mut new: Value, before: &Value) -> Result<Value> {
        if !new.uid().is_empty() && new.uid() != before.uid() {
            let (given, stored) = (new.uid(), before.uid());
            return Err(self
                .conflict(format!("Precondition failed: UID in precondition: {given}, UID in object meta: {stored}")));
        }
        let keep = |mut new: Value, field: &str| {
            let mut result = before.clone();
            let value = new.as_object_mut().and_then(|map| map.remove(field));
            put(&mut result, field, value);
            result
        };
        match self.subresource {
            "" => {
                if self.kind.is_namespaced() {
                    new.metadata_mut().insert("namespace".to_owned(), self.namespace.into());
                }
                if self.kind.status {
                    put(&mut new, "status", before.get("status").cloned());
                }
                (self.kind.keep)(&mut new, before);
                Ok(new)
            }
            "status" if self.kind.status => Ok(keep(new, "status")),
            "finalize" => {
                let finalizers = new.get("spec").and_then(|spec| spec.get("finalizers")).cloned();
                let mut result = before.clone();
                if let Some(spec) = result.get_mut("spec") {
                    put(spec, "finalizers", finalizers);
                }
                Ok(result)
            }
            _ => Err(Error::NoSuchPath),
        }
    }

    fn count_generation(&self, new: &mut Value, before: &Value) {
        if !self.kind.generation {
            put(&mut new["metadata"], "generation", before.meta("generation").cloned());
            return;
        }
        let generation = before.meta("generation").and_then(Value::as_i64).unwrap_or(1);
        let changed = is_new_generation(new, before);
        new.metadata_mut().insert("generation".to_owned(), (generation + i64::from(changed)).into());
    }

    /// Whether finalizers keep the object from going.
    pub(super) fn is_held(&self, object: &Value) -> bool {
        !object.finalizers().is_empty() || (self.kind.holds_deletion)(object)
    }
}

/// Whether anything but metadata and status differs, or the deletion has begun.
fn is_new_generation(new: &Value, before: &Value) -> bool {
    let relevant = |object: &Value| {
        let map = object.as_object().cloned().unwrap_or_default();
        map.into_iter().filter(|(key, _)| key != "metadata" && key != "status").collect::<serde_json::Map<_, _>>()
    };
    new.is_deleting() != before.is_deleting() || relevant(new) != relevant(before)
}

fn put(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(map) = object.as_object_mut() {
        match value {
            Some(value) => drop(map.insert(field.to_owned(), value)),
            None => drop(map.remove(field)),
        }
    }
}
