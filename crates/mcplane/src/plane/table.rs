//! From objects to routes: pure, so that what requests meet can be told without sending any.
//!
//! Hosts are names of a namespace's own, `NAME.NAMESPACE`; nobody routes for another namespace, nor into one. A service has
//! an implicit VirtualService, which one that somebody wrote for the same host takes the place of. What a rollout holds is
//! laid over both.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mcplane_delivery::rollouts::{Held, Holdings};
use mcplane_delivery::routes::{Compiled, Options, Override, Routes, VirtualServiceSpec, compile};
use mcplane_objects::events::Involved;
#[cfg(test)]
use mcplane_serving::services::Pin;
use mcplane_serving::services::{Pins, revision_name, revision_number};
use serde_json::{Value, json};

use super::allowed::Allowed;

/// Where Kubernetes' names of services end.
const ENDS: [&str; 2] = [".svc.cluster.local", ".svc"];
/// The namespace whose services need not name it.
const DEFAULT: &str = "default";

/// An object, as far as routes need it.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) created: String,
    pub(super) labels: HashMap<String, String>,
    pub(super) spec: Value,
}

impl Object {
    /// Reads an object as it is stored.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut value: Value = serde_json::from_str(text).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &value["metadata"];
        let labels = metadata["labels"].as_object().into_iter().flatten();
        Some(Self {
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            uid: text(&metadata["uid"]),
            created: text(&metadata["creationTimestamp"]),
            labels: labels.map(|(key, value)| (key.clone(), text(value))).collect(),
            spec: value["spec"].take(),
        })
    }
}

/// Where one destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A revision of a service.
    Revision(String, String, u64),
    /// Whatever revision of a service is the newest that is ready.
    Newest(String, String),
    /// An address elsewhere.
    Address(String),
}

/// What a table is made from.
pub(super) struct Facts<'f> {
    pub(super) services: &'f Services<'f>,
    pub(super) virtual_services: &'f [Object],
    pub(super) rules: &'f [Object],
    pub(super) holds: &'f Holdings,
    /// The newest revision of a service that is ready.
    pub(super) newest: &'f dyn Fn(&str, &str) -> Option<u64>,
    pub(super) allowed: &'f Allowed,
    pub(super) options: &'f Options,
}

/// All services, found by what they are asked by.
#[derive(Debug, Default)]
pub(super) struct Services<'s> {
    by_name: BTreeMap<(&'s str, &'s str), &'s Object>,
    held: HashMap<(&'s str, &'s str), &'s Held>,
}

impl<'s> Services<'s> {
    pub(super) fn new(all: &'s [Object], holds: &'s Holdings) -> Self {
        let key = |object: &'s Object| (object.namespace.as_str(), object.name.as_str());
        Self {
            by_name: all.iter().map(|object| (key(object), object)).collect(),
            held: holds.services.iter().map(|held| ((held.namespace.as_str(), held.service.as_str()), held)).collect(),
        }
    }

    fn get(&self, namespace: &str, name: &str) -> Option<&'s Object> {
        self.by_name.get(&(namespace, name)).copied()
    }

    fn within<'n>(&'n self, namespace: &'n str) -> impl Iterator<Item = &'s Object> + 'n {
        let range = self.by_name.range((namespace, "")..);
        range.take_while(move |((other, _), _)| *other == namespace).map(|(_, object)| *object)
    }
}

/// A table, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) routes: Routes,
    /// By host and subset of destinations.
    pub(super) places: HashMap<(String, String), Place>,
    /// Whose a host is: namespace, and name of the service or of the host.
    pub(super) owners: HashMap<String, (String, String)>,
    /// The same for hosts of the form `*.…`, without the star.
    pub(super) wild: Vec<(String, (String, String))>,
    pub(super) pins: Pins,
    /// All hosts and subsets that requests may be sent to, also those that are nowhere.
    pub(super) routed: HashSet<(String, String)>,
    /// What was left out, for people.
    pub(super) notes: Vec<Note>,
}

