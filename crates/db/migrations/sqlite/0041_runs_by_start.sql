-- What a search skips is passed in the index alone: whether a run is deleted is in it. So deleted runs are counted in theirs
-- only if that, too, has all that is asked.
DROP INDEX runs_by_start;
CREATE INDEX runs_by_start ON runs (experiment, started_at DESC, id, deleted_at);
DROP INDEX runs_deleted;
CREATE INDEX runs_deleted ON runs (experiment, deleted_at) WHERE deleted_at IS NOT NULL;
