//! Moves rollouts: follows their objects and what they are of, looks at each interval, and says what traffic does.
//!
//! Rows are the truth, and of several servers any may look: whoever is first in an interval writes, the others read that. A
//! tick is a second, and at once when an object or a rollout moved.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Store;
use mcplane_core::Result;
use mcplane_core::clock::rfc3339;
use mcplane_objects::events::{self, Involved, Weight};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::held::{Holdings, Holds};
use super::service::{Rollouts, Subject};
use super::store::{self, Going};
use super::wanted::{Versions, Wanted, wanted};
use super::{Phase, RolloutSpec, State, target};
use crate::follow::{follow, resource};
use crate::scope::{COMPONENT, OBJECT_GROUP, VERSION};

const TICK: Duration = Duration::from_secs(1);
/// The group of InferenceServices.
const SERVING: &str = "serving.kserve.io";
const ISTIO: &str = "networking.istio.io";

/// What the controller is made of.
pub struct Parts {
    /// The rules.
    pub rollouts: Arc<Rollouts>,
    /// A client that may see and change all objects.
    pub client: kube::Client,
}

struct Controller {
    rollouts: Arc<Rollouts>,
    client: kube::Client,
    objects: Store<DynamicObject>,
    services: Store<DynamicObject>,
    virtual_services: Store<DynamicObject>,
    sender: watch::Sender<Option<Arc<Holdings>>>,
    /// Statuses as they were written, by uid.
    told: HashMap<String, Value>,
    /// Uids whose virtual service was brought to its final weights.
    settled: HashSet<String>,
}

/// Where it will be told what rollouts say, and who says it: [`run`] must be given the sender.
pub fn holds() -> (watch::Sender<Option<Arc<Holdings>>>, Holds) {
    watch::channel(None)
}

