//! What people do with `kubectl`, done with the real one. Each scenario runs twice: on SQLite as at home (plain HTTP on
//! loopback, nobody logs in), on PostgreSQL as at work (everybody logs in, TLS with the server's own authority).

mod access;
mod apply;
mod change;
mod create;
mod mission;
mod read;
mod remove;
mod work;

use mcplane_testkit::process::run;
use mcplane_testkit::{Backend, Kubectl, Server};

const BINARY: &str = env!("CARGO_BIN_EXE_mcplane");
const PASSWORD: &str = "correct horse battery staple";

/// A server and an administrator's client.
fn start(backend: Backend) -> (Server, Kubectl) {
    match backend {
        Backend::Sqlite => {
            let server = Server::start(BINARY, backend);
            let kubectl = Kubectl::http(&server.url());
            (server, kubectl)
        }
        Backend::Postgres => start_with_logins(backend),
    }
}

/// The way of the manual: create the first user, start, log in, write a kubeconfig.
fn start_with_logins(backend: Backend) -> (Server, Kubectl) {
    let mut server = Server::stopped(BINARY, backend, &["--set", "auth.mode=required"]);
    let data = server.data_dir().display().to_string();
    let store = server.database().map(|database| database.url().to_owned());
    let mut create = vec!["user", "create", "ann", "--role", "admin", "--password-stdin", "--data-dir", &data];
    create.extend(store.iter().flat_map(|url| ["--store", url]));
    run(server.cli().args(create), Some(PASSWORD.as_bytes())).ok();
    server.restart();

    let mcplane = |args: &[&str], stdin| run(server.cli().args(args), stdin).ok();
    let fingerprint = mcplane(&["kubeconfig", "--data-dir", &data, "--fingerprint"], None);
    let url = server.url().replace("http:", "https:");
    let login = ["login", "--server", &url, "--username", "ann", "--password-stdin", "--ca-fingerprint", &fingerprint];
    mcplane(&login, Some(PASSWORD.as_bytes()));
    let kubectl = Kubectl::with_kubeconfig(&mcplane(&["kubeconfig"], None));
    (server, kubectl)
}

/// Lines of a table as words.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// What `kubectl delete` says, without the namespace that releases after 1.33 add.
fn deleted(output: &str) -> String {
    output.lines().map(|line| line.split(" from ").next().unwrap_or(line).to_owned() + "\n").collect()
}
