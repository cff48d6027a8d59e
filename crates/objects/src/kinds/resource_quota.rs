//! `ResourceQuota`.

use k8s_openapi::api::core::v1::ResourceQuota;
use mcplane_apimachinery::resources::quota::{validate_spec, validate_spec_update, validate_status};
use mcplane_core::FieldError;
use serde_json::{Value, json};

use crate::http::AGE;
use crate::kind::{Column, Kind, Resource};

impl Resource for ResourceQuota {
    const KIND: Kind = Kind {
        short_names: &["quota"],
        status: true,
        columns: &[
            Column { name: "Request", format: "string", priority: 0, cell: |quota| usage(quota, false) },
            Column { name: "Limit", format: "string", priority: 0, cell: |quota| usage(quota, true) },
            AGE,
        ],
        ..Kind::namespaced("", &["v1"], "ResourceQuota", "resourcequotas", "resourcequota")
    };

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let part = |value: Option<Value>| value.unwrap_or(Value::Null);
        let spec = |quota: &Self| part(serde_json::to_value(&quota.spec).ok());
        let mut errors = validate_spec(&spec(new));
        if let Some(old) = old {
            errors.extend(validate_spec_update(&spec(new), &spec(old)));
        }
        if new.status.is_some() {
            errors.extend(validate_status(&part(serde_json::to_value(&new.status).ok())));
        }
        errors
    }
}

/// `requests.cpu: 0/2, …` for what is requested or what is limited.
fn usage(quota: &Value, limits: bool) -> Value {
    let none = json!({});
    let hard = quota["status"]["hard"].as_object().or(quota["spec"]["hard"].as_object());
    let used = quota["status"]["used"].as_object().or(none.as_object());
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("0").to_owned();
    let parts: Vec<String> = hard
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("limits") == limits)
        .map(|(name, value)| format!("{name}: {}/{}", text(used.and_then(|used| used.get(name))), text(Some(value))))
        .collect();
    parts.join(", ").into()
}
