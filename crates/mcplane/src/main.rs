//! The `mcplane` binary; everything is in the library of the same name.

use std::process::ExitCode;

/// A request makes many small, short-lived allocations, often freed on another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mcplane::cli::shim().unwrap_or_else(mcplane::cli::main)
}
