//! `Secret`. All but its metadata is encrypted at rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use mcplane_core::{FieldError, FieldReason};
use serde_json::{Map, Value};

use super::{MOST_DATA, check_data_keys, check_immutable, entries};
use crate::http::AGE;
use crate::kind::{Column, Kind, Resource};

/// Keys that the types of Kubernetes demand.
const DEMANDED: [(&str, &[&str]); 4] = [
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
];

impl Resource for Secret {
    const KIND: Kind = Kind {
        selectable: &["type"],
        columns: &[
            Column { name: "Type", format: "string", priority: 0, cell: |o| o["type"].clone() },
            Column { name: "Data", format: "integer", priority: 0, cell: |o| entries(o, &["data"]) },
            AGE,
        ],
        ..Kind::namespaced("", &["v1"], "Secret", "secrets", "secret")
    };

    /// `stringData` is for writing only; a missing type is `Opaque`. What is no text is left for the schema to refuse.
    fn prepare(new: &mut Value, _: Option<&Value>) {
        let Some(map) = new.as_object_mut() else { return };
        let is_text = |plain: &Map<String, Value>| plain.values().all(|value| value.is_string() || value.is_null());
        let data_fits = map.get("data").is_none_or(|data| data.is_object() || data.is_null());
        if data_fits
            && map.get("stringData").and_then(Value::as_object).is_some_and(is_text)
            && let Some(Value::Object(plain)) = map.remove("stringData")
        {
            let encoded = plain
                .into_iter()
                .map(|(key, value)| (key, Value::from(STANDARD.encode(value.as_str().unwrap_or_default()))));
            match map.entry("data").or_insert(Value::Null) {
                Value::Object(data) => data.extend(encoded),
                data => *data = Value::Object(encoded.collect()),
            }
        }
        if map.get("type").is_none_or(|kind| kind.is_null() || kind == "") {
            map.insert("type".to_owned(), "Opaque".into());
        }
    }

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let data = new.data.as_ref();
        let mut errors = check_data_keys("data", data.into_iter().flat_map(|map| map.keys()));
        let size: usize = data.into_iter().flat_map(|map| map.values()).map(|bytes| bytes.0.len()).sum();
        if size > MOST_DATA {
            errors.push(FieldError::new(
                "data",
                FieldReason::TooLong,
                format!("may not be more than {MOST_DATA} bytes"),
            ));
        }
        let kind = new.type_.as_deref().unwrap_or("");
        let demanded = DEMANDED.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, keys)| keys);
        for key in demanded {
            if !data.is_some_and(|data| data.contains_key(*key)) {
                errors.push(FieldError::required(format!("data[{key}]"), ""));
            }
        }
        if let Some(old) = old {
            if old.type_ != new.type_ {
                errors.push(FieldError::invalid("type", kind, "field is immutable"));
            }
            errors.extend(check_immutable(old.immutable, new.immutable, &[("data", old.data != new.data)]));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn string_data_becomes_data() {
        let mut secret = json!({"data": {"a": "QQ=="}, "stringData": {"a": "B", "c": "D"}});
        Secret::prepare(&mut secret, None);
        assert_eq!(secret, json!({"data": {"a": "Qg==", "c": "RA=="}, "type": "Opaque"}));
        let mut wrong = json!({"stringData": {"a": {"b": "c"}}, "type": "Opaque"});
        let before = wrong.clone();
        Secret::prepare(&mut wrong, None);
        assert_eq!(wrong, before);
    }

    #[test]
    fn tls_secrets_need_both_halves() {
        let secret: Secret =
            serde_json::from_value(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})).unwrap();
        let errors = Secret::validate(&secret, None);
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), ["data[tls.key]: Required value"]);
    }
}
