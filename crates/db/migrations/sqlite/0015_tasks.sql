-- Tasks: the truth about all work. `state`: 0 waiting for its time, 1 ready, 2 running, 3 succeeded, 4 failed, 5 cancelled.
-- `attempt` counts attempts and is what fences off older ones. `rank` orders what is ready: the time at which it became
-- so, less its priority times the step of ageing.
CREATE TABLE tasks (
    no              INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    namespace       TEXT    NOT NULL,
    queue           TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    state           INTEGER NOT NULL,
    due_at          INTEGER NOT NULL,
    rank            INTEGER NOT NULL,
    priority        INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    attempts_left   INTEGER NOT NULL,
    cpu_milli       INTEGER NOT NULL,
    memory          INTEGER NOT NULL,
    gpu             INTEGER NOT NULL,
    key             TEXT,
    key_limit       INTEGER NOT NULL,
    unique_key      TEXT,
    idempotency_key TEXT,
    owner           TEXT,
    cancelled_by    TEXT,
    node            TEXT,
    trace           TEXT    NOT NULL,
    created_by      TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    finished_at     INTEGER,
    exit_code       INTEGER,
    reason          TEXT    NOT NULL,
    message         TEXT    NOT NULL,
    progress        TEXT,
    spec            TEXT    NOT NULL
);
CREATE INDEX tasks_waiting ON tasks (due_at) WHERE state = 0;
CREATE INDEX tasks_ready ON tasks (namespace, queue, rank) WHERE state = 1;
CREATE INDEX tasks_running ON tasks (node) WHERE state = 2;
CREATE INDEX tasks_finished ON tasks (finished_at) WHERE state > 2;
CREATE INDEX tasks_by_namespace ON tasks (namespace, no);
CREATE INDEX tasks_by_owner ON tasks (owner) WHERE owner IS NOT NULL;
CREATE UNIQUE INDEX tasks_unique ON tasks (namespace, unique_key) WHERE unique_key IS NOT NULL AND state < 3;
CREATE UNIQUE INDEX tasks_idempotent ON tasks (namespace, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The window of ready tasks that the SQL transport carries. It can be rebuilt from `tasks`.
CREATE TABLE deliveries (
    no      INTEGER PRIMARY KEY,
    task    INTEGER NOT NULL UNIQUE,
    attempt INTEGER NOT NULL,
    node    TEXT    NOT NULL,
    holder  TEXT,
    until   INTEGER NOT NULL
);

-- What differs from what a queue is without being set up.
CREATE TABLE queues (
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    paused    INTEGER NOT NULL,
    weight    INTEGER NOT NULL,
    most      INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
);

-- Attempts that are shown as pods.
CREATE TABLE attempts (
    task        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    namespace   TEXT    NOT NULL,
    object_name TEXT    NOT NULL,
    uid         TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    object      TEXT    NOT NULL,
    PRIMARY KEY (task, attempt)
);
CREATE UNIQUE INDEX attempts_by_name ON attempts (namespace, object_name);

-- Machines that run attempts. `incarnation` changes with each start of the agent.
CREATE TABLE nodes (
    name         TEXT    NOT NULL PRIMARY KEY,
    uid          TEXT    NOT NULL,
    incarnation  TEXT    NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    revision     INTEGER NOT NULL,
    object       TEXT    NOT NULL
);

-- Who decides, and the last number that a task got. `epoch` grows with each change of the holder and fences off older ones.
CREATE TABLE scheduler (
    one       INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    holder    TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    until     INTEGER NOT NULL,
    last_task INTEGER NOT NULL
);
INSERT INTO scheduler VALUES (1, '', 0, 0, 0);
