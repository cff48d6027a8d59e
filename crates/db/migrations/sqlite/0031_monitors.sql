-- What each server watches of each version of a service: levels and open alerts, and what is compared with.
CREATE TABLE monitor_states (
    host      TEXT NOT NULL,
    subset    TEXT NOT NULL,
    server    TEXT NOT NULL,
    namespace TEXT NOT NULL,
    state     TEXT NOT NULL,
    PRIMARY KEY (host, subset, server)
);

-- Windows of traffic, written each second in which something came.
CREATE TABLE monitor_windows (
    host      TEXT NOT NULL,
    subset    TEXT NOT NULL,
    server    TEXT NOT NULL,
    namespace TEXT NOT NULL,
    traffic   BLOB NOT NULL,
    PRIMARY KEY (host, subset, server)
);

-- What versions are compared with where there is no training data: the profile of their first window.
CREATE TABLE monitor_references (
    host      TEXT NOT NULL,
    subset    TEXT NOT NULL,
    server    TEXT NOT NULL,
    namespace TEXT NOT NULL,
    profile   TEXT NOT NULL,
    PRIMARY KEY (host, subset, server)
);

-- Alerts that somebody has to be told of; a row goes when that is done.
CREATE TABLE monitor_notices (
    no        INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    monitor   TEXT NOT NULL,
    url       TEXT NOT NULL,
    format    TEXT NOT NULL,
    alert     TEXT NOT NULL,
    attempts  INTEGER NOT NULL,
    due_at    INTEGER NOT NULL
);
CREATE INDEX monitor_notices_by_time ON monitor_notices (due_at, no);
