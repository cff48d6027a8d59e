//! `Namespace`: its deletion waits until a controller has emptied it.

use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use super::text;
use crate::http::AGE;
use crate::kind::{Column, Kind, NameRule, Resource};
use crate::object::ObjectExt as _;

/// Namespaces that always exist; the last one holds what the server keeps for itself.
pub const PERMANENT: [&str; 2] = ["default", "kube-system"];
/// The finalizer in a namespace's spec that the namespace controller removes last.
pub const FINALIZER: &str = "kubernetes";

impl Resource for Namespace {
    const KIND: Kind = Kind {
        short_names: &["ns"],
        name_rule: NameRule::Dns1123Label,
        status: true,
        // Not all at once.
        verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        selectable: &["status.phase"],
        columns: &[
            Column {
                name: "Status",
                format: "string",
                priority: 0,
                cell: |namespace| text(namespace, &["status", "phase"]).into(),
            },
            AGE,
        ],
        ..Kind::cluster("", &["v1"], "Namespace", "namespaces", "namespace")
    };

    fn prepare(new: &mut Value, old: Option<&Value>) {
        if old.is_none() {
            if !new["spec"].is_object() {
                new["spec"] = json!({});
            }
            new["spec"]["finalizers"] = json!([FINALIZER]);
            new["status"] = json!({"phase": "Active"});
        }
        // Selectors by name rely on this label, so it can't be changed.
        let name = new.name().to_owned();
        let labels = new.metadata_mut().entry("labels").or_insert_with(|| json!({}));
        if let (Some(labels), false) = (labels.as_object_mut(), name.is_empty()) {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
        }
    }

    fn keep(new: &mut Value, old: &Value) {
        new["spec"] = old["spec"].clone();
    }

    fn refuse_deletion(namespace: &Value) -> Option<&'static str> {
        PERMANENT.contains(&namespace.name()).then_some("this namespace may not be deleted")
    }

    fn begin_deletion(namespace: &mut Value) {
        namespace["status"]["phase"] = "Terminating".into();
    }

    fn holds_deletion(namespace: &Value) -> bool {
        namespace["spec"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
    }
}
