-- The chunks in which a point that comes late may be already, however many chunks its metric has. Those that are closed are
-- full.
CREATE INDEX metric_chunks_by_time ON metric_chunks (run, key, last_at, first_at) WHERE points >= 320;
