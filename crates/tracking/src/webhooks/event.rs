//! What webhooks are told of.

use mcplane_core::Result;
use mcplane_db::Tx;
use serde_json::{Value, json};

use super::store;
use crate::outbox;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What it happened to.
    pub(crate) entity: &'static str,
    /// What happened.
    pub(crate) action: &'static str,
}

macro_rules! kinds {
    ($($name:ident $entity:literal $action:literal),+ $(,)?) => {
        $(#[doc = concat!("`", $entity, ".", $action, "`")]
        pub(crate) const $name: Kind = Kind { entity: $entity, action: $action };)+
        /// All kinds.
        pub(super) const ALL: &[Kind] = &[$($name),+];
    };
}

kinds![
    MODEL_CREATED "registered_model" "created",
    VERSION_CREATED "model_version" "created",
    VERSION_TAG_SET "model_version_tag" "set",
    VERSION_TAG_DELETED "model_version_tag" "deleted",
    ALIAS_CREATED "model_version_alias" "created",
    ALIAS_DELETED "model_version_alias" "deleted",
    PROMPT_CREATED "prompt" "created",
    PROMPT_VERSION_CREATED "prompt_version" "created",
    PROMPT_TAG_SET "prompt_tag" "set",
    PROMPT_TAG_DELETED "prompt_tag" "deleted",
    PROMPT_VERSION_TAG_SET "prompt_version_tag" "set",
    PROMPT_VERSION_TAG_DELETED "prompt_version_tag" "deleted",
    PROMPT_ALIAS_CREATED "prompt_alias" "created",
    PROMPT_ALIAS_DELETED "prompt_alias" "deleted",
    BUDGET_EXCEEDED "budget_policy" "exceeded",
];

impl Kind {
    /// The kind of that name, such as `prompt.created`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (entity, action) = name.split_once('.')?;
        ALL.iter().copied().find(|kind| kind.entity == entity && kind.action == action)
    }

    /// Its name.
    pub(super) fn name(self) -> String {
        format!("{}.{}", self.entity, self.action)
    }
}

/// What is sent: `data` and what it is about.
pub(super) fn body(kind: Kind, namespace: &str, at: i64, data: Value) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    json!({
        "entity": kind.entity,
        "action": kind.action,
        // As Python writes it, for receivers that look at it closely.
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string(),
        "data": data,
        "workspace": namespace,
    })
    .to_string()
}

/// Tells all webhooks of a namespace that want to know. `data` is made only if there are any.
pub(crate) async fn emit(tx: &mut Tx, namespace: &str, kind: Kind, data: impl FnOnce() -> Value + Send) -> Result<()> {
    let lanes: Vec<String> = store::listening(tx, namespace, &kind.name()).await?.iter().map(|id| lane(id)).collect();
    if lanes.is_empty() {
        return Ok(());
    }
    let body = body(kind, namespace, tx.now(), data());
    outbox::enqueue(tx, namespace, &lanes, &body).await
}

/// How the lanes of webhooks begin.
pub(crate) const LANES: &str = "webhook/";

/// The lane of a webhook.
pub(super) fn lane(id: &str) -> String {
    format!("{LANES}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_name() {
        for kind in ALL {
            assert_eq!(Kind::named(&kind.name()), Some(*kind));
        }
        assert_eq!(Kind::named("prompt.deleted"), None);
    }

    #[test]
    fn bodies_say_what_where_and_when() {
        let body: Value = serde_json::from_str(&body(MODEL_CREATED, "team", 1_500, json!({"name": "m"}))).unwrap();
        let expected = json!({
            "entity": "registered_model", "action": "created", "timestamp": "1970-01-01T00:00:01.500000+00:00",
            "data": {"name": "m"}, "workspace": "team",
        });
        assert_eq!(body, expected);
    }
}
