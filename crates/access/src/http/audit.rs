//! `GET /audit`: who did what.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use mcplane_core::units::HumanDuration;
use mcplane_core::{Attributes, Context, Error, Result, Timestamp, authz, clock};
use mcplane_db::audit::{Query, Record};
use mcplane_objects::audit::record_failure;
use mcplane_objects::http::Failure;
use serde_json::{Value, json};

use super::{Door, context};
use crate::users::GROUP;

const DEFAULT_LIMIT: i64 = 100;
const MOST: i64 = 1000;
const PARAMETERS: &str = "actor, verb, resource, namespace, name, trace, since, limit, continue, verify";

/// Answers queries of the log, newest entries first. A query within a namespace needs the right in that namespace only.
pub(super) async fn list(
    State(door): State<Door>,
    extension: Option<Extension<Arc<Context>>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let context = context(extension);
    let asked = Asked::read(query.as_deref().unwrap_or_default(), door.db.clock().now())?;
    let namespace = if asked.verify { "" } else { asked.query.namespace.as_str() };
    let attributes = Attributes::resource("list", GROUP, "audit", namespace, "");
    if let Err(error) = authz::authorize(&*door.authorizer, &context, attributes.clone()) {
        record_failure(&door.db, &context, &attributes, &error).await?;
        return Err(error.into());
    }
    let answer = if asked.verify { verify(&door).await? } else { records(&door, asked.query).await? };
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response())
}

async fn records(door: &Door, mut query: Query) -> Result<Value> {
    let limit = usize::try_from(query.limit).unwrap_or_default();
    // One more than asked tells whether there is more.
    query.limit += 1;
    let mut items = door.db.audit(&query).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let mut answer = json!({"items": items.iter().map(record).collect::<Vec<_>>()});
    if let Some(last) = items.last().filter(|_| more) {
        answer["continue"] = last.sequence.to_string().into();
    }
    Ok(answer)
}

fn record(record: &Record) -> Value {
    let mut value = json!(record);
    value["time"] = clock::rfc3339_micro(record.at).into();
    if let Some(map) = value.as_object_mut() {
        map.remove("at");
    }
    value
}

/// Whether the chain of hashes holds.
async fn verify(door: &Door) -> Result<Value> {
    Ok(match door.db.verify_audit().await? {
        Ok(entries) => json!({"verified": true, "entries": entries}),
        Err(broken) => json!({"verified": false, "brokenAt": broken}),
    })
}

/// What a query asks for.
#[derive(Debug, Default)]
struct Asked {
    query: Query,
    verify: bool,
}

impl Asked {
    fn read(text: &str, now: Timestamp) -> Result<Self> {
        let mut asked = Self { query: Query { limit: DEFAULT_LIMIT, ..Query::default() }, verify: false };
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let Self { query, verify } = &mut asked;
            if value.contains('\0') {
                return Err(wrong(&key, "without the character NUL"));
            }
            match &*key {
                "actor" => query.actor = value.into_owned(),
                "verb" => query.verb = value.into_owned(),
                "resource" => query.resource = value.into_owned(),
                "namespace" => query.namespace = value.into_owned(),
                "name" => query.name = value.into_owned(),
                "trace" => query.trace = value.into_owned(),
                "since" => query.since = since(&value, now)?,
                "limit" => query.limit = number(&key, &value, 1..=MOST - 1)?,
                "continue" => query.before = number(&key, &value, 1..=i64::MAX)?,
                "verify" => *verify = flag(&key, &value)?,
                _ => return Err(Error::bad_request(format!("unknown parameter {key:?}; there are {PARAMETERS}"))),
            }
        }
        Ok(asked)
    }
}

fn wrong(key: &str, must_be: &str) -> Error {
    Error::bad_request(format!("the parameter {key} must be {must_be}"))
}

fn since(value: &str, now: Timestamp) -> Result<Timestamp> {
    if let Some(moment) = clock::parse_rfc3339(value) {
        return Ok(moment);
    }
    let ago = value.parse::<HumanDuration>();
    let ago = ago.map_err(|_| wrong("since", "a time like 2026-01-31T12:00:00Z or a duration like 1h30m"))?;
    Ok(now.saturating_sub(i64::try_from(ago.0.as_millis()).unwrap_or(i64::MAX)))
}

fn number(key: &str, value: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| wrong(key, &format!("a whole number from {} to {}", range.start(), range.end())))
}

fn flag(key: &str, value: &str) -> Result<bool> {
    match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(key, "true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_checked() {
        let now = 10_000_000;
        let asked = Asked::read("actor=a%20b&since=1h&limit=5&continue=7", now).unwrap();
        assert_eq!((asked.query.actor.as_str(), asked.query.since), ("a b", now - 3_600_000));
        assert_eq!((asked.query.limit, asked.query.before, asked.verify), (5, 7, false));
        let fixed = Asked::read("since=1970-01-01T00:00:05Z&verify", now).unwrap();
        assert_eq!((fixed.query.since, fixed.verify, fixed.query.limit), (5000, true, DEFAULT_LIMIT));
        for bad in
            ["limit=0", "limit=1000", "limit=x", "continue=-1", "since=yesterday", "who=me", "verify=maybe", "name=%00"]
        {
            assert_eq!(Asked::read(bad, now).unwrap_err().http_status(), 400, "{bad}");
        }
    }
}
