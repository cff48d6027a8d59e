-- What runs read and write: datasets and logged models.
CREATE TABLE datasets (
    no INTEGER PRIMARY KEY,
    experiment BIGINT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source TEXT NOT NULL,
    schema TEXT NOT NULL,
    profile TEXT NOT NULL,
    UNIQUE (experiment, name, digest)
);
-- `no` keeps the order in which a run's inputs were logged.
CREATE TABLE dataset_inputs (
    no INTEGER PRIMARY KEY,
    run BIGINT NOT NULL,
    dataset BIGINT NOT NULL,
    UNIQUE (run, dataset)
);
CREATE INDEX dataset_inputs_by_dataset ON dataset_inputs (dataset, run);
CREATE TABLE dataset_input_tags (
    input BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (input, key)
) WITHOUT ROWID;
-- Models by their ids: clients may name models of other servers.
CREATE TABLE run_models (
    run BIGINT NOT NULL,
    output BIGINT NOT NULL,
    model TEXT NOT NULL,
    step BIGINT NOT NULL,
    PRIMARY KEY (run, output, model)
) WITHOUT ROWID;

CREATE TABLE logged_models (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    experiment BIGINT NOT NULL,
    name TEXT NOT NULL,
    model_type TEXT NOT NULL,
    source_run TEXT NOT NULL,
    status BIGINT NOT NULL,
    artifact_uri TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted BIGINT NOT NULL
);
-- The order in which a search without one answers.
CREATE INDEX logged_models_by_creation ON logged_models (experiment, created_at DESC, id);
CREATE TABLE logged_model_params (
    model BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) WITHOUT ROWID;
CREATE TABLE logged_model_tags (
    model BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) WITHOUT ROWID;
-- A point is itself its key: repeats are dropped, and one point may be measured on several datasets.
CREATE TABLE logged_model_metrics (
    model BIGINT NOT NULL,
    key TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    step BIGINT NOT NULL,
    run BIGINT NOT NULL,
    dataset_name TEXT NOT NULL,
    dataset_digest TEXT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (model, key, recorded_at, step, run, dataset_name, dataset_digest, value)
) WITHOUT ROWID;
