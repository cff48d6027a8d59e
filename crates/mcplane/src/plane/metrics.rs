//! What the gateway did, as metrics of Prometheus.
//!
//! Labels are of routes that exist: those of revisions that are gone and of routes that nobody has any more are dropped.

use std::collections::BTreeMap;
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
struct Counts {
    known: RwLock<Known>,
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

    /// Drops what is of routes that are gone.
    pub(super) fn retain(&self, routed: impl Fn(&str, &str) -> bool) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        for (destination, versions) in &mut *known {
            versions.retain(|version, _| routed(destination, version));
        }
        known.retain(|_, versions| !versions.is_empty());
    }

    fn series(&self, destination: &str, version: &str) -> Arc<Series> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(destination).and_then(|versions| versions.get(version)) {
            return Arc::clone(found);
        }
        drop(known);
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        let versions = known.entry(destination.to_owned()).or_default();
        let made = || Arc::new(Series { codes: Codes::default(), seconds: Histogram::new(BUCKETS) });
        Arc::clone(versions.entry(version.to_owned()).or_insert_with(made))
    }
}

impl Observe for Counted {
    fn answered(&self, answer: Answered<'_>) {
        let code = answer.status.as_u16();
        let Some(destination) = answer.destination else { return self.0.own.count(code) };
        let series = self.series(&destination.host, &destination.subset);
        series.codes.count(code);
        series.seconds.observe(answer.latency.as_secs_f64());
    }
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone();
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
        counted.retain(|_, version| version == "two");
        let text = told();
        assert!(!text.contains("\"one\"") && text.contains("\"two\""), "{text}");
    }
}
