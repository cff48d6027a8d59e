//! Which rows belong to what: every table of this crate must be here, or its rows outlive what they belong to.

/// Rows that go with something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) table: &'static str,
    /// The columns of its primary key.
    pub(super) key: &'static str,
    /// Whose they are; `{}` is a query of the numbers of what goes.
    pub(super) whose: &'static str,
}

const fn rows(table: &'static str, key: &'static str, whose: &'static str) -> Rows {
    Rows { table, key, whose }
}

/// What goes with runs, in an order in which nothing is needed that is gone.
pub(super) const OF_RUNS: &[Rows] = &[
    rows("run_params", "run, key", "run IN {}"),
    rows("run_tags", "run, key", "run IN {}"),
    rows("dataset_input_tags", "input, key", "input IN (SELECT no FROM dataset_inputs WHERE run IN {})"),
    rows("dataset_inputs", "no", "run IN {}"),
    rows("run_models", "run, output, model", "run IN {}"),
    rows("metric_chunks", "run, key, no", "run IN {}"),
    rows("metric_latest", "run, key", "run IN {}"),
    rows(
        "logged_model_metrics",
        "model, key, recorded_at, step, run, dataset_name, dataset_digest, value",
        "run IN {}",
    ),
];

/// What goes with logged models.
pub(super) const OF_MODELS: &[Rows] = &[
    rows("logged_model_params", "model, key", "model IN {}"),
    rows("logged_model_tags", "model, key", "model IN {}"),
    rows(
        "logged_model_metrics",
        "model, key, recorded_at, step, run, dataset_name, dataset_digest, value",
        "model IN {}",
    ),
];

/// What goes with traces.
pub(super) const OF_TRACES: &[Rows] = &[
    rows("trace_spans", "trace, part", "trace IN {}"),
    rows("trace_assessments", "no", "trace IN {}"),
    rows("trace_links", "trace, kind, target", "trace IN {}"),
    rows("trace_metadata", "trace, key", "trace IN {}"),
    rows("trace_tags", "trace, key", "trace IN {}"),
];

/// What goes with experiments, besides runs, models and traces.
pub(super) const OF_EXPERIMENTS: &[Rows] = &[
    rows("experiment_tags", "experiment, key", "experiment IN {}"),
    rows("datasets", "no", "experiment IN {}"),
    rows("scorer_versions", "scorer, version", "scorer IN (SELECT no FROM scorers WHERE experiment IN {})"),
    rows("scorers", "no", "experiment IN {}"),
];

/// What goes with a namespace, besides experiments; `{}` is the namespace.
pub(super) const OF_NAMESPACES: &[Rows] = &[
    rows("registered_model_tags", "model, key", OF_REGISTERED),
    rows("registered_model_aliases", "model, alias", OF_REGISTERED),
    rows("model_version_tags", "model, version, key", OF_REGISTERED),
    rows("model_versions", "model, version", OF_REGISTERED),
    rows("registered_models", "no", "namespace = {}"),
    rows("evaluation_records", "dataset, id", OF_DATASETS),
    rows("evaluation_dataset_tags", "dataset, key", OF_DATASETS),
    rows("evaluation_dataset_experiments", "dataset, experiment", OF_DATASETS),
    rows("evaluation_datasets", "no", "namespace = {}"),
    rows("lineage_edges", "source, target, kind", "source IN (SELECT no FROM lineage_nodes WHERE namespace = {})"),
    rows("lineage_nodes", "no", "namespace = {}"),
    rows("lineage_events", "namespace, digest", "namespace = {}"),
    rows("webhook_events", "webhook, event", "webhook IN (SELECT no FROM webhooks WHERE namespace = {})"),
    rows("webhooks", "no", "namespace = {}"),
    rows("outbox", "no", "lane IN (SELECT lane FROM outbox_lanes WHERE namespace = {})"),
    rows("outbox_lanes", "lane", "namespace = {}"),
    rows("counters", "namespace, name", "namespace = {} AND name LIKE '%mcplane.io/%'"),
];
const OF_DATASETS: &str = "dataset IN (SELECT no FROM evaluation_datasets WHERE namespace = {})";
const OF_REGISTERED: &str = "model IN (SELECT no FROM registered_models WHERE namespace = {})";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mcplane_core::SystemClock;
    use mcplane_db::{Db, StoreUrl};

    use super::*;

    /// Tables that are purged by themselves, and those that are no concern of this crate.
    const OTHERS: &[&str] = &["runs", "experiments", "logged_models", "traces", "artifacts"];
    const FOREIGN: &[&str] = &[
        "_sqlx_migrations",
        "attempts",
        "audit",
        "changes",
        "contract_reports",
        "deliveries",
        "engine_notes",
        "feature_materializations",
        "gate_decisions",
        "head",
        "monitor_notices",
        "monitor_references",
        "monitor_states",
        "monitor_windows",
        "nodes",
        "objects",
        "pipeline_cache",
        "pipeline_engine",
        "pipeline_runs",
        "pipeline_steps",
        "pipeline_transitions",
        "queues",
        "rollout_decisions",
        "rollout_samples",
        "rollouts",
        "scheduler",
        "serving_revisions",
        "tasks",
        "users",
    ];

    #[tokio::test]
    async fn every_table_is_purged() {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("mcplane.db"));
        let db = Db::open(&url, Arc::new(SystemClock)).await.unwrap();
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let known = [OF_RUNS, OF_MODELS, OF_TRACES, OF_EXPERIMENTS, OF_NAMESPACES].concat();
        for row in db.fetch(sql, vec![]).await.unwrap() {
            let table = row.text(0).unwrap();
            let found = known.iter().any(|rows| rows.table == table);
            assert!(found || [OTHERS, FOREIGN].concat().contains(&table), "what becomes of {table}?");
        }
    }
}
