//! What is read of a VirtualService's `spec`, in Istio's words.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// `spec` of a VirtualService. Sections that the table does not route by are kept only to be named.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceSpec {
    pub(super) hosts: Vec<String>,
    pub(super) gateways: Vec<String>,
    pub(super) http: Vec<HttpRoute>,
    pub(super) tcp: Vec<Value>,
    pub(super) tls: Vec<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HttpRoute {
    pub(super) name: String,
    #[serde(rename = "match")]
    pub(super) matches: Vec<HttpMatch>,
    pub(super) route: Vec<RouteDestination>,
    pub(super) redirect: Option<Redirect>,
    pub(super) direct_response: Option<DirectResponse>,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) headers: Headers,
    pub(super) timeout: Option<String>,
    pub(super) retries: Option<HttpRetry>,
    #[serde(flatten)]
    pub(super) others: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HttpMatch {
    pub(super) uri: Option<StringMatch>,
    pub(super) scheme: Option<StringMatch>,
    pub(super) method: Option<StringMatch>,
    pub(super) authority: Option<StringMatch>,
    pub(super) headers: BTreeMap<String, StringMatch>,
    pub(super) without_headers: BTreeMap<String, StringMatch>,
    pub(super) query_params: BTreeMap<String, StringMatch>,
    pub(super) port: Option<u16>,
    pub(super) ignore_uri_case: bool,
    #[serde(flatten)]
    pub(super) others: BTreeMap<String, Value>,
}

/// At most one of the fields is set; none means that any value will do.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StringMatch {
    pub(super) exact: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) regex: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RouteDestination {
    pub(super) destination: DestinationSpec,
    pub(super) weight: Option<u32>,
    pub(super) headers: Headers,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DestinationSpec {
    pub(super) host: String,
    pub(super) subset: String,
    pub(super) port: Option<PortSelector>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PortSelector {
    pub(super) number: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Headers {
    pub(super) request: Operations,
    pub(super) response: Operations,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Operations {
    pub(super) set: BTreeMap<String, String>,
    pub(super) add: BTreeMap<String, String>,
    pub(super) remove: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rewrite {
    pub(super) uri: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) uri_regex_rewrite: Option<RegexRewrite>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RegexRewrite {
    #[serde(rename = "match")]
    pub(super) pattern: String,
    pub(super) rewrite: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Redirect {
    pub(super) uri: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) scheme: Option<String>,
    pub(super) redirect_code: Option<u16>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DirectResponse {
    pub(super) status: u16,
    pub(super) body: Option<DirectBody>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DirectBody {
    pub(super) string: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HttpRetry {
    pub(super) attempts: u32,
    pub(super) per_try_timeout: Option<String>,
    pub(super) retry_on: Option<String>,
}
