//! A VirtualService as a table of rules.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use mcplane_core::FieldError;

use super::audience::Audience;
use super::decision::{Action, Decision, Destination, Reason, Request, Retries};
use super::durations::parse_duration;
use super::matching::{Match, Text};
use super::rewrite::Rewrite;
use super::spec::{HttpRoute, Redirect, RouteDestination, VirtualServiceSpec};
use super::split::{Key, Split};
use super::{HeaderOperations, Override};

/// Rules, matches and destinations of one virtual service together are at most so many.
const MOST_PARTS: usize = 10_000;

/// What the table is told beside the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Headers that name the user; the first that a request has counts.
    pub user_headers: Vec<HeaderName>,
    /// Header that names the region.
    pub region_header: HeaderName,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_headers: vec![HeaderName::from_static("x-user-id")],
            region_header: HeaderName::from_static("x-region"),
        }
    }
}

/// A virtual service, compiled.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(super) hosts: Vec<String>,
    rules: Vec<Rule>,
    options: Options,
    /// What is left out of the routing, for people.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    matches: Vec<Match>,
    target: Target,
    rewrite: Rewrite,
    request_headers: HeaderOperations,
    response_headers: HeaderOperations,
    timeout: Option<Duration>,
    retries: Option<Retries>,
}

#[derive(Debug, Clone)]
enum Target {
    Split { destinations: Vec<Arc<Destination>>, split: Split, audiences: Vec<(Audience, usize)> },
    Redirect(Redirect),
    Respond { status: u16, body: String },
}

/// Compiles a virtual service, or gives every error of its fields.
pub fn compile(spec: &VirtualServiceSpec, options: &Options) -> Result<Compiled, Vec<FieldError>> {
    let parts: usize = spec.http.iter().map(|http| 1 + http.matches.len() + http.route.len()).sum();
    if parts > MOST_PARTS {
        let detail =
            format!("has {parts} rules, matches and destinations, and may have {MOST_PARTS}; split it by host");
        return Err(vec![FieldError::new("spec.http", mcplane_core::FieldReason::TooMany, detail)]);
    }
    let (mut errors, mut notes) = (Vec::new(), Vec::new());
    for (section, count) in [("tcp", spec.tcp.len()), ("tls", spec.tls.len())] {
        if count > 0 {
            notes.push(format!("spec.{section} is not routed here: the gateway serves HTTP"));
        }
    }
    if spec.gateways.iter().any(|gateway| gateway != "mesh") {
        notes.push("spec.gateways is ignored: there is one gateway".to_owned());
    }
    let rules = spec.http.iter().enumerate().map(|(at, http)| rule(http, at, &mut errors, &mut notes)).collect();
    let compiled = Compiled { hosts: spec.hosts.clone(), rules, options: options.clone(), notes };
    if errors.is_empty() { Ok(compiled) } else { Err(errors) }
}

fn rule(http: &HttpRoute, at: usize, errors: &mut Vec<FieldError>, notes: &mut Vec<String>) -> Rule {
    let field = format!("spec.http[{at}]");
    for name in http.others.keys() {
        notes.push(format!("{field}.{name} is ignored"));
    }
    for (index, one) in http.matches.iter().enumerate() {
        for name in one.others.keys().filter(|name| !matches!(name.as_str(), "name" | "statPrefix")) {
            notes.push(format!("{field}.match[{index}].{name} is ignored: the gateway does not know workloads"));
        }
    }
    let matches = http.matches.iter().enumerate();
    let matches = matches.map(|(index, one)| Match::new(one, &format!("{field}.match[{index}]"), errors)).collect();
    let duration = |text: &Option<String>, name: &str, errors: &mut Vec<FieldError>| {
        let text = text.as_deref()?;
        let duration = parse_duration(text);
        if duration.is_none() {
            errors.push(FieldError::invalid(format!("{field}.{name}"), text, "must be a duration such as 1.5s"));
        }
        duration.filter(|duration| !duration.is_zero())
    };
    let retries = http.retries.as_ref().map(|retries| Retries {
        attempts: retries.attempts.min(10),
        per_try: duration(&retries.per_try_timeout, "retries.perTryTimeout", errors),
        on: retries.retry_on.clone().unwrap_or_default(),
    });
    Rule {
        name: if http.name.is_empty() { at.to_string() } else { printable(&http.name) },
        matches,
        timeout: duration(&http.timeout, "timeout", errors),
        retries,
        rewrite: Rewrite::new(&http.rewrite.clone().unwrap_or_default(), &format!("{field}.rewrite"), errors),
        request_headers: HeaderOperations::new(&http.headers.request, &format!("{field}.headers.request"), errors),
        response_headers: HeaderOperations::new(&http.headers.response, &format!("{field}.headers.response"), errors),
        target: target(http, &field, errors),
    }
}

