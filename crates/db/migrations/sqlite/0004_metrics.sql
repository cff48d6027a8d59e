-- One row a metric of a run: its latest point by step, time and value, and what there is in chunks. `nan` is 1 for a value
-- that is no number, which is stored as 0. No closed chunk has a point after `closed_to`.
CREATE TABLE metric_latest (
    run BIGINT NOT NULL,
    key TEXT NOT NULL,
    experiment BIGINT NOT NULL,
    step BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    nan BIGINT NOT NULL,
    points BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    closed_to BIGINT NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX metric_latest_by_value ON metric_latest (experiment, key, nan, value);

-- The points of metrics that have more than one, as compressed columns. The last chunk of a metric is written anew until it
-- is full.
CREATE TABLE metric_chunks (
    run BIGINT NOT NULL,
    key TEXT NOT NULL,
    no BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    first_step BIGINT NOT NULL,
    last_step BIGINT NOT NULL,
    points BIGINT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run, key, no)
);
