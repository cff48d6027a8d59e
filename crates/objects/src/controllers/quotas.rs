//! ResourceQuotas: their status shows what is used. What is allowed is decided elsewhere, in the transaction of each write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, PostParams};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, Error, ResourceExt as _};
use mcplane_apimachinery::resources::ResourceList;
use mcplane_apimachinery::resources::quota::Quota;
use mcplane_apimachinery::resources::usage::count_names;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Content;
use super::client::code;
use crate::service::Objects;

/// Changes that come together are shown together.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How old what is shown may be of that whose changes are not heard.
const RESYNC: Duration = Duration::from_secs(3);

struct State {
    client: Client,
    objects: Arc<Objects>,
    contents: Vec<Arc<dyn Content>>,
}

pub(super) async fn run(
    client: Client,
    objects: Arc<Objects>,
    contents: Vec<Arc<dyn Content>>,
    stopping: CancellationToken,
) {
    let quotas: Api<ResourceQuota> = Api::all(client.clone());
    let changed = changed_quotas(&objects);
    let state = Arc::new(State { client, objects, contents });
    let work = Controller::new(quotas, watcher::Config::default())
        .with_config(Config::default().debounce(DEBOUNCE))
        .reconcile_on(changed)
        .run(reconcile, retry, state)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a quota could not be reconciled yet");
            }
        });
    // As for namespaces: nothing is lost by stopping anywhere.
    stopping.run_until_cancelled(work).await;
}

/// What uses less once it is over, though it is still there.
const ENDS: &str = "pods";

/// The quotas of namespaces in which something came or went, or ended.
fn changed_quotas(objects: &Arc<Objects>) -> impl futures::Stream<Item = ObjectRef<ResourceQuota>> + Send + 'static {
    let changed = Arc::new(Changed::default());
    for kind in objects.registry().kinds().iter().filter(|kind| kind.is_namespaced()) {
        let (changed, quotas) = (Arc::clone(&changed), objects.quotas().clone());
        let ends = kind.group.is_empty() && kind.plural == ENDS;
        objects.db().feed().observe(kind.resource(), move |change| {
            if change.operation == mcplane_db::Operation::Updated && !ends {
                return;
            }
            let names = quotas.names_in(&change.namespace);
            if !names.is_empty() {
                let keys = names.into_iter().map(|name| (Arc::clone(&change.namespace), name));
                changed.quotas.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
                changed.some.notify_one();
            }
        });
    }
    futures::stream::unfold(changed, |changed| async move {
        loop {
            let next = changed.quotas.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            if let Some((namespace, name)) = next {
                return Some((ObjectRef::new(&name).within(&namespace), changed));
            }
            changed.some.notified().await;
        }
    })
}

/// Quotas that wait to be looked at: each once, so there are never more than quotas.
#[derive(Default)]
struct Changed {
    quotas: Mutex<BTreeSet<(Arc<str>, Arc<str>)>>,
    some: Notify,
}

fn retry(_: Arc<ResourceQuota>, error: &Error, _: Arc<State>) -> Action {
    tracing::warn!(%error, "reconciling a quota failed; it will be tried again");
    Action::requeue(Duration::from_secs(2))
}

async fn reconcile(quota: Arc<ResourceQuota>, state: Arc<State>) -> Result<Action, Error> {
    let namespace = quota.namespace().unwrap_or_default();
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let used = state.used(&namespace, &quota, &hard).await.map_err(|error| Error::Service(Box::new(error)))?;
    let status = ResourceQuotaStatus { hard: Some(hard), used: Some(used) };
    if quota.status.as_ref() != Some(&status) {
        let quotas: Api<ResourceQuota> = Api::namespaced(state.client.clone(), &namespace);
        let mut replacement = (*quota).clone();
        replacement.status = Some(status);
        match quotas.replace_status(&quota.name_any(), &PostParams::default(), &replacement).await {
            // A newer quota is on its way here, or the quota is gone.
            Err(error) if [404, 409].contains(&code(&error)) => {}
            outcome => drop(outcome?),
        }
    }
    // Work that waits for its time is charged, and is no object yet whose coming could be heard.
    let counted_alone =
        quota.spec.iter().flat_map(|spec| spec.hard.iter().flatten()).all(|(name, _)| state.counts(name));
    Ok(if counted_alone { Action::await_change() } else { Action::requeue(RESYNC) })
}

impl State {
    /// Whether a name of a quota is of a number of objects.
    fn counts(&self, name: &str) -> bool {
        let mut kinds = self.objects.registry().kinds().iter().filter(|kind| kind.is_namespaced());
        kinds.any(|kind| count_names(kind.group, kind.plural).iter().any(|counted| counted == name))
    }

    async fn used(
        &self,
        namespace: &str,
        quota: &ResourceQuota,
        hard: &BTreeMap<String, Quantity>,
    ) -> mcplane_core::Result<BTreeMap<String, Quantity>> {
        let mut used: BTreeMap<String, Quantity> =
            hard.keys().map(|name| (name.clone(), Quantity("0".to_owned()))).collect();
        for (name, amount) in self.used_by_contents(namespace, quota).await? {
            if hard.contains_key(&name) {
                used.insert(name, Quantity(amount.to_string()));
            }
        }
        for kind in self.objects.registry().kinds().iter().filter(|kind| kind.is_namespaced()) {
            let names = count_names(kind.group, kind.plural);
            if !names.iter().any(|name| hard.contains_key(name)) {
                continue;
            }
            let count = kind.storage.count(kind.resource(), namespace).await?;
            for name in names.iter().filter(|name| hard.contains_key(*name)) {
                used.insert(name.clone(), Quantity(count.to_string()));
            }
        }
        Ok(used)
    }

    async fn used_by_contents(&self, namespace: &str, quota: &ResourceQuota) -> mcplane_core::Result<ResourceList> {
        let object = serde_json::to_value(quota).map_err(mcplane_core::Error::internal)?;
        let mut used = ResourceList::new();
        // A quota that can't be read limits nothing.
        let Ok(quota) = Quota::from_object(&object) else { return Ok(used) };
        for content in &self.contents {
            for (name, amount) in content.used(namespace, &quota).await? {
                *used.entry(name).or_default() += amount;
            }
        }
        Ok(used)
    }
}
