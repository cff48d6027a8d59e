//! What operators want to know of environments.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Metrics of environments.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) count: Gauge,
    pub(super) bytes: Gauge,
    pub(super) removed: Counter,
}

impl Metrics {
    /// Names them all.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("mcplane_environments", "Python environments of steps", self.count.clone());
        registry.register("mcplane_environment_bytes", "What they take on disk", self.bytes.clone());
        registry.register("mcplane_environments_removed", "Environments removed", self.removed.clone());
    }
}
