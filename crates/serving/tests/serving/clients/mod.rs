//! Clients as they are published, against a server of the crate's routes.

use std::path::Path;

use mcplane_serving::http::{Door, Limits, routes};
use mcplane_testkit::python::Venv;

use crate::engine::bytes;
use crate::models::repository;

#[test]
fn published_clients_are_served() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let repository = repository();
    repository.load("forest", 1, &bytes("forest_names")).unwrap();
    repository.load("columns", 3, &bytes("columns_logistic")).unwrap();
    let app = routes(Door::new(repository, Limits::default()));
    runtime.spawn(async move { axum::serve(listener, app).await });

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serving/clients/clients.py");
    let venv = Venv::with(include_str!("requirements.txt"));
    let said = venv.run(&script, &[&address.to_string()]).ok();
    assert!(said.contains("all clients are served"), "{said}");
}
