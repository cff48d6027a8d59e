//! Who belongs to a stage before shares are drawn: operators by address, users by region, requests by header.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;
use mcplane_core::FieldError;
use serde::{Deserialize, Serialize};

use super::decision::Request;

/// An audience as people write it. Given parts all hold; an audience of nothing is nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AudienceSpec {
    /// Addresses or networks that requests come from, such as `10.0.0.0/8`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Regions, as the header that the options name tells them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Headers with the value that each must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Users by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
}

/// An audience, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    addresses: Vec<IpNet>,
    regions: Vec<String>,
    headers: Vec<(HeaderName, String)>,
    users: Vec<String>,
}

impl Audience {
    /// Compiles an audience, or says what is wrong with its fields under `field`.
    pub fn new(spec: &AudienceSpec, field: &str, errors: &mut Vec<FieldError>) -> Self {
        let mut addresses = Vec::new();
        for (index, text) in spec.addresses.iter().enumerate() {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => addresses.push(network),
                Err(_) => errors.push(FieldError::invalid(
                    format!("{field}.addresses[{index}]"),
                    text.as_str(),
                    "must be an address or a network such as 10.0.0.0/8",
                )),
            }
        }
        let mut headers = Vec::new();
        for (name, value) in &spec.headers {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(header) => headers.push((header, value.clone())),
                Err(_) => errors.push(FieldError::invalid(
                    format!("{field}.headers[{name}]"),
                    name.as_str(),
                    "is no name of a header",
                )),
            }
        }
        if *spec == AudienceSpec::default() {
            errors.push(FieldError::required(
                field,
                "name addresses, regions, headers or users; for everybody set a weight",
            ));
        }
        Self { addresses, regions: spec.regions.clone(), headers, users: spec.users.clone() }
    }

    /// Why the request belongs to the audience; `None` when it does not.
    pub(super) fn includes(
        &self,
        request: &Request<'_>,
        user: Option<&str>,
        region: Option<&str>,
    ) -> Option<&'static str> {
        let mut why = None;
        if !self.headers.is_empty() {
            let all = self.headers.iter().all(|(name, value)| request.header(name) == Some(value.as_str()));
            all.then_some(())?;
            why = Some("header");
        }
        if !self.regions.is_empty() {
            self.regions.iter().find(|known| Some(known.as_str()) == region)?;
            why = Some("region");
        }
        if !self.users.is_empty() {
            self.users.iter().find(|known| Some(known.as_str()) == user)?;
            why = Some("user");
        }
        if !self.addresses.is_empty() {
            let peer = canonical(request.peer);
            self.addresses.iter().find(|network| network.contains(&peer))?;
            why = Some("address");
        }
        why
    }
}

/// An IPv4 address that came over an IPv6 socket is an IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
