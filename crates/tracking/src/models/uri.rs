//! URIs as the protocol's clients take them apart: leniently, by the rules of Python's `urllib.parse`.

use percent_encoding::percent_decode_str;

/// The parts of a URI. Nothing of it is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uri {
    /// In small letters; empty if there is none.
    pub(super) scheme: String,
    /// What is between `//` and the path.
    pub(super) authority: String,
    /// Up to the query.
    pub(super) path: String,
    /// Without its question mark.
    pub(super) query: String,
    /// Without its hash.
    pub(super) fragment: String,
}

impl Uri {
    /// Takes a text apart; any text is a URI.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim_start_matches(|c: char| c <= ' ').replace(['\t', '\r', '\n'], "");
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ => (String::new(), text.as_str()),
        };
        let (authority, rest) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let own = str::to_owned;
        Self { scheme, authority: own(authority), path: own(path), query: own(query), fragment: own(fragment) }
    }

    /// The host, in small letters; empty if there is none.
    pub(super) fn host(&self) -> String {
        let host = self.authority.rsplit_once('@').map_or(self.authority.as_str(), |(_, host)| host);
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        host.to_ascii_lowercase()
    }

    /// Whether the host is another machine, as far as a name tells.
    pub(super) fn is_remote(&self) -> bool {
        let host = self.host();
        !(host.is_empty() || host == "." || host.starts_with("localhost") || host.starts_with("127.0.0.1"))
    }

    /// Whether it is a path of this machine. A file of another machine counts as one here.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.scheme.as_str(), "" | "file")
    }

    /// The names on the path, decoded until nothing is left to decode.
    pub(super) fn names(&self) -> Vec<String> {
        self.path.split('/').filter(|name| !name.is_empty()).map(decoded).collect()
    }
}

fn is_scheme(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.');
    text.bytes().next().is_some_and(|c| c.is_ascii_alphabetic()) && text.bytes().all(plain)
}

/// A text decoded until nothing is left to decode. Each round makes it shorter.
pub(crate) fn decoded(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let next = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        // A broken sequence becomes a longer character, which no further round changes.
        if next == text {
            return text;
        }
        text = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uris_have_parts() {
        let uri = Uri::parse("S3://User@Bucket:9/a/b?c=d#e");
        assert_eq!((uri.scheme.as_str(), uri.authority.as_str(), uri.path.as_str()), ("s3", "User@Bucket:9", "/a/b"));
        assert_eq!((uri.query.as_str(), uri.fragment.as_str(), uri.host().as_str()), ("c=d", "e", "bucket"));
        for (text, scheme, path) in [
            ("/etc", "", "/etc"),
            ("runs:/a/b", "runs", "/a/b"),
            ("1x:/a", "", "1x:/a"),
            (" \u{1}fi\nle:/etc", "file", "/etc"),
            ("C:\\x", "c", "\\x"),
            ("", "", ""),
        ] {
            let uri = Uri::parse(text);
            assert_eq!((uri.scheme.as_str(), uri.path.as_str()), (scheme, path), "{text}");
        }
        assert_eq!(Uri::parse("x://[::1]:80/y").host(), "::1");
    }

    #[test]
    fn decoding_ends() {
        assert_eq!(decoded("%25252e%252e/%2Fx%"), "../%2Fx%".replace("%2F", "/"));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart(text in r"(%|2|5|e|f|/|:|\PC){0,40}") {
            let uri = Uri::parse(&text);
            prop_assert!(uri.path.len() <= text.len());
            prop_assert!(uri.names().iter().all(|name| decoded(name) == *name));
        }
    }
}
