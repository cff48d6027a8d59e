//! Keeps the gateway's table true to the objects.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use mcplane_core::Clock;
use mcplane_delivery::gateway::{Addresses, Gateway, Upstream, Upstreams};
use mcplane_delivery::rollouts::{Holdings, Holds};
use mcplane_delivery::routes::Options;
use mcplane_objects::Mirror;
use mcplane_serving::Predictions;
use mcplane_serving::http::{self, Limits};
use mcplane_serving::services::{Fleet, Service};
use tokio::sync::Notify;

use super::allowed::Allowed;
use super::model::Model;
use super::table::{Built, Facts, Object, Place, Services, build};

/// The newest table, for whoever asks whose a host is.
pub(super) type Known = Arc<RwLock<Option<Arc<Built>>>>;

/// Routes of services, made once for each.
type Doors = HashMap<(String, String), (Arc<Service>, Router)>;

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
}

impl Watcher {
    /// Makes a table after each change; changes that come together are one.
    pub(super) async fn run(mut self) {
        let mut loaded = self.fleet.changes();
        let (mut doors, mut notes) = (Doors::new(), Vec::new());
        let mut held = true;
        loop {
            let holds = self.holds.borrow_and_update().clone();
            if let Some(holds) = holds {
                self.publish(&holds, &mut doors, &mut notes);
            }
            tokio::select! {
                () = self.changed.notified() => {}
                // The fleet outlives this task.
                _ = loaded.changed() => {}
                changed = self.holds.changed(), if held => held = changed.is_ok(),
            }
        }
    }

    fn publish(&self, holds: &Holdings, doors: &mut Doors, notes: &mut Vec<String>) {
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
        let upstreams = self.upstreams(&built, doors);
        self.gateway.replace(std::mem::take(&mut built.routes), upstreams);
        self.fleet.pin(std::mem::take(&mut built.pins));
        if built.notes != *notes {
            for note in built.notes.iter().filter(|note| !notes.contains(note)) {
                tracing::warn!(note, "a route is not as it was written");
            }
            notes.clone_from(&built.notes);
        }
        *self.built.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(built));
    }

    fn upstreams(&self, built: &Built, doors: &mut Doors) -> Upstreams {
        let mut upstreams = Upstreams::default();
        for ((host, subset), place) in &built.places {
            let upstream = match place {
                Place::Newest(namespace, name) => self.model(namespace, name, None, doors),
                Place::Revision(namespace, name, number) => self.model(namespace, name, Some(*number), doors),
                Place::Address(address) => {
                    address.parse().ok().map(|address| Upstream::Http(Arc::new(Addresses::new([address]))))
                }
            };
            if let Some(upstream) = upstream {
                upstreams.insert(host, subset, upstream);
            }
        }
        doors.retain(|(namespace, name), _| self.fleet.get(namespace, name).is_some());
        upstreams
    }

    /// A service or a revision of it, if it is there.
    fn model(&self, namespace: &str, name: &str, number: Option<u64>, doors: &mut Doors) -> Option<Upstream> {
        let service = self.fleet.get(namespace, name)?;
        let held = match number {
            Some(number) => Some(service.running(number)?),
            None => None,
        };
        let key = (namespace.to_owned(), name.to_owned());
        let routes = match doors.get(&key).filter(|(known, _)| Arc::ptr_eq(known, &service)) {
            Some((_, routes)) => routes.clone(),
            None => {
                let routes = http::routes(http::Door {
                    repository: Arc::clone(service.repository()),
                    limits: self.limits,
                    listeners: Arc::clone(&self.listeners),
                    clock: Arc::clone(&self.clock),
                });
                doors.insert(key, (Arc::clone(&service), routes.clone()));
                routes
            }
        };
        Some(Upstream::Local(Arc::new(Model { service, held, routes })))
    }
}
