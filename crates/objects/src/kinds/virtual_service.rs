//! Istio's `VirtualService`: how requests for a host are routed and split.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mcplane_core::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::AGE;
use crate::kind::{Column, Kind, Resource};

/// A virtual service, as far as routing by weight needs it; the schema knows the rest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualService {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: VirtualServiceSpec,
}

/// See Istio's reference of `VirtualService`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceSpec {
    /// Hosts that the rules apply to.
    pub hosts: Vec<String>,
    /// Rules for HTTP; the first that matches counts.
    pub http: Vec<HttpRoute>,
}

/// A rule for HTTP.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Where requests go, split by weight.
    pub route: Vec<HttpRouteDestination>,
    /// Answer with a redirect instead.
    pub redirect: Option<Value>,
    /// Answer directly instead.
    pub direct_response: Option<Value>,
    /// Leave to another virtual service instead.
    pub delegate: Option<Value>,
}

/// A share of the requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteDestination {
    /// Where to.
    pub destination: Destination,
    /// Share; a single destination may leave it out.
    pub weight: Option<i64>,
}

/// A service, or a subset of one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Destination {
    /// Service.
    pub host: String,
    /// Subset that a DestinationRule defines; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subset: String,
}

/// Versions of Istio's networking API. They have one shape.
pub(super) const VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];

/// Texts joined for a cell.
fn joined(list: &Value) -> Value {
    let texts: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if texts.is_empty() {
        Value::Null
    } else {
        format!("[{}]", texts.iter().map(|t| format!("{t:?}")).collect::<Vec<_>>().join(",")).into()
    }
}

impl Resource for VirtualService {
    const KIND: Kind = Kind {
        short_names: &["vs"],
        categories: &["istio-io", "networking-istio-io"],
        status: true,
        generation: true,
        strategic_merge: false,
        columns: &[
            Column { name: "Gateways", format: "string", priority: 0, cell: |o| joined(&o["spec"]["gateways"]) },
            Column { name: "Hosts", format: "string", priority: 0, cell: |o| joined(&o["spec"]["hosts"]) },
            AGE,
        ],
        ..Kind::namespaced("networking.istio.io", VERSIONS, "VirtualService", "virtualservices", "virtualservice")
    };

    /// Rules of Istio's admission webhook that its schema does not state.
    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if new.spec.hosts.is_empty() && new.spec.http.iter().all(|http| http.delegate.is_none()) {
            errors.push(FieldError::required("spec.hosts", "virtual service must have at least one host"));
        }
        for (index, http) in new.spec.http.iter().enumerate() {
            let field = format!("spec.http[{index}]");
            let elsewhere = http.redirect.is_some() || http.direct_response.is_some() || http.delegate.is_some();
            if http.route.is_empty() && !elsewhere {
                errors.push(FieldError::required(
                    format!("{field}.route"),
                    "HTTP route, redirect or direct_response is required",
                ));
            }
            errors.extend(check_weights(&field, &http.route));
        }
        errors
    }
}

fn check_weights(field: &str, routes: &[HttpRouteDestination]) -> Option<FieldError> {
    let weights: Vec<i64> = routes.iter().map(|route| route.weight.unwrap_or(0)).collect();
    if let Some(index) = weights.iter().position(|weight| *weight < 0) {
        let field = format!("{field}.route[{index}].weight");
        return Some(FieldError::invalid(field, weights[index], "weight must be non-negative"));
    }
    let unusable = routes.len() > 1 && weights.iter().all(|weight| *weight == 0);
    unusable.then(|| FieldError::invalid(format!("{field}.route"), 0, "total destination weight = 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(spec: Value) -> Vec<String> {
        let service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        VirtualService::validate(&service, None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn weights_must_lead_somewhere() {
        let split = |a: i64, b: i64| {
            json!({"hosts": ["h"], "http": [{"route": [
                {"destination": {"host": "h", "subset": "v1"}, "weight": a},
                {"destination": {"host": "h", "subset": "v2"}, "weight": b},
            ]}]})
        };
        assert_eq!(errors(split(90, 10)), Vec::<String>::new());
        assert_eq!(errors(split(0, 0)), ["spec.http[0].route: Invalid value: 0: total destination weight = 0"]);
        assert_eq!(
            errors(split(1, -1)),
            ["spec.http[0].route[1].weight: Invalid value: -1: weight must be non-negative"]
        );
        assert_eq!(errors(json!({"http": [{}]})).len(), 2);
    }
}
