//! Webhooks, and the messages that they get.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use mcplane_db::Dialect;
use mcplane_egress::Policy;
use mcplane_tracking::{Config, Pace, Push};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::rig::{Api, Store};

const ROOT: &str = "/api/2.0/mlflow/webhooks";
const SECRET: &str = "hunter2-hunter2";
const PUBLIC: &str = "https://8.8.8.8/hook";
const PATIENCE: Duration = Duration::from_secs(20);

/// Who gets messages.
#[derive(Clone)]
struct Receiver {
    url: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    got: Mutex<Vec<Delivery>>,
    /// What it answers next; when there is nothing more, 200.
    answers: Mutex<VecDeque<u16>>,
}

#[derive(Debug, Clone)]
struct Delivery {
    headers: HeaderMap,
    text: String,
}

/// The answer that never comes.
const SILENCE: u16 = 0;

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = String::from_utf8(body.to_vec()).unwrap();
    inner.got.lock().unwrap().push(Delivery { headers, text });
    let status = inner.answers.lock().unwrap().pop_front().unwrap_or(200);
    if status == SILENCE {
        std::future::pending::<()>().await;
    }
    StatusCode::from_u16(status).unwrap()
}

impl Receiver {
    async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner }
    }

    fn answer(&self, statuses: &[u16]) {
        self.inner.answers.lock().unwrap().extend(statuses);
    }

    fn got(&self) -> Vec<Delivery> {
        self.inner.got.lock().unwrap().clone()
    }

    /// Waits until it has got so many.
    async fn wait(&self, count: usize) -> Vec<Delivery> {
        let start = Instant::now();
        while self.got().len() < count {
            assert!(start.elapsed() < PATIENCE, "{} of {count} came", self.got().len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.got()
    }
}

impl Delivery {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn id(&self) -> &str {
        self.header("x-mlflow-delivery-id")
    }

    fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// `entity.action` and the data.
    fn event(&self) -> (String, Value) {
        let body = self.body();
        let word = |name: &str| body[name].as_str().unwrap().to_owned();
        (format!("{}.{}", word("entity"), word("action")), body["data"].clone())
    }

    /// As a receiver checks it.
    fn is_signed_with(&self, secret: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{}.{}.{}", self.id(), self.header("x-mlflow-timestamp"), self.text).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("x-mlflow-signature") == expected
    }
}

fn quick() -> Pace {
    Pace { first_wait: 20, longest_wait: 200, lease: 1500, ..Pace::default() }
}

/// A configuration that lets webhooks reach receivers of tests.
fn open() -> Config {
    let webhook_hosts = Policy::allowing(&["127.0.0.1"]).unwrap();
    Config { webhook_hosts, pace: quick(), ..Config::default() }
}

fn events(names: &[&str]) -> Value {
    let one = |name: &&str| {
        let (entity, action) = name.split_once('.').unwrap();
        json!({"entity": entity.to_uppercase(), "action": action.to_uppercase()})
    };
    names.iter().map(one).collect()
}

const ALL: &[&str] = &[
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
    "budget_policy.exceeded",
];

/// Sends what waits, until it is stopped or killed.
struct Sender {
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Sender {
    fn start(api: &Api) -> Self {
        let stopping = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(&api.tracking).send_messages(stopping.clone()));
        Self { stopping, task }
    }

    async fn stop(self) {
        self.stopping.cancel();
        self.task.await.unwrap();
    }
}

impl Api {
    async fn hook(&self, receiver: &Receiver, names: &[&str]) -> String {
        let new = json!({"name": "hook", "url": receiver.url, "events": events(names), "secret": SECRET});
        self.ok("webhooks", new).await["webhook"]["webhook_id"].as_str().unwrap().to_owned()
    }

    async fn one(&self, method: Method, id: &str, body: &Value) -> (u16, Value) {
        let answer = self.json(method, &format!("{ROOT}/{id}"), body).await;
        (answer.status, answer.json())
    }

    async fn change(&self, id: &str, change: Value) -> Value {
        let (status, body) = self.one(Method::PATCH, id, &change).await;
        assert_eq!(status, 200, "{change} {body}");
        body["webhook"].clone()
    }

    async fn model(&self, name: &str) {
        self.ok("registered-models/create", json!({"name": name})).await;
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.db.fetch(sql, vec![]).await.unwrap()[0].int(0).unwrap()
    }

    async fn wait_until(&self, sql: &'static str, count: i64) {
        let start = Instant::now();
        while self.count(sql).await != count {
            assert!(start.elapsed() < PATIENCE, "{sql}: {}", self.count(sql).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

const WAITING: &str = "SELECT count(*) FROM outbox WHERE dead_at IS NULL";
const DEAD: &str = "SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL";

pub(crate) async fn webhooks_live_and_die(store: Store) {
    let api = store.start().await;
    let names = ["registered_model.created", "model_version.created", "model_version_alias.created"];
    let new = json!({"name": "hook", "url": PUBLIC, "events": events(&names), "description": "d", "secret": SECRET});
    let made = api.ok("webhooks", new).await["webhook"].clone();
    let id = made["webhook_id"].as_str().unwrap().to_owned();
    let at = made["creation_timestamp"].as_i64().unwrap();
    let sorted = events(&["model_version.created", "model_version_alias.created", "registered_model.created"]);
    let expected = json!({
        "webhook_id": id, "name": "hook", "description": "d", "url": PUBLIC, "events": sorted, "status": "ACTIVE",
        "creation_timestamp": at, "last_updated_timestamp": at,
    });
    assert_eq!(made, expected);
    assert_eq!(api.read(&format!("webhooks/{id}")).await, json!({"webhook": made}));
    let rows = api.db.fetch("SELECT secret FROM webhooks", vec![]).await.unwrap();
    let sealed = rows[0].text(0).unwrap();
    assert!(sealed.starts_with("1:") && !sealed.contains(SECRET), "{sealed}");

    let changed = api.change(&id, json!({"name": "new", "description": "", "url": "", "status": "DISABLED"})).await;
    assert_eq!(
        (&changed["name"], &changed["url"], &changed["status"]),
        (&json!("new"), &json!(PUBLIC), &json!("DISABLED"))
    );
    assert_eq!(changed.get("description"), None);
    assert!(changed["last_updated_timestamp"].as_i64().unwrap() >= at);
    let changed = api.change(&id, json!({"events": events(&["prompt.created"]), "status": 1, "name": ""})).await;
    assert_eq!((&changed["events"], &changed["status"]), (&events(&["prompt.created"]), &json!("ACTIVE")));
    assert_eq!(api.change(&id, json!({"status": "BOGUS", "events": []})).await["events"], events(&["prompt.created"]));
    let secret = "SELECT count(*) FROM webhooks WHERE secret <> ''";
    assert_eq!(api.count(secret).await, 1);
    api.change(&id, json!({"secret": ""})).await;
    assert_eq!(api.count(secret).await, 0);

    // Another workspace does not see it.
    for (method, path) in [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "/test")] {
        let headers = [("x-mlflow-workspace", "other"), ("content-type", "application/json")];
        let refused = api.send(method, &format!("{ROOT}/{id}{path}"), &headers, b"{}".to_vec()).await;
        assert_eq!(refused.status, 404);
    }
    assert_eq!(api.send(Method::GET, ROOT, &[("x-mlflow-workspace", "other")], vec![]).await.text(), "{}");

    for number in 0..4 {
        api.ok("webhooks", json!({"name": format!("h{number}"), "url": PUBLIC, "events": events(&["prompt.created"])}))
            .await;
    }
    let (mut token, mut seen) = (String::new(), vec![]);
    loop {
        let page = api.read(&format!("webhooks?max_results=2&page_token={}", token.replace('=', "%3D"))).await;
        seen.extend(page["webhooks"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        match page["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!(seen, ["h3", "h2", "h1", "h0", "new"]);
    assert_eq!(api.read("webhooks?max_results=0").await["webhooks"].as_array().unwrap().len(), 5);

    assert_eq!(api.one(Method::DELETE, &id, &Value::Null).await, (200, json!({})));
    let gone = format!("Webhook with ID {id} not found.");
    for (method, path) in [(Method::GET, ""), (Method::DELETE, ""), (Method::PATCH, ""), (Method::POST, "/test")] {
        let refused = api.json(method, &format!("{ROOT}/{id}{path}"), &json!({})).await.error();
        assert_eq!(refused, (404, "RESOURCE_DOES_NOT_EXIST".into(), gone.clone()));
    }
    let audited = "SELECT count(*) FROM audit WHERE resource = 'webhooks.tracking.mcplane.io' AND outcome = 'allowed'";
    assert_eq!(api.count(audited).await, 10);
}

pub(crate) async fn webhook_requests_are_checked(store: Store) {
    let api = store.start().await;
    let good = json!({"name": "hook", "url": PUBLIC, "events": events(&["prompt.created"])});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let combination = "Invalid action 'deleted' for entity 'prompt'. Valid actions are: ['created']";
    let tags = "Invalid action 'created' for entity 'prompt_tag'. Valid actions are: ['deleted', 'set']";
    for (body, words) in [
        (json!({}), "Missing value for required parameter 'name'."),
        (with("url", json!("")), "Missing value for required parameter 'url'."),
        (json!({"name": "a", "url": PUBLIC}), "Missing value for required parameter 'events'."),
        (with("name", json!(5)), "Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'."),
        (with("events", json!("x")), "Invalid value \"x\" for parameter 'events'"),
        (with("events", json!(["x"])), "Invalid value [\"x\"] for parameter 'events'"),
        (with("events", json!([])), "Webhook events must be a non-empty list of WebhookEvent objects: []."),
        (with("events", events(&["prompt.deleted"])), combination),
        (with("events", events(&["prompt_tag.created"])), tags),
        (
            with("events", json!([{"entity": "prompt", "action": "CREATED"}])),
            "Invalid value \"prompt\" for parameter 'entity'",
        ),
        (with("events", json!([{"entity": 5}])), "Missing value for required parameter 'action'."),
        (with("events", json!([{"entity": i64::MIN, "action": 99}])), "for parameter 'entity'"),
        (with("events", events(&["prompt.created", "prompt.created"])), "Webhook events must differ"),
        (
            with("name", json!("a b")),
            "Webhook name 'a b' is invalid. It must start and end with a letter or digit, be less than 63",
        ),
        (with("url", json!("http://8.8.8.8/")), "Invalid webhook URL scheme: 'http'. Allowed schemes are: https."),
        (
            with("url", json!("https://127.0.0.1/")),
            "must not resolve to a non-public IP address. '127.0.0.1' resolves to 127.0.0.1.",
        ),
        (
            with("url", json!("https://localhost/")),
            "Webhook URL must not resolve to a non-public IP address. 'localhost' resolves to",
        ),
        (with("url", json!("https://no-such.invalid/")), "Cannot resolve Webhook URL hostname 'no-such.invalid'"),
        (with("secret", json!("s\0")), "NUL"),
    ] {
        let (status, code, message) = api.post(ROOT, &body).await.error();
        assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"), "{body}");
        assert!(message.contains(words), "{body}: {message}");
    }
    for query in ["max_results=-1", "max_results=1001"] {
        let refused = api.get(&format!("{ROOT}?{query}")).await.error();
        assert_eq!(refused.2, "max_results must be between 1 and 1000.");
    }
    assert_eq!(
        api.get(&format!("{ROOT}?page_token=bogus")).await.error().2,
        "Invalid page token, could not base64-decode"
    );

    let id = api.ok("webhooks", good).await["webhook"]["webhook_id"].as_str().unwrap().to_owned();
    let (status, refused) = api.one(Method::PATCH, &id, &json!({"url": "https://[::1]/"})).await;
    assert_eq!((status, &refused["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")));
    let (status, refused) = api.one(Method::PATCH, "none", &json!({"name": "a b"})).await;
    assert_eq!((status, &refused["message"]), (404, &json!("Webhook with ID none not found.")));
    let bad = json!({"event": {"entity": "PROMPT", "action": "DELETED"}});
    assert_eq!(api.post(&format!("{ROOT}/{id}/test"), &bad).await.error().2, combination);
}

pub(crate) async fn changes_are_told_in_order(store: Store) {
    let api = store.start_with(open()).await;
    let receiver = Receiver::start().await;
    let id = api.hook(&receiver, ALL).await;
    let _sender = Sender::start(&api);
    let tags = |pairs: &[(&str, &str)]| -> Value {
        pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
    };
    let delete = |path: &'static str, body: Value| {
        let api = &api;
        async move { assert_eq!(api.json(Method::DELETE, &format!("/api/2.0/mlflow/{path}"), &body).await.status, 200) }
    };
    api.ok("registered-models/create", json!({"name": "m", "tags": tags(&[("a", "b")])})).await;
    api.ok("registered-models/set-tag", json!({"name": "m", "key": "k", "value": "v"})).await;
    api.ok("model-versions/create", json!({"name": "m", "source": "s3://b/x", "tags": tags(&[("a", "b")])})).await;
    api.ok("model-versions/create", json!({"name": "m", "source": "models:/m/1", "description": "d"})).await;
    api.ok("model-versions/set-tag", json!({"name": "m", "version": "1", "key": "k", "value": "v"})).await;
    delete("model-versions/delete-tag", json!({"name": "m", "version": "1", "key": "k"})).await;
    api.ok("registered-models/alias", json!({"name": "m", "alias": "al", "version": "1"})).await;
    delete("registered-models/alias", json!({"name": "m", "alias": "al"})).await;
    api.ok("registered-models/rename", json!({"name": "m", "new_name": "n"})).await;
    delete("registered-models/delete", json!({"name": "n"})).await;
    let prompt = tags(&[("mlflow.prompt.is_prompt", "true"), ("x", "y"), ("_mlflow_prompt_type", "text")]);
    api.ok("registered-models/create", json!({"name": "p", "description": "pd", "tags": prompt})).await;
    api.ok("registered-models/set-tag", json!({"name": "p", "key": "k", "value": "v"})).await;
    delete("registered-models/delete-tag", json!({"name": "p", "key": "k"})).await;
    let prompt = tags(&[("mlflow.prompt.is_prompt", "true"), ("mlflow.prompt.text", "Hi {{x}}"), ("z", "1")]);
    api.ok("model-versions/create", json!({"name": "p", "source": "prompt-template", "tags": prompt})).await;
    api.ok("model-versions/set-tag", json!({"name": "p", "version": "1", "key": "k", "value": "v"})).await;
    delete("model-versions/delete-tag", json!({"name": "p", "version": "1", "key": "k"})).await;
    api.ok("registered-models/alias", json!({"name": "p", "alias": "al", "version": "1"})).await;
    delete("registered-models/alias", json!({"name": "p", "alias": "al"})).await;
    // A change that failed is none.
    assert_eq!(api.fails("registered-models/create", json!({"name": "p"})).await.0, 400);

    let expected = [
        ("registered_model.created", json!({"name": "m", "tags": {"a": "b"}, "description": ""})),
        (
            "model_version.created",
            json!({"name": "m", "version": "1", "source": "s3://b/x", "run_id": null, "tags": {"a": "b"}, "description": null}),
        ),
        (
            "model_version.created",
            json!({"name": "m", "version": "2", "source": "models:/m/1", "run_id": null, "tags": {}, "description": "d"}),
        ),
        ("model_version_tag.set", json!({"name": "m", "version": "1", "key": "k", "value": "v"})),
        ("model_version_tag.deleted", json!({"name": "m", "version": "1", "key": "k"})),
        ("model_version_alias.created", json!({"name": "m", "alias": "al", "version": "1"})),
        ("model_version_alias.deleted", json!({"name": "m", "alias": "al"})),
        ("prompt.created", json!({"name": "p", "tags": {"x": "y"}, "description": "pd"})),
        ("prompt_tag.set", json!({"name": "p", "key": "k", "value": "v"})),
        ("prompt_tag.deleted", json!({"name": "p", "key": "k"})),
        (
            "prompt_version.created",
            json!({"name": "p", "version": "1", "template": "Hi {{x}}", "tags": {"z": "1"}, "description": null}),
        ),
        ("prompt_version_tag.set", json!({"name": "p", "version": "1", "key": "k", "value": "v"})),
        ("prompt_version_tag.deleted", json!({"name": "p", "version": "1", "key": "k"})),
        ("prompt_alias.created", json!({"name": "p", "alias": "al", "version": "1"})),
        ("prompt_alias.deleted", json!({"name": "p", "alias": "al"})),
    ];
    let got = receiver.wait(expected.len()).await;
    let told: Vec<(String, Value)> = got.iter().map(Delivery::event).collect();
    assert_eq!(told, expected.map(|(name, data)| (name.to_owned(), data)));
    for delivery in &got {
        assert!(delivery.is_signed_with(SECRET) && !delivery.is_signed_with("other"));
        assert_eq!(
            (delivery.header("content-type"), &delivery.body()["workspace"]),
            ("application/json", &json!("default"))
        );
        let at = delivery.body()["timestamp"].as_str().unwrap().to_owned();
        assert!(at.ends_with("+00:00") && at.len() == "2026-11-23T00:12:39.723403+00:00".len(), "{at}");
    }
    api.wait_until(WAITING, 0).await;

    // Others are told only what they want to know, of their own workspace, and are not signed without a secret.
    let quiet = Receiver::start().await;
    let plain = json!({"name": "q", "url": quiet.url, "events": events(&["model_version.created"])});
    api.ok("webhooks", plain).await;
    let headers = [("x-mlflow-workspace", "other"), ("content-type", "application/json")];
    let body = json!({"name": "elsewhere"}).to_string().into_bytes();
    assert_eq!(api.send(Method::POST, "/api/2.0/mlflow/registered-models/create", &headers, body).await.status, 200);
    api.model("last").await;
    api.ok("model-versions/create", json!({"name": "last", "source": "s3://b/x"})).await;
    assert_eq!(quiet.wait(1).await[0].headers.get("x-mlflow-signature"), None);
    let got = receiver.wait(expected_len() + 2).await;
    assert_eq!(got[expected_len()].event().1["name"], json!("last"));

    // A test is sent at once, and is told what came of it.
    let tested = api.ok(&format!("webhooks/{id}/test"), json!({})).await;
    assert_eq!(tested, json!({"result": {"success": true, "response_status": 200, "response_body": ""}}));
    let last = receiver.got().pop().unwrap();
    assert_eq!((last.event().0.as_str(), last.is_signed_with(SECRET)), ("budget_policy.exceeded", true));
    receiver.answer(&[404]);
    let event = json!({"event": {"entity": "PROMPT_TAG", "action": "SET"}});
    let tested = api.ok(&format!("webhooks/{id}/test"), event).await;
    assert_eq!(tested["result"], json!({"success": false, "response_status": 404, "response_body": ""}));
    let expected = json!({"name": "example_prompt", "key": "example_key", "value": "example_value"});
    assert_eq!(receiver.got().pop().unwrap().event(), ("prompt_tag.set".to_owned(), expected));
}

const fn expected_len() -> usize {
    15
}

pub(crate) async fn deliveries_are_tried_again(store: Store) {
    let api = store.start_with(open()).await;
    let receiver = Receiver::start().await;
    let id = api.hook(&receiver, &["registered_model.created"]).await;
    receiver.answer(&[503, 500, 429, 200, 400]);
    let _sender = Sender::start(&api);
    for name in ["a", "b", "c"] {
        api.model(name).await;
    }
    let got = receiver.wait(6).await;
    let names: Vec<Value> = got.iter().map(|delivery| delivery.event().1["name"].clone()).collect();
    assert_eq!(names, ["a", "a", "a", "a", "b", "c"]);
    assert!(got[..4].iter().all(|delivery| delivery.id() == got[0].id() && delivery.is_signed_with(SECRET)));
    assert!(got[0].id() != got[4].id() && got[4].id() != got[5].id());
    // What was refused is dead, and is kept.
    api.wait_until(WAITING, 0).await;
    let rows = api.db.fetch("SELECT body, reason FROM outbox WHERE dead_at IS NOT NULL", vec![]).await.unwrap();
    assert_eq!((rows.len(), rows[0].text(1).unwrap()), (1, "it answered 400"));
    assert!(rows[0].text(0).unwrap().contains("\"b\""));

    // A webhook that is disabled is told nothing; what waited waits on, and goes to where it is then, with the secret of then.
    let other = Receiver::start().await;
    receiver.answer(&[503; 50]);
    api.model("d").await;
    receiver.wait(8).await;
    api.change(&id, json!({"status": "DISABLED"})).await;
    api.model("e").await;
    api.change(&id, json!({"url": other.url, "secret": "rotated"})).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(other.got().len(), 0);
    api.change(&id, json!({"status": "ACTIVE"})).await;
    api.model("f").await;
    let got = other.wait(2).await;
    assert_eq!((&got[0].event().1["name"], &got[1].event().1["name"]), (&json!("d"), &json!("f")));
    assert!(got[0].is_signed_with("rotated"));
    api.wait_until(WAITING, 0).await;

    // One that is deleted takes along what waits for it.
    other.answer(&[503; 50]);
    api.model("g").await;
    other.wait(3).await;
    assert_eq!(api.one(Method::DELETE, &id, &Value::Null).await.0, 200);
    assert_eq!((api.count(WAITING).await, api.count(DEAD).await), (0, 0));
    assert_eq!(api.count("SELECT count(*) FROM outbox_lanes").await, 0);
}

pub(crate) async fn messages_are_given_up(store: Store) {
    let pace = Pace { most_attempts: 3, ..quick() };
    let api = store.start_with(Config { pace, ..open() }).await;
    let receiver = Receiver::start().await;
    api.hook(&receiver, &["registered_model.created"]).await;
    receiver.answer(&[500, 500, 500]);
    let sender = Sender::start(&api);
    api.model("a").await;
    api.model("b").await;
    let got = receiver.wait(4).await;
    assert_eq!(got[3].event().1["name"], json!("b"));
    // What is delivered is marked so after the receiver's answer.
    api.wait_until(WAITING, 0).await;
    let rows = api.db.fetch("SELECT reason FROM outbox", vec![]).await.unwrap();
    assert_eq!((rows.len(), rows[0].text(0).unwrap()), (1, "it answered 500, 3 times"));
    sender.stop().await;
    // A redirect is not followed.
    let other = Receiver::start().await;
    other.answer(&[307]);
    api.hook(&other, &["prompt.created"]).await;
    let _sender = Sender::start(&api);
    let prompt = json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}]);
    api.ok("registered-models/create", json!({"name": "p", "tags": prompt})).await;
    api.wait_until(DEAD, 2).await;
    assert_eq!(other.got().len(), 1);
}

/// A message that was given up is listed to administrators, and goes out again with its old id when they say so.
pub(crate) async fn the_dead_are_sent_again(store: Store) {
    const LETTERS: &str = "/tracking/v1/namespaces/default/dead-letters";
    let api = store.start_with(open()).await;
    let receiver = Receiver::start().await;
    let id = api.hook(&receiver, &["registered_model.created"]).await;
    receiver.answer(&[410, 410, 410]);
    let _sender = Sender::start(&api);
    for name in ["a", "b", "c"] {
        api.model(name).await;
    }
    let got = receiver.wait(3).await;
    api.wait_until(DEAD, 3).await;
    let first = api.get(&format!("{LETTERS}?limit=2")).await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = first["continue"].as_str().unwrap();
    let second = api.get(&format!("{LETTERS}?limit=2&continue={next}")).await.json();
    assert_eq!((second["items"].as_array().unwrap().len(), &second["continue"]), (1, &Value::Null));
    let letter = &first["items"][0];
    assert_eq!((letter["id"].as_str().unwrap(), &letter["reason"]), (got[0].id(), &json!("it answered 410")));
    assert_eq!((&letter["receiver"], &letter["body"]["data"]["name"]), (&json!(format!("webhook/{id}")), &json!("a")));
    let others = api.get(&format!("{LETTERS}?receiver=webhook/none")).await.json();
    assert_eq!(others["items"], json!([]));
    let theirs = api.get("/tracking/v1/namespaces/other/dead-letters").await.json();
    assert_eq!(theirs["items"], json!([]), "those of another namespace");

    for bad in [json!({}), json!({"ids": ["x"], "all": true}), json!({"ids": "x"})] {
        assert_eq!(api.post(&format!("{LETTERS}/replay"), &bad).await.status, 400, "{bad}");
    }
    let replay = async |body: Value| api.post(&format!("{LETTERS}/replay"), &body).await;
    assert_eq!(replay(json!({"ids": [got[1].id(), "none"]})).await.status, 404);
    api.wait_until(DEAD, 3).await;
    assert_eq!(replay(json!({"ids": [got[1].id()]})).await.json(), json!({"replayed": 1}));
    let again = receiver.wait(4).await;
    assert_eq!((again[3].id(), again[3].text.as_str()), (got[1].id(), got[1].text.as_str()));
    api.wait_until(DEAD, 2).await;
    assert_eq!(replay(json!({"all": true})).await.json(), json!({"replayed": 2}));
    let again = receiver.wait(6).await;
    assert_eq!([again[4].id(), again[5].id()], [got[0].id(), got[2].id()]);
    api.wait_until(DEAD, 0).await;
    assert_eq!(replay(json!({"all": true})).await.json(), json!({"replayed": 0}));
    let audited = api.count("SELECT count(*) FROM audit WHERE verb = 'replay'").await;
    assert_eq!(audited, 3);
}

pub(crate) async fn messages_outlive_their_server(store: Store) {
    let api = store.start_with(open()).await;
    let receiver = Receiver::start().await;
    let id = api.hook(&receiver, &["registered_model.created"]).await;
    // It dies before it sends anything.
    api.model("a").await;
    drop(api);
    let api = store.start_with(open()).await;
    // It dies with a message under way, whose receiver has it already.
    receiver.answer(&[SILENCE]);
    let sender = Sender::start(&api);
    let first = receiver.wait(1).await.remove(0);
    sender.task.abort();
    assert!(sender.task.await.unwrap_err().is_cancelled());
    drop(api);
    let api = store.start_with(open()).await;
    let sender = Sender::start(&api);
    api.model("b").await;
    let got = receiver.wait(3).await;
    assert_eq!((got[1].id(), got[1].text.as_str()), (first.id(), first.text.as_str()));
    assert_eq!(got[2].event().1["name"], json!("b"));
    api.wait_until(WAITING, 0).await;

    // One that stops in order leaves no lease behind.
    receiver.answer(&[503; 9]);
    api.model("c").await;
    receiver.wait(4).await;
    sender.stop().await;
    assert_eq!(api.count("SELECT count(*) FROM outbox_lanes WHERE claimed_until > 0").await, 0);
    // The operator allows less than when the webhook was made: the address counts when it is connected to.
    drop(api);
    let api = store.start_with(Config { pace: quick(), ..Config::default() }).await;
    let _sender = Sender::start(&api);
    api.wait_until(DEAD, 1).await;
    let rows = api.db.fetch("SELECT reason FROM outbox", vec![]).await.unwrap();
    assert!(rows[0].text(0).unwrap().contains("127.0.0.1"), "{}", rows[0].text(0).unwrap());
    let tested = api.ok(&format!("webhooks/{id}/test"), json!({})).await["result"].clone();
    assert_eq!(tested["success"], json!(false));
    assert!(tested["error_message"].as_str().unwrap().starts_with("Failed to test webhook: 127.0.0.1"), "{tested}");
}

pub(crate) async fn several_servers_send_once(store: Store) {
    let first = store.start_with(open()).await;
    if first.db.dialect() == Dialect::Sqlite {
        // One file serves one server.
        return;
    }
    let second = store.start_with(open()).await;
    let receivers = [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    for receiver in &receivers {
        first.hook(receiver, &["registered_model.created"]).await;
    }
    let _senders = [Sender::start(&first), Sender::start(&second)];
    let names: Vec<String> = (0..30).map(|number| format!("m{number:02}")).collect();
    for (number, name) in names.iter().enumerate() {
        if number % 2 == 0 {
            first.model(name).await
        } else {
            second.model(name).await
        };
    }
    for receiver in &receivers {
        receiver.wait(names.len()).await;
    }
    first.wait_until(WAITING, 0).await;
    for receiver in &receivers {
        let told: Vec<String> =
            receiver.got().iter().map(|delivery| delivery.event().1["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(told, names);
    }
}

pub(crate) async fn runs_are_told_to_openlineage(store: Store) {
    let receiver = Receiver::start().await;
    let root = receiver.url.trim_end_matches("/hook");
    let config = |url: &str| Config {
        openlineage: Some(Push::new(url, Some("key")).unwrap()),
        pace: quick(),
        ..Config::default()
    };
    let api = store.start_with(config(root)).await;
    let _sender = Sender::start(&api);
    let run = api.run().await;
    let got = receiver.wait(1).await;
    assert_eq!((got[0].header("authorization"), got[0].header("content-type")), ("Bearer key", "application/json"));
    assert_eq!(got[0].body()["eventType"], json!("START"));
    let dataset =
        json!({"name": "train", "digest": "d1", "source_type": "s3", "source": r#"{"uri": "s3://bucket/train.csv"}"#});
    api.ok("runs/log-inputs", json!({"run_id": run, "datasets": [{"dataset": dataset}]})).await;
    api.ok("runs/update", json!({"run_id": run, "status": "FINISHED", "end_time": 5})).await;
    api.ok("runs/update", json!({"run_id": run, "run_name": "other"})).await;
    let got = receiver.wait(2).await;
    let end = got[1].body();
    assert_eq!((&end["eventType"], &end["job"]["namespace"]), (&json!("COMPLETE"), &json!("mcplane:default")));
    assert_eq!(end["inputs"][0]["name"], json!("train.csv"));
    assert_eq!(end["run"]["runId"].as_str().unwrap().replace('-', ""), run);
    receiver.answer(&[503]);
    api.run().await;
    let got = receiver.wait(4).await;
    assert_eq!(got[2].text, got[3].text);
    api.wait_until(WAITING, 0).await;
    drop(api);
    // Nothing waits for nobody.
    let api = store.start().await;
    api.run().await;
    assert_eq!(api.count(WAITING).await, 0);
}
