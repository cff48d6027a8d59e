//! Runs work on a machine: takes assignments, keeps each attempt's process under a shim, tells what became of it.

#![forbid(unsafe_code)]

pub mod executor;
pub mod protocol;
