-- Materialisations of feature views, as those who made them told. `id` is also the run's in lineage; `inputs` is JSON.
CREATE TABLE feature_materializations (
    no INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    view_uid TEXT NOT NULL,
    view TEXT NOT NULL,
    id TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec_digest TEXT NOT NULL,
    inputs TEXT NOT NULL,
    output TEXT NOT NULL,
    output_digest TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    recorded_by TEXT NOT NULL,
    UNIQUE (namespace, id)
);
CREATE INDEX feature_materializations_of_view ON feature_materializations (view_uid, no);
