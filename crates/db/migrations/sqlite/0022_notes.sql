-- Tasks at which the engine that decides is to look again, because another server changed them; 0 stands for the settings of
-- queues. A note is gone once it was heeded.
CREATE TABLE engine_notes (
    no   INTEGER PRIMARY KEY,
    task INTEGER NOT NULL
);
