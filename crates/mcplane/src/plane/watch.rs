//! Keeps the gateway's table true to the objects.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use mcplane_core::Clock;
use mcplane_delivery::gateway::{Addresses, Gateway, Upstream, Upstreams};
use mcplane_delivery::rollouts::{Holdings, Holds};
use mcplane_delivery::routes::Options;
use mcplane_delivery::scope::COMPONENT;
use mcplane_objects::Mirror;
use mcplane_objects::events::{self, Weight};
use mcplane_serving::Predictions;
use mcplane_serving::http::{self, Limits};
use mcplane_serving::services::{Fleet, Service};
use tokio::sync::Notify;

use super::allowed::Allowed;
use super::metrics::Counted;
use super::model::Model;
use super::table::{Built, Facts, Note, Object, Place, Services, build};

/// The newest table, for whoever asks whose a host is.
pub(super) type Known = Arc<RwLock<Option<Arc<Built>>>>;

/// What outlives a table.
#[derive(Default)]
struct Kept {
    /// Routes of services, made once for each.
    doors: HashMap<(String, String), (Arc<Service>, Router)>,
    /// Addresses elsewhere, which remember whether they could be reached.
    addresses: HashMap<String, Arc<Addresses>>,
    /// What was said of tables before.
    notes: HashSet<Note>,
}

pub(super) struct Watcher {
    pub(super) services: Mirror<Object>,
    pub(super) virtual_services: Mirror<Object>,
    pub(super) rules: Mirror<Object>,
    /// Told of each change of an object.
    pub(super) changed: Arc<Notify>,
    pub(super) holds: Holds,
    pub(super) fleet: Arc<Fleet>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) allowed: Allowed,
    pub(super) options: Options,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) listeners: Arc<[Arc<dyn Predictions>]>,
    pub(super) built: Known,
    pub(super) counted: Counted,
    /// Who tells of what could not be routed.
    pub(super) client: kube::Client,
}

impl Watcher {
    /// Makes a table after each change; changes that come together are one.
    pub(super) async fn run(mut self) {
        let mut loaded = self.fleet.changes();
        let mut kept = Kept::default();
        let mut held = true;
        loop {
            let holds = self.holds.borrow_and_update().clone();
            if let Some(holds) = holds {
                self.publish(&holds, &mut kept);
            }
            tokio::select! {
                () = self.changed.notified() => {}
                // The fleet outlives this task.
                _ = loaded.changed() => {}
                changed = self.holds.changed(), if held => held = changed.is_ok(),
            }
        }
    }

    fn publish(&self, holds: &Holdings, kept: &mut Kept) {
        let all =
            |mirror: &Mirror<Object>| -> Vec<Object> { mirror.all().iter().map(|object| (**object).clone()).collect() };
        let (services, virtual_services, rules) = (all(&self.services), all(&self.virtual_services), all(&self.rules));
        let uids: HashMap<(&str, &str), &str> =
            services.iter().map(|one| ((one.namespace.as_str(), one.name.as_str()), one.uid.as_str())).collect();
        self.fleet.retain(|namespace, name, uid| uids.get(&(namespace, name)) == Some(&uid));
        let newest = |namespace: &str, name: &str| {
            self.fleet.get(namespace, name)?.newest().map(|running| running.revision.number)
        };
        let mut built = build(&Facts {
            services: &Services::new(&services, holds),
            virtual_services: &virtual_services,
            rules: &rules,
            holds,
            newest: &newest,
            allowed: &self.allowed,
            options: &self.options,
        });
        let upstreams = self.upstreams(&built, kept);
        self.counted.route(std::mem::take(&mut built.routed));
        self.gateway.replace(std::mem::take(&mut built.routes), upstreams);
        self.fleet.pin(std::mem::take(&mut built.pins));
        let notes: HashSet<Note> = std::mem::take(&mut built.notes).into_iter().collect();
        let news: Vec<Note> = notes.difference(&kept.notes).cloned().collect();
        kept.notes = notes;
        self.report(news);
        *self.built.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(built));
    }

    /// Says what is not as it was written, to those who look at the object and in the log.
    fn report(&self, notes: Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        let (client, now) = (self.client.clone(), self.clock.now());
        // Routes wait for nobody's reading.
        tokio::spawn(async move {
            for Note { of, message } in notes {
                let (kind, namespace, name) = (of.kind, &of.namespace, &of.name);
                tracing::warn!(kind, namespace, name, message, "a route is not as it was written");
                events::tell(&client, COMPONENT, &of, (Weight::Warning, "NotAsWritten", &message), now).await;
            }
        });
    }

    fn upstreams(&self, built: &Built, kept: &mut Kept) -> Upstreams {
        let mut upstreams = Upstreams::default();
        for ((host, subset), place) in &built.places {
            let upstream = match place {
                Place::Newest(namespace, name) => self.model(namespace, name, None, kept),
                Place::Revision(namespace, name, number) => self.model(namespace, name, Some(*number), kept),
                Place::Address(address) => elsewhere(address, kept).map(Upstream::Http),
            };
            if let Some(upstream) = upstream {
                upstreams.insert(host, subset, upstream);
            }
        }
        kept.doors.retain(|(namespace, name), _| self.fleet.get(namespace, name).is_some());
        let named = |one: &String| built.places.values().any(|place| matches!(place, Place::Address(a) if a == one));
        kept.addresses.retain(|address, _| named(address));
        upstreams
    }

    /// A service or a revision of it, if it is there.
    fn model(&self, namespace: &str, name: &str, number: Option<u64>, kept: &mut Kept) -> Option<Upstream> {
        let service = self.fleet.get(namespace, name)?;
        let held = match number {
            Some(number) => Some(service.running(number)?),
            None => None,
        };
        let key = (namespace.to_owned(), name.to_owned());
        let routes = match kept.doors.get(&key).filter(|(known, _)| Arc::ptr_eq(known, &service)) {
            Some((_, routes)) => routes.clone(),
            None => {
                let routes = http::routes(http::Door {
                    repository: Arc::clone(service.repository()),
                    limits: self.limits,
                    listeners: Arc::clone(&self.listeners),
                    clock: Arc::clone(&self.clock),
                });
                kept.doors.insert(key, (Arc::clone(&service), routes.clone()));
                routes
            }
        };
        Some(Upstream::Local(Arc::new(Model { service, held, routes })))
    }
}

/// An address, with what is known of it.
fn elsewhere(address: &str, kept: &mut Kept) -> Option<Arc<Addresses>> {
    if let Some(known) = kept.addresses.get(address) {
        return Some(Arc::clone(known));
    }
    let made = Arc::new(Addresses::new([address.parse().ok()?]));
    kept.addresses.insert(address.to_owned(), Arc::clone(&made));
    Some(made)
}
