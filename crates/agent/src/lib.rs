//! Runs work on a machine: takes assignments, keeps each attempt's process under a shim, tells what became of it.

#![forbid(unsafe_code)]

mod cgroup;
pub mod executor;
mod folder;
pub mod logs;
pub mod process;
mod procfs;
pub mod protocol;
pub mod shim;

pub use executor::{Adopted, AdoptedState, Executor, ExecutorError};
pub use process::ProcessExecutor;
