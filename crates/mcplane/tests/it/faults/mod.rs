//! Faults of what tasks run on and of tasks themselves, with real processes: the database goes away, the disk is full, a task
//! is poison, a reader is slow, one of two servers dies. Those of the server itself are in `crash`.

mod disk;
mod poison;
mod postgres;
mod reader;
mod servers;
