-- Sets of examples for evaluations. `input_hash` is of a record's inputs: a record with the same inputs is the same record.
CREATE TABLE evaluation_datasets (
    no INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    fields TEXT,
    records BIGINT NOT NULL,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT,
    updated_by TEXT,
    UNIQUE (namespace, id)
);
CREATE TABLE evaluation_dataset_tags (
    dataset BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (dataset, key)
) WITHOUT ROWID;
CREATE TABLE evaluation_dataset_experiments (
    dataset BIGINT NOT NULL,
    experiment BIGINT NOT NULL,
    PRIMARY KEY (dataset, experiment)
) WITHOUT ROWID;
CREATE TABLE evaluation_records (
    dataset BIGINT NOT NULL,
    id TEXT NOT NULL,
    input_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (dataset, id),
    UNIQUE (dataset, input_hash)
);
CREATE INDEX evaluation_records_by_time ON evaluation_records (dataset, created_at, id);
