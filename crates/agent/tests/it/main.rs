//! Real processes under real shims.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test reports by panicking")]

mod crash;
mod disk;
mod lifecycle;
mod output;
mod rig;
