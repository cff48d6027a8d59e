-- Lineage that other systems report as OpenLineage events. What this server knows itself is derived from its own tables.
-- An event counts once, however often it comes.
CREATE TABLE lineage_events (
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    received_by TEXT NOT NULL,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;
-- Runs, datasets and jobs of others. `id` is the node as queries name it; `facets` are the latest of each name.
CREATE TABLE lineage_nodes (
    no INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    event_at BIGINT NOT NULL,
    facets TEXT NOT NULL,
    UNIQUE (namespace, id)
);
CREATE TABLE lineage_edges (
    source BIGINT NOT NULL,
    target BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    PRIMARY KEY (source, target, kind)
) WITHOUT ROWID;
CREATE INDEX lineage_edges_by_target ON lineage_edges (target, source);

-- The ways of a walk that those who write these tables do not need.
CREATE INDEX datasets_by_digest ON datasets (digest);
CREATE INDEX datasets_by_source ON datasets (substr(source, 1, 200));
CREATE INDEX run_models_by_model ON run_models (model, output, run);
CREATE INDEX logged_models_by_run ON logged_models (source_run);
CREATE INDEX model_versions_by_logged_model ON model_versions (model_id);
CREATE INDEX model_versions_by_source ON model_versions (substr(source, 1, 200));
