-- Traces: what a request to an application did. Spans lie in parts, one for each export, as compressed protobuf: a part is
-- never rewritten, and of two spans with one id the later counts.
CREATE TABLE traces (
    no INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    experiment BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    duration BIGINT,
    state BIGINT NOT NULL,
    client_request_id TEXT,
    request_preview TEXT,
    response_preview TEXT,
    UNIQUE (namespace, id)
);
-- The order in which a search without one answers.
CREATE INDEX traces_by_time ON traces (experiment, requested_at DESC, id);

CREATE TABLE trace_tags (
    trace BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    hash BIGINT NOT NULL,
    PRIMARY KEY (trace, key)
) WITHOUT ROWID;
CREATE INDEX trace_tags_by_value ON trace_tags (key, hash, trace);
CREATE TABLE trace_metadata (
    trace BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    hash BIGINT NOT NULL,
    PRIMARY KEY (trace, key)
) WITHOUT ROWID;
CREATE INDEX trace_metadata_by_value ON trace_metadata (key, hash, trace);

CREATE TABLE trace_spans (
    trace BIGINT NOT NULL,
    part BIGINT NOT NULL,
    spans BLOB NOT NULL,
    PRIMARY KEY (trace, part)
);

-- `value` is JSON, `number` the value if it is one; `session` says that it is about all traces of the session.
CREATE TABLE trace_assessments (
    no INTEGER PRIMARY KEY,
    trace BIGINT NOT NULL,
    id TEXT NOT NULL,
    kind BIGINT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    number DOUBLE PRECISION,
    valid BIGINT NOT NULL,
    session BIGINT NOT NULL,
    overrides TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    details TEXT NOT NULL,
    UNIQUE (trace, id)
);

-- What a trace is linked to: a run (1) by its id, or a version of a prompt (2) as `name/version`.
CREATE TABLE trace_links (
    trace BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (trace, kind, target)
) WITHOUT ROWID;
CREATE INDEX trace_links_by_target ON trace_links (kind, target, trace);
