-- Local users. The kind `User` is a projection of this table; passwords never reach the change feed.
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    id BIGINT NOT NULL UNIQUE,
    uid TEXT NOT NULL,
    role TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    metadata TEXT NOT NULL
);
