use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mcplane_delivery::gateway::{Answered, Body, BoxError, Local, Observe, Upstream};
use serde_json::json;

use crate::rig::{Rig, at, named, nobody, routes, split, upstream, upstreams};

/// Weights change a thousand times under load: nothing fails, shares are the weights', and a user who is certain stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_change_under_load() {
    let (one, two) = (named("v1").await, named("v2").await);
    let places = upstreams([("v1", at(&[one.address])), ("v2", at(&[two.address]))]);
    let rig = Arc::new(Rig::new(split(50, 50), places.clone()).await);
    let over = Arc::new(AtomicBool::new(false));
    let (asked, second) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (rig, over) = (Arc::clone(&rig), Arc::clone(&over));
        let (asked, second) = (Arc::clone(&asked), Arc::clone(&second));
        callers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let said = rig.post("/", "{}").await;
                assert_eq!(said.status, 200, "{}", said.body);
                assert_eq!(said.headers["x-mcplane-version"], said.body.as_str());
                asked.fetch_add(1, Ordering::Relaxed);
                second.fetch_add(u64::from(said.body == "v2"), Ordering::Relaxed);
            }
        });
    }
    for change in 0..1_000u32 {
        // On average a half each.
        let weight = change % 101;
        rig.gateway.replace(split(weight, 100 - weight), places.clone());
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    over.store(true, Ordering::Relaxed);
    callers.join_all().await;
    let (asked, second) = (asked.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
    assert!(asked > 200, "{asked} requests");
    rig.gateway.replace(split(75, 25), places);
    let mut count = 0;
    for _ in 0..400 {
        count += u32::from(rig.post("/", "").await.body == "v2");
    }
    assert!((95..=105).contains(&count), "{count} of 400 at 25 %; before, {second} of {asked}");
    let mut chosen = std::collections::HashSet::new();
    for _ in 0..20 {
        let said = rig.send(rig.request("/").header("x-user-id", "ada").body(Full::default()).unwrap()).await;
        assert!(said.headers["x-mcplane-reason"].to_str().unwrap().contains("by=user"));
        chosen.insert(said.body);
    }
    assert_eq!(chosen.len(), 1, "a user stays");
}

#[tokio::test]
async fn an_upstream_that_dies_is_not_noticed() {
    let (dying, other) = (named("v1").await, named("v1").await);
    let places = upstreams([("v1", at(&[dying.address, other.address]))]);
    let rig = Rig::new(split(1, 0), places).await;
    for _ in 0..10 {
        assert_eq!(rig.post("/", "{}").await.status, 200);
    }
    drop(dying);
    for _ in 0..50 {
        let said = rig.post("/", "{}").await;
        assert_eq!((said.status, said.body.as_str()), (200, "v1"));
    }
}

/// Of two versions one dies under load: whoever has a share answers instead and says so, and its errors are its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_answers_for_one_that_is_gone() {
    let (one, two) = (named("v1").await, named("v2").await);
    let places = upstreams([("v1", at(&[one.address])), ("v2", at(&[two.address]))]);
    let retries = json!({"attempts": 2, "retryOn": "connect-failure,reset"});
    let to = |subset: &str, weight: u32| {
        let named = json!({"request": {"set": {"x-for": subset}}, "response": {"set": {"x-of": subset}}});
        json!({"destination": {"host": "model", "subset": subset}, "weight": weight, "headers": named})
    };
    let table = routes(json!([{"route": [to("v1", 60), to("v2", 40), to("v3", 0)], "retries": retries}]));
    let heard = Arc::new(Heard::default());
    let rig = Arc::new(Rig::heard(table, places, Some(heard.clone())).await);
    let caller = {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move {
            for _ in 0..400 {
                let said = rig.post("/", "{}").await;
                assert_eq!(said.status, 200, "{}", said.body);
                assert_eq!(said.headers["x-mcplane-version"], said.body.as_str());
                assert_eq!(said.headers["x-of"], said.body.as_str());
            }
        })
    };
    while heard.of("v2", 200) < 20 {
        tokio::task::yield_now().await;
    }
    drop(two);
    caller.await.unwrap();
    let failed = heard.of("v2", 503);
    assert!(failed > 0, "{heard:?}");
    assert_eq!(heard.of("v1", 200) + heard.of("v2", 200), 400, "{heard:?}");
    let mut instead = 0;
    for _ in 0..10 {
        let said = rig.post("/", "{}").await;
        instead += u32::from(said.headers["x-mcplane-reason"] == "rule=0 by=turn share=40 instead-of=v2");
    }
    assert!((3..=5).contains(&instead), "{instead} of 10");
    // Nobody is left: the answer is of the one that was chosen.
    drop(one);
    let said = rig.post("/", "{}").await;
    assert_eq!(said.status, 503, "{}", said.body);
}

/// Counts answers by version and status.
#[derive(Debug, Default)]
struct Heard(Mutex<std::collections::HashMap<(String, u16), u64>>);

