//! What a kind is: a Rust type, a schema, validation and columns. The engine knows nothing else of it.

use std::fmt;
use std::sync::Arc;

use mcplane_apimachinery::schema::{self, Schema};
use mcplane_core::FieldError;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admission::Admission;
use crate::storage::Storage;
use crate::subresource::{Action, Reading};

/// Where objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// Beside the namespaces.
    Cluster,
}

/// Which rule a name follows.
pub use mcplane_apimachinery::names::NameRule;

/// One column of `kubectl get`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer`, `date`.
    pub format: &'static str,
    /// Shown only by `-o wide` when above 0.
    pub priority: i32,
    /// Makes the cell.
    pub cell: fn(&Value) -> Value,
}

/// The facts of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Served versions, preferred first. They have one shape: nothing is converted but the `apiVersion`.
    pub versions: &'static [&'static str],
    /// `ConfigMap`.
    pub kind: &'static str,
    /// `configmaps`.
    pub plural: &'static str,
    /// `configmap`.
    pub singular: &'static str,
    /// `cm`.
    pub short_names: &'static [&'static str],
    /// Groups of kinds such as `all`.
    pub categories: &'static [&'static str],
    /// Namespaced or not.
    pub scope: Scope,
    /// How names are checked.
    pub name_rule: NameRule,
    /// Whether `status` is a subresource: clients then change it there only.
    pub status: bool,
    /// Whether `metadata.generation` counts changes of what is neither metadata nor status.
    pub generation: bool,
    /// Whether strategic merge patches are taken, as for Kubernetes' own kinds.
    pub strategic_merge: bool,
    /// Whether changes are left out of the audit log: only for kinds that tell of other changes, or beat like a pulse.
    pub unaudited: bool,
    /// Paths, besides name and namespace, that field selectors may name.
    pub selectable: &'static [&'static str],
    /// What clients may do; all the usual verbs unless the kind is a view of something else.
    pub verbs: &'static [&'static str],
    /// Whether the name is the first column.
    pub name_column: bool,
    /// Columns, after the name if that is the first.
    pub columns: &'static [Column],
}

/// The verbs of an ordinary kind.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Kind {
    /// A namespaced kind with the usual behaviour, to be refined by struct update.
    pub const fn namespaced(
        group: &'static str,
        versions: &'static [&'static str],
        kind: &'static str,
        plural: &'static str,
        singular: &'static str,
    ) -> Self {
        Self {
            group,
            versions,
            kind,
            plural,
            singular,
            short_names: &[],
            categories: &[],
            scope: Scope::Namespaced,
            name_rule: NameRule::Dns1123Subdomain,
            status: false,
            generation: false,
            strategic_merge: true,
            unaudited: false,
            selectable: &[],
            verbs: ALL_VERBS,
            name_column: true,
            columns: &[],
        }
    }

    /// A cluster-scoped kind with the usual behaviour.
    pub const fn cluster(
        group: &'static str,
        versions: &'static [&'static str],
        kind: &'static str,
        plural: &'static str,
        singular: &'static str,
    ) -> Self {
        Self { scope: Scope::Cluster, ..Self::namespaced(group, versions, kind, plural, singular) }
    }

    /// `configmaps`, `roles.rbac.authorization.k8s.io`.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `v1`, `networking.istio.io/v1beta1`.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// What clients may do with a subresource of objects; `None` if there is no such one. Actions are apart.
    pub fn subresource_verbs(&self, subresource: &str) -> Option<&'static [&'static str]> {
        match subresource {
            "status" if self.status => Some(&["get", "patch", "update"]),
            "finalize" if self.plural == "namespaces" => Some(&["update"]),
            _ => None,
        }
    }

    /// Whether objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }
}

/// A Rust type that is a kind.
pub trait Resource: DeserializeOwned + Send + Sync + 'static {
    /// The facts.
    const KIND: Kind;

    /// The schema of a version. Kinds of Kubernetes and Istio come with published schemas.
    fn schema(version: &str) -> Option<&'static Schema> {
        schema::builtin(Self::KIND.group, version, Self::KIND.kind)
    }

    /// Components for `/openapi/v3` when the schema is the kind's own; `None` for published schemas.
    fn openapi(_version: &str) -> Option<Value> {
        None
    }

    /// Fills in and normalises what the schema's defaults can't. `old` is the stored object on update.
    fn prepare(_new: &mut Value, _old: Option<&Value>) {}

    /// The rules that a schema can't state. `old` is the stored object on update.
    fn validate(_new: &Self, _old: Option<&Self>) -> Vec<FieldError> {
        vec![]
    }

    /// Puts back what an update of the whole object may not change, though a subresource may.
    fn keep(_new: &mut Value, _old: &Value) {}

    /// Why the object may never be deleted, if so.
    fn refuse_deletion(_object: &Value) -> Option<&'static str> {
        None
    }

    /// Called on the object when its deletion begins but must wait for finalizers.
    fn begin_deletion(_object: &mut Value) {}

    /// Finalizers besides `metadata.finalizers` that hold a deletion up.
    fn holds_deletion(_object: &Value) -> bool {
        false
    }
}

