-- The model registry. `object` is the row as clients of the object API see it, which changes of the feed tell of.
CREATE TABLE registered_models (
    no INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    description TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_version BIGINT NOT NULL,
    object_name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    object TEXT NOT NULL,
    UNIQUE (namespace, name),
    UNIQUE (namespace, object_name)
);
CREATE TABLE registered_model_tags (
    model BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) WITHOUT ROWID;
CREATE TABLE registered_model_aliases (
    model BIGINT NOT NULL,
    alias TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (model, alias)
) WITHOUT ROWID;

-- A deleted version keeps its row: neither its number nor its semantic version is given again.
CREATE TABLE model_versions (
    model BIGINT NOT NULL,
    version BIGINT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    patch BIGINT NOT NULL,
    pre TEXT NOT NULL,
    namespace TEXT NOT NULL,
    uid TEXT NOT NULL,
    description TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    stage BIGINT NOT NULL,
    source TEXT NOT NULL,
    location TEXT NOT NULL,
    run_id TEXT NOT NULL,
    run_link TEXT NOT NULL,
    model_id TEXT NOT NULL,
    created_by TEXT NOT NULL,
    deleted BIGINT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    record TEXT NOT NULL,
    object_name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    object TEXT NOT NULL,
    PRIMARY KEY (model, version),
    UNIQUE (model, major, minor, patch, pre),
    UNIQUE (namespace, object_name)
);
CREATE INDEX model_versions_by_update ON model_versions (namespace, updated_at DESC);
CREATE INDEX model_versions_by_run ON model_versions (run_id);
CREATE INDEX model_versions_by_stage ON model_versions (model, deleted, stage, version);
CREATE TABLE model_version_tags (
    model BIGINT NOT NULL,
    version BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, version, key)
) WITHOUT ROWID;
