//! Patches: JSON, merge and strategic merge.

use mcplane_apimachinery::codec::Decoded;
use mcplane_apimachinery::patch as patches;
use mcplane_core::{Error, Grant, Result, Subject};
use serde_json::Value;

use super::update::TRIES;
use super::{Call, Objects, WriteOptions, Written};
use crate::object::ObjectExt as _;
use crate::storage::Refusal;

/// A patch, parsed.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// RFC 6902.
    Json(Value),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own: lists are merged by the keys that the schema names.
    Strategic(Value),
}

impl Objects {
    /// Changes the object, or its subresource, by a patch, in which `duplicates` were found. A patch that names no revision
    /// is applied again to what others wrote meanwhile.
    ///
    /// # Errors
    /// As for [`Objects::update`], and `UnsupportedMediaType` for strategic merge patches of kinds without them.
    pub async fn patch(
        &self,
        grant: &Grant,
        version: &str,
        patch: &Patch,
        duplicates: &[String],
        options: &WriteOptions,
    ) -> Result<Written> {
        let call = self.call(grant, version)?;
        for _ in 0..TRIES {
            let old = call.kind.storage.get(&call.key()).await?.ok_or_else(|| call.not_found())?;
            let patched = call.apply(patch, call.parse(&old)?)?;
            let (new, warnings) = call.intake(Decoded { value: patched, duplicates: duplicates.to_vec() }, options)?;
            call.check_identity(&new)?;
            if new.revision()?.is_some_and(|revision| revision != old.revision) {
                return Err(call.modified());
            }
            match self.replace(&call, &old, new, options.dry_run).await? {
                Ok(object) => return Ok(Written { object, warnings }),
                Err(Refusal::Changed) => {}
                Err(refusal) => return Err(call.refused(call.name, refusal)),
            }
        }
        Err(call.modified())
    }
}

impl Call<'_> {
    fn apply(&self, patch: &Patch, before: Value) -> Result<Value> {
        let patched = match patch {
            Patch::Json(operations) => patches::json::apply(before, operations),
            Patch::Merge(patch) => patches::merge::apply(before, patch),
            Patch::Strategic(_) if !self.kind.strategic_merge => {
                return Err(Error::UnsupportedMediaType(format!(
                    "{} takes JSON and merge patches, not strategic merge patches",
                    self.kind.plural
                )));
            }
            Patch::Strategic(patch) => {
                let schema = self.kind.schema(self.version).ok_or_else(|| Error::internal("a kind without schema"))?;
                patches::strategic::apply(before, patch, schema)
            }
        };
        patched.map_err(|error| error.into_error(Subject::new(self.kind.group, self.kind.kind, self.name)))
    }
}