type Check = fn(&Value, Option<&Value>) -> Vec<FieldError>;

/// A kind as the engine uses it.
pub struct RegisteredKind {
    facts: Kind,
    resource: Arc<str>,
    api_versions: Vec<String>,
    schema: fn(&str) -> Option<&'static Schema>,
    openapi: fn(&str) -> Option<Value>,
    pub(crate) prepare: fn(&mut Value, Option<&Value>),
    pub(crate) validate: Check,
    pub(crate) keep: fn(&mut Value, &Value),
    pub(crate) refuse_deletion: fn(&Value) -> Option<&'static str>,
    pub(crate) begin_deletion: fn(&mut Value),
    pub(crate) holds_deletion: fn(&Value) -> bool,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) admission: Vec<Arc<dyn Admission>>,
    pub(crate) actions: Vec<Action>,
    pub(crate) readings: Vec<Reading>,
}

impl std::ops::Deref for RegisteredKind {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        &self.facts
    }
}

impl fmt::Debug for RegisteredKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegisteredKind").field(&self.resource).finish()
    }
}

impl RegisteredKind {
    /// `R` kept in `storage`.
    pub fn new<R: Resource>(storage: Arc<dyn Storage>) -> Self {
        let facts = R::KIND;
        Self {
            facts,
            resource: facts.resource().into(),
            api_versions: facts.versions.iter().map(|version| facts.api_version(version)).collect(),
            schema: R::schema,
            openapi: R::openapi,
            prepare: R::prepare,
            validate: validate::<R>,
            keep: R::keep,
            refuse_deletion: R::refuse_deletion,
            begin_deletion: R::begin_deletion,
            holds_deletion: R::holds_deletion,
            storage,
            admission: vec![],
            actions: vec![],
            readings: vec![],
        }
    }

    /// Adds a check, or a change, that every write of the kind passes before it is stored.
    pub fn admit(mut self, admission: Arc<dyn Admission>) -> Self {
        self.admission.push(admission);
        self
    }

    /// Adds a subresource that does something, such as `serviceaccounts/token`.
    pub fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// Adds a subresource that is read and is no object, such as `pods/log`.
    pub fn reading(mut self, reading: Reading) -> Self {
        self.readings.push(reading);
        self
    }

    /// The name of the kind's collection in the store and in errors.
    pub fn resource(&self) -> &Arc<str> {
        &self.resource
    }

    /// `group/version` at the place of `version` among the served ones.
    pub fn served(&self, version: &str) -> Option<&str> {
        self.versions.iter().position(|v| *v == version).map(|i| self.api_versions[i].as_str())
    }

    /// The schema of a served version.
    pub fn schema(&self, version: &str) -> Option<&'static Schema> {
        (self.schema)(version)
    }

    /// The kind's own OpenAPI components of a served version.
    pub fn openapi(&self, version: &str) -> Option<Value> {
        (self.openapi)(version)
    }
}

fn validate<R: Resource>(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let typed_new = match R::deserialize(new) {
        Ok(typed) => typed,
        // The schema was checked before, so this names what the schema can't say, such as a malformed time.
        Err(error) => return vec![FieldError::invalid("", "", error.to_string())],
    };
    let typed_old = old.and_then(|old| R::deserialize(old).ok());
    R::validate(&typed_new, typed_old.as_ref())
}

/// All kinds. There are few enough of them that a scan finds one as fast as a map.
#[derive(Debug, Default)]
pub struct Registry {
    kinds: Vec<Arc<RegisteredKind>>,
    /// Resources that are only ever created, such as access reviews.
    virtual_actions: Vec<Action>,
}

impl Registry {
    /// Adds a kind.
    pub fn add(&mut self, kind: RegisteredKind) -> &mut Self {
        self.kinds.push(Arc::new(kind));
        self
    }

    /// Adds a resource that is only ever created and never stored, such as `selfsubjectaccessreviews`.
    pub fn add_virtual(&mut self, action: Action) -> &mut Self {
        self.virtual_actions.push(action);
        self
    }

    /// All kinds, in the order in which they were added.
    pub fn kinds(&self) -> &[Arc<RegisteredKind>] {
        &self.kinds
    }

    /// Resources that are only ever created.
    pub fn virtual_actions(&self) -> &[Action] {
        &self.virtual_actions
    }

    /// The kind behind `/apis/GROUP/…/PLURAL`.
    pub fn by_plural(&self, group: &str, plural: &str) -> Option<&Arc<RegisteredKind>> {
        self.kinds.iter().find(|k| k.plural == plural && k.group == group)
    }

    /// The kind named `kind` in `group`.
    pub fn by_kind(&self, group: &str, kind: &str) -> Option<&Arc<RegisteredKind>> {
        self.kinds.iter().find(|k| k.group == group && k.kind == kind)
    }
}
