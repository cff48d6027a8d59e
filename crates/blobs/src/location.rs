//! Where a store is: a URL, parsed once into what it means and never handled as text again.

use crate::path::{self, BlobPath};
use mcplane_core::{Error, Result};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::{Path, PathBuf};

/// A place that holds blobs: a directory of this machine, or a prefix of a bucket.
///
/// `file:///dir` and `/dir`, `s3://bucket/prefix` (also `s3a:`), `gs://bucket/prefix`, `az://container/prefix`, and
/// with the account in the host `abfss://container@account.dfs.core.windows.net/prefix` and
/// `wasbs://container@account.blob.core.windows.net/prefix`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A directory, absolute.
    File(PathBuf),
    /// Amazon S3 and what speaks its protocol.
    S3(Bucket),
    /// Google Cloud Storage.
    Gcs(Bucket),
    /// Azure Blob Storage.
    Azure {
        /// Storage account, when the URL names it.
        account: Option<String>,
        /// Container and prefix.
        bucket: Bucket,
    },
}

/// A bucket, or container, and the keys in it that start with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// A directory in it; the root for all of it.
    pub prefix: BlobPath,
}

impl Location {
    /// Parses an absolute path or a URL. Relative paths are the caller's to resolve.
    pub fn parse(text: &str) -> Result<Self> {
        let fault = |why: &str| Error::bad_request(format!("Invalid artifact location {}: {why}", shown(text)));
        if text.len() > path::LONGEST_PATH {
            return Err(fault("it is too long"));
        }
        if text.contains(['?', '#']) {
            return Err(fault("a query or a fragment has no meaning here"));
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return Err(fault("it has a character that is not allowed"));
        }
        if text.starts_with('/') {
            return directory(text).ok_or_else(|| fault("not a plain absolute path"));
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(fault("neither a URL nor an absolute path"));
        };
        if scheme.eq_ignore_ascii_case("file") {
            return file_url(rest).ok_or_else(|| fault("not a plain absolute path"));
        }
        let rest = rest.strip_prefix("//").ok_or_else(|| fault("a scheme is followed by `//`"))?;
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = BlobPath::parse_dir(prefix).map_err(|_| fault("not a plain path"))?;
        let bucket = |name: &str| match is_bucket(name) {
            true => Ok(Bucket { name: name.to_owned(), prefix: prefix.clone() }),
            false => Err(fault("not the name of a bucket")),
        };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" => Ok(Self::S3(bucket(host)?)),
            "gs" => Ok(Self::Gcs(bucket(host)?)),
            "az" => Ok(Self::Azure { account: None, bucket: bucket(host)? }),
            "wasbs" | "abfss" => {
                let (container, host) = host.split_once('@').ok_or_else(|| fault("the host lacks the container"))?;
                let account = azure_account(host).ok_or_else(|| fault("not a host of Azure's storage"))?;
                Ok(Self::Azure { account: Some(account.to_owned()), bucket: bucket(container)? })
            }
            _ => Err(fault("no artifact store speaks this scheme")),
        }
    }

    /// A directory below this one.
    pub fn join(&self, relative: &BlobPath) -> Self {
        let mut joined = self.clone();
        match &mut joined {
            Self::File(dir) => dir.extend(relative.segments()),
            Self::S3(bucket) | Self::Gcs(bucket) | Self::Azure { bucket, .. } => bucket.prefix = bucket.key(relative),
        }
        joined
    }

    /// The path from here to `inner`, if it lies here; the root when both are the same.
    pub fn relative(&self, inner: &Self) -> Option<BlobPath> {
        match (self, inner) {
            (Self::File(outer), Self::File(inner)) => {
                BlobPath::parse_dir(inner.strip_prefix(outer).ok()?.to_str()?).ok()
            }
            (Self::S3(outer), Self::S3(inner)) | (Self::Gcs(outer), Self::Gcs(inner)) => outer.relative(inner),
            (Self::Azure { account: a, bucket: outer }, Self::Azure { account: b, bucket: inner }) if a == b => {
                outer.relative(inner)
            }
            _ => None,
        }
    }

    /// Whether it is a directory of this machine.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

impl Bucket {
    /// The key of a path below the prefix.
    pub(crate) fn key(&self, path: &BlobPath) -> BlobPath {
        match (self.prefix.as_str(), path.as_str()) {
            (prefix, "") => BlobPath::internal(prefix.to_owned()),
            ("", path) => BlobPath::internal(path.to_owned()),
            (prefix, path) => BlobPath::internal(format!("{prefix}/{path}")),
        }
    }

    fn relative(&self, inner: &Self) -> Option<BlobPath> {
        if self.name == inner.name { inner.prefix.below(&self.prefix) } else { None }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, bucket) = match self {
            // What a reader decodes is written encoded.
            Self::File(dir) => return write!(f, "file://{}", dir.display().to_string().replace('%', "%25")),
            Self::S3(bucket) => ("s3", bucket),
            Self::Gcs(bucket) => ("gs", bucket),
            Self::Azure { account: None, bucket } => ("az", bucket),
            Self::Azure { account: Some(account), bucket } => {
                let slash = if bucket.prefix.is_root() { "" } else { "/" };
                return write!(f, "wasbs://{}@{account}.blob.core.windows.net{slash}{}", bucket.name, bucket.prefix);
            }
        };
        let slash = if bucket.prefix.is_root() { "" } else { "/" };
        write!(f, "{scheme}://{}{slash}{}", bucket.name, bucket.prefix)
    }
}

