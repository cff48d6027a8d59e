//! What operators want to know of tasks, as metrics of Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::fairness::Depth;
use crate::tasks::{Outcome, State, Task};

/// From a commit to a day, in seconds.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 21_600.0, 86_400.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    namespace: String,
    queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ending {
    outcome: &'static str,
}

/// The metrics of a scheduler.
#[derive(Debug, Clone)]
pub struct Metrics {
    submitted: Counter,
    started: Counter,
    ended: Family<Ending, Counter>,
    retried: Counter,
    ready: Family<Queue, Gauge>,
    running: Family<Queue, Gauge>,
    waiting: Gauge,
    workers: Gauge,
    workers_free: Gauge,
    wait: Histogram,
    run: Histogram,
    lateness: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram = || Histogram::new(BUCKETS);
        Self {
            submitted: Counter::default(),
            started: Counter::default(),
            ended: Family::default(),
            retried: Counter::default(),
            ready: Family::default(),
            running: Family::default(),
            waiting: Gauge::default(),
            workers: Gauge::default(),
            workers_free: Gauge::default(),
            wait: histogram(),
            run: histogram(),
            lateness: histogram(),
        }
    }
}

impl Metrics {
    /// Names them all.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("mcplane_tasks_submitted", "Tasks made", self.submitted.clone());
        registry.register("mcplane_task_attempts_started", "Attempts begun", self.started.clone());
        registry.register("mcplane_task_attempts_ended", "Attempts ended", self.ended.clone());
        registry.register("mcplane_task_retries", "Attempts that are followed by another", self.retried.clone());
        registry.register("mcplane_tasks_ready", "Tasks that may run, by queue", self.ready.clone());
        registry.register("mcplane_tasks_running", "Tasks that run, by queue", self.running.clone());
        registry.register("mcplane_tasks_waiting", "Tasks whose time has not come", self.waiting.clone());
        registry.register("mcplane_workers", "Attempts that may run at a time", self.workers.clone());
        registry.register("mcplane_workers_free", "Attempts that could begin now", self.workers_free.clone());
        registry.register("mcplane_task_wait_seconds", "From ready to begun", self.wait.clone());
        registry.register("mcplane_task_run_seconds", "From begun to ended", self.run.clone());
        registry.register("mcplane_timer_lateness_seconds", "How late tasks became ready", self.lateness.clone());
    }

    pub(crate) fn submitted(&self, count: usize) {
        self.submitted.inc_by(count as u64);
    }

    pub(crate) fn started(&self, task: &Task) {
        self.started.inc();
        if let Some(started) = task.started_at {
            self.wait.observe(seconds(started - task.due_at));
        }
    }

    pub(crate) fn ended(&self, outcome: &Outcome, ran_ms: Option<i64>) {
        let outcome = if outcome.succeeded { State::Succeeded.name() } else { State::Failed.name() };
        self.ended.get_or_create(&Ending { outcome }).inc();
        if let Some(ms) = ran_ms {
            self.run.observe(seconds(ms));
        }
    }

    pub(crate) fn retried(&self, count: usize) {
        self.retried.inc_by(count as u64);
    }

    pub(crate) fn became_ready(&self, late_ms: i64) {
        self.lateness.observe(seconds(late_ms));
    }

    /// How much there is of everything now.
    pub(crate) fn measure(&self, depths: impl Iterator<Item = Depth>, waiting: usize, workers: usize, free: u32) {
        self.ready.clear();
        self.running.clear();
        for Depth { namespace, queue, ready, running } in depths {
            let queue = Queue { namespace: namespace.to_string(), queue: queue.to_string() };
            self.ready.get_or_create(&queue).set(as_gauge(ready));
            self.running.get_or_create(&queue).set(as_gauge(running));
        }
        self.waiting.set(as_gauge(waiting));
        self.workers.set(as_gauge(workers));
        self.workers_free.set(i64::from(free));
    }
}

fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1e3
}

fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
