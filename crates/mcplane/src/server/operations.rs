//! Health, readiness, metrics and version.

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mcplane_objects::http::{PathGuard, Routes};
use serde_json::json;

use super::metrics::Metrics;
use super::reply::failure;
use super::shutdown::Shutdown;

/// The Kubernetes minor version whose API conventions are spoken; clients compare it with their own.
const KUBERNETES: (&str, &str) = ("1", "32");
/// The MLflow version whose REST surface is spoken; its client picks wire formats by it.
const MLFLOW: &str = "3.17.2";
const PROBE_TIME: Duration = Duration::from_secs(2);

type ProbeFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// One check of readiness.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    check: Arc<dyn Fn() -> ProbeFuture + Send + Sync>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Probe").field(&self.name).finish()
    }
}

impl Probe {
    /// A check with a name; the reason of a failure reaches the log only.
    pub fn new<F>(name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, check: Arc::new(move || Box::pin(check())) }
    }

    async fn passes(&self) -> bool {
        let outcome = tokio::time::timeout(PROBE_TIME, (self.check)()).await;
        let reason = match outcome {
            Ok(Ok(())) => return true,
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {PROBE_TIME:?}"),
        };
        tracing::warn!(probe = self.name, %reason, "not ready");
        false
    }
}

/// What the operational routes need.
#[derive(Debug, Clone)]
pub struct Operations {
    /// What must hold for the server to be ready.
    pub probes: Arc<[Probe]>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Who may see it.
    pub guard: PathGuard,
    /// A server that was told to stop is not ready.
    pub shutdown: Shutdown,
    /// The certificate authority that clients must trust, as PEM; `None` if the certificate is the user's own.
    pub authority_pem: Option<Arc<str>>,
}

/// The operational routes. `/metrics` is for those whom the guard lets pass; the others answer anybody, as load balancers
/// need.
pub fn routes(operations: Operations) -> Routes {
    Routes::default()
        .get("/metrics", metrics)
        .guarded(operations.guard.clone())
        .get("/livez", livez)
        .get("/healthz", readyz)
        .get("/readyz", readyz)
        .get("/version", version)
        .get("/auth/ca.pem", authority)
        .with_state(operations)
}

async fn livez(RawQuery(query): RawQuery) -> Response {
    report("livez", &[("ping", true)], is_verbose(query))
}

async fn readyz(State(operations): State<Operations>, RawQuery(query): RawQuery) -> Response {
    let mut checks = vec![("ping", true), ("shutdown", !operations.shutdown.is_requested())];
    let outcomes = futures::future::join_all(operations.probes.iter().map(Probe::passes)).await;
    checks.extend(operations.probes.iter().map(|probe| probe.name).zip(outcomes));
    report("readyz", &checks, is_verbose(query))
}

/// Whether `verbose` is given, with any value or none, to have all checks listed.
fn is_verbose(query: Option<String>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")))
}

/// Kubernetes' text of a health endpoint.
fn report(name: &str, checks: &[(&str, bool)], verbose: bool) -> Response {
    let healthy = checks.iter().all(|(_, passed)| *passed);
    if healthy && !verbose {
        return "ok".into_response();
    }
    let mut text = String::new();
    for (check, passed) in checks {
        let _ = if *passed {
            writeln!(text, "[+]{check} ok")
        } else {
            writeln!(text, "[-]{check} failed: reason withheld")
        };
    }
    let _ = writeln!(text, "{name} check {}", if healthy { "passed" } else { "failed" });
    let code = if healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (code, text).into_response()
}

async fn metrics(State(operations): State<Operations>) -> Response {
    match operations.metrics.render() {
        Ok(text) => {
            const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS))], text).into_response()
        }
        Err(_) => failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "metrics can't be rendered"),
    }
}

async fn authority(State(operations): State<Operations>) -> Response {
    let Some(pem) = operations.authority_pem else {
        return failure(StatusCode::NOT_FOUND, "NotFound", "the server's certificate is not of its own authority");
    };
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"))], pem.to_string()).into_response()
}

/// The commit that the program was built from, where the build says so.
pub(super) fn revision() -> &'static str {
    option_env!("MCPLANE_BUILD_COMMIT").unwrap_or("unknown")
}

