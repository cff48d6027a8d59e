//! The object engine: what every kind can do, written once.
//!
//! Each function takes the [`Grant`] that allows it and learns from it alone which object it is about, so that nothing
//! can be done to another object than the one that was authorised.

mod create;
mod delete;
mod intake;
mod list;
mod patch;
mod read;
mod update;
mod watch;

use std::sync::Arc;

use mcplane_core::authz::Target;
use mcplane_core::{Clock, Error, FieldError, Grant, Result, Subject};
use mcplane_db::{Db, audit};
use serde_json::Value;

pub use delete::{DeleteOptions, Deleted, Propagation};
pub use list::{ListOptions, Listed, Pages, VersionMatch};
pub use patch::Patch;
pub use watch::{Event, EventType, Watch, WatchOptions};

use crate::kind::{RegisteredKind, Registry};
use crate::object::Body;
use crate::quota::Quotas;
use crate::storage::{Key, Refusal, Stored, Write};

/// The engine over a set of kinds.
#[derive(Debug)]
pub struct Objects {
    registry: Registry,
    db: Db,
    quotas: Quotas,
}

/// What strict field validation does with unknown and repeated fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drops them silently.
    Ignore,
    /// Drops them and warns.
    #[default]
    Warn,
    /// Refuses the request.
    Strict,
}

/// Options of writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// Do everything but store.
    pub dry_run: bool,
    /// How unknown fields are treated.
    pub field_validation: FieldValidation,
}

/// What a write led to.
#[derive(Debug, Clone)]
pub struct Written {
    /// The object now; its last state if the write made it go.
    pub object: Stored,
    /// What the client should hear besides.
    pub warnings: Vec<String>,
}

/// A grant, resolved: the kind, version and object that a request is about.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) kind: &'a Arc<RegisteredKind>,
    pub(crate) version: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) subresource: &'a str,
}

impl Objects {
    /// An engine over `registry`.
    pub fn new(registry: Registry, db: Db, quotas: Quotas) -> Self {
        Self { registry, db, quotas }
    }

    /// The kinds.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The database beneath.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The quotas in force.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.db.clock()
    }

    /// Resolves what a grant is about.
    pub(crate) fn call<'a>(&'a self, grant: &'a Grant, version: &'a str) -> Result<Call<'a>> {
        let Target::Resource { group, resource, subresource, namespace, name } = &grant.attributes().target else {
            return Err(Error::NoSuchPath);
        };
        let kind = self.registry.by_plural(group, resource).ok_or(Error::NoSuchPath)?;
        let api_version = kind.served(version).ok_or(Error::NoSuchPath)?;
        let verb = grant.verb();
        let verbs = match subresource.as_str() {
            "" => kind.verbs,
            subresource => kind.subresource_verbs(subresource).ok_or(Error::NoSuchPath)?,
        };
        if !verbs.contains(&verb) {
            return Err(Error::MethodNotAllowed(format!(
                "{verb} is not supported on resources of kind {:?}",
                kind.plural
            )));
        }
        Ok(Call { grant, kind, version, api_version, namespace, name, subresource })
    }
}

impl Call<'_> {
    pub(crate) fn key(&self) -> Key {
        self.key_of(self.name)
    }

    pub(crate) fn key_of(&self, name: &str) -> Key {
        Key::new(self.kind.resource(), self.namespace, name)
    }

    /// How errors about the object call it.
    pub(crate) fn subject(&self, name: &str) -> Subject {
        Subject::new(self.kind.group, self.kind.plural, name)
    }

    /// The error for an object that breaks rules of its kind.
    pub(crate) fn invalid(&self, name: &str, causes: Vec<FieldError>) -> Error {
        Error::Invalid { subject: Subject::new(self.kind.group, self.kind.kind, name), causes }
    }

    pub(crate) fn not_found(&self) -> Error {
        Error::NotFound(self.subject(self.name))
    }

    pub(crate) fn conflict(&self, message: impl Into<String>) -> Error {
        Error::Conflict { subject: self.subject(self.name), message: message.into() }
    }

    pub(crate) fn modified(&self) -> Error {
        self.conflict("the object has been modified; please apply your changes to the latest version and try again")
    }

    /// The audit entry of a write that succeeds.
    pub(crate) fn audit(&self, verb: &str, name: &str, code: i64) -> Option<audit::Entry> {
        (!self.kind.unaudited).then(|| crate::audit::entry(self.grant, verb, name, "allowed", code, ""))
    }

    /// What a refused write means to the caller.
    pub(crate) fn refused(&self, name: &str, refusal: Refusal) -> Error {
        let forbidden = |why: String| {
            let subject = self.subject(name);
            let message = format!("{subject} is forbidden: {why}");
            Error::Forbidden { subject, message }
        };
        match refusal {
            Refusal::Exists => Error::AlreadyExists(self.subject(name)),
            Refusal::Missing => Error::NotFound(self.subject(name)),
            Refusal::Changed => self.modified(),
            Refusal::GuardMissing => Error::NotFound(Subject::new("", "namespaces", self.namespace)),
            Refusal::GuardDeleting => forbidden(format!(
                "unable to create new content in namespace {} because it is being terminated",
                self.namespace
            )),
            Refusal::Exceeded { count, value } => forbidden(crate::quota::exceeded(&count, value)),
        }
    }

    pub(crate) async fn write(&self, write: Write) -> Result<std::result::Result<Stored, Refusal>> {
        self.kind.storage.write(write).await
    }

    /// What a dry run shows instead of a stored object.
    pub(crate) fn dry(&self, body: &Body, old: Option<&Stored>, name: &str) -> Stored {
        let revision = old.map_or(0, |old| old.revision);
        let body = if old.is_some() { body.at(revision) } else { body.unrevised() };
        Stored { namespace: self.namespace.into(), name: name.into(), revision, body }
    }

    pub(crate) fn parse(&self, stored: &Stored) -> Result<Value> {
        crate::object::parse_as(self.api_version, self.kind.kind, &stored.body)
    }
}
