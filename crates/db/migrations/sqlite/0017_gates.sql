-- Decisions of evaluation gates on versions of models; rows are only added, but for what an operator says of a refusal.
CREATE TABLE gate_decisions (
    no              INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    namespace       TEXT    NOT NULL,
    gate            TEXT    NOT NULL,
    model           TEXT    NOT NULL,
    version         TEXT    NOT NULL,
    verdict         TEXT    NOT NULL,
    sha256          TEXT    NOT NULL,
    policy          TEXT    NOT NULL,
    evaluation      TEXT    NOT NULL,
    reasons         TEXT    NOT NULL,
    created_by      TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    overridden_by   TEXT,
    overridden_at   INTEGER,
    override_reason TEXT
);
CREATE INDEX gate_decisions_by_model ON gate_decisions (namespace, model, version, no);