/// Moves rollouts until `stopping`.
pub async fn run(parts: Parts, sender: watch::Sender<Option<Arc<Holdings>>>, stopping: CancellationToken) {
    let Parts { rollouts, client } = parts;
    let moved = Arc::new(Notify::new());
    let kind = resource(OBJECT_GROUP, VERSION, "Rollout", "rollouts");
    let (objects, first) = follow(&client, kind, Arc::clone(&moved));
    let kind = resource(SERVING, "v1beta1", "InferenceService", "inferenceservices");
    let (services, second) = follow(&client, kind, Arc::clone(&moved));
    let kind = resource(ISTIO, "v1", "VirtualService", "virtualservices");
    let (virtual_services, third) = follow(&client, kind, Arc::clone(&moved));
    let ready = [objects.clone(), services.clone(), virtual_services.clone()];
    let following = async { futures::join!(first, second, third) };
    let mut controller = Controller {
        rollouts: Arc::clone(&rollouts),
        client,
        objects,
        services,
        virtual_services,
        sender,
        told: HashMap::new(),
        settled: HashSet::new(),
    };
    let working = async {
        for store in ready {
            // Whoever writes it is polled beside this.
            let _ = store.wait_until_ready().await;
        }
        loop {
            if let Err(error) = controller.tick().await {
                tracing::warn!(%error, "rollouts could not be moved; it will be tried again");
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = rollouts.moved.notified() => {}
                // Several changes come at once.
                () = moved.notified() => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::select! {
        _ = following => {}
        () = working => {}
        () = stopping.cancelled() => {}
    }
}

fn spec_of(object: &DynamicObject) -> Option<RolloutSpec> {
    serde_json::from_value(object.data.get("spec")?.clone()).ok()
}

impl Controller {
    async fn tick(&mut self) -> Result<()> {
        let mut rows: HashMap<String, Going> =
            store::all(self.rollouts.db()).await?.into_iter().map(|row| (row.uid.clone(), row)).collect();
        let mut objects = self.objects.state();
        objects.sort_by_key(|object| (object.creation_timestamp().map(|time| time.0), object.uid()));
        let (mut holdings, mut statuses) = (Holdings::default(), Vec::new());
        for object in objects {
            let Some((uid, spec)) = object.uid().zip(spec_of(&object)) else { continue };
            let row = rows.remove(&uid);
            // One that fails must hold up no other, and traffic stays as it was.
            let moved = match self.move_on(&object, &spec, row.as_ref()).await {
                Ok(moved) => moved,
                Err(error) => {
                    tracing::warn!(%error, rollout = object.name_any(), "a rollout could not be moved");
                    row
                }
            };
            let (versions, _) = self.versions(&object.namespace().unwrap_or_default(), &spec);
            let state = moved.as_ref().map(|going| (&going.spec, &going.state));
            let stable = super::wanted::stable(state.map(|(_, state)| state), &versions).map(str::to_owned);
            if let Some(stable) = &stable {
                target::hold(&mut holdings, &object.namespace().unwrap_or_default(), &spec, state, stable);
            }
            statuses.push((object, uid, spec, moved, stable));
        }
        // Traffic first.
        self.publish(holdings);
        for (object, uid, spec, moved, stable) in statuses {
            self.tell(&object, &uid, &spec, moved.as_ref(), stable.as_deref()).await;
        }
        for uid in rows.into_keys() {
            self.told.remove(&uid);
            self.rollouts.forget(&uid).await?;
        }
        Ok(())
    }

    /// Says what traffic does, if that changed.
    fn publish(&self, holdings: Holdings) {
        self.sender.send_if_modified(|said| {
            let differs = said.as_deref() != Some(&holdings);
            if differs {
                *said = Some(Arc::new(holdings));
            }
            differs
        });
    }

    fn versions(&self, namespace: &str, spec: &RolloutSpec) -> (Versions, String) {
        let find = |store: &Store<DynamicObject>, kind, name: &str| {
            store.get(&ObjectRef::new_with(name, kind).within(namespace)).and_then(|o| serde_json::to_value(&*o).ok())
        };
        if spec.service.is_empty() {
            let kind = resource(ISTIO, "v1", "VirtualService", "virtualservices");
            let found = find(&self.virtual_services, kind, &spec.virtual_service);
            return found.map(|service| target::of_virtual_service(&service, &spec.version)).unwrap_or_default();
        }
        let kind = resource(SERVING, "v1beta1", "InferenceService", "inferenceservices");
        let found = find(&self.services, kind, &spec.service);
        (found.map(|service| target::of_service(&service)).unwrap_or_default(), format!("{}.{namespace}", spec.service))
    }

    async fn move_on(
        &mut self,
        object: &DynamicObject,
        spec: &RolloutSpec,
        row: Option<&Going>,
    ) -> Result<Option<Going>> {
        let namespace = object.namespace().unwrap_or_default();
        let (versions, host) = self.versions(&namespace, spec);
        let state = row.map(|row| &row.state);
        match wanted(spec, state, &versions) {
            Wanted::Begin { version, stable } => {
                let subject = Subject { uid: object.uid().unwrap_or_default(), namespace, name: object.name_any() };
                let begun = RolloutSpec { version, paused: false, ..spec.clone() };
                let going = self.rollouts.begin(subject, begun, &stable).await?;
                self.settled.remove(&going.uid);
                self.event(object, &going, "Started").await;
                Ok(Some(going))
            }
            Wanted::Nothing | Wanted::Stay { .. } => {
                let Some(row) = row else { return Ok(None) };
                if row.state.is_over() {
                    self.settle(object, spec, row).await;
                    return Ok(Some(row.clone()));
                }
                let going = self.rollouts.tick(row, &host, spec.paused).await?;
                if going.epoch != row.epoch || going.state.phase != row.state.phase {
                    let phase = format!("{:?}", going.state.phase);
                    self.event(object, &going, &phase).await;
                }
                Ok(Some(going))
            }
        }
    }

    /// Writes the weights of a rollout that is over into its virtual service, so that all stays when the rollout is deleted.
    async fn settle(&mut self, object: &DynamicObject, spec: &RolloutSpec, going: &Going) {
        let key = format!("{}/{}", going.uid, going.step);
        if !spec.service.is_empty() || self.settled.contains(&key) {
            return;
        }
        let namespace = object.namespace().unwrap_or_default();
        let kind = resource(ISTIO, "v1", "VirtualService", "virtualservices");
        let found =
            self.virtual_services.get(&ObjectRef::new_with(&spec.virtual_service, kind.clone()).within(&namespace));
        let Some(mut wanted) = found.map(|service| (*service).clone()) else { return };
        let before = wanted.data.clone();
        target_weights(&mut wanted.data, &going.state, target::weight(&going.spec, &going.state));
        if wanted.data != before {
            // The whole object, so that what somebody else changed meanwhile is not overwritten.
            let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &namespace, &kind);
            let written = api.replace(&spec.virtual_service, &PostParams::default(), &wanted).await;
            if let Err(error) = written {
                tracing::debug!(%error, "a virtual service could not be settled; it will be tried again");
                return;
            }
        }
        self.settled.insert(key);
    }

    async fn event(&self, object: &DynamicObject, going: &Going, reason: &str) {
        let weight = if going.state.phase == Phase::RolledBack { Weight::Warning } else { Weight::Normal };
        let about = Involved::of(&format!("{OBJECT_GROUP}/{VERSION}"), "Rollout", &object.metadata);
        let now = self.rollouts.db().clock().now();
        events::tell(&self.client, COMPONENT, &about, (weight, reason, &going.state.message), now).await;
    }

    /// Writes the status, if it says something else than before.
    async fn tell(
        &mut self,
        object: &DynamicObject,
        uid: &str,
        spec: &RolloutSpec,
        going: Option<&Going>,
        stable: Option<&str>,
    ) {
        let status = status(object, spec, going, stable);
        if self.told.get(uid) == Some(&status) {
            return;
        }
        let namespace = object.namespace().unwrap_or_default();
        let kind = resource(OBJECT_GROUP, VERSION, "Rollout", "rollouts");
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &namespace, &kind);
        let patch = json!({"metadata": {"uid": uid}, "status": status});
        match api.patch_status(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => drop(self.told.insert(uid.to_owned(), status)),
            Err(kube::Error::Api(answer)) if answer.code < 500 => drop(self.told.insert(uid.to_owned(), status)),
            Err(error) => tracing::debug!(%error, "a status could not be written; it will be tried again"),
        }
    }
}

/// Gives the two versions of a rollout their weights in each rule that has both.
fn target_weights(service: &mut Value, state: &State, weight: u32) {
    for rule in service["spec"]["http"].as_array_mut().into_iter().flatten() {
        let Some(routes) = rule.get_mut("route").and_then(Value::as_array_mut) else { continue };
        let has = |routes: &[Value], name: &str| routes.iter().any(|route| route["destination"]["subset"] == name);
        if !(has(routes, &state.version) && has(routes, &state.stable)) {
            continue;
        }
        for route in routes {
            let subset = route["destination"]["subset"].as_str().unwrap_or_default();
            let share = if subset == state.version {
                weight
            } else if subset == state.stable {
                100 - weight
            } else {
                0
            };
            route["weight"] = share.into();
        }
    }
}

fn status(object: &DynamicObject, spec: &RolloutSpec, going: Option<&Going>, stable: Option<&str>) -> Value {
    let generation = object.metadata.generation;
    let Some(going) = going else {
        let message = match stable {
            Some(stable) => format!("{stable} serves; a newer version will go out by {} stages", spec.stages.len()),
            None => "there is no version that serves yet".to_owned(),
        };
        return json!({
            "phase": "Idle", "stable": stable, "message": message, "observedGeneration": generation,
            "version": null, "stage": null, "stageName": null, "weight": null, "since": null, "verdict": null,
            "metrics": null, "lookedAt": null, "conditions": null,
        });
    };
    let state = &going.state;
    let stage = going.spec.stages.get(state.stage);
    let complete = match state.phase {
        Phase::Succeeded => "True",
        Phase::RolledBack => "False",
        _ => "Unknown",
    };
    let condition = json!({
        "type": "Complete", "status": complete, "reason": state.phase, "message": state.message,
        "lastTransitionTime": rfc3339(state.since),
    });
    json!({
        "phase": state.phase,
        "version": state.version,
        "stable": if state.phase == Phase::Succeeded { &state.version } else { &state.stable },
        "stage": state.stage,
        "stageName": stage.map(|stage| stage.name.as_str()),
        "weight": target::weight(&going.spec, state),
        "since": rfc3339(state.since),
        "verdict": state.verdict,
        "message": state.message,
        "metrics": going.judgement.as_ref().map(|judgement| &judgement.metrics),
        "lookedAt": rfc3339(going.looked_at),
        "observedGeneration": generation,
        "conditions": [condition],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_written_where_both_versions_are() {
        let to = |subset: &str, weight: u64| json!({"destination": {"host": "h", "subset": subset}, "weight": weight});
        let mut service = json!({"spec": {"http": [
            {"route": [to("v1", 90), to("v2", 10), to("v3", 0)]}, {"route": [to("v1", 100)]}, {"redirect": {}},
        ]}});
        let spec = RolloutSpec { version: "v2".into(), ..RolloutSpec::default() };
        let (state, _) = State::begin(&spec, "v1", 0);
        target_weights(&mut service, &state, 100);
        assert_eq!(
            service,
            json!({"spec": {"http": [
                {"route": [to("v1", 0), to("v2", 100), to("v3", 0)]}, {"route": [to("v1", 100)]}, {"redirect": {}},
            ]}})
        );
    }
}
