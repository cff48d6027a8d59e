//! What a test sends: the examples of the protocol.

use serde_json::{Value, json};

use super::event::Kind;

/// The example of a kind of event.
pub(super) fn of(kind: Kind) -> Value {
    let prompt = kind.entity.starts_with("prompt");
    let name = if prompt { "example_prompt" } else { "example_model" };
    let tags = json!({"example_key": "example_value"});
    match (kind.entity, kind.action) {
        ("registered_model", _) => json!({"name": name, "tags": tags, "description": "An example registered model"}),
        ("prompt", _) => json!({"name": name, "tags": tags, "description": "An example prompt"}),
        ("model_version", _) => json!({
            "name": name, "version": "1", "source": "models:/123", "run_id": "abcd1234abcd5678", "tags": tags,
            "description": "An example model version",
        }),
        ("prompt_version", _) => json!({
            "name": name, "version": "1", "template": "Hello {{name}}!", "tags": tags,
            "description": "An example prompt version",
        }),
        ("prompt_tag", "set") => json!({"name": name, "key": "example_key", "value": "example_value"}),
        ("prompt_tag", _) => json!({"name": name, "key": "example_key"}),
        ("model_version_tag" | "prompt_version_tag", "set") => {
            json!({"name": name, "version": "1", "key": "example_key", "value": "example_value"})
        }
        ("model_version_tag" | "prompt_version_tag", _) => {
            json!({"name": name, "version": "1", "key": "example_key"})
        }
        ("model_version_alias" | "prompt_alias", "created") => {
            json!({"name": name, "alias": "example_alias", "version": "1"})
        }
        ("model_version_alias" | "prompt_alias", _) => json!({"name": name, "alias": "example_alias"}),
        _ => json!({
            "budget_policy_id": "bp-abc123", "budget_unit": "USD", "budget_amount": 100.0, "current_spend": 105.5,
            "duration_unit": "MONTHS", "duration_value": 1, "target_scope": "ENDPOINT", "workspace": "default",
            "target_value": "ep-abc123", "window_start": 1_704_067_200_000_i64,
        }),
    }
}