/// The name goes into a header of the answer.
fn printable(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

fn target(http: &HttpRoute, field: &str, errors: &mut Vec<FieldError>) -> Target {
    if let Some(redirect) = &http.redirect {
        let status = redirect.redirect_code.unwrap_or(301);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let field = format!("{field}.redirect.redirectCode");
            errors.push(FieldError::invalid(field, status, "must be 301, 302, 303, 307 or 308"));
        }
        return Target::Redirect(redirect.clone());
    }
    if let Some(response) = &http.direct_response {
        if !(200..=599).contains(&response.status) {
            let field = format!("{field}.directResponse.status");
            errors.push(FieldError::invalid(field, response.status, "must be within 200 to 599"));
        }
        let body = response.body.as_ref().and_then(|body| body.string.clone()).unwrap_or_default();
        return Target::Respond { status: response.status, body };
    }
    let destinations: Vec<Arc<Destination>> = http
        .route
        .iter()
        .enumerate()
        .map(|(at, route)| destination(route, &format!("{field}.route[{at}]"), errors))
        .collect();
    let weights = http.route.iter().map(|route| route.weight.unwrap_or(0));
    let names: Vec<String> = destinations.iter().map(|destination| destination.identity()).collect();
    let split = if let [only] = names.as_slice() {
        // A single destination takes everything, whatever weight it has.
        Split::new([(only.as_str(), 1)])
    } else {
        Split::new(names.iter().map(String::as_str).zip(weights))
    };
    match split {
        Some(split) => Target::Split { destinations, split, audiences: Vec::new() },
        None => {
            errors.push(FieldError::required(format!("{field}.route"), "needs a destination with a weight above 0"));
            Target::Respond { status: 503, body: String::new() }
        }
    }
}

fn destination(route: &RouteDestination, field: &str, errors: &mut Vec<FieldError>) -> Arc<Destination> {
    if route.destination.host.is_empty() {
        errors.push(FieldError::required(format!("{field}.destination.host"), ""));
    }
    Arc::new(Destination {
        host: route.destination.host.clone(),
        subset: route.destination.subset.clone(),
        port: route.destination.port.as_ref().map(|port| port.number).filter(|port| *port > 0),
        request_headers: HeaderOperations::new(&route.headers.request, &format!("{field}.headers.request"), errors),
        response_headers: HeaderOperations::new(&route.headers.response, &format!("{field}.headers.response"), errors),
    })
}

impl Compiled {
    /// Puts a stage of a rollout over every rule that has both of its versions: audiences first, then its weight for
    /// everybody else, and the rest to the stable version. Gives to how many rules it applied.
    pub fn overlay(&mut self, stage: &Override) -> usize {
        let mut applied = 0;
        for rule in &mut self.rules {
            if let Target::Split { destinations, split, audiences } = &mut rule.target {
                let Some((next, index)) = stage.over(destinations) else { continue };
                *split = next;
                *audiences = stage.audiences.iter().map(|audience| (audience.clone(), index)).collect();
                applied += 1;
            }
        }
        applied
    }

    /// The first rule that matches decides; `None` when none does.
    pub fn route(&self, request: &Request<'_>) -> Option<Decision<'_>> {
        let (rule, uri) = self.rules.iter().find_map(|rule| rule.matched(request).map(|uri| (rule, uri)))?;
        let (action, reason, shared) = match &rule.target {
            Target::Redirect(redirect) => (moved(redirect, request), Reason::Rule, None),
            Target::Respond { status, body } => {
                (Action::Respond { status: *status, body: body.clone() }, Reason::Rule, None)
            }
            Target::Split { destinations, split, audiences } => {
                let (index, reason) = self.choose(request, split, audiences);
                (Action::Forward(Arc::clone(&destinations[index])), reason, Some((destinations.as_slice(), split)))
            }
        };
        Some(Decision {
            action,
            rule: &rule.name,
            reason,
            path: rule.rewrite.path(request.path, uri),
            authority: rule.rewrite.authority.as_deref(),
            timeout: rule.timeout,
            retries: rule.retries.as_ref(),
            rule_request_headers: &rule.request_headers,
            rule_response_headers: &rule.response_headers,
            shared,
            instead_of: None,
        })
    }

    fn choose(&self, request: &Request<'_>, split: &Split, audiences: &[(Audience, usize)]) -> (usize, Reason) {
        let user =
            self.options.user_headers.iter().find_map(|name| request.header(name)).filter(|user| !user.is_empty());
        if !audiences.is_empty() {
            let region = request.header(&self.options.region_header);
            let found =
                audiences.iter().find_map(|(audience, index)| Some((index, audience.includes(request, user, region)?)));
            if let Some((index, part)) = found {
                return (*index, Reason::Audience(part));
            }
        }
        let index = split.choose(user.map_or(Key::Counter(request.counter), Key::User));
        let share = (split.share(index) * 1e4).round() / 100.0;
        let reason = match user {
            _ if share >= 100.0 => Reason::Only,
            Some(_) => Reason::User(share),
            None => Reason::Counter(share),
        };
        (index, reason)
    }
}

impl Rule {
    /// The condition on the path that the request met.
    fn matched(&self, request: &Request<'_>) -> Option<&Text> {
        if self.matches.is_empty() {
            return Some(&Text::Any);
        }
        self.matches.iter().find(|one| one.holds(request)).map(|one| &one.uri)
    }
}

fn moved(redirect: &Redirect, request: &Request<'_>) -> Action {
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme);
    let authority = redirect.authority.as_deref().unwrap_or(request.authority);
    let path = redirect.uri.as_deref().unwrap_or(request.path);
    let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{scheme}://{authority}{path}{query}");
    Action::Redirect { status: redirect.redirect_code.unwrap_or(301), location }
}
