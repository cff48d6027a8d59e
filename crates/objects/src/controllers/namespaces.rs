//! Namespaces: a living one has a default ServiceAccount; a dying one is emptied and then let go.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Client, Error, ResourceExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Content;
use super::client::{Resource, code, found};
use crate::kinds::FINALIZER;

/// Objects that one request deletes.
const BATCH: u32 = 500;
/// How soon a namespace whose content waits for finalizers is looked at again.
const AGAIN: Duration = Duration::from_millis(500);

struct State {
    client: Client,
    resources: Arc<[Resource]>,
    contents: Vec<Arc<dyn Content>>,
}

pub(super) async fn run(
    client: Client,
    resources: Arc<[Resource]>,
    contents: Vec<Arc<dyn Content>>,
    stopping: CancellationToken,
) {
    let state = Arc::new(State { client: client.clone(), resources, contents });
    let work = Controller::new(Api::<Namespace>::all(client), watcher::Config::default())
        .run(reconcile, retry, state)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a namespace could not be reconciled yet");
            }
        });
    // Whatever it was at is taken up by the next start. A graceful shutdown by kube-rs would wait, perhaps for ever, for a
    // first list that was cut off.
    stopping.run_until_cancelled(work).await;
}

fn retry(_: Arc<Namespace>, error: &Error, _: Arc<State>) -> Action {
    tracing::warn!(%error, "reconciling a namespace failed; it will be tried again");
    Action::requeue(Duration::from_secs(2))
}

async fn reconcile(namespace: Arc<Namespace>, state: Arc<State>) -> Result<Action, Error> {
    if namespace.metadata.deletion_timestamp.is_none() {
        state.ensure_default_account(&namespace.name_any()).await?;
        return Ok(Action::await_change());
    }
    let held = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    if !held.is_some_and(|finalizers| finalizers.iter().any(|name| name == FINALIZER)) {
        return Ok(Action::await_change());
    }
    let name = namespace.name_any();
    let remaining = state.empty(&name).await?;
    if remaining.is_empty() {
        state.finalize(&name).await?;
        return Ok(Action::await_change());
    }
    state.report(&namespace, &remaining).await?;
    Ok(Action::requeue(AGAIN))
}

impl State {
    async fn ensure_default_account(&self, namespace: &str) -> Result<(), Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        if found(accounts.get_metadata("default").await)?.is_some() {
            return Ok(());
        }
        let metadata = ObjectMeta { name: Some("default".to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        match accounts.create(&PostParams::default(), &account).await {
            // Somebody was faster, or the namespace began to go, or there is no such kind here.
            Err(error) if [403, 404, 409].contains(&code(&error)) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Deletes what the namespace holds; returns what is left, as `resource has N`.
    async fn empty(&self, namespace: &str) -> Result<Vec<String>, Error> {
        let mut remaining = Vec::new();
        for resource in self.resources.iter().filter(|resource| resource.namespaced && resource.can("deletecollection"))
        {
            let objects = resource.objects(&self.client, namespace);
            let one = ListParams::default().limit(1);
            let mut before = i64::MAX;
            loop {
                let list = objects.list_metadata(&one).await?;
                let left = list.items.len() as i64 + list.metadata.remaining_item_count.unwrap_or(0);
                if left == 0 {
                    break;
                }
                if left >= before {
                    // A batch removed nothing: the rest waits for finalizers.
                    remaining.push(format!("{} has {left}", resource.api.plural));
                    break;
                }
                before = left;
                let batch = ListParams::default().limit(BATCH);
                objects.delete_collection(&DeleteParams::background(), &batch).await?;
            }
        }
        for content in &self.contents {
            match content.empty(namespace).await {
                Ok(left) => remaining.extend(left),
                Err(error) => {
                    tracing::warn!(%error, namespace, "what a namespace holds besides objects can't be deleted yet");
                    remaining.push("content outside the object API can't be deleted yet".to_owned());
                }
            }
        }
        Ok(remaining)
    }

    /// Tells the namespace's readers what it waits for.
    async fn report(&self, namespace: &Namespace, remaining: &[String]) -> Result<(), Error> {
        let message = format!("Some content in the namespace has finalizers remaining: {}", remaining.join(", "));
        let conditions = namespace.status.as_ref().and_then(|status| status.conditions.as_ref());
        if conditions.into_iter().flatten().any(|condition| condition.message.as_ref() == Some(&message)) {
            return Ok(());
        }
        let condition = NamespaceCondition {
            last_transition_time: Some(Time(k8s_openapi::jiff::Timestamp::now())),
            message: Some(message),
            reason: Some("SomeFinalizersRemain".to_owned()),
            status: "True".to_owned(),
            type_: "NamespaceFinalizersRemaining".to_owned(),
        };
        let patch = json!({"status": {"conditions": [condition]}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let name = namespace.name_any();
        found(namespaces.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await).map(drop)
    }

    /// Takes the finalizer off, whereupon the namespace goes.
    async fn finalize(&self, name: &str) -> Result<(), Error> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let Some(mut namespace) = found(namespaces.get(name).await)? else { return Ok(()) };
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        found(namespaces.replace_subresource("finalize", name, &PostParams::default(), &namespace).await).map(drop)
    }
}
