-- What waits to be sent to others. A lane is sent in the order of its messages, by one server at a time: `claim` counts those
-- who had it, and what one does counts only while the claim is its own.
CREATE TABLE outbox_lanes (
    lane TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    due_at BIGINT,
    attempts BIGINT NOT NULL,
    claim BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX outbox_lanes_by_due ON outbox_lanes (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE outbox (
    no INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    dead_at BIGINT,
    reason TEXT NOT NULL
);
CREATE INDEX outbox_by_lane ON outbox (lane, no) WHERE dead_at IS NULL;
CREATE INDEX outbox_dead ON outbox (dead_at) WHERE dead_at IS NOT NULL;

-- Who is told of changes. `secret` is sealed.
CREATE TABLE webhooks (
    no INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    active BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX webhooks_by_time ON webhooks (namespace, created_at, no);
CREATE TABLE webhook_events (
    webhook BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (webhook, event)
) WITHOUT ROWID;
