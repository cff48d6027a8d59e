//! mcplane as one program: configuration, the listener, the command line, and [`compose`], which wires every crate
//! into one server.

pub mod cli;
pub mod compose;
pub mod config;
mod lineage;
pub mod plane;
pub mod server;
mod watched;
mod work;
