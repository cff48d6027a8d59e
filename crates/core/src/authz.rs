//! Authorisation as a value. Services ask for a [`Grant`]; the only way to get one is to have an [`Authorizer`] allow
//! the [`Attributes`] that it carries, so that a forgotten check does not compile, and a grant for one thing can't be
//! spent on another, because services take the thing from the grant.

use std::borrow::Cow;
use std::sync::Arc;

use crate::context::{Caller, Context};
use crate::error::{Error, Result, Subject};

/// What is to be touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A resource of the object API or a domain's own, in the same terms.
    Resource {
        /// API group; empty for the core group.
        group: String,
        /// Plural resource name.
        resource: String,
        /// Subresource such as `status`; empty for the thing itself.
        subresource: String,
        /// Namespace; empty for cluster-scoped things and for requests across all namespaces.
        namespace: String,
        /// Name; empty for collections.
        name: String,
    },
    /// A path outside the resources, such as `/metrics`.
    Path(String),
}

/// Verb and target of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection` or a verb of the resource's own.
    pub verb: Cow<'static, str>,
    /// What it is to be done to.
    pub target: Target,
}

impl Attributes {
    /// Attributes of a resource request without subresource.
    pub fn resource(
        verb: impl Into<Cow<'static, str>>,
        group: impl Into<String>,
        resource: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            verb: verb.into(),
            target: Target::Resource {
                group: group.into(),
                resource: resource.into(),
                subresource: String::new(),
                namespace: namespace.into(),
                name: name.into(),
            },
        }
    }

    /// Attributes of a request for a path outside the resources.
    pub fn path(verb: impl Into<Cow<'static, str>>, path: impl Into<String>) -> Self {
        Self { verb: verb.into(), target: Target::Path(path.into()) }
    }

    /// The same with a subresource.
    pub fn with_subresource(mut self, wanted: impl Into<String>) -> Self {
        if let Target::Resource { subresource, .. } = &mut self.target {
            *subresource = wanted.into();
        }
        self
    }

    /// The refusal that the caller reads, in Kubernetes' words.
    fn refusal(&self, caller: &Caller, reason: &str) -> Error {
        let (subject, what) = match &self.target {
            Target::Path(path) => (Subject::new("", "", path.clone()), format!("cannot {} path {path:?}", self.verb)),
            Target::Resource { group, resource, subresource, namespace, name } => {
                let full = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
                let scope = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {namespace:?}")
                };
                let what = format!("cannot {} resource {full:?} in API group {group:?} {scope}", self.verb);
                (Subject::new(group.clone(), resource.clone(), name.clone()), what)
            }
        };
        let tail = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let message = format!("{subject} is forbidden: User {:?} {what}{tail}", caller.name);
        Error::Forbidden { subject, message }
    }
}

/// An authorizer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Allowed; the reason names the rule.
    Allow(String),
    /// Not allowed; the reason may be empty.
    Deny(String),
}

/// Decides from what it holds in memory; called once for each request.
pub trait Authorizer: Send + Sync + std::fmt::Debug {
    /// Whether `caller` may do what `attributes` say.
    fn decide(&self, caller: &Caller, attributes: &Attributes) -> Decision;
}

/// Proof that a caller may do one thing. Not constructible outside [`authorize`].
#[derive(Debug, Clone)]
pub struct Grant {
    context: Arc<Context>,
    attributes: Attributes,
}

impl Grant {
    /// Who was allowed.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// What was allowed.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The namespace that it was allowed in. Stores bind every statement to it.
    ///
    /// # Errors
    /// [`Error::Internal`] for a grant across namespaces, or for what is in none.
    pub fn namespace(&self) -> Result<&str> {
        self.namespaces()?.ok_or_else(|| Error::internal("a grant without a namespace"))
    }

    /// The same; `None` for a grant across namespaces.
    ///
    /// # Errors
    /// [`Error::Internal`] for a grant for no resource.
    pub fn namespaces(&self) -> Result<Option<&str>> {
        match &self.attributes.target {
            Target::Resource { namespace, .. } => {
                Ok(Some(namespace.as_str()).filter(|namespace| !namespace.is_empty()))
            }
            Target::Path(_) => Err(Error::internal("a grant for no resource")),
        }
    }

    /// The verb that was allowed.
    pub fn verb(&self) -> &str {
        &self.attributes.verb
    }
}

/// Asks `authorizer`, and gives the proof or the refusal.
///
/// # Errors
/// [`Error::Forbidden`] for a known caller, [`Error::Unauthorized`] for nobody.
pub fn authorize(authorizer: &dyn Authorizer, context: &Arc<Context>, attributes: Attributes) -> Result<Grant> {
    match authorizer.decide(&context.caller, &attributes) {
        Decision::Allow(_) => Ok(Grant { context: Arc::clone(context), attributes }),
        Decision::Deny(_) if context.caller.is_anonymous() => Err(Error::Unauthorized("Unauthorized".to_owned())),
        Decision::Deny(reason) => Err(attributes.refusal(&context.caller, &reason)),
    }
}

/// Allows everything; for tests of what lies behind authorisation.
#[derive(Debug, Clone, Copy)]
pub struct AllowAll;

impl Authorizer for AllowAll {
    fn decide(&self, _: &Caller, _: &Attributes) -> Decision {
        Decision::Allow("everything is allowed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct DenyAll;
    impl Authorizer for DenyAll {
        fn decide(&self, _: &Caller, _: &Attributes) -> Decision {
            Decision::Deny(String::new())
        }
    }

    #[test]
    fn refusal_names_verb_resource_and_scope() {
        let context =
            Arc::new(Context { caller: Caller { name: "eve".into(), ..Caller::default() }, ..Context::system("test") });
        let attributes = Attributes::resource("get", "", "secrets", "prod", "db");
        let error = authorize(&DenyAll, &context, attributes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "secrets \"db\" is forbidden: User \"eve\" cannot get resource \"secrets\" in API group \"\" in the namespace \"prod\""
        );
    }

    #[test]
    fn nobody_is_asked_to_log_in() {
        let context = Arc::new(Context { caller: Caller::anonymous(), ..Context::system("test") });
        let error = authorize(&DenyAll, &context, Attributes::path("get", "/metrics")).unwrap_err();
        assert_eq!(error.http_status(), 401);
    }
}
