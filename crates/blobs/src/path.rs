//! Names of blobs: relative paths that mean the same to a file system, to an object store and to a URL.

use mcplane_core::{Error, Result};
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::fmt;

/// Bytes of a whole path.
pub const LONGEST_PATH: usize = 4096;
/// Segments of a path.
pub const DEEPEST_PATH: usize = 64;
/// Bytes of a segment: what file systems take.
pub const LONGEST_NAME: usize = 255;
/// The segment under which the store keeps what no path may reach: staged uploads and addressed content.
pub(crate) const RESERVED: &str = ".mcplane";

/// How often a path may still decode to something else. A client that encodes more often has something to hide.
const MOST_DECODINGS: usize = 8;

/// A relative path below the root of a store, such as `3/9f1c/artifacts/model/MLmodel`.
///
/// It holds what a URL says once decoded. Whatever a later reader might decode it to is as harmless: no `..`, nothing
/// absolute, no drive, no backslash, no control character, no query and no fragment.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobPath(String);

impl BlobPath {
    /// The root of the store, which is a directory and never a blob.
    pub const ROOT: Self = Self(String::new());

    /// The path of a blob or a directory, decoded exactly once before. Fails with `Invalid path`.
    pub fn parse(text: &str) -> Result<Self> {
        if !text.is_empty() && is_safe(text) { Ok(Self(text.to_owned())) } else { Err(invalid()) }
    }

