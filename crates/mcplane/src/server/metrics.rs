//! Metrics in the OpenMetrics text format. Each part registers its own on the registry that `compose` hands around.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::process;

/// From a cached read to a request at its time limit, in seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Labels of one kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    /// Kubernetes' verb, or the HTTP method in lower case for paths outside the object API.
    pub verb: &'static str,
    /// Plural resource name; empty outside the object API and for requests that reached no resource.
    pub resource: String,
    /// HTTP status.
    pub code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LatencyLabels {
    verb: &'static str,
    resource: String,
}

/// All metrics of the process.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<RequestLabels, Counter>,
    latency: Family<LatencyLabels, Histogram, fn() -> Histogram>,
    pub(super) in_flight: Gauge,
    pub(super) connections: Gauge,
    pub(super) refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The metrics of the process and of its listener.
    pub fn new() -> Self {
        process::start();
        let histogram: fn() -> Histogram = || Histogram::new(LATENCY_BUCKETS);
        let metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            latency: Family::new_with_constructor(histogram),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            refused: Counter::default(),
        };
        metrics.register(|registry| {
            let build = vec![("version", env!("CARGO_PKG_VERSION")), ("revision", super::operations::revision())];
            registry.register("mcplane_build", "The running program", Info::new(build));
            registry.register("mcplane_http_requests", "Requests answered", metrics.requests.clone());
            registry.register(
                "mcplane_http_request_duration_seconds",
                "Time until the answer began",
                metrics.latency.clone(),
            );
            registry.register(
                "mcplane_http_requests_in_flight",
                "Requests not answered yet",
                metrics.in_flight.clone(),
            );
            registry.register("mcplane_http_connections", "Open connections", metrics.connections.clone());
            registry.register(
                "mcplane_http_connections_refused",
                "Connections that failed before their first request",
                metrics.refused.clone(),
            );
            registry.register_collector(Box::new(ProcessCollector));
        });
        metrics
    }

    /// Lets a part register its metrics.
    pub fn register(&self, part: impl FnOnce(&mut Registry)) {
        part(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn observe(&self, labels: RequestLabels, took: Duration) {
        let latency = LatencyLabels { verb: labels.verb, resource: labels.resource.clone() };
        self.latency.get_or_create(&latency).observe(took.as_secs_f64());
        self.requests.get_or_create(&labels).inc();
    }

    /// Everything, as a scraper reads it.
    ///
    /// # Errors
    /// When a metric can't be written.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

/// The metrics that every Prometheus client library gives about its process, under their usual names.
#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(usage) = process::usage() else { return Ok(()) };
        let mut write = |name: &str, help: &str, metric: &dyn ErasedMetric| metric.write(&mut encoder, name, help);
        write("process_cpu_seconds", "CPU time used", &ConstCounter::new(usage.cpu_seconds))?;
        write("process_resident_memory_bytes", "Memory in use", &ConstGauge::new(usage.resident_bytes))?;
        write("process_open_fds", "Open files", &ConstGauge::new(usage.open_files))?;
        write("process_start_time_seconds", "Start, in seconds since 1970", &ConstGauge::new(usage.start_seconds))
    }
}

/// [`EncodeMetric`] behind one pointer type, so that gauges and counters share a line of code each.
trait ErasedMetric {
    fn write(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> Result<(), fmt::Error>;
}

impl<M: EncodeMetric> ErasedMetric for M {
    fn write(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> Result<(), fmt::Error> {
        self.encode(encoder.encode_descriptor(name, help, None, self.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_process_are_rendered() {
        let metrics = Metrics::new();
        let labels = RequestLabels { verb: "list", resource: "configmaps".into(), code: 200 };
        metrics.observe(labels, Duration::from_millis(3));
        let text = metrics.render().unwrap();
        for part in [
            "mcplane_http_requests_total{verb=\"list\",resource=\"configmaps\",code=\"200\"} 1",
            "mcplane_http_request_duration_seconds_bucket{le=\"0.005\",verb=\"list\",resource=\"configmaps\"} 1",
            "mcplane_build_info{version=\"",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "# EOF",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
