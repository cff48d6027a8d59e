//! A request, and what is decided about it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::HeaderOperations;
use super::split::Split;

/// What of a request decides its way.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host as it was sent, with or without port.
    pub authority: &'a str,
    /// Path without query.
    pub path: &'a str,
    /// Query without `?`.
    pub query: Option<&'a str>,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// Port that it came to.
    pub port: u16,
    /// Where it came from: the peer, or who a trusted proxy says it was.
    pub peer: IpAddr,
    /// Its number, for requests that name no user.
    pub counter: u64,
}

impl<'a> Request<'a> {
    /// The first value of a header, if it is text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A service, a version of it, and what is done to what is sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Service.
    pub host: String,
    /// Version, which a DestinationRule calls a subset; empty for all.
    pub subset: String,
    /// Port, if it is given.
    pub port: Option<u16>,
    pub(super) request_headers: HeaderOperations,
    pub(super) response_headers: HeaderOperations,
}

impl Destination {
    /// A destination without changes of headers.
    pub fn new(host: impl Into<String>, subset: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            subset: subset.into(),
            port: None,
            request_headers: HeaderOperations::default(),
            response_headers: HeaderOperations::default(),
        }
    }

    /// What it is called: the version, or the service where there are none.
    pub fn version(&self) -> &str {
        if self.subset.is_empty() { &self.host } else { &self.subset }
    }

    /// What users are assigned by: the same for the same version, whatever else changes.
    pub(super) fn identity(&self) -> String {
        let mut name = format!("{}|{}", self.host, self.subset);
        if let Some(port) = self.port {
            // Writing to a string can't fail.
            let _ = write!(name, "|{port}");
        }
        name
    }
}

/// How often, and how long, another try is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first.
    pub attempts: u32,
    /// Time for each.
    pub per_try: Option<Duration>,
    /// Envoy's conditions, separated by commas; empty for its default.
    pub on: String,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is sent on.
    Forward(Arc<Destination>),
    /// It is answered with a redirect to this address.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        location: String,
    },
    /// It is answered here.
    Respond {
        /// Status.
        status: u16,
        /// Text.
        body: String,
    },
}

/// Why a version was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// There is only one.
    Only,
    /// The request belongs to a stage's audience, by this part of it.
    Audience(&'static str),
    /// By the hash of the user's name; the version's share is in percent.
    User(f64),
    /// By the request's number; the version's share is in percent.
    Counter(f64),
    /// The rule does not send on.
    Rule,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'t> {
    /// What to do.
    pub action: Action,
    /// Name of the rule, or its index.
    pub rule: &'t str,
    /// Why this version.
    pub reason: Reason,
    /// Path to send on, where it differs.
    pub path: Option<String>,
    /// Host to send on, where it differs.
    pub authority: Option<&'t str>,
    /// Time until the answer must be complete.
    pub timeout: Option<Duration>,
    /// Further tries.
    pub retries: Option<&'t Retries>,
    /// Changes of what is sent on: those of the destination, then those of the rule.
    pub(super) rule_request_headers: &'t HeaderOperations,
    pub(super) rule_response_headers: &'t HeaderOperations,
    /// All destinations of the rule, with their shares.
    pub(super) shared: Option<(&'t [Arc<Destination>], &'t Split)>,
    /// The version that it was for, when another takes its place.
    pub(super) instead_of: Option<Arc<Destination>>,
}

impl<'t> Decision<'t> {
    /// Who of the rule can answer instead: of those with a share, besides those that were `tried`, the one with the greatest.
    pub fn other(&self, tried: &[Arc<Destination>]) -> Option<&'t Arc<Destination>> {
        let Action::Forward(chosen) = &self.action else { return None };
        let (destinations, split) = self.shared?;
        let untried = destinations
            .iter()
            .enumerate()
            .filter(|(_, other)| !Arc::ptr_eq(other, chosen) && !tried.iter().any(|one| Arc::ptr_eq(one, other)));
        let shares = untried.map(|(index, other)| (split.share(index), other)).filter(|(share, _)| *share > 0.0);
        shares.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, other)| other)
    }

    /// Another destination takes the place of the one that was chosen.
    pub fn pass_to(&mut self, other: Arc<Destination>) {
        if let Action::Forward(chosen) = std::mem::replace(&mut self.action, Action::Forward(other)) {
            self.instead_of.get_or_insert(chosen);
        }
    }

    /// Changes the headers of what is sent on.
    pub fn change_request(&self, headers: &mut HeaderMap) {
        if let Action::Forward(destination) = &self.action {
            destination.request_headers.apply(headers);
        }
        self.rule_request_headers.apply(headers);
    }

    /// Changes the headers of the answer.
    pub fn change_response(&self, headers: &mut HeaderMap) {
        if let Action::Forward(destination) = &self.action {
            destination.response_headers.apply(headers);
        }
        self.rule_response_headers.apply(headers);
    }

    /// Why, for people: `rule=canary by=user share=10`, and `instead-of=v2` if that could not be reached.
    pub fn explain(&self) -> String {
        let rule = self.rule;
        let mut text = match self.reason {
            Reason::Only => format!("rule={rule} by=only"),
            Reason::Audience(part) => format!("rule={rule} by={part}"),
            Reason::User(share) => format!("rule={rule} by=user share={share}"),
            Reason::Counter(share) => format!("rule={rule} by=turn share={share}"),
            Reason::Rule => format!("rule={rule}"),
        };
        if let Some(chosen) = &self.instead_of {
            // Writing to a string can't fail.
            let _ = write!(text, " instead-of={}", chosen.version());
        }
        text
    }
}
