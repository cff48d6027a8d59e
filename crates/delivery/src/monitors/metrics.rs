//! What services do, as metrics of Prometheus.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcplane_monitoring::live::Hub;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Number = Gauge<f64, std::sync::atomic::AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    namespace: String,
    service: String,
    version: String,
}

/// A reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadingLabels {
    namespace: String,
    service: String,
    version: String,
    metric: &'static str,
    column: String,
}

/// Readings as they were last.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    readings: Family<ReadingLabels, Number>,
    alerts: Family<Labels, Gauge>,
    /// What there is of each version.
    known: HashMap<Labels, HashSet<ReadingLabels>>,
}

impl Metrics {
    /// Names them all, and counts of `hub`.
    pub(super) fn register(&self, registry: &mut Registry, hub: Arc<Hub>) {
        registry.register("mcplane_monitor_reading", "Readings of the last look", self.readings.clone());
        registry.register("mcplane_monitor_alerts", "Open alerts", self.alerts.clone());
        registry.register_collector(Box::new(Counts(hub)));
    }

    pub(super) fn reading(&mut self, seen: &super::Seen, shown: &super::Shown) {
        let Some(value) = shown.value else { return };
        let labels = ReadingLabels {
            namespace: seen.namespace.clone(),
            service: seen.service.clone(),
            version: seen.version.clone(),
            metric: shown.metric,
            column: shown.column.clone().unwrap_or_default(),
        };
        self.readings.get_or_create(&labels).set(value);
        let version = self::labels(&seen.namespace, &seen.service, &seen.version);
        self.known.entry(version).or_default().insert(labels);
    }

    /// Drops what is of a version that is gone.
    pub(super) fn forget(&mut self, seen: &super::Seen) {
        let version = labels(&seen.namespace, &seen.service, &seen.version);
        self.alerts.remove(&version);
        for labels in self.known.remove(&version).unwrap_or_default() {
            self.readings.remove(&labels);
        }
    }

    pub(super) fn alerts(&self, seen: &super::Seen, open: usize) {
        let labels = labels(&seen.namespace, &seen.service, &seen.version);
        self.alerts.get_or_create(&labels).set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}

fn labels(namespace: &str, service: &str, version: &str) -> Labels {
    Labels { namespace: namespace.to_owned(), service: service.to_owned(), version: version.to_owned() }
}

#[derive(Debug)]
struct Counts(Arc<Hub>);

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let totals = self.0.totals();
        for (name, help, of) in [
            ("mcplane_service_requests", "Requests answered", 0usize),
            ("mcplane_service_errors", "Requests that failed by the server's fault", 1),
            ("mcplane_service_predictions", "Requests whose prediction was recorded", 2),
        ] {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (host, version, counts) in &totals {
                let (service, namespace) = host.split_once('.').unwrap_or((host, ""));
                let labels = labels(namespace, service, version);
                ConstCounter::new(counts[of]).encode(family.encode_family(&labels)?)?;
            }
        }
        let (dropped, failed) = self.0.lost();
        let kind = ConstCounter::new(0u64).metric_type();
        let help = "Predictions that were not recorded";
        let lost = encoder.encode_descriptor("mcplane_predictions_lost", help, None, kind)?;
        ConstCounter::new(dropped + failed).encode(lost)
    }
}
