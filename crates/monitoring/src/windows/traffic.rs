//! Requests, errors and latency of the last while.

use mcplane_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::Latency;
use crate::statistics::Moments;

/// How long a window is, and how finely it slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficConfig {
    /// Length of the window in milliseconds.
    pub length_ms: i64,
    /// Into so many slots; the window slides by one at a time.
    pub slots: u32,
}

impl Default for TrafficConfig {
    fn default() -> Self {
        Self { length_ms: 300_000, slots: 30 }
    }
}

/// A window of traffic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Traffic {
    slot_ms: i64,
    slots: Vec<Slot>,
    newest: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Slot {
    /// Number of the slot since 1970; what else is in the place is too old.
    number: i64,
    requests: u64,
    errors: u64,
    latency: Latency,
    moments: Moments,
}

/// What a window says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficSummary {
    /// Requests in the window.
    pub requests: u64,
    /// Those that failed by the server's fault.
    pub errors: u64,
    /// Requests a second, over the whole window.
    pub rate: f64,
    /// Mean latency in milliseconds, exact.
    pub mean_ms: Option<f64>,
    /// Median in milliseconds.
    pub p50_ms: Option<f64>,
    /// 95th percentile in milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile in milliseconds.
    pub p99_ms: Option<f64>,
    /// Latency in milliseconds as the sequential test takes it.
    #[serde(skip)]
    pub moments: Moments,
}

impl Traffic {
    /// An empty window.
    pub fn new(config: TrafficConfig) -> Self {
        let slots = config.slots.clamp(1, 1000);
        let slot_ms = (config.length_ms / i64::from(slots)).max(1);
        let empty = Slot { number: i64::MIN, ..Slot::default() };
        Self { slot_ms, slots: vec![empty; slots as usize], newest: i64::MIN }
    }

    /// Counts one request.
    pub fn record(&mut self, now: Timestamp, latency_us: u64, error: bool) {
        self.newest = self.newest.max(now.div_euclid(self.slot_ms));
        let place = self.newest.rem_euclid(self.slots.len() as i64) as usize;
        let slot = &mut self.slots[place];
        if slot.number != self.newest {
            (slot.number, slot.requests, slot.errors, slot.moments) = (self.newest, 0, 0, Moments::default());
            slot.latency.clear();
        }
        slot.requests += 1;
        slot.errors += u64::from(error);
        slot.latency.record(latency_us);
        slot.moments.add(latency_us as f64 / 1000.0);
    }

    /// What the window that ends at `now` says.
    pub fn summary(&self, now: Timestamp) -> TrafficSummary {
        let newest = self.newest.max(now.div_euclid(self.slot_ms));
        let oldest = newest - self.slots.len() as i64;
        let mut latency = Latency::default();
        let mut sum = TrafficSummary::default();
        for slot in self.slots.iter().filter(|slot| slot.number > oldest) {
            sum.requests += slot.requests;
            sum.errors += slot.errors;
            sum.moments = sum.moments.merged(slot.moments);
            latency.merge(&slot.latency);
        }
        let length_s = self.slot_ms as f64 * self.slots.len() as f64 / 1000.0;
        TrafficSummary {
            rate: sum.requests as f64 / length_s,
            mean_ms: latency.mean_ms(),
            p50_ms: latency.quantile_ms(0.5),
            p95_ms: latency.quantile_ms(0.95),
            p99_ms: latency.quantile_ms(0.99),
            ..sum
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A request is seen for the whole window less a slot, and never after the window.
        #[test]
        fn requests_come_and_go(mut times in prop::collection::vec(0i64..2_000, 0..60), now in 0i64..3_000) {
            let mut window = Traffic::new(TrafficConfig { length_ms: 500, slots: 10 });
            times.sort_unstable();
            times.retain(|at| *at <= now);
            times.iter().for_each(|at| window.record(*at, 1, at % 3 == 0));
            let seen = window.summary(now).requests;
            let surely = times.iter().filter(|at| now - **at < 450).count() as u64;
            let maybe = times.iter().filter(|at| now - **at < 500).count() as u64;
            prop_assert!((surely..=maybe).contains(&seen));
        }
    }

    #[test]
    fn a_window_speaks() {
        let mut window = Traffic::new(TrafficConfig { length_ms: 10_000, slots: 10 });
        for at in 0..100 {
            window.record(at * 100, 2_000, at % 10 == 0);
        }
        // A clock that was set back is no reason to lose a request.
        window.record(-5, 2_000, false);
        let said = window.summary(9_999);
        assert_eq!((said.requests, said.errors, said.mean_ms, said.rate), (101, 10, Some(2.0), 10.1));
        assert_eq!(window.summary(19_000), TrafficSummary::default());
    }
}
