//! What the gateway did, as metrics of Prometheus.
//!
//! Labels are of routes that exist: those of revisions that are gone and of routes that nobody has any more are dropped.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mcplane_delivery::gateway::{Answered, Observe};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// From a tree to a request at its limit, in seconds.
const BUCKETS: [f64; 12] = [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0];

/// Requests by status.
#[derive(Debug, Default)]
struct Codes(Mutex<BTreeMap<u16, u64>>);

impl Codes {
    fn count(&self, code: u16) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    fn all(&self) -> BTreeMap<u16, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
struct Series {
    codes: Codes,
    seconds: Histogram,
}

/// By destination and version.
type Known = BTreeMap<String, BTreeMap<String, Arc<Series>>>;

#[derive(Debug, Default)]
struct Routes {
    known: Known,
    /// What may have series. An answer may come after its route is gone, and must not bring the series back.
    routed: HashSet<(String, String)>,
}

#[derive(Debug, Default)]
struct Counts {
    routes: RwLock<Routes>,
    /// What the gateway answered itself.
    own: Codes,
}

/// The metrics of the gateway.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted(Arc<Counts>);

impl Counted {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// Counts what goes to these destinations and versions, and drops what is of others. Routes are told of before they are
    /// taken.
    pub(super) fn route(&self, routed: HashSet<(String, String)>) {
        let mut routes = self.0.routes.write().unwrap_or_else(PoisonError::into_inner);
        for (destination, versions) in &mut routes.known {
            versions.retain(|version, _| routed.contains(&(destination.clone(), version.clone())));
        }
        routes.known.retain(|_, versions| !versions.is_empty());
        routes.routed = routed;
    }

    fn series(&self, destination: &str, version: &str) -> Option<Arc<Series>> {
        let routes = self.0.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = routes.known.get(destination).and_then(|versions| versions.get(version)) {
            return Some(Arc::clone(found));
        }
        drop(routes);
        let mut routes = self.0.routes.write().unwrap_or_else(PoisonError::into_inner);
        let key = (destination.to_owned(), version.to_owned());
        if !routes.routed.contains(&key) {
            return None;
        }
        let made = || Arc::new(Series { codes: Codes::default(), seconds: Histogram::new(BUCKETS) });
        Some(Arc::clone(routes.known.entry(key.0).or_default().entry(key.1).or_insert_with(made)))
    }
}

impl Observe for Counted {
    fn answered(&self, answer: Answered<'_>) {
        let code = answer.status.as_u16();
        let Some(destination) = answer.destination else { return self.0.own.count(code) };
        let Some(series) = self.series(&destination.host, &destination.subset) else { return };
        series.codes.count(code);
        series.seconds.observe(answer.latency.as_secs_f64());
    }
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let known = self.0.routes.read().unwrap_or_else(PoisonError::into_inner).known.clone();
        let all = || {
            known.iter().flat_map(|(destination, versions)| {
                versions.iter().map(move |(version, series)| (destination.as_str(), version.as_str(), series))
            })
        };
        let (name, help) = ("mcplane_gateway_requests", "Requests through the gateway");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let routed = all().map(|(destination, version, series)| (destination, version, series.codes.all()));
        for (destination, version, codes) in routed.chain([("", "", self.0.own.all())]) {
            for (code, count) in codes {
                let code = code.to_string();
                let labels = [("destination", destination), ("version", version), ("code", code.as_str())];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let (name, help) = ("mcplane_gateway_request_duration_seconds", "Time until the answer began");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (destination, version, series) in all() {
            let labels = [("destination", destination), ("version", version)];
            series.seconds.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Tells several.
pub(super) struct Everybody {
    counted: Counted,
    others: Vec<Arc<dyn Observe>>,
}

impl Everybody {
    pub(super) fn new(counted: Counted, others: Vec<Arc<dyn Observe>>) -> Self {
        Self { counted, others }
    }
}

impl Observe for Everybody {
    fn answered(&self, answer: Answered<'_>) {
        self.counted.answered(answer);
        for other in &self.others {
            other.answered(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use mcplane_delivery::routes::Destination;
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn series_go_with_their_routes() {
        let (counted, mut registry) = (Counted::default(), Registry::default());
        counted.register(&mut registry);
        let told = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let routed =
            |versions: &[&str]| versions.iter().map(|one| ("iris.default".to_owned(), (*one).to_owned())).collect();
        counted.route(routed(&["one", "two"]));
        let (one, two) = (Destination::new("iris.default", "one"), Destination::new("iris.default", "two"));
        for destination in [Some(&one), Some(&one), Some(&two), None] {
            let status = if destination.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            counted.answered(Answered { destination, status, latency: Duration::from_millis(3) });
        }
        let text = told();
        for line in [
            "mcplane_gateway_requests_total{destination=\"iris.default\",version=\"one\",code=\"200\"} 2",
            "mcplane_gateway_requests_total{destination=\"\",version=\"\",code=\"404\"} 1",
            "mcplane_gateway_request_duration_seconds_count{destination=\"iris.default\",version=\"two\"} 1",
            "mcplane_gateway_request_duration_seconds_bucket{le=\"0.005\",destination=\"iris.default\",version=\"one\"} 2",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        counted.route(routed(&["two"]));
        let late = Answered { destination: Some(&one), status: StatusCode::OK, latency: Duration::from_millis(3) };
        counted.answered(late);
        let text = told();
        assert!(!text.contains("\"one\"") && text.contains("\"two\""), "{text}");
    }
}
