-- Experiments and runs. `no` is a number of this database's own: rows that belong to a run carry it instead of 32 letters.
CREATE TABLE experiments (
    no INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id BIGINT NOT NULL,
    name TEXT NOT NULL,
    artifact_location TEXT NOT NULL,
    deleted BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (namespace, id),
    UNIQUE (namespace, name)
);
CREATE TABLE experiment_tags (
    experiment BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment, key)
) WITHOUT ROWID;

CREATE TABLE runs (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    experiment BIGINT NOT NULL,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    status BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    deleted_at BIGINT,
    artifact_uri TEXT NOT NULL
);
-- The order in which a search without one answers.
CREATE INDEX runs_by_start ON runs (experiment, started_at DESC, id);

-- `hash` is of the value: values may be longer than an index takes, and equality is what most searches ask for.
CREATE TABLE run_params (
    run BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    hash BIGINT NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX run_params_by_value ON run_params (key, hash, run);
CREATE TABLE run_tags (
    run BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    hash BIGINT NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX run_tags_by_value ON run_tags (key, hash, run);
