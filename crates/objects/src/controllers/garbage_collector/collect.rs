//! What is done with one object of the graph.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::ObjectMeta;
use kube::{Client, Error, ResourceExt as _};
use serde_json::json;

use super::graph::{FOREGROUND, Graph, Node, ORPHAN, Owner, Verdict, group, judge};
use super::queue::Outcome;
use crate::controllers::client::{Resource, code, found};

const PAGE: u32 = 500;

pub(super) struct Collector {
    client: Client,
    resources: Arc<[Resource]>,
    graph: Arc<Mutex<Graph>>,
}

impl Collector {
    pub(super) fn new(client: Client, resources: Arc<[Resource]>, graph: Arc<Mutex<Graph>>) -> Self {
        Self { client, resources, graph }
    }

    /// Looks at the object with this uid and does what is due.
    pub(super) async fn attend(&self, uid: String) -> Outcome {
        let known = self.graph.lock().unwrap_or_else(PoisonError::into_inner).get(&uid).cloned();
        let Some(node) = known else { return Outcome::Done };
        let done = if node.orphans_dependents() {
            self.orphan(&node).await
        } else if node.waits_for_dependents() {
            self.let_go_when_alone(&node).await
        } else {
            self.collect(&node).await
        };
        match done {
            Ok(()) => Outcome::Done,
            Err(error) => {
                // Conflicts are ordinary: the object changed, and is looked at again as it is now.
                if code(&error) != 409 {
                    tracing::warn!(%error, name = node.name, "collecting an object failed; it will be tried again");
                }
                Outcome::Retry
            }
        }
    }

