//! Looks at each interval, keeps windows each second, and sees to it that every service has a monitor.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Store;
use mcplane_core::clock::rfc3339;
use mcplane_core::{Result, Timestamp};
use mcplane_monitoring::bands::{Alert, Level, Notice};
use mcplane_monitoring::live::Looked;
use mcplane_objects::events::{self, Involved, Weight};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::evaluate::labels;
use super::metrics::Metrics;
use super::service::Monitors;
use super::store::{self, Key};
use super::{MonitorSpec, Receiver, Seen, Shown, Watches, evaluate, notify};
use crate::follow::{follow, resource};
use crate::scope::{COMPONENT, OBJECT_GROUP, VERSION};

const TICK: Duration = Duration::from_secs(1);
const SERVING: &str = "serving.kserve.io";
/// The label of monitors that nobody wrote.
const DEFAULT: &str = "mcplane.io/default";
/// Readings of a version that a status has room for.
const MOST_SHOWN: usize = 40;

/// Where a version's training data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reference {
    Training,
    FirstWindow,
    Nothing,
}

impl Reference {
    fn text(self) -> &'static str {
        match self {
            Self::Training => "training data",
            Self::FirstWindow => "its own first window: there is no profile of training data",
            Self::Nothing => "nothing yet: the first window is not full",
        }
    }
}

struct Controller {
    monitors: Arc<Monitors>,
    client: kube::Client,
    objects: Store<DynamicObject>,
    services: Store<DynamicObject>,
    metrics: Metrics,
    watches: HashMap<Key, Watches>,
    references: HashMap<Key, Reference>,
    /// Monitors by uid, as they were when they were looked at.
    looked: HashMap<String, Looks>,
    /// Whether all were looked at since the start.
    began: bool,
}

/// Who is to be told of what.
#[derive(Default)]
struct Told(Vec<(Receiver, Alert)>);

impl Told {
    fn to<'a>(&mut self, receivers: &[Receiver], alerts: impl IntoIterator<Item = &'a Alert>) {
        for alert in alerts {
            self.0.extend(receivers.iter().map(|receiver| (receiver.clone(), alert.clone())));
        }
    }
}

struct Looks {
    at: Timestamp,
    object: Arc<DynamicObject>,
    spec: MonitorSpec,
}

/// What the controller is made of.
pub struct Parts<'a> {
    /// What is known.
    pub monitors: Arc<Monitors>,
    /// A client that may see and change all objects.
    pub client: kube::Client,
    /// Where metrics are named.
    pub registry: &'a mut Registry,
}

/// Watches until `stopping`; windows are kept once more at the end.
pub fn run(parts: Parts<'_>, stopping: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
    let Parts { monitors, client, registry } = parts;
    let metrics = Metrics::default();
    metrics.register(registry, Arc::clone(monitors.hub()));
    let moved = Arc::new(Notify::new());
    let (objects, first) = follow(&client, monitors_kind(), Arc::clone(&moved));
    let (services, second) = follow(&client, services_kind(), moved);
    let ready = objects.clone();
    let telling = notify::run(Arc::clone(&monitors));
    async move {
        let last = Arc::clone(&monitors);
        let mut controller = Controller {
            monitors,
            client,
            objects,
            services,
            metrics,
            watches: HashMap::new(),
            references: HashMap::new(),
            looked: HashMap::new(),
            began: false,
        };
        let working = async {
            // Whoever writes it is polled beside this.
            let _ = ready.wait_until_ready().await;
            controller.work().await;
        };
        tokio::select! {
            _ = async { futures::join!(first, second) } => {}
            () = working => {}
            () = telling => {}
            () = stopping.cancelled() => {}
        }
        if let Err(error) = keep(&last).await {
            tracing::warn!(%error, "the last second of traffic is lost");
        }
    }
}

fn monitors_kind() -> kube::api::ApiResource {
    resource(OBJECT_GROUP, VERSION, "Monitor", "monitors")
}

