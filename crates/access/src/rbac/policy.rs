//! The snapshot of all roles and bindings, indexed so that a decision looks only at the caller's own bindings.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use mcplane_core::Caller;
use serde_json::Value;

use super::{GROUP, aggregate};

/// What a policy is built from: all objects of the four kinds.
#[derive(Debug, Clone, Default)]
pub struct PolicySource {
    /// All Roles.
    pub roles: Vec<Arc<Role>>,
    /// All ClusterRoles.
    pub cluster_roles: Vec<Arc<ClusterRole>>,
    /// All RoleBindings.
    pub role_bindings: Vec<Arc<RoleBinding>>,
    /// All ClusterRoleBindings.
    pub cluster_role_bindings: Vec<Arc<ClusterRoleBinding>>,
}

impl PolicySource {
    /// Sorts objects of the four kinds, told apart by `kind`, into a source.
    ///
    /// # Errors
    /// If an object is of another kind or does not have its kind's shape.
    pub fn from_manifests(objects: impl IntoIterator<Item = Value>) -> Result<Self, serde_json::Error> {
        let mut source = Self::default();
        for mut object in objects {
            // The generated types insist on a version, which objects inside a list may lack.
            if let Some(fields) = object.as_object_mut() {
                fields.entry("apiVersion").or_insert_with(|| format!("{GROUP}/v1").into());
            }
            match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
                "Role" => source.roles.push(Arc::new(serde_json::from_value(object)?)),
                "ClusterRole" => source.cluster_roles.push(Arc::new(serde_json::from_value(object)?)),
                "RoleBinding" => source.role_bindings.push(Arc::new(serde_json::from_value(object)?)),
                "ClusterRoleBinding" => source.cluster_role_bindings.push(Arc::new(serde_json::from_value(object)?)),
                other => return Err(serde::de::Error::custom(format!("{other:?} is no kind of {GROUP}"))),
            }
        }
        Ok(source)
    }
}

/// Everything that is allowed, at one moment.
#[derive(Debug, Default)]
pub struct Policy {
    roles: HashMap<String, HashMap<String, Arc<[PolicyRule]>>>,
    cluster_roles: HashMap<String, Arc<[PolicyRule]>>,
    users: HashMap<String, Bindings>,
    groups: HashMap<String, Bindings>,
}

#[derive(Debug, Default)]
struct Bindings {
    cluster: Vec<Arc<Binding>>,
    namespaced: HashMap<String, Vec<Arc<Binding>>>,
}

/// One subject of one binding, with the rules that it gets.
#[derive(Debug)]
pub(super) struct Binding {
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    name: String,
    role: RoleRef,
    subject: Subject,
    /// `None` while the role does not exist.
    rules: Option<Arc<[PolicyRule]>>,
}

impl Policy {
    /// Resolves aggregation and role references, and builds the index.
    pub fn build(source: &PolicySource) -> Self {
        let mut policy = Self::default();
        for (name, rules) in aggregate::resolve(&source.cluster_roles) {
            policy.cluster_roles.insert(name.to_owned(), rules.into());
        }
        for role in &source.roles {
            let (Some(namespace), Some(name)) = (&role.metadata.namespace, &role.metadata.name) else { continue };
            let rules = role.rules.clone().unwrap_or_default().into();
            policy.roles.entry(namespace.clone()).or_default().insert(name.clone(), rules);
        }
        for binding in &source.cluster_role_bindings {
            let name = binding.metadata.name.as_deref().unwrap_or_default();
            policy.bind("", name, &binding.role_ref, binding.subjects.as_deref().unwrap_or_default());
        }
        for binding in &source.role_bindings {
            let Some(namespace) = binding.metadata.namespace.as_deref().filter(|n| !n.is_empty()) else { continue };
            let name = binding.metadata.name.as_deref().unwrap_or_default();
            policy.bind(namespace, name, &binding.role_ref, binding.subjects.as_deref().unwrap_or_default());
        }
        policy
    }