impl std::str::FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// The text for a message: what stands before an `@` may be a password.
fn shown(text: &str) -> String {
    let text = match (text.split_once("//"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}//…@{host}"),
        _ => text.to_owned(),
    };
    let mut shown: String = text.chars().take(200).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

fn file_url(rest: &str) -> Option<Location> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest),
        None => rest,
    };
    directory(&percent_decode_str(path).decode_utf8().ok()?)
}

/// An absolute path in its plainest form. The root of the file system is no place for artifacts.
fn directory(text: &str) -> Option<Location> {
    let path = text.strip_prefix('/').filter(|path| !path.is_empty())?;
    let path = path.strip_suffix('/').unwrap_or(path);
    path::is_safe(path).then(|| Location::File(Path::new("/").join(path)))
}

fn is_bucket(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = [name.as_bytes().first(), name.as_bytes().last()];
    (3..=222).contains(&name.len())
        && name.bytes().all(inner)
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && !name.contains("..")
}

fn azure_account(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".core.windows.net")?;
    let account = host.strip_suffix(".blob").or_else(|| host.strip_suffix(".dfs"))?;
    let is_account = (3..=24).contains(&account.len())
        && account.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_account.then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_has_one_meaning() {
        for (text, canonical) in [
            ("/var/lib/x", "file:///var/lib/x"),
            ("/var/lib/x/", "file:///var/lib/x"),
            ("file:///var/a%20b", "file:///var/a b"),
            ("file:/var/x", "file:///var/x"),
            ("file://localhost/var/x", "file:///var/x"),
            ("s3://models", "s3://models"),
            ("s3://models/", "s3://models"),
            ("S3a://models/a/b/", "s3://models/a/b"),
            ("gs://my_models/a", "gs://my_models/a"),
            ("az://models/a", "az://models/a"),
            ("abfss://c-1@acct.dfs.core.windows.net/a", "wasbs://c-1@acct.blob.core.windows.net/a"),
            ("wasbs://c-1@acct.blob.core.windows.net", "wasbs://c-1@acct.blob.core.windows.net"),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.to_string(), canonical);
            assert_eq!(Location::parse(canonical).unwrap(), location);
        }
    }

    #[test]
    fn what_has_a_second_meaning_is_refused() {
        for text in [
            "",
            "/",
            "file:///",
            "relative/dir",
            "./x",
            "C:\\x",
            "c:/x",
            "file://host/x",
            "file://localhost",
            "file:x",
            "/a/../b",
            "file:///a/%2e%2e/b",
            "file:///a/%252e%252e/b",
            "file:///a%00",
            "/a//b",
            "/a?x",
            "/a#x",
            "/a/.mcplane/x",
            "s3:/bucket/x",
            "s3:bucket",
            "s3://",
            "s3://b",
            "s3:///x",
            "s3://bu..cket/x",
            "s3://bucket/../x",
            "s3://bucket//x",
            "s3://bucket/a?x=1",
            "s3://bucket/a#f",
            "s3://key:secret@bucket/x",
            "s3://bucket:9000/x",
            "s3://-bucket/x",
            "gs://user@bucket/x",
            "az://c@acct/x",
            "wasbs://container/x",
            "wasbs://c-1@acct.blob.core.windows.net.evil.org/x",
            "abfss://c-1@evil.org/x",
            "abfss://c-1@a.b.dfs.core.windows.net/x",
            "wasb://c-1@acct.blob.core.windows.net/x",
            "http://bucket/x",
            "ftp://bucket/x",
            "s3://bucket/a\\b",
            "s3://bucket/a\nb",
            "s3://bucket/%2e%2e/x",
        ] {
            assert_eq!(Location::parse(text).unwrap_err().http_status(), 400, "{text:?}");
        }
    }

    #[test]
    fn refusals_keep_passwords_to_themselves() {
        let error = Location::parse("s3://key:hunter2@bucket/x").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("bucket"), "{error}");
    }

    #[test]
    fn locations_contain_each_other() {
        let at = |text: &str| Location::parse(text).unwrap();
        let relative = |outer: &str, inner: &str| at(outer).relative(&at(inner)).map(|path| path.to_string());
        assert_eq!(relative("s3://models/a", "s3://models/a/b/c").as_deref(), Some("b/c"));
        assert_eq!(relative("s3://models", "s3://models").as_deref(), Some(""));
        assert_eq!(relative("s3://models/a", "s3://models/ab"), None);
        assert_eq!(relative("s3://models", "gs://models/a"), None);
        assert_eq!(relative("az://models", "wasbs://models@acct.blob.core.windows.net/a"), None);
        assert_eq!(relative("/var/a", "/var/a/b").as_deref(), Some("b"));
        assert_eq!(relative("/var/a", "/var/ab"), None);
        let below = BlobPath::parse("x/y").unwrap();
        for outer in ["/var/a", "s3://models", "gs://models/a", "wasbs://models@acct.blob.core.windows.net/a"] {
            assert_eq!(at(outer).relative(&at(outer).join(&below)), Some(below.clone()));
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_reads_back(text in r"(file://|s3://|gs://|az://|wasbs://)?[a-z./%25@:?#-]{0,30}") {
            if let Ok(location) = Location::parse(&text) {
                prop_assert_eq!(Location::parse(&location.to_string()).unwrap(), location);
            }
        }
    }
}
