//! `/graphql`, which MLflow's pages use beside REST.
//!
//! Every root field is a request to the REST route that answers it, made as the caller: there is one way to each thing, and
//! nothing can be had here that REST refuses. Names change from `snake_case` to `camelCase`, 64-bit numbers become texts,
//! numbers that JSON lacks become null. Queries are limited in length, depth, fields, aliases and requests.

mod query;
mod resolve;
mod schema;

use axum::extract::Extension;
use axum::http::request::Parts;
use mcplane_core::Result;
use serde_json::{Map, Value, json};

use self::query::{Query, Refused, parse};
use self::resolve::Rest;
use crate::mlflow::fields::{Fields, missing};
use crate::mlflow::{Answer, Call, Dialect, Door, Inner, reply};
use crate::scope::EXPERIMENTS;

/// Adds the route over those that are there.
pub(crate) fn routes(dialect: Dialect, door: &Door) -> Dialect {
    dialect.over("/graphql", EXPERIMENTS.to("get"), door, answer)
}

async fn answer(Extension(Inner(router)): Extension<Inner>, parts: Parts, Call { fields, .. }: Call) -> Answer {
    let text = fields.text("query")?;
    if text.is_empty() {
        return Err(missing("query").into());
    }
    let (name, variables) = (fields.text("operationName")?, variables(&fields)?);
    match execute(text, name, variables, &Rest::new(router, &parts)).await {
        Ok((data, errors)) if errors.is_empty() => reply(&json!({"data": data, "errors": null})),
        Ok((data, errors)) => reply(&json!({"data": data, "errors": errors})),
        Err(errors) => reply(&json!({"data": null, "errors": errors})),
    }
}

/// Variables are an object, in a query string as text.
fn variables(fields: &Fields) -> Result<Map<String, Value>> {
    let value = match fields.raw("variables") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    match value {
        Value::Object(variables) => Ok(variables),
        Value::Null => Ok(Map::new()),
        other => Err(crate::mlflow::fields::invalid("variables", &other)),
    }
}

async fn execute(
    text: &str,
    name: &str,
    variables: Map<String, Value>,
    rest: &Rest<'_>,
) -> Result<(Value, Vec<String>), Refused> {
    let document = parse(text)?;
    let query = Query::of(&document, name, variables)?;
    Ok(resolve::run(&query, rest).await)
}
