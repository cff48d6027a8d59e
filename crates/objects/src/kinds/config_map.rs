//! `ConfigMap`.

use k8s_openapi::api::core::v1::ConfigMap;
use mcplane_core::{FieldError, FieldReason};

use super::{MOST_DATA, check_data_keys, check_immutable, entries};
use crate::http::AGE;
use crate::kind::{Column, Kind, Resource};

impl Resource for ConfigMap {
    const KIND: Kind = Kind {
        short_names: &["cm"],
        columns: &[
            Column { name: "Data", format: "integer", priority: 0, cell: |o| entries(o, &["data", "binaryData"]) },
            AGE,
        ],
        ..Kind::namespaced("", &["v1"], "ConfigMap", "configmaps", "configmap")
    };

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let (data, binary) = (new.data.as_ref(), new.binary_data.as_ref());
        let mut errors = check_data_keys("data", data.into_iter().flat_map(|map| map.keys()));
        errors.extend(check_data_keys("binaryData", binary.into_iter().flat_map(|map| map.keys())));
        for key in data.into_iter().flat_map(|map| map.keys()) {
            if binary.is_some_and(|binary| binary.contains_key(key)) {
                errors.push(FieldError::invalid(
                    format!("data[{key}]"),
                    key.as_str(),
                    "duplicate of key present in binaryData",
                ));
            }
        }
        let size: usize = data.into_iter().flat_map(|map| map.values()).map(String::len).sum::<usize>()
            + binary.into_iter().flat_map(|map| map.values()).map(|bytes| bytes.0.len()).sum::<usize>();
        if size > MOST_DATA {
            errors.push(FieldError::new("", FieldReason::TooLong, format!("may not be more than {MOST_DATA} bytes")));
        }
        if let Some(old) = old {
            let changed = [("data", old.data != new.data), ("binaryData", old.binary_data != new.binary_data)];
            errors.extend(check_immutable(old.immutable, new.immutable, &changed));
        }
        errors
    }
}