    fn bind(&mut self, namespace: &str, name: &str, role: &RoleRef, subjects: &[Subject]) {
        let rules = self.role_rules(role, namespace);
        for subject in subjects {
            let holder = match subject.kind.as_str() {
                "User" => self.users.entry(subject.name.clone()).or_default(),
                "Group" => self.groups.entry(subject.name.clone()).or_default(),
                "ServiceAccount" => {
                    // A service account without a namespace is one of the binding's own namespace.
                    let of = subject.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(namespace);
                    if of.is_empty() {
                        continue;
                    }
                    self.users.entry(format!("system:serviceaccount:{of}:{}", subject.name)).or_default()
                }
                _ => continue,
            };
            let binding = Arc::new(Binding {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                role: role.clone(),
                subject: subject.clone(),
                rules: rules.clone(),
            });
            if namespace.is_empty() {
                holder.cluster.push(binding);
            } else {
                holder.namespaced.entry(namespace.to_owned()).or_default().push(binding);
            }
        }
    }

    /// The rules of the role that a binding in `namespace` (empty for a ClusterRoleBinding) refers to; `None` if there
    /// is no such role.
    pub fn role_rules(&self, role: &RoleRef, namespace: &str) -> Option<Arc<[PolicyRule]>> {
        match role.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(&role.name).cloned(),
            "Role" => self.roles.get(namespace)?.get(&role.name).cloned(),
            _ => None,
        }
    }

    /// Every rule that the caller holds in `namespace`, or across the cluster if it is empty.
    pub fn rules_for(&self, caller: &Caller, namespace: &str) -> Vec<PolicyRule> {
        self.bindings_of(caller, namespace).flat_map(|binding| binding.rules().iter().cloned()).collect()
    }

    /// The namespaces in which the caller has bindings, without repetition.
    pub(super) fn namespaces_of(&self, caller: &Caller) -> BTreeSet<&str> {
        let groups = caller.groups.iter().filter_map(|group| self.groups.get(group));
        let holders = self.users.get(&caller.name).into_iter().chain(groups);
        holders.flat_map(|holder| holder.namespaced.keys()).map(String::as_str).collect()
    }

    /// The caller's bindings that apply in `namespace`, those of the cluster first.
    pub(super) fn bindings_of<'a>(
        &'a self,
        caller: &'a Caller,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Binding> {
        let holders = move || {
            let groups = caller.groups.iter().filter_map(|group| self.groups.get(group));
            self.users.get(&caller.name).into_iter().chain(groups)
        };
        let cluster = holders().flat_map(|holder| &holder.cluster);
        // No RoleBinding is filed under the empty namespace, so requests of the cluster see none.
        let namespaced = holders().filter_map(move |holder| holder.namespaced.get(namespace)).flatten();
        cluster.chain(namespaced).map(Arc::as_ref)
    }
}

impl Binding {
    /// The rules that the binding gives; none while its role does not exist.
    pub(super) fn rules(&self) -> &[PolicyRule] {
        self.rules.as_deref().unwrap_or_default()
    }

    /// What is wrong with a binding whose role does not exist.
    pub(super) fn dangling(&self) -> Option<String> {
        let kind = self.role.kind.to_ascii_lowercase();
        self.rules.is_none().then(|| format!("{kind}.{GROUP} {:?} not found", self.role.name))
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "ClusterRoleBinding {:?}", self.name)?;
        } else {
            write!(f, "RoleBinding {:?}", format!("{}/{}", self.name, self.namespace))?;
        }
        write!(f, " of {} {:?} to {} ", self.role.kind, self.role.name, self.subject.kind)?;
        match self.subject.kind.as_str() {
            "ServiceAccount" => {
                let namespace = self.subject.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(&self.namespace);
                write!(f, "{:?}", format!("{}/{namespace}", self.subject.name))
            }
            _ => write!(f, "{:?}", self.subject.name),
        }
    }
}