/// What of an object could not be done as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Note {
    /// The object.
    pub(super) of: Involved,
    pub(super) message: String,
}

/// Where a virtual service comes from.
struct Source<'s> {
    namespace: &'s str,
    whose: Involved,
    /// Whose a host of it is.
    owner: &'s dyn Fn(&str) -> (String, String),
    /// Stages of rollouts that were made for it.
    laid: Vec<Override>,
}

/// Makes a table.
pub(super) fn build(facts: &Facts<'_>) -> Built {
    let mut built = Built::default();
    let mut compiled = Vec::new();
    let mut written: Vec<&Object> = facts.virtual_services.iter().collect();
    written.sort_by(|one, other| {
        (&one.created, &one.namespace, &one.name).cmp(&(&other.created, &other.namespace, &other.name))
    });
    for service in written {
        let hosts = facts.hosts(service, &mut built.notes);
        let mut spec = service.spec.clone();
        spec["hosts"] = json!(hosts);
        let owner = |host: &str| (service.namespace.clone(), host.split('.').next().unwrap_or_default().to_owned());
        let laid = facts.holds.virtual_services.iter();
        let laid = laid.filter(|laid| laid.namespace == service.namespace && laid.virtual_service == service.name);
        let source = Source {
            namespace: &service.namespace,
            whose: virtual_service(service),
            owner: &owner,
            laid: laid.map(|laid| laid.stage.clone()).collect(),
        };
        facts.add(source, spec, &mut built, &mut compiled);
    }
    for service in facts.services.by_name.values() {
        let (namespace, name) = (&service.namespace, &service.name);
        let spec = json!({"hosts": all_names(name, namespace), "http": [{"name": "service", "route": [{"destination": {"host": name}}]}]});
        let owner = |_: &str| (namespace.clone(), name.clone());
        let whose = involved("serving.kserve.io/v1beta1", "InferenceService", service);
        facts.add(Source { namespace, whose, owner: &owner, laid: vec![] }, spec, &mut built, &mut compiled);
    }
    for held in &facts.holds.services {
        let pin = built.pins.entry((held.namespace.clone(), held.service.clone())).or_default();
        pin.keep.insert(held.stable);
        pin.traffic = vec![(held.stable, 100)];
        if let Some(next) = &held.next {
            let weight = next.weight.min(100);
            pin.keep.insert(next.number);
            pin.traffic = vec![(next.number, weight), (held.stable, 100 - weight)];
        }
    }
    built.routes = Routes::new(compiled);
    built
}

fn involved(api_version: &str, kind: &'static str, object: &Object) -> Involved {
    let (namespace, name, uid) = (object.namespace.clone(), object.name.clone(), object.uid.clone());
    Involved { api_version: api_version.to_owned(), kind, namespace, name, uid }
}

fn virtual_service(object: &Object) -> Involved {
    involved("networking.istio.io/v1", "VirtualService", object)
}

/// All names of a service.
fn all_names(name: &str, namespace: &str) -> Vec<String> {
    let long = format!("{name}.{namespace}");
    let mut names: Vec<String> = ENDS.iter().map(|end| format!("{long}{end}")).collect();
    names.push(long);
    if namespace == DEFAULT {
        names.push(name.to_owned());
    }
    names
}

/// Name and namespace, if a host is of that form.
fn split(host: &str) -> Option<(&str, &str, bool)> {
    let short = ENDS.iter().find_map(|end| host.strip_suffix(end));
    let (name, namespace) = short.unwrap_or(host).split_once('.')?;
    (!namespace.contains('.')).then_some((name, namespace, short.is_some()))
}