    /// As [`Self::parse`], for a directory: the empty path is the root, and a slash at the end is of no consequence.
    pub fn parse_dir(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::ROOT),
            _ => Self::parse(text.strip_suffix('/').unwrap_or(text)),
        }
    }

    /// A path below this one.
    pub fn join(&self, relative: &str) -> Result<Self> {
        if self.is_root() {
            return Self::parse(relative);
        }
        Self::parse(&format!("{}/{relative}", self.0))
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The directory that holds it; the root is its own.
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned()))
    }

    /// What is left below `dir`, if it lies there; the root when both are the same.
    pub fn below(&self, dir: &Self) -> Option<Self> {
        if dir.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&dir.0)?;
        if rest.is_empty() { Some(Self::ROOT) } else { Some(Self(rest.strip_prefix('/')?.to_owned())) }
    }

    /// Names from the top; none for the root.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// A path of the store's own making, which may be reserved.
    pub(crate) fn internal(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for BlobPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// The sentence of MLflow, for whatever is wrong.
pub(crate) fn invalid() -> Error {
    Error::bad_request("Invalid path")
}

/// Whether a text and everything that it decodes to stays below where it starts. What nothing reads again, the empty
/// text, counts as safe.
pub(crate) fn is_safe(text: &str) -> bool {
    if text.len() > LONGEST_PATH || !is_plain(text.as_bytes()) || text.split('/').any(|name| !is_name(name)) {
        return false;
    }
    let mut bytes = Cow::Borrowed(text.as_bytes());
    for _ in 0..MOST_DECODINGS {
        let decoded = Cow::from(percent_decode(&bytes)).into_owned();
        if decoded == *bytes {
            return true;
        }
        if !is_plain(&decoded) {
            return false;
        }
        bytes = Cow::Owned(decoded);
    }
    false
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.eq_ignore_ascii_case(RESERVED)
}

fn is_plain(bytes: &[u8]) -> bool {
    if bytes.iter().any(|byte| byte.is_ascii_control() || matches!(byte, b'\\' | b'#' | b'?')) {
        return false;
    }
    let mut segments = bytes.split(|byte| *byte == b'/');
    let first = segments.clone().next().unwrap_or_default();
    // `/etc`, `C:`, `C:x` and `file:` start elsewhere.
    let elsewhere =
        bytes.starts_with(b"/") || first.ends_with(b":") || matches!(first, [b'a'..=b'z' | b'A'..=b'Z', b':', ..]);
    !elsewhere && segments.clone().count() <= DEEPEST_PATH && segments.all(|segment| !matches!(segment, b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_paths_are_kept_as_they_are() {
        for text in [
            "a",
            "a/b",
            "0/9f/artifacts/MLmodel",
            "a b/ä.txt",
            "100%",
            "a%20b",
            "..a/b..",
            ".hidden",
            "xx:y",
            "a/x:y",
            "a;b=c",
            "a/C:",
        ] {
            assert_eq!(BlobPath::parse(text).unwrap().as_str(), text, "{text}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let long = "a/".repeat(LONGEST_PATH / 2) + "a";
        let deep = "a/".repeat(DEEPEST_PATH) + "a";
        let name = "a".repeat(LONGEST_NAME + 1);
        for text in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/..",
            "../a",
            "a/../b",
            ".",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "..\\b",
            "C:",
            "c:\\x",
            "c:x/y",
            "file:/etc",
            "file:///etc",
            "a\0",
            "a\nb",
            "\u{7f}",
            "a#b",
            "a?b",
            "%2e%2e/a",
            "%2E%2E%2Fa",
            "%252e%252e/a",
            "%25252e%25252e%25252fa",
            "%2fetc",
            "%5c..",
            "a%00",
            "a%23b",
            "a%3fb",
            "%43%3a/x",
            ".mcplane/x",
            "a/.mcplane",
            ".MCPlane/x",
            "%25252525252525252525252525252525",
            &long,
            &deep,
            &name,
        ] {
            let error = BlobPath::parse(text).unwrap_err();
            assert_eq!((error.http_status(), error.to_string().as_str()), (400, "Invalid path"), "{text:?}");
        }
    }

    #[test]
    fn directories_may_be_the_root() {
        assert!(BlobPath::parse_dir("").unwrap().is_root());
        assert_eq!(BlobPath::parse_dir("a/b/").unwrap().as_str(), "a/b");
        for text in ["/", "//", "a//", "../"] {
            assert!(BlobPath::parse_dir(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_have_parts() {
        let path = BlobPath::parse("a/b/c").unwrap();
        assert_eq!((path.name(), path.parent().as_str(), path.segments().count()), ("c", "a/b", 3));
        assert_eq!(path.below(&BlobPath::parse("a").unwrap()).unwrap().as_str(), "b/c");
        assert_eq!(path.below(&path), Some(BlobPath::ROOT));
        assert_eq!(path.below(&BlobPath::parse("a/b/cc").unwrap()), None);
        assert_eq!(path.below(&BlobPath::parse("a/b/c/d").unwrap()), None);
        assert_eq!(BlobPath::parse("a/bc").unwrap().below(&BlobPath::parse("a/b").unwrap()), None);
        assert_eq!(BlobPath::ROOT.join("a").unwrap().join("b/c").unwrap().as_str(), "a/b/c");
        assert!(path.join("../x").is_err() && path.join("/x").is_err() && path.join("").is_err());
    }

    proptest! {
        #[test]
        fn accepted_paths_stay_below_however_often_they_are_decoded(text in r"(\.|/|%|2|5|e|E|f|F|c|C|:|a|\\|#|\PC){0,24}") {
            if let Ok(path) = BlobPath::parse(&text) {
                let mut text = path.as_str().to_owned();
                for _ in 0..20 {
                    prop_assert!(!text.starts_with('/') && !text.contains('\\') && !text.contains('#'));
                    prop_assert!(text.split('/').all(|segment| segment != ".." && segment != "."));
                    text = percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned();
                }
            }
        }

        #[test]
        fn encoding_does_not_smuggle(times in 0usize..12, prefix in "[a-z]{0,3}/?") {
            let mut text = "../x".to_owned();
            for _ in 0..times {
                text = text.replace('%', "%25").replace('.', "%2e").replace('/', "%2f");
            }
            prop_assert!(BlobPath::parse(&text).is_err());
            let below = format!("{prefix}{text}");
            prop_assert!(BlobPath::parse(&below).is_err() || !(prefix.is_empty() || prefix.ends_with('/')));
        }

        #[test]
        fn any_text_has_an_answer(text in any::<String>()) {
            if let Ok(path) = BlobPath::parse(&text) {
                prop_assert!(path.parent().is_root() || BlobPath::parse(path.parent().as_str()).is_ok());
                prop_assert_eq!(path.segments().last(), Some(path.name()));
            }
        }
    }
}
