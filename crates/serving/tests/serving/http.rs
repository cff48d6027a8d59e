//! The routes, without a socket.

use std::io::Write;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use mcplane_serving::http::{Door, Limits, routes};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::engine::bytes;
use crate::models::repository;

fn app() -> Router {
    let repository = repository();
    repository.load("forest", 1, &bytes("forest_names")).unwrap();
    repository.load("forest", 2, &bytes("forest_binary")).unwrap();
    repository.load("columns", 1, &bytes("columns_logistic")).unwrap();
    let _ = repository.load("broken", 1, &bytes("knn"));
    routes(Door::new(repository, Limits { body: 100_000 }))
}

async fn send(
    app: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

async fn call(app: &Router, method: &str, path: &str, body: impl Into<Body>) -> (u16, Value) {
    let (status, _, body) = send(app, method, path, &[], body).await;
    (status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn metadata_tells_what_there_is() {
    let app = app();
    assert_eq!(call(&app, "GET", "/v2/health/live", "").await, (200, json!({"live": true})));
    assert_eq!(call(&app, "GET", "/v2/health/ready", "").await, (503, json!({"ready": false})));
    assert_eq!(call(&app, "GET", "/v2", "").await.1["name"], "mcplane");
    let input = json!([{"name": "X", "datatype": "FP32", "shape": [-1, 6]}]);
    let (status, model) = call(&app, "GET", "/v2/models/forest", "").await;
    assert_eq!((status, &model["versions"], &model["inputs"]), (200, &json!(["1", "2"]), &input));
    assert_eq!(model["outputs"][1]["parameters"]["labels"], json!(["0", "1"]));
    let (_, first) = call(&app, "GET", "/v2/models/forest/versions/1", "").await;
    assert_eq!((&first["versions"], &first["outputs"][0]["datatype"]), (&json!(["1"]), &json!("BYTES")));
    assert_eq!(
        call(&app, "GET", "/v2/models/forest/versions/2/ready", "").await,
        (200, json!({"name": "forest", "ready": true}))
    );
    let (_, index) = call(&app, "POST", "/v2/repository/index", "{}").await;
    assert_eq!((index.as_array().unwrap().len(), &index[0]["state"]), (4, &json!("UNAVAILABLE")));
    let (_, ready) = call(&app, "POST", "/v2/repository/index", r#"{"ready":true}"#).await;
    assert_eq!(ready.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn inference_answers_in_json() {
    let app = app();
    let body = json!({"id": "a", "inputs": [{"name": "X", "datatype": "FP32", "shape": [2, 6], "data": [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]}]});
    let (status, answer) = call(&app, "POST", "/v2/models/forest/versions/1/infer", body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["model_name"], &answer["model_version"], &answer["id"]),
        (&json!("forest"), &json!("1"), &json!("a"))
    );
    assert_eq!(answer["outputs"][0]["shape"], json!([2]));
    assert_eq!(answer["outputs"][1]["data"].as_array().unwrap().len(), 6);
    assert_eq!(call(&app, "POST", "/v2/models/forest/infer", body.to_string()).await.1["model_version"], "2");
    let (_, answer) = call(&app, "POST", "/v2/models/forest/invocations", r#"{"inputs":[[0,0,0,0,0,0]]}"#).await;
    let predictions = answer["predictions"].as_object().unwrap();
    assert_eq!(predictions.values().next().unwrap().as_array().unwrap().len(), 1);
    let (status, _, body) = send(
        &app,
        "POST",
        "/v2/models/columns/invocations",
        &[("content-type", "text/csv")],
        "age,pay,city,grade\n1,2,Oslo,3\n,,Rome,0\n",
    )
    .await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
}

#[tokio::test]
async fn bodies_may_be_packed() {
    let app = app();
    let body = br#"{"inputs":[{"name":"X","datatype":"FP32","shape":[1,6],"data":[0,0,0,0,0,0]}]}"#;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body).unwrap();
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
    deflate.write_all(body).unwrap();
    let path = "/v2/models/forest/infer";
    for (encoding, packed) in [("gzip", gzip.finish().unwrap()), ("deflate", deflate.finish().unwrap())] {
        assert_eq!(send(&app, "POST", path, &[("content-encoding", encoding)], packed).await.0, 200, "{encoding}");
    }
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 10_000_000]).unwrap();
    assert_eq!(send(&app, "POST", path, &[("content-encoding", "gzip")], bomb.finish().unwrap()).await.0, 413);
    assert_eq!(send(&app, "POST", path, &[("content-encoding", "gzip")], "no gzip").await.0, 400);
    assert_eq!(send(&app, "POST", path, &[("content-encoding", "br")], "x").await.0, 415);
}

#[tokio::test]
async fn every_mistake_is_an_error_in_words() {
    let app = app();
    let input = |shape: &str, data: &str| {
        format!(r#"{{"inputs":[{{"name":"X","datatype":"FP32","shape":{shape},"data":{data}}}]}}"#)
    };
    let infer = "/v2/models/forest/infer";
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    for (method, path, body, status) in [
        ("GET", "/v2/models/nobody", String::new(), 404),
        ("GET", "/v2/models/forest/versions/7", String::new(), 404),
        ("GET", "/v2/models/forest/versions/x", String::new(), 404),
        ("GET", "/v2/models/broken/ready", String::new(), 503),
        ("GET", "/elsewhere", String::new(), 404),
        ("GET", infer, String::new(), 405),
        ("POST", infer, String::new(), 400),
        ("POST", infer, "{".to_owned(), 400),
        ("POST", infer, input("[1000000,1000000]", "[1]"), 400),
        ("POST", infer, input("[1,6]", "[1,2,3,4,5,NaN]"), 400),
        ("POST", infer, input("[1,6]", "[1,2,3,4,5]"), 400),
        ("POST", infer, input("[1,5]", "[1,2,3,4,5]"), 400),
        ("POST", infer, input("[1,6]", &deep), 400),
        ("POST", infer, "[".repeat(90_000), 400),
        ("POST", infer, " ".repeat(100_001), 413),
        ("POST", "/invocations", "{}".to_owned(), 400),
        ("POST", "/v2/models/forest/invocations", "{}".to_owned(), 400),
        ("POST", "/v2/models/nobody/infer", "{}".to_owned(), 404),
        ("POST", "/v2/repository/index", "[".to_owned(), 400),
    ] {
        let start: String = body.chars().take(80).collect();
        let (got, answer) = call(&app, method, path, body).await;
        assert_eq!(got, status, "{method} {path} {start}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|error| !error.is_empty()), "{method} {path} {start}: {answer}");
    }
}