impl Facts<'_> {
    /// The hosts that a virtual service may have, by all their names.
    fn hosts(&self, service: &Object, notes: &mut Vec<Note>) -> Vec<String> {
        let mut hosts = Vec::new();
        for host in service.spec["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let host = host.to_ascii_lowercase();
            match split(&host) {
                None if !host.contains(['.', '*']) => hosts.extend(all_names(&host, &service.namespace)),
                Some((name, namespace, _)) if namespace == service.namespace => {
                    hosts.extend(all_names(name, namespace))
                }
                Some((_, namespace, sure)) if sure || self.services.within(namespace).next().is_some() => {
                    let message = format!("host {host:?} is of namespace {namespace:?} and left out");
                    notes.push(Note { of: virtual_service(service), message });
                }
                _ => hosts.push(host),
            }
        }
        hosts
    }

    /// Compiles one virtual service, and finds the places that it sends to.
    fn add(&self, source: Source<'_>, mut spec: Value, built: &mut Built, compiled: &mut Vec<(String, Compiled)>) {
        let Source { namespace, whose, owner, laid: mut stages } = source;
        let note = |message| Note { of: whose.clone(), message };
        // By `get_mut`: an index would write a null where there is nothing.
        for rule in spec.get_mut("http").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(route) = rule.get_mut("route").and_then(Value::as_array_mut) else { continue };
            for destination in route.iter_mut() {
                let Some(to) = destination.get_mut("destination").and_then(Value::as_object_mut) else { continue };
                let host = to.get("host").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
                to.insert("host".to_owned(), canonical(&host, namespace).into());
            }
            stages.extend(self.expand(namespace, route));
            for destination in route.iter() {
                let text = |field: &str| destination["destination"][field].as_str().unwrap_or_default().to_owned();
                let (host, subset) = (text("host"), text("subset"));
                let port = destination["destination"]["port"]["number"].as_u64();
                built.routed.insert((host.clone(), subset.clone()));
                match self.place(namespace, &host, &subset, port) {
                    Ok(place) => {
                        if let Place::Revision(namespace, name, number) = &place {
                            built.pins.entry((namespace.clone(), name.clone())).or_default().keep.insert(*number);
                        }
                        built.places.insert((host, subset), place);
                    }
                    Err(message) => built.notes.push(note(message)),
                }
            }
        }
        let read = serde_json::from_value::<VirtualServiceSpec>(spec.clone()).map_err(|error| error.to_string());
        let made = read.and_then(|spec| {
            compile(&spec, self.options)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        });
        let mut made = match made {
            Ok(made) => made,
            Err(why) => return built.notes.push(note(format!("it is left out: {why}"))),
        };
        built.notes.extend(made.notes.iter().map(|message| note(message.clone())));
        for stage in &stages {
            made.overlay(stage);
        }
        for host in spec["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            match host.strip_prefix('*') {
                Some(end) => built.wild.push((end.to_owned(), owner(host))),
                None => drop(built.owners.entry(host.to_owned()).or_insert_with(|| owner(host))),
            }
        }
        compiled.push((namespace.to_owned(), made));
    }

    /// A rule that sends everything to one service sends it to the service's revisions, so that answers tell which it was.
    fn expand(&self, namespace: &str, route: &mut Vec<Value>) -> Option<Override> {
        let [only] = route.as_mut_slice() else { return None };
        let destination = &only["destination"];
        let (name, _, _) = split(destination["host"].as_str()?)?;
        let (name, bare) = (name.to_owned(), destination["subset"].as_str().unwrap_or_default().is_empty());
        self.services.get(namespace, &name).filter(|_| bare)?;
        let Some(held) = self.services.held.get(&(namespace, name.as_str())) else {
            let newest = (self.newest)(namespace, &name)?;
            only["destination"]["subset"] = revision_name(&name, newest).into();
            return None;
        };
        only["destination"]["subset"] = revision_name(&name, held.stable).into();
        let next = held.next.as_ref().filter(|next| next.number != held.stable)?;
        let mut other = only.clone();
        other["destination"]["subset"] = revision_name(&name, next.number).into();
        only["weight"] = 100.into();
        other["weight"] = 0.into();
        route.push(other);
        Some(Override {
            version: revision_name(&name, next.number),
            stable: revision_name(&name, held.stable),
            audiences: next.audiences.clone(),
            weight: next.weight,
        })
    }

    /// Where a destination of that namespace is.
    fn place(&self, namespace: &str, host: &str, subset: &str, port: Option<u64>) -> Result<Place, String> {
        let own = split(host).filter(|(_, other, _)| *other == namespace).map(|(name, _, _)| name);
        let Some(name) = own else {
            if !self.allowed.has(host) {
                return Err(format!(
                    "destination {host:?} is no service of the namespace, and serving.upstreams does not name it"
                ));
            }
            return Ok(Place::Address(format!("{host}:{}", port.unwrap_or(80))));
        };
        let service = self.services.get(namespace, name);
        if subset.is_empty() {
            let service = service.ok_or_else(|| format!("there is no service {name:?}"))?;
            return Ok(Place::Newest(service.namespace.clone(), service.name.clone()));
        }
        if let Some(number) = service.and_then(|_| revision_number(name, subset)) {
            return Ok(Place::Revision(namespace.to_owned(), name.to_owned(), number));
        }
        self.of_subset(namespace, name, subset)
    }

    /// A subset is the service of the host's application that has the labels which a DestinationRule gives it.
    fn of_subset(&self, namespace: &str, name: &str, subset: &str) -> Result<Place, String> {
        let host = canonical(name, namespace);
        let rules = self.rules.iter().filter(|rule| rule.namespace == namespace);
        let mut rules = rules.filter(|rule| {
            canonical(&rule.spec["host"].as_str().unwrap_or_default().to_ascii_lowercase(), namespace) == host
        });
        let labels = rules.find_map(|rule| {
            let subsets = rule.spec["subsets"].as_array()?;
            subsets.iter().find(|one| one["name"] == subset)?["labels"].as_object().cloned()
        });
        let labels = labels.filter(|labels| !labels.is_empty());
        let labels = labels.ok_or_else(|| format!("no DestinationRule gives subset {subset:?} of {name:?} labels"))?;
        let fits = |service: &&Object| {
            let belongs = service.name == name || service.labels.get("app").is_some_and(|app| app == name);
            let has = |(key, value): (&String, &Value)| service.labels.get(key).map(String::as_str) == value.as_str();
            belongs && labels.iter().all(has)
        };
        let found: Vec<&Object> = self.services.within(namespace).filter(fits).collect();
        match found.as_slice() {
            [service] => Ok(Place::Newest(namespace.to_owned(), service.name.clone())),
            [] => Err(format!("no service with label app={name} has the labels of subset {subset:?}")),
            several => {
                let names: BTreeSet<&str> = several.iter().map(|service| service.name.as_str()).collect();
                Err(format!("subset {subset:?} of {name:?} fits several services: {names:?}"))
            }
        }
    }
}

/// A host of a namespace as `NAME.NAMESPACE`; others as they are.
fn canonical(host: &str, namespace: &str) -> String {
    match split(host) {
        Some((name, namespace, true)) => format!("{name}.{namespace}"),
        None if !host.contains(['.', ':']) => format!("{host}.{namespace}"),
        _ => host.to_owned(),
    }
}

impl Built {
    /// Whose a host is.
    pub(super) fn owner(&self, host: &str) -> Option<&(String, String)> {
        let wild = || {
            let fits = self.wild.iter().filter(|(end, _)| host.len() > end.len() && host.ends_with(end.as_str()));
            fits.max_by_key(|(end, _)| end.len()).map(|(_, owner)| owner)
        };
        self.owners.get(host).or_else(wild)
    }

    /// What is said of a service.
    #[cfg(test)]
    fn pin(&self, namespace: &str, name: &str) -> Pin {
        self.pins.get(&(namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
