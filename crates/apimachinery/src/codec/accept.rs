//! `Accept`: what a client wants back.

use mcplane_core::Error;

use super::media_type::{essence, parameters};
use super::{JSON, YAML};

/// A representation that can be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accept {
    /// The object itself, as JSON.
    Json,
    /// The object itself, as YAML.
    Yaml,
    /// `meta.k8s.io/v1` `Table`, as JSON: the columns that kubectl prints.
    Table,
    /// `meta.k8s.io/v1` `PartialObjectMetadata`, as JSON.
    PartialObjectMetadata,
    /// `meta.k8s.io/v1` `PartialObjectMetadataList`, as JSON.
    PartialObjectMetadataList,
    /// `APIGroupDiscoveryList`, as JSON: every resource in one answer.
    Discovery(DiscoveryVersion),
}

/// Version of `apidiscovery.k8s.io`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiscoveryVersion {
    /// `v2`, since Kubernetes 1.30.
    V2,
    /// `v2beta1`, of older clients. Its fields are those of `v2`.
    V2Beta1,
}

impl Accept {
    /// The `Content-Type` of such an answer. Clients of aggregated discovery look for the parameters.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Yaml => YAML,
            Self::Discovery(DiscoveryVersion::V2) => {
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
            Self::Discovery(DiscoveryVersion::V2Beta1) => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
            Self::Json | Self::Table | Self::PartialObjectMetadata | Self::PartialObjectMetadataList => JSON,
        }
    }

    fn parse(element: &str) -> Option<Self> {
        let (mut group, mut version, mut kind) = ("", "", "");
        for (name, value) in parameters(element) {
            match name {
                "g" => group = value,
                "v" => version = value,
                "as" => kind = value,
                "q" if value.parse() == Ok(0.0_f32) => return None,
                _ => {}
            }
        }
        let yaml = match essence(element).as_str() {
            JSON | "*/*" | "application/*" => false,
            YAML => true,
            _ => return None,
        };
        match (kind, group, version) {
            ("", ..) if yaml => Some(Self::Yaml),
            ("", ..) => Some(Self::Json),
            _ if yaml => None,
            ("Table", "meta.k8s.io", "v1") => Some(Self::Table),
            ("PartialObjectMetadata", "meta.k8s.io", "v1") => Some(Self::PartialObjectMetadata),
            ("PartialObjectMetadataList", "meta.k8s.io", "v1") => Some(Self::PartialObjectMetadataList),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Some(Self::Discovery(DiscoveryVersion::V2)),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => {
                Some(Self::Discovery(DiscoveryVersion::V2Beta1))
            }
            _ => None,
        }
    }
}

/// The first representation in the client's order that can be answered with; nothing asked for means JSON.
///
/// Weights are not read, except that `q=0` excludes: every Kubernetes client lists its wishes in order.
pub fn negotiate(accept: Option<&str>) -> Result<Accept, Error> {
    negotiate_among(accept, |_| true)
}

/// [`negotiate`] where the endpoint has only the representations that `offered` tells, such as no `Table` of discovery.
pub fn negotiate_among(accept: Option<&str>, offered: impl Fn(Accept) -> bool) -> Result<Accept, Error> {
    let accept = match accept.map(str::trim) {
        None | Some("") => "*/*",
        Some(accept) => accept,
    };
    accept
        .split(',')
        .filter_map(Accept::parse)
        .find(|wish| offered(*wish))
        .ok_or_else(|| Error::NotAcceptable(format!("only the following media types are accepted: {JSON}, {YAML}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KUBECTL_GET: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                               application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
    const KUBECTL_DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                                     application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
                                     application/json";

    #[test]
    fn clients_get_what_they_list_first() {
        let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                       application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        for (accept, expected) in [
            ("", Accept::Json),
            ("*/*", Accept::Json),
            ("application/*;q=0.5", Accept::Json),
            ("application/json, */*", Accept::Json),
            ("application/json;stream=watch", Accept::Json),
            ("application/vnd.kubernetes.protobuf,application/json", Accept::Json),
            ("application/yaml", Accept::Yaml),
            ("text/html, application/yaml;q=0.9, */*;q=0.8", Accept::Yaml),
            ("application/json;q=0, application/yaml", Accept::Yaml),
            (KUBECTL_GET, Accept::Table),
            (KUBECTL_DISCOVERY, Accept::Discovery(DiscoveryVersion::V2)),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Accept::Json),
            ("application/json; as=\"PartialObjectMetadata\"; g=meta.k8s.io; v=v1", Accept::PartialObjectMetadata),
            (partial, Accept::PartialObjectMetadataList),
        ] {
            assert_eq!(negotiate(Some(accept)).unwrap(), expected, "{accept}");
        }
        assert_eq!(negotiate(None).unwrap(), Accept::Json);
    }

    #[test]
    fn an_endpoint_may_offer_less() {
        let json_only = |wish| wish == Accept::Json;
        assert_eq!(negotiate_among(Some(KUBECTL_GET), json_only).unwrap(), Accept::Json);
        assert_eq!(negotiate_among(Some("application/yaml"), json_only).unwrap_err().http_status(), 406);
    }

    #[test]
    fn nothing_acceptable_is_406_with_the_list() {
        for accept in ["text/html", "application/vnd.kubernetes.protobuf", "application/json;as=Chair;v=v1;g=x", ",;="]
        {
            let error = negotiate(Some(accept)).unwrap_err();
            assert_eq!(error.http_status(), 406);
            assert_eq!(
                error.to_string(),
                "only the following media types are accepted: application/json, application/yaml"
            );
        }
    }

    proptest! {
        #[test]
        fn any_header_gets_an_answer(accept in ".*") {
            if let Err(error) = negotiate(Some(&accept)) {
                prop_assert_eq!(error.http_status(), 406);
            }
        }
    }
}
