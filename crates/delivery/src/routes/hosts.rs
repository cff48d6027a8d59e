//! All virtual services by host, and stages of rollouts over them.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::audience::Audience;
use super::compile::Compiled;
use super::decision::{Decision, Destination, Request};
use super::split::Split;

/// A stage of a rollout: who gets the new version first, and which share of everybody else.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The version that goes out.
    pub version: String,
    /// The version that it takes the place of.
    pub stable: String,
    /// Who gets it whatever the share.
    pub audiences: Vec<Audience>,
    /// Percent of everybody else.
    pub weight: u32,
}

impl Override {
    /// The split with this stage, and the index of the new version; `None` unless both versions are there.
    pub(super) fn over(&self, destinations: &[Arc<Destination>]) -> Option<(Split, usize)> {
        let at = |subset: &str| destinations.iter().position(|destination| destination.subset == subset);
        let (new, stable) = (at(&self.version)?, at(&self.stable)?);
        let weight = self.weight.min(100);
        let names: Vec<String> = destinations.iter().map(|destination| destination.identity()).collect();
        let weights = (0..names.len()).map(|index| match index {
            index if index == new => weight,
            index if index == stable => 100 - weight,
            _ => 0,
        });
        Some((Split::new(names.iter().map(String::as_str).zip(weights))?, new))
    }
}

/// A table for all hosts. It is built as a whole and then only read, so a new one takes its place at once.
#[derive(Debug, Default)]
pub struct Routes {
    exact: HashMap<String, Arc<Compiled>>,
    /// Suffixes of `*.…`, the longest first.
    wild: Vec<(String, Arc<Compiled>)>,
    /// Hosts that a second virtual service named, which was left out there.
    pub conflicts: Vec<String>,
}

impl Routes {
    /// A table of virtual services with their namespaces, the oldest first: where two name one host, the first counts. A
    /// name without a dot is also known as Kubernetes would call it.
    pub fn new(services: impl IntoIterator<Item = (String, Compiled)>) -> Self {
        let mut routes = Self { exact: HashMap::new(), wild: Vec::new(), conflicts: Vec::new() };
        for (namespace, compiled) in services {
            let compiled = Arc::new(compiled);
            for host in &compiled.hosts {
                routes.add(&host.to_ascii_lowercase(), &namespace, &compiled);
            }
        }
        routes.wild.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        routes
    }

    fn add(&mut self, host: &str, namespace: &str, compiled: &Arc<Compiled>) {
        if let Some(suffix) = host.strip_prefix('*') {
            if self.wild.iter().any(|(known, _)| known == suffix) {
                self.conflicts.push(host.to_owned());
            } else {
                self.wild.push((suffix.to_owned(), Arc::clone(compiled)));
            }
            return;
        }
        if self.exact.contains_key(host) {
            self.conflicts.push(host.to_owned());
            return;
        }
        self.exact.insert(host.to_owned(), Arc::clone(compiled));
        if !host.contains('.') {
            let long = format!("{host}.{namespace}");
            for alias in [format!("{long}.svc.cluster.local"), format!("{long}.svc"), long] {
                self.exact.entry(alias).or_insert_with(|| Arc::clone(compiled));
            }
        }
    }

    /// The virtual service of a host, which may have a port and any case.
    pub fn host(&self, authority: &str) -> Option<&Arc<Compiled>> {
        let host = without_port(authority);
        // Most are lower case already.
        if let Some(found) = self.exact.get(host) {
            return Some(found);
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let wild = || self.wild.iter().find(|(suffix, _)| host.len() > suffix.len() && host.ends_with(suffix.as_str()));
        self.exact.get(&host).or_else(|| wild().map(|(_, compiled)| compiled))
    }

    /// Decides for one request; `None` when no host or no rule is its.
    pub fn route(&self, request: &Request<'_>) -> Option<Decision<'_>> {
        self.host(request.authority)?.route(request)
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}