impl Heard {
    fn of(&self, version: &str, status: u16) -> u64 {
        self.0.lock().unwrap().get(&(version.to_owned(), status)).copied().unwrap_or(0)
    }
}

impl Observe for Heard {
    fn answered(&self, answer: Answered<'_>) {
        let version = answer.destination.map(|to| to.subset.clone()).unwrap_or_default();
        *self.0.lock().unwrap().entry((version, answer.status.as_u16())).or_default() += 1;
    }
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let slow = upstream(|_| async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        Response::new(Full::default())
    });
    let slow = slow.await;
    let to = |subset: &str| json!([{"destination": {"host": "model", "subset": subset}}]);
    let table = routes(json!([
        {"match": [{"uri": {"prefix": "/slow"}}], "route": to("slow"), "timeout": "100ms"},
        {"match": [{"uri": {"prefix": "/away"}}], "route": to("away")},
        {"match": [{"uri": {"prefix": "/missing"}}], "route": to("missing")},
    ]));
    let rig = Rig::new(table, upstreams([("slow", at(&[slow.address])), ("away", at(&[nobody().await]))])).await;
    for (path, status, message) in [
        ("/slow", 504, "the upstream did not answer in time"),
        ("/away", 503, "no upstream of this version can be reached"),
        ("/missing", 503, "version \"missing\" of \"model\" is not running"),
        ("/other", 404, "no route for /other at host \"model\""),
    ] {
        let said = rig.post(path, "").await;
        assert_eq!((said.status, said.body), (status, json!({"error": message}).to_string()), "{path}");
    }
}

#[tokio::test]
async fn tries_follow_the_rule() {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let flaky = upstream(move |request: Request<hyper::body::Incoming>| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = if call.is_multiple_of(3) { 200 } else { 503 }.try_into().unwrap();
            response
        }
    });
    let flaky = flaky.await;
    let rule = |retries| json!([{"route": [{"destination": {"host": "model", "subset": "v1"}}], "retries": retries}]);
    let places = upstreams([("v1", at(&[flaky.address]))]);
    let rig = Rig::new(routes(rule(json!({"attempts": 2, "retryOn": "5xx"}))), places.clone()).await;
    for body in ["a", "b"] {
        let said = rig.post("/", body).await;
        assert_eq!((said.status, said.body.as_str()), (200, body));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    assert_eq!(
        {
            rig.gateway.replace(routes(rule(json!({"attempts": 0}))), places);
            rig.post("/", "c").await.status
        },
        503
    );
}

#[tokio::test]
async fn requests_are_sent_on_whole() {
    let echo = upstream(|request: Request<hyper::body::Incoming>| async move {
        let headers: Vec<String> =
            request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let line = format!("{} {}", request.method(), request.uri());
        let length = request.into_body().collect().await.unwrap().to_bytes().len();
        Response::new(Full::from(json!({"line": line, "headers": headers, "length": length}).to_string()))
    });
    let echo = echo.await;
    let table = routes(json!([{
        "match": [{"uri": {"prefix": "/v2"}}],
        "rewrite": {"uri": "/models"},
        "route": [{"destination": {"host": "model", "subset": "v1"}}],
        "headers": {"request": {"set": {"x-tenant": "a"}}, "response": {"set": {"x-seen": "1"}}},
    }]));
    let rig = Rig::new(table, upstreams([("v1", at(&[echo.address]))])).await;
    let request = rig
        .request("/v2/x?y=%20z")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-forwarded-for", "9.9.9.9");
    // More than is kept to be sent again.
    let said = rig.send(request.body(Full::from(vec![b'x'; 600_000])).unwrap()).await;
    let heard: serde_json::Value = serde_json::from_str(&said.body).unwrap();
    assert_eq!((&heard["line"], &heard["length"]), (&json!("POST /models/x?y=%20z"), &json!(600_000)));
    let mut headers: Vec<&str> = heard["headers"].as_array().unwrap().iter().map(|h| h.as_str().unwrap()).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            "content-length: 600000",
            "host: model",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            "x-tenant: a",
        ]
    );
    assert_eq!(said.headers["x-seen"], "1");
    assert_eq!(said.headers["x-mcplane-reason"], "rule=0 by=only");
}

struct Model;

impl Local for Model {
    fn call(
        &self,
        request: Request<Body>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>> {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let answer = format!("{path} {}", body.len());
            Ok(Response::new(Full::from(answer).map_err(|never| match never {}).boxed_unsync()))
        })
    }
}

#[tokio::test]
async fn a_model_in_this_process_is_an_upstream() {
    let rig = Rig::new(split(1, 0), upstreams([("v1", Upstream::Local(Arc::new(Model)))])).await;
    let said = rig.post("/v2/models/m/infer", "12345").await;
    assert_eq!((said.status, said.body.as_str()), (200, "/v2/models/m/infer 5"));
    assert_eq!(said.headers["x-mcplane-version"], "v1");
}