async fn version(headers: HeaderMap) -> Response {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if agent.starts_with("mlflow-python-client/") {
        return MLFLOW.into_response();
    }
    let (major, minor) = KUBERNETES;
    axum::Json(json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{major}.{minor}.0+mcplane-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": revision(),
        "gitTreeState": "clean",
        "buildDate": option_env!("MCPLANE_BUILD_DATE").unwrap_or("1970-01-01T00:00:00Z"),
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    }))
    .into_response()
}

/// The processor in Go's words, which Kubernetes uses.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use mcplane_core::authz::{AllowAll, Attributes, Authorizer, Decision};
    use mcplane_core::{Caller, Context, SystemClock};
    use mcplane_db::{Db, StoreUrl};
    use tower::ServiceExt;

    use super::*;

    #[derive(Debug)]
    struct OnlyAnn;
    impl Authorizer for OnlyAnn {
        fn decide(&self, caller: &Caller, attributes: &Attributes) -> Decision {
            assert_eq!(attributes, &Attributes::path("get", "/metrics"));
            if caller.name == "ann" { Decision::Allow(String::new()) } else { Decision::Deny(String::new()) }
        }
    }

    async fn operations(authorizer: Arc<dyn Authorizer>, probes: Vec<Probe>) -> (Operations, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("mcplane.db"));
        let db = Db::open(&url, Arc::new(SystemClock)).await.unwrap();
        let operations = Operations {
            probes: probes.into(),
            metrics: Metrics::new(),
            guard: PathGuard { authorizer, db },
            shutdown: Shutdown::new(),
            authority_pem: None,
        };
        (operations, folder)
    }

    async fn get(operations: &Operations, path: &str, caller: Option<&str>) -> (u16, String) {
        let mut request = http::Request::get(path).body(Body::empty()).unwrap();
        if let Some(name) = caller {
            let caller = Caller { name: name.to_owned(), ..Caller::default() };
            request.extensions_mut().insert(Arc::new(Context { caller, ..Context::system("test") }));
        }
        let response = routes(operations.clone()).into_router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn metrics_are_for_those_who_may_see_them() {
        let (operations, _folder) = operations(Arc::new(OnlyAnn), Vec::new()).await;
        assert_eq!(get(&operations, "/metrics", Some("ann")).await.0, 200);
        let (status, body) = get(&operations, "/metrics", Some("eve")).await;
        assert_eq!(status, 403);
        assert!(body.contains("User \\\"eve\\\" cannot get path"), "{body}");
        assert_eq!(get(&operations, "/metrics", None).await.0, 401, "nobody is asked to log in");
        assert_eq!(get(&operations, "/livez", None).await, (200, "ok".to_owned()));
        assert_eq!(get(&operations, "/auth/ca.pem", None).await.0, 404);
    }

    #[tokio::test]
    async fn readiness_needs_every_probe() {
        let fine = Probe::new("fine", async || Ok(()));
        let broken = Probe::new("store", async || Err("password of the database: secret".to_owned()));
        let (operations, _folder) = operations(Arc::new(AllowAll), vec![fine, broken]).await;
        let (status, body) = get(&operations, "/readyz", None).await;
        assert_eq!(status, 500);
        assert!(body.contains("[+]fine ok\n[-]store failed: reason withheld\n"), "{body}");
        assert!(!body.contains("secret"));
        assert_eq!(get(&operations, "/livez", None).await.0, 200, "a broken store is no reason to restart");
    }

    #[tokio::test]
    async fn a_stopping_server_is_not_ready() {
        let (operations, _folder) = operations(Arc::new(AllowAll), Vec::new()).await;
        assert_eq!(get(&operations, "/readyz", None).await, (200, "ok".to_owned()));
        operations.shutdown.request();
        let (status, body) = get(&operations, "/readyz", None).await;
        assert_eq!(status, 500);
        assert!(body.contains("[-]shutdown failed"), "{body}");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_has_failed() {
        let (operations, _folder) =
            operations(Arc::new(AllowAll), vec![Probe::new("slow", std::future::pending)]).await;
        assert_eq!(get(&operations, "/readyz", None).await.0, 500);
    }
}
