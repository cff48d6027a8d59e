//! The content of verified versions: what was read when they were registered, whatever lies at their source now.

use mcplane_blobs::{BlobPath, ByteRange, Digest, Object};
use mcplane_core::{Error, Grant, Result};

use super::types::ModelVersion;
use crate::Tracking;

/// Largest list of the files of a folder, in bytes.
const LONGEST_LIST: u64 = 16 << 20;
/// The name of a file whose source has none.
const NAMELESS: &str = "model";

/// A file of a verified version. Only the registry makes one, so that nobody reads content by guessing digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedFile {
    path: BlobPath,
    digest: Digest,
}

impl VerifiedFile {
    /// Where it lies in the folder that was registered; of a version that is one file, the name that it had.
    pub fn path(&self) -> &BlobPath {
        &self.path
    }

    /// Of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// What a verified version holds.
#[derive(Debug, Clone)]
pub struct VerifiedContent {
    /// The version.
    pub version: ModelVersion,
    /// Of a file its own digest; of a folder that of the list of its files, as `sha256sum` prints it, sorted by path.
    pub digest: Digest,
    /// Bytes of all files.
    pub size: u64,
    /// Whether it is a folder, and not one file.
    pub is_folder: bool,
    /// Sorted by path; never empty.
    pub files: Vec<VerifiedFile>,
}

impl VerifiedContent {
    /// The file at a path; the empty path is that of a version that is one file.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub fn file(&self, path: &str) -> Result<&VerifiedFile> {
        let missing = || Error::Missing(format!("No such artifact: '{path}'"));
        match self.files.as_slice() {
            [only] if path.is_empty() && !self.is_folder => Ok(only),
            files => files.iter().find(|file| file.path.as_str() == path).ok_or_else(missing),
        }
    }
}

impl Tracking {
    /// What a version holds, by its semantic version or number.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such version; [`Error::BadRequest`] if its content is not known, because it was
    /// registered without being read; [`Error::Unavailable`] when the store has lost it or is away.
    pub async fn verified_content(&self, grant: &Grant, model: &str, version: &str) -> Result<VerifiedContent> {
        let version = self.version_named(grant, model, version).await?;
        let (Ok(digest), Ok(size)) = (version.digest.parse::<Digest>(), u64::try_from(version.size)) else {
            return Err(Error::bad_request(format!(
                "Version {} of model {} is not verified: register it with its content to read that",
                version.number, version.model
            )));
        };
        let kept = self.artifacts.blobs.head_content(&digest).await.map_err(lost)?;
        // The list of a folder never has the size of what it lists; see where folders are kept.
        let is_folder = kept.size != size;
        let files = if is_folder {
            let list = self.artifacts.blobs.get_content(&digest, None).await.map_err(lost)?;
            read_list(&list.bytes(LONGEST_LIST).await?)?
        } else {
            vec![VerifiedFile { path: name(&version.source), digest }]
        };
        Ok(VerifiedContent { version, digest, size, is_folder, files })
    }

    /// Opens a file of a version. A reading of the whole ends in an error if it is not what was verified.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store has lost it or is away.
    pub async fn open_verified(&self, file: &VerifiedFile, range: Option<ByteRange>) -> Result<Object> {
        self.artifacts.blobs.get_content(&file.digest, range).await.map_err(lost)
    }
}

fn lost(error: Error) -> Error {
    match error {
        Error::NotFound(_) => Error::Unavailable {
            message: "the artifact store has lost the content of this version: register the same content again"
                .to_owned(),
            source: Some(Box::new(error)),
        },
        other => other,
    }
}

/// The last name in a source.
fn name(source: &str) -> BlobPath {
    let last = source.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    BlobPath::parse(last).or_else(|_| BlobPath::parse(NAMELESS)).unwrap_or(BlobPath::ROOT)
}

/// One line a file of the list: its digest, two spaces, its path.
pub(super) fn line(digest: Digest, path: &BlobPath) -> String {
    format!("{digest}  {path}\n")
}

fn read_list(list: &[u8]) -> Result<Vec<VerifiedFile>> {
    let broken = || Error::internal("the list of the files of a version can't be read");
    let text = std::str::from_utf8(list).map_err(Error::internal)?;
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (digest, path) = line.split_once("  ").ok_or_else(broken)?;
            Ok(VerifiedFile { path: BlobPath::parse(path)?, digest: digest.parse()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_were_written() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let path = |text: &str| BlobPath::parse(text).unwrap();
        let list = line(a, &path("MLmodel")) + &line(b, &path("data/two  words"));
        let read = read_list(list.as_bytes()).unwrap();
        assert_eq!(
            read,
            [("MLmodel", a), ("data/two  words", b)].map(|(text, digest)| VerifiedFile { path: path(text), digest })
        );
        assert_eq!(read_list(format!("{list}\n").as_bytes()).unwrap(), read);
        for bad in ["x", "abc  path", &format!("{a}  ../x"), &format!("{a} path")] {
            assert!(read_list(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_keep_their_names() {
        for (source, expected) in [
            ("s3://models/fraud_v1.2.0.pkl", "fraud_v1.2.0.pkl"),
            ("runs:/1/m/", "m"),
            ("models:/..", "model"),
            ("", "model"),
        ] {
            assert_eq!(name(source).as_str(), expected, "{source}");
        }
    }
}
