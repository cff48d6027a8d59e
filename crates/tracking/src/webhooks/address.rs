//! Which URLs webhooks may have, in the words that clients know.

use mcplane_core::{Error, Result};
use mcplane_egress::{Egress, Failure, Target};

use crate::filter::python::repr;
use crate::tags::{check_length, check_text};

/// Longest URL in characters.
const LONGEST: usize = 2048;

/// Reads the URL of a webhook, and looks whether messages may go there. They are looked at again when they go.
pub(super) async fn check(egress: &Egress, url: &str) -> Result<()> {
    let target = read(egress, url)?;
    egress.check(&target).await.map_err(|failure| refusal(url, &failure))
}

fn read(egress: &Egress, url: &str) -> Result<Target> {
    check_length("url", LONGEST, url)?;
    check_text(url)?;
    if url.trim().is_empty() {
        let message = format!("Webhook URL cannot be empty or just whitespace: {}", repr(url));
        return Err(Error::BadRequest(message));
    }
    let url = url.trim_start();
    let scheme = scheme(url);
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(wrong_scheme(&scheme));
    }
    // Others would find a host where there is none: in the path.
    if host(url).is_empty() {
        return Err(Error::bad_request(format!("Webhook URL must include a hostname: {}", repr(url))));
    }
    let invalid = |reason| Error::bad_request(format!("Invalid webhook URL {}: {reason}", repr(url)));
    let target = Target::parse(url).map_err(invalid)?;
    if target.is_plain() && !egress.policy().allows_plain(target.host()) {
        return Err(wrong_scheme("http"));
    }
    Ok(target)
}

fn wrong_scheme(scheme: &str) -> Error {
    Error::bad_request(format!("Invalid webhook URL scheme: {}. Allowed schemes are: https.", repr(scheme)))
}

/// What stands before the first colon, if it looks like a scheme.
fn scheme(url: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match url.split_once(':') {
        Some((scheme, _)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(plain) => {
            scheme.to_ascii_lowercase()
        }
        _ => String::new(),
    }
}

/// The host as it is written, in small letters; empty if nothing stands between the two slashes and what follows.
fn host(url: &str) -> String {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    let authority = rest.strip_prefix("//").unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host.to_lowercase()
}

fn refusal(url: &str, failure: &Failure) -> Error {
    let host = repr(&host(url.trim_start()));
    Error::BadRequest(match failure {
        Failure::Refused { address, .. } => {
            format!("Webhook URL must not resolve to a non-public IP address. {host} resolves to {address}.")
        }
        Failure::Plain(_) => return wrong_scheme("http"),
        Failure::Unresolved(_) => {
            format!("Cannot resolve Webhook URL hostname {host}: [Errno -2] Name or service not known")
        }
        other => format!("Invalid webhook URL {}: {other}", repr(url)),
    })
}

#[cfg(test)]
mod tests {
    use mcplane_egress::{Limits, Policy};

    use super::*;

    async fn checked(hosts: &[&str], url: &str) -> String {
        let egress = Egress::new(Policy::allowing(hosts).unwrap(), Limits::default());
        check(&egress, url).await.map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[tokio::test]
    async fn clients_are_told_what_is_wrong() {
        for (url, message) in [
            ("https://8.8.8.8/hook?token=x", "fine"),
            ("HTTPS://8.8.8.8", "fine"),
            (" https://8.8.8.8", "fine"),
            ("", "Webhook URL cannot be empty or just whitespace: ''"),
            (" \t", "Webhook URL cannot be empty or just whitespace: ' \\t'"),
            ("example.com/hook", "Invalid webhook URL scheme: ''. Allowed schemes are: https."),
            ("http://8.8.8.8/", "Invalid webhook URL scheme: 'http'. Allowed schemes are: https."),
            ("ftp://8.8.8.8/", "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: https."),
            ("https:///hook", "Webhook URL must include a hostname: 'https:///hook'"),
            ("https://", "Webhook URL must include a hostname: 'https://'"),
            ("https://:8443/", "Webhook URL must include a hostname: 'https://:8443/'"),
            ("https://[::1/", "Invalid webhook URL 'https://[::1/': invalid IPv6 address"),
            ("https:8.8.8.8", "Webhook URL must include a hostname: 'https:8.8.8.8'"),
            (
                "https://127.0.0.1/hook",
                "Webhook URL must not resolve to a non-public IP address. '127.0.0.1' resolves to 127.0.0.1.",
            ),
            (
                "https://2130706433/",
                "Webhook URL must not resolve to a non-public IP address. '2130706433' resolves to 127.0.0.1.",
            ),
            ("https://[::1]:8443/", "Webhook URL must not resolve to a non-public IP address. '::1' resolves to ::1."),
            (
                "https://169.254.169.254/latest",
                "Webhook URL must not resolve to a non-public IP address. '169.254.169.254' resolves to 169.254.169.254.",
            ),
        ] {
            assert_eq!(checked(&[], url).await, message, "{url}");
        }
        assert!(checked(&[], "https://8.8.8.8@127.0.0.1/").await.contains("resolves to 127.0.0.1"));
        assert!(checked(&[], &format!("https://8.8.8.8/{}", "x".repeat(3000))).await.contains("exceeds"));
    }

    #[tokio::test]
    async fn hosts_that_are_named_need_no_tls() {
        assert_eq!(checked(&["127.0.0.1"], "http://127.0.0.1:9/").await, "fine");
        assert_eq!(checked(&["127.0.0.0/8"], "https://127.9.9.9/").await, "fine");
        assert!(checked(&["127.0.0.1"], "http://127.0.0.2/").await.contains("Invalid webhook URL scheme: 'http'"));
    }
}
