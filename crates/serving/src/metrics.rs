//! What operators want to know of models, as metrics of Prometheus.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// From a tree to a large batch, in seconds.
const BUCKETS: [f64; 14] =
    [0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    namespace: String,
    model: String,
    version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    namespace: String,
    model: String,
    version: u64,
    outcome: &'static str,
}

/// What becomes of requests.
const OUTCOMES: [&str; 3] = ["answered", "failed", "refused"];

/// The metrics of all models.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Of the models that are counted.
    namespace: String,
    requests: Family<Outcome, Counter>,
    rows: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    memory: Family<Labels, Gauge>,
    load: Family<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>,
}

/// The metrics of one version, found once.
#[derive(Debug)]
pub(crate) struct OfVersion {
    answered: Counter,
    failed: Counter,
    refused: Counter,
    rows: Counter,
    seconds: Histogram,
    memory: Gauge,
    load: Gauge<f64, std::sync::atomic::AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            requests: Family::default(),
            rows: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            memory: Family::default(),
            load: Family::default(),
        }
    }
}

impl Metrics {
    /// Names them all.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("mcplane_inference_requests", "Requests for inference, by outcome", self.requests.clone());
        registry.register("mcplane_inference_rows", "Rows answered", self.rows.clone());
        registry.register("mcplane_inference_seconds", "Time within the model", self.seconds.clone());
        registry.register("mcplane_model_memory_bytes", "Memory of a loaded model", self.memory.clone());
        registry.register("mcplane_model_load_seconds", "Time to load and warm a model", self.load.clone());
    }

    /// The same metrics, for the models of a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    pub(crate) fn of_version(&self, model: &str, version: u64) -> OfVersion {
        let (namespace, model) = (self.namespace.clone(), model.to_owned());
        let labels = Labels { namespace: namespace.clone(), model: model.clone(), version };
        let requests = |outcome| {
            let (namespace, model) = (namespace.clone(), model.clone());
            self.requests.get_or_create_owned(&Outcome { namespace, model, version, outcome })
        };
        let [answered, failed, refused] = OUTCOMES.map(requests);
        OfVersion {
            answered,
            failed,
            refused,
            rows: self.rows.get_or_create_owned(&labels),
            seconds: self.seconds.get_or_create_owned(&labels),
            memory: self.memory.get_or_create_owned(&labels),
            load: self.load.get_or_create_owned(&labels),
        }
    }
}

impl Metrics {
    /// Drops the series of a version that is no longer there. Requests under way on it are not told any more.
    pub(crate) fn forget(&self, model: &str, version: u64) {
        let (namespace, model) = (self.namespace.clone(), model.to_owned());
        for outcome in OUTCOMES {
            let (namespace, model) = (namespace.clone(), model.clone());
            self.requests.remove(&Outcome { namespace, model, version, outcome });
        }
        let labels = Labels { namespace, model, version };
        self.rows.remove(&labels);
        self.seconds.remove(&labels);
        self.memory.remove(&labels);
        self.load.remove(&labels);
    }
}

impl OfVersion {
    pub(crate) fn answered(&self, well: bool, rows: usize, took: Duration) {
        if well {
            self.answered.inc();
            self.rows.inc_by(rows as u64);
            self.seconds.observe(took.as_secs_f64());
        } else {
            self.failed.inc();
        }
    }

    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    pub(crate) fn loaded(&self, bytes: usize, took: Duration) {
        self.memory.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.load.set(took.as_secs_f64());
    }

    pub(crate) fn unloaded(&self, bytes: usize) {
        self.memory.dec_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
