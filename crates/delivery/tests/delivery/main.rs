//! The gateway between real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests report by panicking")]

mod gateway;
mod rig;
