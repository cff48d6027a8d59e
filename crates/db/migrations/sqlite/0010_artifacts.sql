-- What was uploaded through the server, by its path in the store, which carries the namespace. `digest` is SHA-256 in hex.
CREATE TABLE artifacts (
    path TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    digest TEXT NOT NULL,
    uploaded_at BIGINT NOT NULL,
    uploaded_by TEXT NOT NULL
);
