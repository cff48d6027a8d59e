//! What the gateway did, as metrics of Prometheus.

use std::sync::Arc;

use mcplane_delivery::gateway::{Answered, Observe};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// From a tree to a request at its limit, in seconds.
const BUCKETS: [f64; 12] = [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    destination: String,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    destination: String,
    version: String,
    code: u16,
}

/// The metrics of the gateway. Labels are of routes that exist, so there are no more than those.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    requests: Family<Outcome, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

impl Default for Counted {
    fn default() -> Self {
        let seconds = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        Self { requests: Family::default(), seconds }
    }
}

impl Counted {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("mcplane_gateway_requests", "Requests through the gateway", self.requests.clone());
        registry.register(
            "mcplane_gateway_request_duration_seconds",
            "Time until the answer began",
            self.seconds.clone(),
        );
    }
}

impl Observe for Counted {
    fn answered(&self, answer: Answered<'_>) {
        let part = |part: fn(&mcplane_delivery::routes::Destination) -> &String| {
            answer.destination.map(part).cloned().unwrap_or_default()
        };
        let (destination, version) = (part(|to| &to.host), part(|to| &to.subset));
        let code = answer.status.as_u16();
        let outcome = Outcome { destination: destination.clone(), version: version.clone(), code };
        self.requests.get_or_create(&outcome).inc();
        if !destination.is_empty() {
            let took = answer.latency.as_secs_f64();
            self.seconds.get_or_create(&Route { destination, version }).observe(took);
        }
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
