//! What versions hold: read where it lies, and kept under its digest, so that later writes can't change it.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use mcplane_blobs::{BlobPath, ByteRange, Digest, Object, Put};
use mcplane_core::{Error, Grant, Result};

use super::{names, verified};
use crate::Tracking;
use crate::artifacts::service::Place;

/// How long reading a model may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Files in the folder of a model, at most.
const MOST_FILES: usize = 10_000;
/// Folders in folders, at most.
const DEEPEST: usize = 32;

/// Content that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pinned {
    /// Of the file; of a folder, that of its list of files.
    pub(super) digest: Digest,
    /// Bytes of all files.
    pub(super) size: u64,
}

/// What a URI names.
enum Source {
    /// Content that is kept already.
    Kept(Pinned),
    /// A place in our own store.
    Here(Place),
    /// A place that is not ours.
    Elsewhere,
}

impl Tracking {
    /// Keeps what a URI names: `runs:/ID/path`, `models:/name/version`, `mlflow-artifacts:/path`, or a URL in a bucket
    /// that the operator allowed.
    ///
    /// A folder is kept file by file, and as the list of their digests and paths, whose digest is its own.
    ///
    /// # Errors
    /// [`Error::Missing`] if nothing is there; [`Error::BadRequest`] for a place that may not be read.
    pub(super) async fn pin(&self, grant: &Grant, uri: &str) -> Result<Pinned> {
        let late = |_| Error::Timeout(format!("{uri} was not read within an hour"));
        tokio::time::timeout(PATIENCE, self.pin_now(grant, uri)).await.map_err(late)?
    }

    async fn pin_now(&self, grant: &Grant, uri: &str) -> Result<Pinned> {
        let place = match self.source(grant, uri).await? {
            Source::Kept(pinned) => return Ok(pinned),
            Source::Elsewhere => return self.pin_external(uri).await,
            Source::Here(place) => place,
        };
        match self.artifacts.blobs.pin(&place.path).await {
            Ok(Put { digest, size }) => Ok(Pinned { digest, size }),
            // A path that is no file may be a folder.
            Err(Error::NotFound(_)) => self.pin_folder(&place.path, uri).await,
            Err(error) => Err(error),
        }
    }

    /// What a URI names.
    async fn source(&self, grant: &Grant, uri: &str) -> Result<Source> {
        let scheme = uri.split(':').next().unwrap_or_default();
        Ok(Source::Here(match scheme {
            "runs" => {
                let path = uri.strip_prefix("runs:/").unwrap_or_default();
                let (run, path) = path.split_once('/').unwrap_or((path, ""));
                let run = self.run(grant, run).await?;
                self.place_below(grant, &run.info.artifact_uri, path)?
            }
            "models" => {
                let path = uri.strip_prefix("models:/").unwrap_or_default();
                let (name, version) = path.split_once('/').unwrap_or((path, ""));
                let version = self.version(grant, name, version).await?;
                if let (Ok(digest), Ok(size)) = (version.digest.parse(), u64::try_from(version.size)) {
                    return Ok(Source::Kept(Pinned { digest, size }));
                }
                self.place_below(grant, &version.location, "")?
            }
            "mlflow-artifacts" | "http" | "https" => self.place_below(grant, uri, "")?,
            _ => return Ok(Source::Elsewhere),
        }))
    }

    /// Opens a file of a version: what was verified, or else what lies where the version came from.
    ///
    /// # Errors
    /// [`Error::Missing`] without the version or the file; [`Error::BadRequest`] for a place that clients reach themselves.
    pub(super) async fn open_version_file(
        &self,
        grant: &Grant,
        (model, version): (&str, &str),
        path: &str,
        range: Option<ByteRange>,
    ) -> Result<Object> {
        let found = self.version(grant, model, version).await?;
        if found.is_verified() {
            let content = self.verified_content(grant, model, version).await?;
            return self.open_verified(content.file(path)?, range).await;
        }
        let place = match self.source(grant, &found.location).await? {
            Source::Here(place) => place.below(path)?,
            // This says why not.
            Source::Kept(_) | Source::Elsewhere => self.place_below(grant, &found.location, path)?,
        };
        self.open_artifact(&place, range).await
    }

    async fn pin_external(&self, uri: &str) -> Result<Pinned> {
        let object = self.artifacts.external.get(uri).await.map_err(|error| absent(error, uri))?;
        let Put { digest, size } = self.artifacts.blobs.put_content(object.body, self.artifacts.most_bytes).await?;
        Ok(Pinned { digest, size })
    }

    async fn pin_folder(&self, folder: &BlobPath, uri: &str) -> Result<Pinned> {
        let mut files = self.files(folder).await?;
        if files.is_empty() {
            return Err(Error::Missing(format!("There is nothing at {uri}")));
        }
        files.sort();
        let (mut list, mut size) = (String::new(), 0_u64);
        for file in &files {
            let put = self.artifacts.blobs.pin(file).await?;
            size = size.saturating_add(put.size);
            list += &verified::line(put.digest, &file.below(folder).unwrap_or_default());
        }
        if list.len() as u64 == size {
            // By its size a list is told from a file, whose size is that of the version.
            list.push('\n');
        }
        let list = stream::iter([Ok::<_, Error>(Bytes::from(list))]);
        let put = self.artifacts.blobs.put_content(list, u64::MAX).await?;
        Ok(Pinned { digest: put.digest, size })
    }

    /// All files below a folder.
    async fn files(&self, folder: &BlobPath) -> Result<Vec<BlobPath>> {
        let too_many =
            || Error::bad_request(format!("a model may have {MOST_FILES} files, in {DEEPEST} folders in each other"));
        let (mut files, mut folders) = (Vec::new(), vec![(folder.clone(), 0)]);
        while let Some((folder, depth)) = folders.pop() {
            let listing = self.artifacts.blobs.list(&folder, MOST_FILES).await?;
            for entry in listing.entries {
                let path = folder.join(&entry.name)?;
                match entry.is_dir {
                    true => folders.push((path, depth + 1)),
                    false => files.push(path),
                }
            }
            if listing.truncated || files.len() + folders.len() > MOST_FILES || depth > DEEPEST {
                return Err(too_many());
            }
        }
        Ok(files)
    }
}

fn absent(error: Error, uri: &str) -> Error {
    match error {
        Error::NotFound(_) => Error::Missing(format!("There is nothing at {uri}")),
        other => other,
    }
}

/// Checks the name of a model and the path of its content before anything is read.
pub(super) fn check(model: &str, path: &str) -> Result<()> {
    names::check_model(model, "name")?;
    if path.is_empty() {
        return Err(Error::bad_request("model_path must say where the model is, such as s3://bucket/model.pkl"));
    }
    Ok(())
}
