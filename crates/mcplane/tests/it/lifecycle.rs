//! Starting, stopping, and who may start.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use mcplane::compose;
use mcplane::config::{AuthMode, Config};
use mcplane::server::{Endpoint, Shutdown, StartError};
use mcplane_core::units::HumanDuration;
use mcplane_testkit::process::{run, signal};
use mcplane_testkit::{Backend, Server};

use crate::harness::{SOON, Speak, TestServer};

const BINARY: &str = env!("CARGO_BIN_EXE_mcplane");

#[tokio::test]
async fn an_open_stream_ends_and_a_running_request_is_answered_when_the_server_stops() {
    let server = TestServer::start().await;
    let mut client = server.client(Speak::Http2).await;
    let request = client.request("GET", "/stream").body(Full::default()).unwrap();
    let body = client.begin(request).await.into_body();
    assert!(Endpoint::read(server.data.path()).is_some());
    server.shutdown.request();
    let received = tokio::time::timeout(SOON, body.collect()).await.expect("the stream ends").expect("in order");
    assert!(received.to_bytes().len().is_multiple_of(5), "whole lines only");
    let data = server.data.path().to_owned();
    server.stopped().await.unwrap();
    assert_eq!(Endpoint::read(&data), None, "nobody is there any more");
}

#[tokio::test]
async fn patience_with_stubborn_requests_is_limited() {
    let server = TestServer::start_with(|config| {
        config.server.graceful_stop = HumanDuration(Duration::from_millis(300));
    })
    .await;
    let mut client = server.client(Speak::Http1).await;
    let request = client.request("GET", "/stubborn").body(Full::default()).unwrap();
    let body = client.begin(request).await.into_body();
    let began = Instant::now();
    server.shutdown.request();
    server.stopped().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(body.collect().await.is_err(), "the client notices that the answer is not whole");
}

#[tokio::test]
async fn the_second_signal_ends_patience() {
    let server = TestServer::start_with(|config| {
        config.server.graceful_stop = HumanDuration(Duration::from_secs(3600));
    })
    .await;
    let mut client = server.client(Speak::Http1).await;
    let request = client.request("GET", "/stubborn").body(Full::default()).unwrap();
    let _body = client.begin(request).await.into_body();
    server.shutdown.request();
    server.shutdown.force();
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn a_server_without_users_does_not_open_to_others() {
    for change in [
        (|config: &mut Config| config.server.listen = "0.0.0.0:0".parse().unwrap()) as fn(&mut Config),
        |config| config.server.behind_tls_proxy = true,
        |config| config.auth.mode = AuthMode::Required,
    ] {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.server.data_dir = data.path().to_owned();
        change(&mut config);
        let error = compose::serve(&config, Shutdown::new(), |_| panic!("it started")).await.unwrap_err();
        assert!(matches!(error, StartError::NoUsers(_)), "{error:?}");
        assert!(error.to_string().contains("mcplane user create admin"), "{error}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = TestServer::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.listen = server.address.to_string().parse().unwrap();
    config.server.data_dir = data.path().to_owned();
    let error = compose::serve(&config, Shutdown::new(), |_| panic!("it started")).await.unwrap_err();
    assert!(error.to_string().contains(&format!("can't listen on {}", server.address)), "{error}");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let mut server = Server::start(BINARY, Backend::Sqlite);
    let data_dir = server.data_dir();
    let mut second = server.cli();
    second.args(["server", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data_dir);
    let output = run(&mut second, None);
    assert_eq!(output.code, 1, "{output}");
    let (pid, dir) = (server.pid(), data_dir.display());
    let expected = format!("error: another mcplane (process {pid}) is using {dir}: stop it, or give this one");
    assert!(output.stderr.contains(&expected), "{output}");

    server.terminate();
    assert!(!data_dir.join("server.json").exists());
    server.restart();
}

#[test]
fn a_killed_server_leaves_nothing_in_the_way() {
    let mut server = Server::start(BINARY, Backend::Sqlite);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &server.data_dir().join("pki/ca.key").metadata().unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    server.kill_9();
    server.restart();
    assert_eq!(mcplane_testkit::http::get(server.address(), "/livez").unwrap().body, b"ok");
}

#[test]
fn interrupts_stop_the_server_as_well() {
    let server = Server::start(BINARY, Backend::Sqlite);
    signal(server.pid(), "INT");
    mcplane_testkit::eventually("the server ends", 20, || {
        mcplane_testkit::http::get(server.address(), "/livez").is_none().then_some(())
    });
    assert!(server.log().contains("SIGINT"), "{}", server.log());
}

#[test]
fn logs_are_ecs_json_when_nobody_watches() {
    let mut server = Server::start(BINARY, Backend::Sqlite);
    server.terminate();
    let log = server.log();
    let lines: Vec<serde_json::Value> =
        log.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    for message in ["ready", "told to stop", "stopped"] {
        let line = lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("{message} in {log}"));
        assert_eq!(line["log.level"], "info");
        assert_eq!(line["service.name"], "mcplane");
    }
}
