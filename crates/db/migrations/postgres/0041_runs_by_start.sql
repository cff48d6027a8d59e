-- What a search skips is passed in the index alone: whether a run is deleted is in it.
DROP INDEX runs_by_start;
CREATE INDEX runs_by_start ON runs (experiment, started_at DESC, id) INCLUDE (deleted_at, no);