fn services_kind() -> kube::api::ApiResource {
    resource(SERVING, "v1beta1", "InferenceService", "inferenceservices")
}

/// Keeps windows of traffic that changed.
async fn keep(monitors: &Monitors) -> Result<()> {
    let changed = monitors.hub.changed();
    if changed.is_empty() {
        return Ok(());
    }
    let packed: Vec<(Key, Vec<u8>)> = changed
        .into_iter()
        .map(|kept| (Key { host: kept.host, subset: kept.subset }, store::pack(&kept.traffic)))
        .collect();
    let server = Arc::clone(&monitors.server);
    monitors.db.write(move |tx| Box::pin(async move { store::put_windows(tx, &server, packed).await })).await
}

fn about(notice: &Notice) -> &Alert {
    let (Notice::Raised(alert) | Notice::Resolved(alert)) = notice;
    alert
}

/// Receivers that nobody told of alerts which are open already. After a start those that are there were told before it.
fn fresh(spec: &MonitorSpec, before: Option<Looks>, began: bool) -> Vec<Receiver> {
    let known = before.map(|looks| looks.spec.receivers);
    let is_fresh = |one: &&Receiver| known.as_ref().map_or(began, |known| !known.contains(one));
    spec.receivers.iter().filter(is_fresh).cloned().collect()
}

fn spec_of(object: &DynamicObject) -> Option<MonitorSpec> {
    serde_json::from_value(object.data.get("spec")?.clone()).ok()
}

