//! Who owns whom, as far as collecting needs it: objects that name owners, and those that wait for their dependents.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Finalizer of an owner whose dependents go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner whose dependents stay.
pub(super) const ORPHAN: &str = "orphan";

/// An object that the collector cares about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Place of the kind among the resources.
    pub(super) resource: usize,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
}

impl Node {
    pub(super) fn of(resource: usize, metadata: &ObjectMeta) -> Self {
        Self {
            resource,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            owners: metadata.owner_references.clone().unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
        }
    }

    pub(super) fn waits_for_dependents(&self) -> bool {
        self.deleting && self.finalizers.iter().any(|name| name == FOREGROUND)
    }

    pub(super) fn orphans_dependents(&self) -> bool {
        self.deleting && self.finalizers.iter().any(|name| name == ORPHAN)
    }

    /// Whether `owner` can't go in the foreground before this object is gone.
    pub(super) fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|reference| reference.uid == owner && reference.block_owner_deletion == Some(true))
    }

    fn matters(&self) -> bool {
        !self.owners.is_empty() || self.waits_for_dependents() || self.orphans_dependents()
    }
}

/// All nodes by uid, and who depends on whom. Objects that nobody owns and that wait for nobody are not held, so that a
/// store of ordinary objects costs the collector no memory.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
    dependents: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub(super) fn dependents(&self, owner: &str) -> Vec<Node> {
        let uids = self.dependents.get(owner).into_iter().flatten();
        uids.filter_map(|uid| self.nodes.get(uid)).cloned().collect()
    }

    pub(super) fn has_dependents(&self, owner: &str) -> bool {
        self.dependents.contains_key(owner)
    }

    /// Uids of the nodes of a resource.
    pub(super) fn of_resource(&self, resource: usize) -> BTreeSet<String> {
        self.nodes.values().filter(|node| node.resource == resource).map(|node| node.uid.clone()).collect()
    }

    /// Uids of all nodes that name an owner of the kind.
    pub(super) fn owned_by_kind(&self, api_group: &str, kind: &str) -> Vec<String> {
        let names = |owner: &OwnerReference| owner.kind == kind && group(&owner.api_version) == api_group;
        self.nodes.values().filter(|node| node.owners.iter().any(names)).map(|node| node.uid.clone()).collect()
    }

    /// Notes the state of an object. Returns the uids that should be looked at again.
    pub(super) fn put(&mut self, node: Node) -> Vec<String> {
        let uid = node.uid.clone();
        let old = self.forget(&uid);
        if !node.matters() {
            return vec![];
        }
        for owner in &node.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        let mut again = vec![uid.clone()];
        // Owners that wait for this object may have one reason less to wait.
        again.extend(old.iter().flat_map(|old| &old.owners).map(|owner| owner.uid.clone()));
        if node.waits_for_dependents() {
            again.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        }
        self.nodes.insert(uid, node);
        again
    }

    /// Notes that an object is gone. Returns the uids that should be looked at again.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<String> {
        let old = self.forget(uid);
        let owners = old.iter().flat_map(|node| &node.owners).map(|owner| owner.uid.clone());
        owners.chain(self.dependents.get(uid).into_iter().flatten().cloned()).collect()
    }

    fn forget(&mut self, uid: &str) -> Option<Node> {
        let old = self.nodes.remove(uid)?;
        for owner in &old.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        Some(old)
    }
}

/// The group of an `apiVersion`.
pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// What is known of one owner of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// It exists and stays.
    Solid,
    /// It is gone, or never was.
    Absent,
    /// It waits for its dependents to go.
    Waiting,
}

/// What to do with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Keep,
    /// Remove the references to these owners; others still hold it.
    Unlink(Vec<String>),
    /// Delete it; in the foreground if it has dependents of its own and its owner waits.
    Delete {
        /// Whether its own dependents go first.
        foreground: bool,
    },
}

/// Decides by what is known of each owner, in the order of the references.
pub(super) fn judge(node: &Node, owners: &[Owner], has_dependents: bool) -> Verdict {
    if node.deleting || node.owners.is_empty() {
        return Verdict::Keep;
    }
    let with = |state: Owner| {
        let pairs = node.owners.iter().zip(owners).filter(move |(_, known)| **known == state);
        pairs.map(|(reference, _)| reference.uid.clone())
    };
    if with(Owner::Solid).next().is_some() {
        let lost: Vec<String> = with(Owner::Absent).chain(with(Owner::Waiting)).collect();
        return if lost.is_empty() { Verdict::Keep } else { Verdict::Unlink(lost) };
    }
    Verdict::Delete { foreground: has_dependents && with(Owner::Waiting).next().is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: &str) -> OwnerReference {
        OwnerReference { uid: uid.into(), block_owner_deletion: Some(true), ..OwnerReference::default() }
    }

    fn node(uid: &str, owners: &[&str]) -> Node {
        Node {
            resource: 0,
            namespace: "n".into(),
            name: uid.into(),
            uid: uid.into(),
            owners: owners.iter().map(|uid| owner(uid)).collect(),
            deleting: false,
            finalizers: vec![],
        }
    }

    #[test]
    fn verdicts() {
        use Owner::{Absent, Solid, Waiting};
        let two = node("x", &["a", "b"]);
        for (owners, has_dependents, expected) in [
            ([Solid, Solid], false, Verdict::Keep),
            ([Solid, Absent], false, Verdict::Unlink(vec!["b".into()])),
            ([Waiting, Solid], true, Verdict::Unlink(vec!["a".into()])),
            ([Absent, Absent], true, Verdict::Delete { foreground: false }),
            ([Absent, Waiting], true, Verdict::Delete { foreground: true }),
            ([Absent, Waiting], false, Verdict::Delete { foreground: false }),
        ] {
            assert_eq!(judge(&two, &owners, has_dependents), expected, "{owners:?}");
        }
        let deleting = Node { deleting: true, ..two };
        assert_eq!(judge(&deleting, &[Absent, Absent], false), Verdict::Keep);
    }

    #[test]
    fn unowned_objects_are_not_held() {
        let mut graph = Graph::default();
        assert_eq!(graph.put(node("root", &[])), Vec::<String>::new());
        assert!(graph.get("root").is_none());
        assert_eq!(graph.put(node("leaf", &["root"])), ["leaf"]);
        assert_eq!(graph.remove("root"), ["leaf"]);
        assert_eq!(graph.remove("leaf"), ["root"]);
        assert!(graph.dependents.is_empty() && graph.nodes.is_empty());
    }

    #[test]
    fn a_waiting_owner_is_looked_at_when_a_dependent_lets_go() {
        let mut graph = Graph::default();
        graph.put(node("leaf", &["root"]));
        let waiting = Node { deleting: true, finalizers: vec![FOREGROUND.into()], ..node("root", &[]) };
        assert_eq!(graph.put(waiting), ["root", "leaf"]);
        assert_eq!(graph.put(node("leaf", &["other"])), ["leaf", "root"]);
    }
}
