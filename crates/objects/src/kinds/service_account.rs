//! `ServiceAccount`.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::http::AGE;
use crate::kind::{Column, Kind, Resource};

impl Resource for ServiceAccount {
    const KIND: Kind = Kind {
        short_names: &["sa"],
        columns: &[
            Column {
                name: "Secrets",
                format: "integer",
                priority: 0,
                cell: |account| account["secrets"].as_array().map_or(0, Vec::len).into(),
            },
            AGE,
        ],
        ..Kind::namespaced("", &["v1"], "ServiceAccount", "serviceaccounts", "serviceaccount")
    };
}
