//! `/api/2.0/mlflow/webhooks`.

use axum::extract::Path;
use mcplane_core::{Error, Result};
use serde::Serialize;
use serde_json::Value;

use super::event::{ALL, Kind};
use super::types::{Change, NewWebhook, TestResult, Webhook};
use crate::filter::python::repr;
use crate::mlflow::fields::{Fields, invalid, missing, whole};
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::scope::WEBHOOKS;

const ROOT: &str = "2.0/mlflow/webhooks";
const ONE: &str = "2.0/mlflow/webhooks/{id}";

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .post(ROOT, WEBHOOKS.to("create"), create)
        .get(ROOT, WEBHOOKS.to("list"), list)
        .get(ONE, WEBHOOKS.to("get"), get)
        .patch(ONE, WEBHOOKS.to("update"), update)
        .delete(ONE, WEBHOOKS.to("delete"), delete)
        .post("2.0/mlflow/webhooks/{id}/test", WEBHOOKS.to("update"), test)
}

/// A webhook in the protocol's form. Its secret is never shown.
#[derive(Serialize)]
struct Message {
    webhook_id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    url: String,
    events: Vec<EventMessage>,
    status: &'static str,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
}

#[derive(Serialize)]
struct EventMessage {
    entity: String,
    action: String,
}

impl From<Webhook> for Message {
    fn from(webhook: Webhook) -> Self {
        let event = |kind: Kind| EventMessage {
            entity: kind.entity.to_ascii_uppercase(),
            action: kind.action.to_ascii_uppercase(),
        };
        Self {
            events: webhook.events.into_iter().map(event).collect(),
            webhook_id: webhook.id,
            name: webhook.name,
            description: webhook.description,
            url: webhook.url,
            status: if webhook.active { "ACTIVE" } else { "DISABLED" },
            creation_timestamp: webhook.created_at,
            last_updated_timestamp: webhook.updated_at,
        }
    }
}

#[derive(Serialize)]
struct Found {
    webhook: Message,
}

#[derive(Serialize)]
struct Listed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    webhooks: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
struct Tested {
    result: ResultMessage,
}

#[derive(Serialize)]
struct ResultMessage {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl From<TestResult> for ResultMessage {
    fn from(result: TestResult) -> Self {
        let TestResult { success, status: response_status, body: response_body, error: error_message } = result;
        Self { success, response_status, response_body, error_message }
    }
}

async fn create(Call { door, grant, fields }: Call) -> Answer {
    let (name, url) = (fields.required_text("name")?.to_owned(), fields.required_text("url")?.to_owned());
    if !fields.has("events") {
        return Err(missing("events").into());
    }
    let events = events(&fields)?;
    let description = fields.text("description")?.to_owned();
    let secret = fields.text("secret")?.to_owned();
    let active = status(&fields).unwrap_or(true);
    let new = NewWebhook { name, description, url, secret, active, events };
    reply(&Found { webhook: door.tracking.create_webhook(&grant, new).await?.into() })
}

async fn list(Call { door, grant, fields }: Call) -> Answer {
    let most = fields.optional_int("max_results")?.unwrap_or_default();
    let (found, next_page_token) = door.tracking.webhooks(&grant, most, fields.text("page_token")?).await?;
    reply(&Listed { webhooks: found.into_iter().map(Into::into).collect(), next_page_token })
}

async fn get(Path(id): Path<String>, Call { door, grant, .. }: Call) -> Answer {
    reply(&Found { webhook: door.tracking.webhook(&grant, &id).await?.into() })
}

async fn update(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let given = |name| Ok::<_, Error>(fields.optional_text(name)?.map(str::to_owned));
    let change = Change {
        // What is empty counts as left out, where nothing may be empty.
        name: given("name")?.filter(|text| !text.is_empty()),
        url: given("url")?.filter(|text| !text.is_empty()),
        description: given("description")?,
        secret: given("secret")?,
        events: Some(events(&fields)?).filter(|events| !events.is_empty()),
        active: status(&fields),
    };
    reply(&Found { webhook: door.tracking.update_webhook(&grant, &id, change).await?.into() })
}

async fn delete(Path(id): Path<String>, Call { door, grant, .. }: Call) -> Answer {
    door.tracking.delete_webhook(&grant, &id).await?;
    reply_empty()
}

async fn test(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let kind = fields.message("event")?.map(|event| kind(&event)).transpose()?;
    reply(&Tested { result: door.tracking.test_webhook(&grant, &id, kind).await?.into() })
}

/// The status, by name or number; what is none counts as left out, as for the reference.
fn status(fields: &Fields) -> Option<bool> {
    match fields.raw("status")? {
        Value::String(name) if name == "ACTIVE" => Some(true),
        Value::String(name) if name == "DISABLED" => Some(false),
        Value::String(_) => None,
        other => whole(other).filter(|number| (1..=2).contains(number)).map(|number| number == 1),
    }
}

fn events(fields: &Fields) -> Result<Vec<Kind>> {
    // A list of many is one with repeats, which is refused; no need to read it all.
    fields.messages("events")?.iter().take(ALL.len() + 1).map(kind).collect()
}

/// Numbers of entities and actions in the protocol.
const ENTITIES: [&str; 10] = [
    "registered_model",
    "model_version",
    "model_version_tag",
    "model_version_alias",
    "prompt",
    "prompt_version",
    "prompt_tag",
    "prompt_version_tag",
    "prompt_alias",
    "budget_policy",
];
const ACTIONS: [&str; 5] = ["created", "updated", "deleted", "set", "exceeded"];

fn kind(event: &Fields) -> Result<Kind> {
    let (entity, action) = (word(event, "entity", &ENTITIES)?, word(event, "action", &ACTIONS)?);
    if let Some(kind) = Kind::named(&format!("{entity}.{action}")) {
        return Ok(kind);
    }
    let mut valid: Vec<&str> = ALL.iter().filter(|kind| kind.entity == entity).map(|kind| kind.action).collect();
    valid.sort_unstable();
    let valid: Vec<String> = valid.into_iter().map(repr).collect();
    Err(Error::bad_request(format!(
        "Invalid action '{action}' for entity '{entity}'. Valid actions are: [{}]",
        valid.join(", ")
    )))
}

/// One of some words, in capital letters or by its number, which counts from 1.
fn word(event: &Fields, name: &str, words: &[&'static str]) -> Result<&'static str> {
    let Some(value) = event.raw(name) else { return Err(missing(name)) };
    let known = match value {
        Value::String(text) => words.iter().find(|word| word.to_ascii_uppercase() == *text),
        other => whole(other).and_then(|number| words.get(usize::try_from(number.checked_sub(1)?).ok()?)),
    };
    known.copied().ok_or_else(|| invalid(name, value))
}