impl Controller {
    async fn work(&mut self) {
        let states = loop {
            match store::states(&self.monitors.db, &self.monitors.server).await {
                Ok(states) => break states,
                Err(error) => tracing::warn!(%error, "open alerts could not be read; it will be tried again"),
            }
            tokio::time::sleep(TICK).await;
        };
        for (key, _) in &states {
            // What a version was compared with is there again.
            if self.monitors.hub.is_referred(&key.host, &key.subset) {
                self.references.insert(key.clone(), Reference::FirstWindow);
            }
        }
        self.watches = states.into_iter().collect();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = keep(&self.monitors).await {
                tracing::warn!(%error, "windows of traffic could not be kept; it will be tried again");
            }
            self.look_at_all().await;
            self.provide().await;
        }
    }

    async fn look_at_all(&mut self) {
        let now = self.monitors.db.clock().now();
        let objects = self.objects.state();
        let mut uids = HashSet::new();
        for object in objects {
            let Some((uid, spec)) = object.uid().zip(spec_of(&object)) else { continue };
            uids.insert(uid.clone());
            let due = self.looked.get(&uid).is_none_or(|looks| now - looks.at >= spec.interval_ms());
            if !due || !spec.enabled {
                continue;
            }
            let looks = Looks { at: now, object: Arc::clone(&object), spec: spec.clone() };
            let fresh = fresh(&spec, self.looked.insert(uid, looks), self.began);
            if let Err(error) = self.look(&object, &spec, &fresh, now).await {
                tracing::warn!(%error, monitor = object.name_any(), "a service could not be looked at; it will be tried again");
            }
        }
        self.began = true;
        let gone: Vec<String> = self.looked.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
        for uid in gone {
            let Some(looks) = self.looked.remove(&uid) else { continue };
            if let Err(error) = self.leave(&looks, now).await {
                tracing::warn!(%error, "a monitor could not be forgotten; it will be tried again");
                self.looked.insert(uid, looks);
            }
        }
    }

    /// A monitor is gone: whoever was told of its alerts hears that they are over. Windows go with their service.
    async fn leave(&mut self, looks: &Looks, now: Timestamp) -> Result<()> {
        let Looks { object, spec, .. } = looks;
        let namespace = object.namespace().unwrap_or_default();
        let same = |other: &Arc<DynamicObject>| {
            other.namespace().as_deref() == Some(&namespace)
                && spec_of(other).is_some_and(|other| other.service == spec.service)
        };
        if self.objects.state().iter().any(same) {
            return Ok(());
        }
        let served = self.loaded(&namespace, &spec.service).is_some();
        let host = format!("{}.{namespace}", spec.service);
        let (mut notices, mut changed, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for version in self.versions(&host) {
            let seen = self.seen(&namespace, spec, &version);
            let key = Key { host: host.clone(), subset: version };
            let mut watches = self.watches.get(&key).cloned().unwrap_or_default();
            notices.extend(watches.alerts.gone(now, &labels(&seen)));
            self.metrics.forget(&seen);
            if served { changed.push((key, Watches::default())) } else { gone.push(key) }
        }
        let mut told = Told::default();
        told.to(&spec.receivers, notices.iter().map(about));
        self.write(object, changed, gone, told).await
    }

    /// The versions of a host, also those that have been silent since the start.
    fn versions(&self, host: &str) -> BTreeSet<String> {
        let watched = self.watches.keys().filter(|key| key.host == host).map(|key| key.subset.clone());
        self.monitors.hub.versions(host).into_iter().chain(watched).collect()
    }

    fn seen(&self, namespace: &str, spec: &MonitorSpec, version: &str) -> Seen {
        Seen {
            namespace: namespace.to_owned(),
            service: spec.service.clone(),
            version: version.to_owned(),
            server: self.monitors.server.to_string(),
        }
    }

    /// The revisions that a service has loaded, with model and version of each; `None` where there is no InferenceService.
    fn loaded(&self, namespace: &str, service: &str) -> Option<BTreeMap<String, (String, String)>> {
        let found = self.services.get(&ObjectRef::new_with(service, services_kind()).within(namespace))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let revisions = found.data["status"]["revisions"].as_array().into_iter().flatten();
        Some(revisions.map(|one| (text(&one["name"]), (text(&one["model"]), text(&one["version"])))).collect())
    }

    async fn look(
        &mut self,
        object: &DynamicObject,
        spec: &MonitorSpec,
        fresh: &[Receiver],
        now: Timestamp,
    ) -> Result<()> {
        let namespace = object.namespace().unwrap_or_default();
        let host = format!("{}.{namespace}", spec.service);
        let hub = Arc::clone(&self.monitors.hub);
        hub.configure(&host, spec.watch());
        let loaded = self.loaded(&namespace, &spec.service);
        let (mut shown, mut notices, mut changed, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut told = Told::default();
        for version in self.versions(&host) {
            let key = Key { host: host.clone(), subset: version.clone() };
            let seen = self.seen(&namespace, spec, &version);
            let model = loaded.as_ref().and_then(|loaded| loaded.get(&version));
            self.refer(&key, &namespace, model).await?;
            let looked = hub.look(&host, &version, now).unwrap_or_default();
            let mut watches = self.watches.get(&key).cloned().unwrap_or_default();
            if model.is_none() && looked.traffic.requests == 0 {
                notices.extend(watches.alerts.gone(now, &labels(&seen)));
                self.metrics.forget(&seen);
                gone.push(key);
                continue;
            }
            let before = watches.clone();
            told.to(fresh, before.alerts.open());
            let (readings, news) = evaluate(spec, &seen, &looked, &mut watches, now);
            readings.iter().for_each(|reading| self.metrics.reading(&seen, reading));
            self.metrics.alerts(&seen, watches.alerts.open().count());
            let reference = self.references.get(&key).copied().unwrap_or(Reference::Nothing);
            shown.push(version_status(&version, &looked, readings, &watches, reference));
            notices.extend(news);
            if watches != before {
                changed.push((key, watches));
            }
        }
        told.to(&spec.receivers, notices.iter().map(about));
        self.write(object, changed, gone, told).await?;
        let involved = Involved::of(&format!("{OBJECT_GROUP}/{VERSION}"), "Monitor", &object.metadata);
        for notice in &notices {
            let (weight, reason, alert) = match notice {
                Notice::Raised(alert) => (Weight::Warning, "AlertRaised", alert),
                Notice::Resolved(alert) => (Weight::Normal, "AlertResolved", alert),
            };
            let message = alert.annotations.get("summary").map_or("", String::as_str);
            events::tell(&self.client, COMPONENT, &involved, (weight, reason, message), now).await;
        }
        self.tell(object, &shown, now).await;
        Ok(())
    }

    /// Levels, open alerts and what is to be told, in one transaction.
    async fn write(
        &mut self,
        object: &DynamicObject,
        changed: Vec<(Key, Watches)>,
        gone: Vec<Key>,
        Told(told): Told,
    ) -> Result<()> {
        if changed.is_empty() && gone.is_empty() && told.is_empty() {
            return Ok(());
        }
        let server = Arc::clone(&self.monitors.server);
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let (rows, forgotten) = (changed.clone(), gone.clone());
        self.monitors
            .db
            .write(move |tx| {
                Box::pin(async move {
                    for (key, watches) in &rows {
                        store::put_state(tx, &server, key, watches).await?;
                    }
                    for key in &forgotten {
                        store::forget(tx, &server, key).await?;
                    }
                    for (receiver, alert) in &told {
                        let to = (receiver.address(), receiver.format.name());
                        store::add_notice(tx, &namespace, &name, to, alert).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        self.watches.extend(changed);
        for key in gone {
            self.watches.remove(&key);
            self.references.remove(&key);
            self.monitors.hub.forget(&key.host, &key.subset);
        }
        Ok(())
    }

    /// Finds what a version is compared with: training data, or its first window once that is full.
    async fn refer(&mut self, key: &Key, namespace: &str, model: Option<&(String, String)>) -> Result<()> {
        let hub = &self.monitors.hub;
        let known = self.references.get(key).copied();
        if known == Some(Reference::Training) {
            return Ok(());
        }
        if known.is_none() || (known == Some(Reference::FirstWindow) && model.is_some()) {
            let (name, version) = model.map_or(("", ""), |(name, version)| (name.as_str(), version.as_str()));
            let asked = !name.is_empty() && !version.is_empty();
            let profile = if asked { self.monitors.models.profile(namespace, name, version).await } else { None };
            if let Some(profile) = profile {
                hub.refer(&key.host, &key.subset, &profile);
                self.references.insert(key.clone(), Reference::Training);
                return Ok(());
            }
        }
        if hub.is_referred(&key.host, &key.subset) {
            self.references.insert(key.clone(), Reference::FirstWindow);
            return Ok(());
        }
        self.references.insert(key.clone(), Reference::Nothing);
        if let Some(first) = hub.first(&key.host, &key.subset) {
            let (server, row, text) = (Arc::clone(&self.monitors.server), key.clone(), first.to_json());
            self.monitors
                .db
                .write(move |tx| Box::pin(async move { store::put_reference(tx, &server, &row, text).await }))
                .await?;
            hub.refer(&key.host, &key.subset, &first);
            self.references.insert(key.clone(), Reference::FirstWindow);
        }
        Ok(())
    }

    async fn tell(&self, object: &DynamicObject, versions: &[Value], now: Timestamp) {
        let api = Api::<DynamicObject>::namespaced_with(
            self.client.clone(),
            &object.namespace().unwrap_or_default(),
            &monitors_kind(),
        );
        let status = status(object.metadata.generation, versions, now);
        let patch = json!({"metadata": {"uid": object.uid()}, "status": status});
        if let Err(error) = api.patch_status(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            tracing::debug!(%error, "a status could not be written; it will be tried again");
        }
    }

    /// Every service has a monitor: one that somebody wrote, or one with the defaults.
    async fn provide(&self) {
        let objects = self.objects.state();
        let mut of: HashMap<(String, String), Vec<&Arc<DynamicObject>>> = HashMap::new();
        for object in &objects {
            let Some(spec) = spec_of(object) else { continue };
            of.entry((object.namespace().unwrap_or_default(), spec.service)).or_default().push(object);
        }
        for service in self.services.state() {
            let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
            let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &namespace, &monitors_kind());
            let monitors = of.remove(&(namespace, name.clone())).unwrap_or_default();
            if monitors.is_empty() && service.metadata.deletion_timestamp.is_none() {
                let Ok(monitor) = serde_json::from_value::<DynamicObject>(default_monitor(&service, &name)) else {
                    continue;
                };
                if let Err(error) = api.create(&PostParams::default(), &monitor).await {
                    tracing::debug!(%error, service = name, "a monitor could not be made; it will be tried again");
                }
            } else if monitors.len() > 1 {
                for unneeded in monitors.iter().filter(|monitor| monitor.labels().contains_key(DEFAULT)) {
                    let _ = api.delete(&unneeded.name_any(), &DeleteParams::default()).await;
                }
            }
        }
    }
}

fn default_monitor(service: &DynamicObject, name: &str) -> Value {
    json!({
        "apiVersion": format!("{OBJECT_GROUP}/{VERSION}"), "kind": "Monitor",
        "metadata": {
            "name": name,
            "labels": {DEFAULT: "true"},
            "ownerReferences": [{
                "apiVersion": format!("{SERVING}/v1beta1"), "kind": "InferenceService", "name": name, "uid": service.uid(),
            }],
        },
        "spec": {"service": name},
    })
}

fn version_status(
    version: &str,
    looked: &Looked,
    mut readings: Vec<Shown>,
    watches: &Watches,
    reference: Reference,
) -> Value {
    // What is worst, first.
    let rank = |shown: &Shown| (shown.column.is_some(), std::cmp::Reverse(shown.level));
    readings.sort_by(|a, b| rank(a).cmp(&rank(b)).then(b.value.unwrap_or(0.0).total_cmp(&a.value.unwrap_or(0.0))));
    let level = readings.iter().map(|shown| shown.level).max().unwrap_or(Level::Normal);
    let omitted = readings.len().saturating_sub(MOST_SHOWN);
    readings.truncate(MOST_SHOWN);
    let alerts: Vec<Value> = watches
        .alerts
        .open()
        .map(|alert| json!({"name": alert.labels.get("alertname"), "summary": alert.annotations.get("summary"), "since": rfc3339(alert.starts_at)}))
        .collect();
    let traffic = &looked.traffic;
    json!({
        "version": version, "level": level, "requests": traffic.requests, "rate": traffic.rate,
        "p50Milliseconds": traffic.p50_ms, "p95Milliseconds": traffic.p95_ms, "p99Milliseconds": traffic.p99_ms,
        "labelled": looked.right.of, "meanAbsoluteError": looked.error.map(|(mean, _)| mean),
        "comparedWith": reference.text(), "readings": readings, "omittedReadings": omitted, "alerts": alerts,
    })
}

fn status(generation: Option<i64>, versions: &[Value], now: Timestamp) -> Value {
    let level = |version: &Value| match version["level"].as_str() {
        Some("Alert") => Level::Alert,
        Some("Warning") => Level::Warning,
        _ => Level::Normal,
    };
    let worst = versions.iter().map(level).max().unwrap_or(Level::Normal);
    let alerts: Vec<&Value> = versions.iter().filter_map(|version| version["alerts"].as_array()).flatten().collect();
    let rate: f64 = versions.iter().filter_map(|version| version["rate"].as_f64()).sum();
    let message = match alerts.first() {
        Some(alert) => alert["summary"].as_str().unwrap_or_default().to_owned(),
        None if versions.is_empty() => "nothing was served so far".to_owned(),
        None => format!("{} versions, no open alerts", versions.len()),
    };
    json!({
        "level": worst, "openAlerts": alerts.len(), "rate": format!("{rate:.2}"), "message": message,
        "lookedAt": rfc3339(now), "versions": versions, "observedGeneration": generation,
    })
}
