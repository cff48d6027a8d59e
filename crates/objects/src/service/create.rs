//! Creation.

use mcplane_apimachinery::codec::Decoded;
use mcplane_apimachinery::{names, object_meta};
use mcplane_core::{Error, FieldError, FieldReason, Grant, Result, clock};
use serde_json::Value;

use super::{Call, Objects, WriteOptions, Written};
use crate::admission;
use crate::object::{Body, ObjectExt as _};
use crate::storage::{Effect, Expect, Key, Refusal, Write};

/// Names that are tried for one `generateName`.
const NAMES_TRIED: usize = 8;

impl Objects {
    /// Creates the object in `decoded`.
    ///
    /// # Errors
    /// `AlreadyExists`, `Invalid`, `Forbidden` by quota or admission, `NotFound` for the namespace.
    pub async fn create(
        &self,
        grant: &Grant,
        version: &str,
        decoded: Decoded,
        options: &WriteOptions,
    ) -> Result<Written> {
        let call = self.call(grant, version)?;
        let (mut new, warnings) = call.intake(decoded, options)?;
        call.begin_life(&mut new, self.clock().now())?;
        (call.kind.prepare)(&mut new, None);
        let mut faults = object_meta::validate_create(&new["metadata"], call.kind.name_rule, call.kind.is_namespaced());
        // Not every rule bounds the length, but an index does, and one name too long would spoil the writes of others.
        if faults.is_empty() && new.name().len().max(new.meta_text("generateName").len()) > names::SUBDOMAIN_MAX {
            let most = format!("may not be more than {} bytes", names::SUBDOMAIN_MAX);
            faults.push(FieldError::new("metadata.name", FieldReason::TooLong, most));
        }
        call.validate(&new, None, faults)?;
        for admission in &call.kind.admission {
            let (kind, namespace) = (&**call.kind, call.namespace);
            let dry_run = options.dry_run;
            let request = admission::Request { context: grant.context(), kind, namespace, old: None, dry_run };
            admission.admit(request, &mut new).await?;
        }
        let prefix = new.meta_text("generateName").to_owned();
        let generated = new.name().is_empty();
        for attempt in 1.. {
            if generated {
                let name = names::generate_name(&prefix, rand::random);
                new.metadata_mut().insert("name".to_owned(), name.into());
            }
            let name = new.name();
            let body = Body::encode(&new)?;
            if options.dry_run {
                self.would_create(&call, name).await?;
                return Ok(Written { object: call.dry(&body, None, name), warnings });
            }
            match call.write(self.creation(&call, name, body)).await? {
                Ok(object) => return Ok(Written { object, warnings }),
                Err(Refusal::Exists) if generated && attempt < NAMES_TRIED => {}
                Err(refusal) => return Err(call.refused(name, refusal)),
            }
        }
        Err(Error::internal("no name was free"))
    }

    fn creation(&self, call: &Call<'_>, name: &str, body: Body) -> Write {
        let namespaces = self.registry().by_plural("", "namespaces");
        let guard = namespaces.filter(|_| call.kind.is_namespaced());
        Write {
            key: call.key_of(name),
            expect: Expect::Absent,
            effect: Effect::Put(body),
            deleting: false,
            guard: guard.map(|namespaces| Key::new(namespaces.resource(), "", call.namespace)),
            counts: self.quotas.count(call.kind, call.namespace, 1),
            audit: call.audit("create", name, 201),
        }
    }

    /// What a creation would meet, for dry runs; true only for the moment.
    async fn would_create(&self, call: &Call<'_>, name: &str) -> Result<()> {
        if call.kind.is_namespaced()
            && let Some(namespaces) = self.registry().by_plural("", "namespaces")
        {
            let key = Key::new(namespaces.resource(), "", call.namespace);
            match namespaces.storage.get(&key).await? {
                None => return Err(call.refused(name, Refusal::GuardMissing)),
                Some(namespace) if crate::object::parse(&namespace.body)?.is_deleting() => {
                    return Err(call.refused(name, Refusal::GuardDeleting));
                }
                Some(_) => {}
            }
        }
        if call.kind.storage.get(&call.key_of(name)).await?.is_some() {
            return Err(call.refused(name, Refusal::Exists));
        }
        for count in self.quotas.count(call.kind, call.namespace, 1) {
            if let Some(limit) = &count.limit {
                let value = call.kind.storage.count(call.kind.resource(), call.namespace).await?;
                if value + count.delta > limit.most {
                    return Err(call.refused(name, Refusal::Exceeded { count, value }));
                }
            }
        }
        Ok(())
    }
}

impl Call<'_> {
    /// Gives a new object what only the server gives.
    fn begin_life(&self, new: &mut Value, now: i64) -> Result<()> {
        if self.kind.status
            && let Some(map) = new.as_object_mut()
        {
            map.remove("status");
        }
        if !new.meta_text("resourceVersion").is_empty() {
            return Err(Error::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let metadata = new.metadata_mut();
        for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            metadata.remove(field);
        }
        if self.kind.is_namespaced() {
            match metadata.get("namespace").and_then(Value::as_str).unwrap_or("") {
                "" => drop(metadata.insert("namespace".to_owned(), self.namespace.into())),
                given if given == self.namespace => {}
                _ => {
                    return Err(Error::bad_request(
                        "the namespace of the provided object does not match the namespace sent on the request",
                    ));
                }
            }
        }
        metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
        metadata.insert("creationTimestamp".to_owned(), clock::rfc3339(now).into());
        if self.kind.generation {
            metadata.insert("generation".to_owned(), 1.into());
        }
        Ok(())
    }
}
