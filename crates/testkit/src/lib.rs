//! What tests of every crate share: real backends, the real server process and real clients.
//!
//! Everything here blocks, holds plain processes, and panics with a sentence that says what is missing: a test that
//! cannot have its backend has failed. Nothing outlives the test, not even when the test process is killed.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test helper reports by panicking")]

pub mod browser;
pub mod http;
pub mod kubectl;
pub mod object_stores;
mod ports;
pub mod postgres;
pub mod process;
pub mod python;
pub mod seaweedfs;
pub mod server;
pub mod suite;

pub use kubectl::Kubectl;
pub use ports::Ports;
pub use postgres::Database;
pub use server::{Backend, Server};

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Cargo's target directory, found from the running test binary so that no variable has to be passed.
pub fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows its own path");
    exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).map_or_else(std::env::temp_dir, Path::to_path_buf)
}

/// Where `cargo xtask setup` puts tools that the system does not offer.
pub fn tools_dir() -> PathBuf {
    target_dir().join("tools")
}

/// Waits until `check` gives something, and panics with `what` when `seconds` have passed without.
pub fn eventually<T>(what: &(impl Display + ?Sized), seconds: u64, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{what}: not within {seconds} s");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
