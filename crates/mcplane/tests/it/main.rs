//! The real server with real clients.

mod crash;
mod durability;
mod kube_rs;
mod kubectl;
mod python;
