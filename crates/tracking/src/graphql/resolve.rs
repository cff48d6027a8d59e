//! From a query to its answer: each root field is a request to the route that answers it over REST.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Method, Request, header};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mcplane_core::Context;
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use super::query::{Query, Set, Wanted};
use super::schema::{Asked, Kind, Type, root};

/// Most requests of one query.
const MOST_REQUESTS: usize = 100;

/// The routes of the dialect, to be asked as the caller.
pub(super) struct Rest<'r> {
    router: Router,
    parts: &'r Parts,
    requests: AtomicUsize,
}

impl<'r> Rest<'r> {
    pub(super) fn new(router: Router, parts: &'r Parts) -> Self {
        Self { router, parts, requests: AtomicUsize::new(0) }
    }

    /// Asks a route. It checks what the caller may do as it does for anybody else.
    async fn ask(&self, method: &Method, path: &str, input: &Value) -> Result<Value, String> {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= MOST_REQUESTS {
            return Err(format!("Query exceeds maximum of {MOST_REQUESTS} requests"));
        }
        let broken = |_| "the request can't be made".to_owned();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/2.0/mlflow/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(input.to_string()))
            .map_err(|error| error.to_string())?;
        if let Some(workspace) = self.parts.headers.get("x-mlflow-workspace") {
            request.headers_mut().insert("x-mlflow-workspace", workspace.clone());
        }
        if let Some(context) = self.parts.extensions.get::<Arc<Context>>() {
            request.extensions_mut().insert(Arc::clone(context));
        }
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let ok = response.status().is_success();
        // Our own answer, which was whole before it was sent.
        let bytes = to_bytes(response.into_body(), usize::MAX).await.map_err(broken)?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if ok => Ok(value),
            Ok(error) => Err(error["message"].as_str().unwrap_or("internal error").to_owned()),
            Err(_) => Err(format!("this server has no {path}")),
        }
    }
}

/// Runs a query: its data, and what went wrong.
pub(super) async fn run<'d, 'q>(query: &Query<'d, 'q>, rest: &Rest<'_>) -> (Value, Vec<String>) {
    let (mut data, mut errors) = (Map::new(), Vec::new());
    for Wanted { key, field, sets } in query.collect(&[query.set]) {
        let arguments: Map<String, Value> =
            field.arguments.iter().map(|(name, value)| (name.clone(), query.value(value))).collect();
        let Some(root) = root(&field.name, query.mutation) else {
            data.insert(key.to_owned(), own(query, &field.name, &sets, &arguments));
            continue;
        };
        let input = arguments.get("input").cloned().unwrap_or_else(|| json!({}));
        let value = match rest.ask(&root.method, root.path, &input).await {
            Ok(answer) => object(query, rest, root.kind, &answer, &sets).await,
            Err(error) => Err(error),
        };
        let value = value.unwrap_or_else(|error| {
            errors.push(error);
            Value::Null
        });
        data.insert(key.to_owned(), value);
    }
    (Value::Object(data), errors)
}

/// Root fields that need no request.
fn own<'d, 'q>(query: &Query<'d, 'q>, name: &str, sets: &[&'d Set<'q>], arguments: &Map<String, Value>) -> Value {
    let echo = |key: &str| match key {
        "output" => arguments.get("inputString").cloned().unwrap_or_default(),
        "__typename" => Value::from("Test"),
        _ => Value::Null,
    };
    match name {
        "__typename" => Value::from(if query.mutation { "Mutation" } else { "Query" }),
        "test" => query.collect(sets).iter().map(|part| (part.key.to_owned(), echo(&part.field.name))).collect(),
        _ => Value::Null,
    }
}

/// What is selected of an object of the protocol.
fn object<'f, 'd, 'q>(
    query: &'f Query<'d, 'q>,
    rest: &'f Rest<'_>,
    of: &'static Type,
    value: &'f Value,
    sets: &'f [&'d Set<'q>],
) -> BoxFuture<'f, Result<Value, String>>
where
    'q: 'f,
    'd: 'f,
{
    async move {
        let mut map = Map::new();
        for Wanted { key, field, sets } in query.collect(sets) {
            let kind = of.fields.iter().find(|(name, _)| *name == field.name).map(|(_, kind)| *kind);
            let found = match kind {
                None => Value::from(of.name),
                Some(Kind::Asked(asked)) => {
                    let answer = ask(rest, asked, value).await?;
                    part(query, rest, asked.kind, answer.get(asked.answer), &sets).await?
                }
                Some(kind) => part(query, rest, kind, value.get(snake_case(&field.name)), &sets).await?,
            };
            map.insert(key.to_owned(), found);
        }
        Ok(Value::Object(map))
    }
    .boxed()
}

async fn ask(rest: &Rest<'_>, asked: &Asked, object: &Value) -> Result<Value, String> {
    let id = object.pointer(asked.from).and_then(Value::as_str).unwrap_or_default();
    rest.ask(&Method::GET, asked.path, &(asked.input)(id)).await
}

/// What is selected of a field. One that is left out has its zero value, as the protocol's messages do.
async fn part<'d, 'q>(
    query: &Query<'d, 'q>,
    rest: &Rest<'_>,
    kind: Kind,
    value: Option<&Value>,
    sets: &[&'d Set<'q>],
) -> Result<Value, String> {
    let list = || value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(match kind {
        Kind::One(of) => object(query, rest, of, value.unwrap_or(&Value::Null), sets).await?,
        Kind::Many(of) => {
            let mut items = Vec::with_capacity(list().len());
            for item in list() {
                items.push(object(query, rest, of, item, sets).await?);
            }
            Value::Array(items)
        }
        Kind::Texts => Value::Array(list().to_vec()),
        Kind::Text => value.cloned().unwrap_or_else(|| Value::from("")),
        Kind::Flag => value.cloned().unwrap_or(Value::Bool(false)),
        Kind::Number => {
            value.map_or_else(|| json!(0.0), |value| if value.is_number() { value.clone() } else { Value::Null })
        }
        Kind::Long => match value {
            None => Value::from("0"),
            Some(Value::Number(number)) => Value::from(number.to_string()),
            Some(other) => other.clone(),
        },
        Kind::Null | Kind::Asked(_) => Value::Null,
    })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
