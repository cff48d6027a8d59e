-- Rollouts that began: where each is, by the spec that it began with. `step` is compared before it is changed.
CREATE TABLE rollouts (
    uid       TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    step      INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    spec      TEXT NOT NULL,
    state     TEXT NOT NULL,
    judgement TEXT,
    looked_at INTEGER NOT NULL
);

-- What both versions of a rollout did in its stage, as each server saw it.
CREATE TABLE rollout_samples (
    uid     TEXT NOT NULL,
    server  TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    samples TEXT NOT NULL,
    PRIMARY KEY (uid, server)
);

-- What was decided of rollouts, with the numbers; rows are only added.
CREATE TABLE rollout_decisions (
    no        INTEGER PRIMARY KEY,
    uid       TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    action    TEXT NOT NULL,
    version   TEXT NOT NULL,
    stable    TEXT NOT NULL,
    message   TEXT NOT NULL,
    judgement TEXT,
    actor     TEXT NOT NULL,
    at        INTEGER NOT NULL
);
CREATE INDEX rollout_decisions_by_name ON rollout_decisions (namespace, name, no);
