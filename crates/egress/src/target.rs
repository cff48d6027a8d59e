//! Where a request goes.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

/// A URL with a host, of http or https. Its path and query may be secrets, so that only scheme and host are shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{} is no scheme of HTTP", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("it names no host".to_owned());
        }
        Ok(Self(url))
    }

    /// The name or address, as it will be looked up; one of IPv6 in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether it is without TLS.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The same host with another path, if it has none.
    #[must_use]
    pub fn or_path(mut self, path: &str) -> Self {
        if self.0.path() == "/" {
            self.0.set_path(path);
        }
        self
    }

    /// The address, if the host is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host().trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.host())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_spelling() {
        for text in
            ["http://127.1/", "http://2130706433", "http://0x7f.0.0.1", "http://0177.0.0.1:80/a", "http://127.0.0.1./"]
        {
            assert_eq!(Target::parse(text).unwrap().host(), "127.0.0.1", "{text}");
        }
        let v6 = Target::parse("https://[::ffff:7f00:1]:8443/x").unwrap();
        assert_eq!((v6.address().unwrap(), v6.port()), ("::ffff:127.0.0.1".parse().unwrap(), 8443));
        assert_eq!(Target::parse("https://example.com/?key=secret").unwrap().to_string(), "https://example.com");
    }

    #[test]
    fn other_urls_are_refused() {
        for text in
            ["", "x", "/x", "ftp://x", "file:///etc/passwd", "https://", "https:///", "http://[::1", "http://a b/"]
        {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_is_added_where_there_is_none() {
        let path = |text: &str| Target::parse(text).unwrap().or_path("/api/v1/lineage").url().to_string();
        assert_eq!(path("http://marquez:5000"), "http://marquez:5000/api/v1/lineage");
        assert_eq!(path("http://marquez:5000/x?y=z"), "http://marquez:5000/x?y=z");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,100}") {
            if let Ok(target) = Target::parse(&text) {
                proptest::prop_assert!(!target.host().is_empty());
            }
        }
    }
}
