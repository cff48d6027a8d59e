//! The real server over real sockets, with real clients.

mod cli;
mod crash;
mod durability;
mod guard;
mod harness;
mod kube_rs;
mod kubectl;
mod lifecycle;
mod listener;
mod python;
