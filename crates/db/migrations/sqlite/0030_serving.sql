-- Revisions of services that answer: which version of which model each was, for as long as its namespace is.
-- `no` is what identifiers of predictions hold; `number` counts within the service.
CREATE TABLE serving_revisions (
    no          INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace   TEXT NOT NULL,
    service     TEXT NOT NULL,
    uid         TEXT NOT NULL,
    number      INTEGER NOT NULL,
    wanted      TEXT NOT NULL,
    model       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    semantic    TEXT NOT NULL,
    digest      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    ready_at    INTEGER,
    UNIQUE (uid, number)
);
CREATE INDEX serving_revisions_of_namespaces ON serving_revisions (namespace, service);