    fn has_dependents(&self, uid: &str) -> bool {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner).has_dependents(uid)
    }

    fn dependents(&self, uid: &str) -> Vec<Node> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner).dependents(uid)
    }

    /// Deletes or unlinks an object whose owners went.
    async fn collect(&self, node: &Node) -> Result<(), Error> {
        // As it is now: whoever took it out of its owner's hands before the owner went keeps it, though we hear of the two
        // in any order.
        let Some(object) = found(self.api(node).get_metadata(&node.name).await)? else { return Ok(()) };
        if object.metadata.uid.as_deref() != Some(&node.uid) {
            return Ok(());
        }
        let node = &Node::of(node.resource, &object.metadata);
        let mut owners = Vec::with_capacity(node.owners.len());
        for reference in &node.owners {
            owners.push(self.look_up(node, reference).await?);
        }
        match judge(node, &owners, self.has_dependents(&node.uid)) {
            Verdict::Keep => Ok(()),
            Verdict::Unlink(lost) => self.unlink(node, |owner| lost.contains(&owner.uid)).await,
            Verdict::Delete { foreground } => self.delete(node, object.metadata.resource_version, foreground).await,
        }
    }

    /// The state of an owner, as the server knows it now.
    async fn look_up(&self, node: &Node, reference: &OwnerReference) -> Result<Owner, Error> {
        let wanted = (group(&reference.api_version), reference.kind.as_str());
        let resource = self.resources.iter().find(|resource| (&*resource.api.group, &*resource.api.kind) == wanted);
        // An owner of a kind that nobody serves can't be shown to be gone.
        let Some(resource) = resource else { return Ok(Owner::Solid) };
        if resource.namespaced && node.namespace.is_empty() {
            // An owner in a namespace can't own something outside it; Kubernetes treats it as unknown, too.
            return Ok(Owner::Solid);
        }
        let owner = resource.objects(&self.client, &node.namespace).get_metadata(&reference.name).await;
        Ok(match found(owner)? {
            Some(owner) if owner.metadata.uid.as_deref() == Some(&reference.uid) => {
                if Node::of(0, &owner.metadata).waits_for_dependents() { Owner::Waiting } else { Owner::Solid }
            }
            _ => Owner::Absent,
        })
    }

    /// Deletes the object if it is still as it was judged.
    async fn delete(&self, node: &Node, resource_version: Option<String>, foreground: bool) -> Result<(), Error> {
        let own = |finalizer: &str| node.finalizers.iter().any(|name| name == finalizer);
        let policy = match () {
            () if own(ORPHAN) => PropagationPolicy::Orphan,
            () if foreground || own(FOREGROUND) => PropagationPolicy::Foreground,
            () => PropagationPolicy::Background,
        };
        let preconditions = Preconditions { uid: Some(node.uid.clone()), resource_version };
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        // A conflict tells that it changed, or is another object of that name by now: it will be looked at again.
        match self.api(node).delete(&node.name, &params).await {
            Err(error) if code(&error) == 404 => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Takes the foreground finalizer off once no dependent blocks; sees to it that those that do are on their way.
    async fn let_go_when_alone(&self, node: &Node) -> Result<(), Error> {
        let blocking: Vec<Node> =
            self.dependents(&node.uid).into_iter().filter(|dependent| dependent.blocks(&node.uid)).collect();
        for dependent in blocking.iter().filter(|dependent| !dependent.deleting) {
            self.collect(dependent).await?;
        }
        if blocking.is_empty() { self.drop_finalizer(node, FOREGROUND).await } else { Ok(()) }
    }

    /// Frees the dependents, then lets the owner go. The dependents are read from the server: one that the graph does not
    /// know yet would be collected as soon as its owner is gone.
    async fn orphan(&self, node: &Node) -> Result<(), Error> {
        for (index, resource) in self.resources.iter().enumerate().filter(|(_, resource)| resource.can("patch")) {
            if !resource.namespaced && !node.namespace.is_empty() {
                continue;
            }
            let mut page = ListParams::default().limit(PAGE);
            loop {
                let list = resource.objects(&self.client, &node.namespace).list_metadata(&page).await?;
                for object in &list.items {
                    let dependent = Node::of(index, &object.metadata);
                    if dependent.owners.iter().any(|owner| owner.uid == node.uid) {
                        self.unlink(&dependent, |owner| owner.uid == node.uid).await?;
                    }
                }
                match list.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page = page.continue_token(&token),
                    None => break,
                }
            }
        }
        self.drop_finalizer(node, ORPHAN).await
    }

    /// Removes references to owners.
    async fn unlink(&self, node: &Node, lost: impl Fn(&OwnerReference) -> bool) -> Result<(), Error> {
        self.change(node, |metadata| {
            let owners: Vec<_> = metadata.owner_references().iter().filter(|owner| !lost(owner)).cloned().collect();
            json!({ "ownerReferences": owners })
        })
        .await
    }

    async fn drop_finalizer(&self, node: &Node, finalizer: &str) -> Result<(), Error> {
        self.change(node, |metadata| {
            let kept: Vec<_> = metadata.finalizers().iter().filter(|name| *name != finalizer).cloned().collect();
            json!({ "finalizers": kept })
        })
        .await
    }

    /// Patches the metadata of the object, if it is still the same one and still as it was read.
    async fn change(
        &self,
        node: &Node,
        fields: impl Fn(&kube::core::PartialObjectMeta<kube::api::DynamicObject>) -> serde_json::Value,
    ) -> Result<(), Error> {
        let api = self.api(node);
        let Some(object) = found(api.get_metadata(&node.name).await)? else { return Ok(()) };
        let ObjectMeta { uid, resource_version, .. } = &object.metadata;
        if uid.as_deref() != Some(&node.uid) {
            return Ok(());
        }
        let mut metadata = fields(&object);
        metadata["uid"] = json!(uid);
        metadata["resourceVersion"] = json!(resource_version);
        let patch = json!({ "metadata": metadata });
        found(api.patch_metadata(&node.name, &PatchParams::default(), &Patch::Merge(&patch)).await).map(drop)
    }

    fn api(&self, node: &Node) -> kube::Api<kube::api::DynamicObject> {
        self.resources[node.resource].objects(&self.client, &node.namespace)
    }
}
