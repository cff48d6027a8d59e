-- Scorers: what judges traces, by name in an experiment, as versions that are only added and deleted.
CREATE TABLE scorers (
    no INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    experiment BIGINT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (experiment, name)
);

CREATE TABLE scorer_versions (
    scorer BIGINT NOT NULL,
    version BIGINT NOT NULL,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (scorer, version)
) WITHOUT ROWID;
