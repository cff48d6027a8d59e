//! Makes what is loaded true to the objects, and tells of it in their status.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, Error, ResourceExt as _};
use mcplane_core::{Authorizer, Clock};
use mcplane_db::Db;
use mcplane_objects::events::{self, Involved};
use mcplane_tracking::Tracking;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::fleet::{Fleet, Pins};
use super::load::Registry;
use super::reconcile::{Asked, Desk};
use super::scope::{GROUP, RESOURCE, VERSION};
use super::status::{Facts, Places, news, status};

/// Who tells of services, in events.
const COMPONENT: &str = "serving";
/// Services that are looked at at a time.
const AT_ONCE: u16 = 8;
/// How long one waits whose look failed, or may end otherwise.
const RETRY: Duration = Duration::from_secs(5);

/// What the controller is made of.
pub struct Parts {
    /// The store.
    pub db: Db,
    /// A client of the object API.
    pub client: Client,
    /// The registry.
    pub tracking: Arc<Tracking>,
    /// Who decides what the controller may read.
    pub authorizer: Arc<dyn Authorizer>,
    /// What is loaded.
    pub fleet: Arc<Fleet>,
    /// Where callers find services.
    pub places: Places,
    /// Largest model, in bytes.
    pub most: u64,
}

struct State {
    desk: Desk,
    client: Client,
    clock: Arc<dyn Clock>,
    places: Places,
}

fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, "InferenceService"), RESOURCE)
}

/// Looks after services until `stopping`.
pub async fn run(parts: Parts, stopping: CancellationToken) {
    let Parts { db, client, tracking, authorizer, fleet, places, most } = parts;
    let pins = pinned(&fleet);
    let registry = Registry { tracking, authorizer, most };
    let clock = Arc::clone(db.clock());
    let state = Arc::new(State { desk: Desk { db, fleet, registry }, client: client.clone(), clock, places });
    let all = Api::<DynamicObject>::all_with(client, &resource());
    let work = Controller::new_with(all, watcher::Config::default(), resource())
        .reconcile_on(pins)
        .with_config(Config::default().concurrency(AT_ONCE))
        .run(reconcile, retry, state)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a service could not be looked after yet");
            }
        });
    // Nothing is lost by stopping anywhere: the next start decides anew.
    stopping.run_until_cancelled(work).await;
}

/// Services of which something else is said than before.
fn pinned(fleet: &Fleet) -> impl Stream<Item = ObjectRef<DynamicObject>> + Send + 'static {
    let mut watched = fleet.pins();
    watched.mark_changed();
    let changes = stream::unfold((watched, Arc::new(Pins::new())), |(mut watched, before)| async move {
        watched.changed().await.ok()?;
        let now = watched.borrow_and_update().clone().unwrap_or_default();
        let mut changed: Vec<_> =
            now.iter().filter(|(key, pin)| before.get(*key) != Some(pin)).map(|(key, _)| key.clone()).collect();
        changed.extend(before.keys().filter(|key| !now.contains_key(*key)).cloned());
        Some((stream::iter(changed), (watched, now)))
    });
    changes.flatten().map(|(namespace, name)| ObjectRef::new_with(&name, resource()).within(&namespace))
}

fn retry(_: Arc<DynamicObject>, error: &Error, _: Arc<State>) -> Action {
    tracing::warn!(%error, "looking after a service failed; it will be tried again");
    Action::requeue(RETRY)
}

fn code(error: &Error) -> u16 {
    match error {
        Error::Api(status) => status.code,
        _ => 0,
    }
}

async fn reconcile(known: Arc<DynamicObject>, state: Arc<State>) -> Result<Action, Error> {
    let namespace = known.namespace().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(state.client.clone(), &namespace, &resource());
    // As it is now: nothing may be loaded for a service that is gone, or changed.
    let Some(mut object) = api.get_opt(&known.name_any()).await? else { return Ok(Action::await_change()) };
    let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let service = state.desk.fleet.enter(&namespace, &name, &uid);
    let asked = Asked { namespace: &namespace, name: &name, uid: &uid, spec: &object.data["spec"] };
    let outcome = state.desk.look(&asked, &service).await.map_err(|error| Error::Service(Box::new(error)))?;
    let before = object.data.get("status").cloned().unwrap_or(Value::Null);
    let facts = Facts {
        service: &service,
        newest: outcome.newest.as_ref(),
        trouble: outcome.trouble.as_ref(),
        pin: &outcome.pin,
        places: &state.places,
        generation: object.metadata.generation,
        now: state.clock.now(),
    };
    let after = status(&facts, &before);
    if after != before {
        object.data["status"] = after;
        match api.replace_status(&name, &PostParams::default(), &object).await {
            // It changed, and is looked at again as it is now; or it is gone.
            Err(error) if [404, 409].contains(&code(&error)) => return Ok(Action::requeue(Duration::ZERO)),
            outcome => drop(outcome?),
        }
        if let Some((weight, reason, message)) = news(&before, &object.data["status"]) {
            let about = Involved::of(&format!("{GROUP}/{VERSION}"), "InferenceService", &object.metadata);
            events::tell(&state.client, COMPONENT, &about, (weight, &reason, &message), state.clock.now()).await;
        }
    }
    Ok(if outcome.again { Action::requeue(RETRY) } else { Action::await_change() })
}
