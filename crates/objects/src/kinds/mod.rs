//! The kinds that belong to no capability of their own. Each file is one kind: its facts, its rules, its columns.

mod config_map;
mod destination_rule;
mod event;
mod lease;
mod limit_range;
mod namespace;
mod resource_quota;
mod secret;
mod service_account;
mod virtual_service;

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, LimitRange, Namespace, ResourceQuota, Secret};
use mcplane_core::FieldError;
use serde_json::Value;

use crate::kind::{RegisteredKind, Registry};
use crate::storage::{Cipher, Encrypted, Storage, TableStorage};

pub use destination_rule::DestinationRule;
pub use k8s_openapi::api::core::v1::ServiceAccount;
pub use limit_range::CREATED_AT;
pub use namespace::{FINALIZER, PERMANENT};
pub use virtual_service::VirtualService;

/// Registers the kinds of this folder but `ServiceAccount`, which comes with its tokens from where those are issued.
/// Secrets are sealed by `cipher`.
pub fn register(registry: &mut Registry, table: &TableStorage, cipher: &Cipher) {
    let plain: Arc<dyn Storage> = Arc::new(table.clone());
    let sealed: Arc<dyn Storage> = Arc::new(Encrypted::new(table.clone(), cipher.clone()));
    registry
        .add(RegisteredKind::new::<Namespace>(Arc::clone(&plain)))
        .add(RegisteredKind::new::<ConfigMap>(Arc::clone(&plain)))
        .add(RegisteredKind::new::<Secret>(sealed))
        .add(RegisteredKind::new::<Event>(Arc::clone(&plain)))
        .add(RegisteredKind::new::<ResourceQuota>(Arc::clone(&plain)))
        .add(RegisteredKind::new::<LimitRange>(Arc::clone(&plain)))
        .add(RegisteredKind::new::<Lease>(Arc::clone(&plain)))
        .add(RegisteredKind::new::<VirtualService>(Arc::clone(&plain)))
        .add(RegisteredKind::new::<DestinationRule>(plain));
}

/// The largest sum of the values of a ConfigMap or Secret, in bytes.
const MOST_DATA: usize = 1 << 20;

/// A text somewhere in an object; empty if there is none.
fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(object, |value, field| value.get(field)).and_then(Value::as_str).unwrap_or("")
}

/// The number of entries of maps, as a cell.
fn entries(object: &Value, fields: &[&str]) -> Value {
    let count: usize =
        fields.iter().filter_map(|field| object.get(*field)?.as_object()).map(serde_json::Map::len).sum();
    count.into()
}

/// Keys of ConfigMaps and Secrets: what is also a good file name.
fn check_data_keys<'a>(field: &str, keys: impl IntoIterator<Item = &'a String>) -> Vec<FieldError> {
    let fault = |key: &&String| {
        let fits = key.len() <= 253 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        key.is_empty() || !fits || key.as_str() == "." || key.starts_with("..")
    };
    let wrong = keys.into_iter().filter(fault);
    wrong
        .map(|key| {
            FieldError::invalid(
                format!("{field}[{key}]"),
                key.as_str(),
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name', or \
                 'KEY_NAME', or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            )
        })
        .collect()
}

/// An immutable ConfigMap or Secret stays as it is.
fn check_immutable(was: Option<bool>, is: Option<bool>, changed: &[(&str, bool)]) -> Vec<FieldError> {
    const WHY: &str = "field is immutable when `immutable` is set";
    if was != Some(true) {
        return vec![];
    }
    let unset = (is != Some(true)).then(|| FieldError::forbidden("immutable", WHY));
    let changes = changed.iter().filter(|(_, changed)| *changed).map(|(field, _)| FieldError::forbidden(*field, WHY));
    unset.into_iter().chain(changes).collect()
}
