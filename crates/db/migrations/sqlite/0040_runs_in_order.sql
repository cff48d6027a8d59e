-- Searches read runs in the order of a parameter or a tag from its index, as they read them in the order of a metric. The index is of one
-- experiment, and breaks ties by the start. Long values would not fit into it: a key that has one is sorted, and such values
-- are found by their hash.
DROP INDEX run_params_by_value;
ALTER TABLE run_params ADD COLUMN experiment BIGINT NOT NULL DEFAULT 0;
ALTER TABLE run_params ADD COLUMN started_at BIGINT NOT NULL DEFAULT 0;
UPDATE run_params SET (experiment, started_at) = (SELECT experiment, started_at FROM runs WHERE no = run)
    WHERE run IN (SELECT no FROM runs);
CREATE INDEX run_params_by_value ON run_params (experiment, key, value, started_at DESC, run) WHERE length(value) <= 250;
CREATE INDEX run_params_long ON run_params (experiment, key, hash, run) WHERE length(value) > 250;

DROP INDEX run_tags_by_value;
ALTER TABLE run_tags ADD COLUMN experiment BIGINT NOT NULL DEFAULT 0;
ALTER TABLE run_tags ADD COLUMN started_at BIGINT NOT NULL DEFAULT 0;
UPDATE run_tags SET (experiment, started_at) = (SELECT experiment, started_at FROM runs WHERE no = run)
    WHERE run IN (SELECT no FROM runs);
CREATE INDEX run_tags_by_value ON run_tags (experiment, key, value, started_at DESC, run) WHERE length(value) <= 250;
CREATE INDEX run_tags_long ON run_tags (experiment, key, hash, run) WHERE length(value) > 250;

-- How many runs of an experiment are deleted, without reading those that are not.
CREATE INDEX runs_deleted ON runs (experiment) WHERE deleted_at IS NOT NULL;
