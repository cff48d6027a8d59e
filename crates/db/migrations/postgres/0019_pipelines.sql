-- Runs of pipelines. `spec` is the compiled pipeline as it was when the run began; `state` is empty until the run has begun.
CREATE TABLE pipeline_runs (
    uid         TEXT NOT NULL PRIMARY KEY,
    namespace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    pipeline    TEXT NOT NULL,
    spec        TEXT NOT NULL,
    asked       TEXT NOT NULL,
    state       TEXT NOT NULL,
    error       TEXT NOT NULL,
    canceling   BIGINT NOT NULL,
    experiment  TEXT NOT NULL,
    tracked     TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT,
    published   BIGINT NOT NULL
);
CREATE INDEX pipeline_runs_open ON pipeline_runs (created_at) WHERE published = 0;

-- What is true of each node of a run: its newest transition, and what belongs to the work that it does.
CREATE TABLE pipeline_steps (
    run         TEXT NOT NULL,
    node        TEXT NOT NULL,
    sequence    BIGINT NOT NULL,
    state       TEXT NOT NULL,
    record      TEXT NOT NULL,
    task        TEXT NOT NULL,
    tracked     TEXT NOT NULL,
    digests     TEXT NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (run, node)
);

-- Every transition of every node, in the order of the run.
CREATE TABLE pipeline_transitions (
    run      TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    node     TEXT NOT NULL,
    state    TEXT NOT NULL,
    message  TEXT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (run, sequence)
);

-- Work that need not be done again: outputs by what they were made from.
CREATE TABLE pipeline_cache (
    namespace   TEXT NOT NULL,
    pipeline    TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    outputs     TEXT NOT NULL,
    digests     TEXT NOT NULL,
    run         TEXT NOT NULL,
    node        TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (namespace, pipeline, fingerprint)
);

-- Who drives runs; see the table `scheduler`.
CREATE TABLE pipeline_engine (
    holder TEXT NOT NULL,
    epoch  BIGINT NOT NULL,
    until  BIGINT NOT NULL
);
INSERT INTO pipeline_engine (holder, epoch, until) VALUES ('', 0, 0);
