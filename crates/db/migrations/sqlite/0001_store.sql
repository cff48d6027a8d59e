-- The one row whose lock orders every write: revisions and audit entries are numbered under it.
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    compacted BIGINT NOT NULL,
    audit_sequence BIGINT NOT NULL,
    audit_hash TEXT NOT NULL
);
INSERT INTO head VALUES (1, 1, 0, 0, '');

-- The change feed: what every watch reads. `body` is the state after the change (the last state, for a deletion),
-- `previous` the state before it.
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    operation BIGINT NOT NULL,
    body TEXT NOT NULL,
    previous TEXT
);
CREATE INDEX changes_by_resource ON changes (resource, revision);

-- Current state of every object that is not a projection of some domain's table.
CREATE TABLE objects (
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    deleting BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (resource, namespace, name)
);

-- Numbers that writes may bound: how many objects of a resource live in a namespace, and later what they ask for.
CREATE TABLE counters (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (namespace, name)
);

-- Append-only: each entry's hash covers the one before it, and the triggers refuse to rewrite history.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    code BIGINT NOT NULL,
    trace TEXT NOT NULL,
    source TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TRIGGER audit_is_not_updated BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
