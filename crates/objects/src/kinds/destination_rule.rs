//! Istio's `DestinationRule`: which subsets a service has.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mcplane_core::{FieldError, FieldReason};
use serde::{Deserialize, Serialize};

use super::text;
use super::virtual_service::VERSIONS;
use crate::http::AGE;
use crate::kind::{Column, Kind, Resource};

/// A destination rule, as far as routing needs it; the schema knows the rest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DestinationRule {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: DestinationRuleSpec,
}

/// See Istio's reference of `DestinationRule`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DestinationRuleSpec {
    /// Service.
    pub host: String,
    /// Its subsets.
    pub subsets: Vec<Subset>,
}

/// A named part of a service, such as one version.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Subset {
    /// Name that routes use.
    pub name: String,
    /// Labels of what belongs to it.
    pub labels: BTreeMap<String, String>,
}

impl Resource for DestinationRule {
    const KIND: Kind = Kind {
        short_names: &["dr"],
        categories: &["istio-io", "networking-istio-io"],
        status: true,
        generation: true,
        strategic_merge: false,
        columns: &[
            Column { name: "Host", format: "string", priority: 0, cell: |o| text(o, &["spec", "host"]).into() },
            AGE,
        ],
        ..Kind::namespaced("networking.istio.io", VERSIONS, "DestinationRule", "destinationrules", "destinationrule")
    };

    /// Rules of Istio's admission webhook that its schema does not state.
    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if new.spec.host.is_empty() {
            errors.push(FieldError::required("spec.host", "destination rule must have a host"));
        }
        let mut names = BTreeSet::new();
        for (index, subset) in new.spec.subsets.iter().enumerate() {
            let field = format!("spec.subsets[{index}].name");
            if subset.name.is_empty() {
                errors.push(FieldError::required(field, "subset name is required"));
            } else if !names.insert(subset.name.as_str()) {
                errors.push(FieldError::new(field, FieldReason::Duplicate, "").with_value(subset.name.as_str()));
            }
        }
        errors
    }
}
