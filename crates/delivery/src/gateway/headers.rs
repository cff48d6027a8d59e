//! Headers that end at a proxy, and those that it adds.

use std::net::IpAddr;

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

/// Headers of one connection, beside those that `Connection` names (RFC 9110, 7.6.1).
const OF_THE_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Removes what belongs to the connection.
pub(super) fn end_here(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let named: Vec<HeaderName> =
            values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
}

/// Says who asked. What a peer says that nobody trusts is not passed on.
pub(super) fn forwarded(headers: &mut HeaderMap, peer: IpAddr, scheme: &'static str, trusted: &[IpNet]) {
    let mut chain = peer.to_canonical().to_string();
    if trusts(trusted, peer) {
        let before: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        if !before.is_empty() {
            chain = format!("{}, {chain}", before.join(", "));
        }
    } else {
        headers.remove(FORWARDED_PROTO);
    }
    if let Ok(value) = HeaderValue::from_str(&chain) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
}

/// Who asked: the peer, or behind trusted proxies the nearest address that is none of them.
pub(super) fn origin(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let mut origin = peer.to_canonical();
    if trusted.is_empty() {
        return origin;
    }
    let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    for hop in hops.into_iter().rev() {
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        if !trusts(trusted, origin) {
            break;
        }
        origin = address.to_canonical();
    }
    origin
}

fn trusts(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn headers_of_the_connection_end_here() {
        let mut headers =
            map(&[("connection", "close, X-Secret"), ("x-secret", "1"), ("te", "trailers"), ("x-kept", "2")]);
        end_here(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "2")]));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let [proxy, client] = ["10.0.0.1", "203.0.113.9"].map(|text| text.parse::<IpAddr>().unwrap());
        let said = map(&[("x-forwarded-for", "1.1.1.1, 203.0.113.9"), ("x-forwarded-for", "10.2.2.2")]);
        assert_eq!(origin(&said, proxy, &trusted), client);
        assert_eq!(origin(&said, client, &trusted), client);
        assert_eq!(origin(&said, proxy, &[]), proxy);
        assert_eq!(origin(&map(&[("x-forwarded-for", "nonsense")]), proxy, &trusted), proxy);
        let mut headers = said.clone();
        forwarded(&mut headers, proxy, "http", &trusted);
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 203.0.113.9, 10.2.2.2, 10.0.0.1");
        let mut headers = map(&[("x-forwarded-for", "10.0.0.7"), ("x-forwarded-proto", "https")]);
        forwarded(&mut headers, client, "http", &trusted);
        assert_eq!(headers, map(&[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "http")]));
    }
}
