//! The real server over real sockets, with real clients.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod cli;
mod client;
mod contracts;
mod crash;
mod durability;
mod faults;
mod features;
#[cfg(feature = "sql")]
mod flights;
mod guard;
mod guarded;
mod harness;
mod hostile;
mod kube_rs;
mod kubectl;
mod leaks;
mod lifecycle;
mod listener;
mod mlflow;
mod pipelines;
mod python;
mod routes;
mod serving;
mod tasks;
