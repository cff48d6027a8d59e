//! What people do with `kubectl`, done with the real one.

mod access;
mod apply;
mod change;
mod create;
mod mission;
mod read;
mod remove;

use mcplane_testkit::{Backend, Kubectl, Server};

/// A server and the client of whoever sits at the machine: on loopback nobody needs to log in.
fn start(backend: Backend) -> (Server, Kubectl) {
    let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
    let kubectl = Kubectl::http(&server.url());
    (server, kubectl)
}

/// Lines of a table as words.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}
