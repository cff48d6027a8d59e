//! The rules of artifacts.

use axum::body::Body;
use futures::StreamExt as _;
use mcplane_blobs::{BlobPath, ByteRange, Location, Object, Put, SentPart, Upload};
use mcplane_core::{Error, Grant, Result};
use mcplane_objects::audit;

use super::paths::{self, WORKSPACES};
use super::store;
use super::types::Artifact;
use crate::Tracking;

/// Names listed at most; the protocol has no pages for artifacts.
const MOST_LISTED: usize = 50_000;
/// How long an upload may pause.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// How long a client may use a URL that was signed for it.
const SIGNED_FOR: std::time::Duration = std::time::Duration::from_secs(3600);

/// A folder in the store, as a URI and a path below it name it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: BlobPath,
    /// What clients call it.
    shown: String,
}

impl Place {
    /// A place below this one.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no path.
    pub(crate) fn below(&self, path: &str) -> Result<Self> {
        let relative = BlobPath::parse_dir(path)?;
        let joined = if relative.is_root() { self.path.clone() } else { self.path.join(relative.as_str())? };
        Ok(Self { shown: joined.to_string(), path: joined })
    }
}

impl Tracking {
    /// The place of a path of the proxied store.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no path, or one of another namespace.
    pub(crate) fn artifact_place(&self, grant: &Grant, path: &str) -> Result<Place> {
        Ok(Place { path: paths::in_namespace(grant.namespace()?, path)?, shown: path.to_owned() })
    }

    /// The place of `path` below an artifact URI, of a run or a model.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no path, or a URI that this server doesn't read.
    pub(crate) fn place_below(&self, grant: &Grant, uri: &str, path: &str) -> Result<Place> {
        // A path that is none is told before the URI is looked at.
        BlobPath::parse_dir(path)?;
        let root = self.root_of(grant.namespace()?, uri)?;
        Place { shown: root.to_string(), path: root }.below(path)
    }

    fn root_of(&self, namespace: &str, uri: &str) -> Result<BlobPath> {
        paths::of_uri(namespace, uri)?.map_or_else(|| self.configured_root(uri), Ok)
    }

    /// The path in our store of a URI that names the store itself and not the scheme of the proxy.
    fn configured_root(&self, uri: &str) -> Result<BlobPath> {
        let ours = Location::parse(&self.config.default_artifact_root).ok();
        let ours = ours.filter(|location| location == self.artifacts.blobs.location());
        ours.and_then(|root| paths::below(&root, uri)).ok_or_else(|| {
            Error::bad_request(format!(
                "this server does not read artifacts at {uri}: clients reach that place themselves"
            ))
        })
    }

    /// What a folder holds; nothing for one that is not there.
    ///
    /// # Errors
    /// When the store is away.
    pub(crate) async fn list_artifacts(&self, place: &Place) -> Result<Vec<Artifact>> {
        let listing = self.artifacts.blobs.list(&place.path, MOST_LISTED).await?;
        // At the root of the store lie the artifacts of the default namespace, and the folder of all others.
        let hidden = |name: &str| place.path.is_root() && name == WORKSPACES;
        let shown = listing.entries.into_iter().filter(|entry| !hidden(&entry.name));
        Ok(shown
            .map(|entry| Artifact {
                path: entry.name,
                is_dir: entry.is_dir,
                file_size: (!entry.is_dir).then_some(entry.size),
            })
            .collect())
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub(crate) async fn open_artifact(&self, place: &Place, range: Option<ByteRange>) -> Result<Object> {
        self.artifacts.blobs.get(&place.path, range).await.map_err(|error| match error {
            Error::NotFound(_) => Error::Missing(format!("No such artifact: '{}'", place.shown)),
            other => other,
        })
    }

    /// Stores a file; when this returns, its bytes and its digest are durable.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond the limit; then, and whenever the body breaks off, nothing is there.
    pub(crate) async fn put_artifact(&self, grant: &Grant, place: &Place, body: Body, most: u64) -> Result<Put> {
        let limit = most.min(self.artifacts.most_bytes);
        let put = self.artifacts.blobs.put(&place.path, lively(body), limit).await?;
        let (path, by) = (place.path.to_string(), grant.context().caller.name.clone());
        self.db.write(move |tx| Box::pin(async move { store::put(tx, &path, put, &by).await })).await?;
        Ok(put)
    }

    /// Deletes a file, or a folder with all that is in it.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for the root.
    pub(crate) async fn delete_artifacts(&self, grant: &Grant, place: &Place) -> Result<()> {
        match self.artifacts.blobs.delete(&place.path).await {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let (path, grant) = (place.path.to_string(), grant.clone());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    store::forget(tx, &path).await?;
                    tx.audit(audit::entry(&grant, "delete", &path, "allowed", 200, ""));
                    Ok(())
                })
            })
            .await
    }

    /// Deletes the artifacts of something that is gone for good. Their path must end with `folder`, whose last part is
    /// `artifacts`; all that lies beside them goes too.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a URI that this server doesn't read, or another folder.
    pub(crate) async fn purge_folder(&self, namespace: &str, uri: &str, folder: &str) -> Result<()> {
        let artifacts = self.root_of(namespace, uri)?;
        if !format!("/{artifacts}").ends_with(&format!("/{folder}")) {
            return Err(Error::bad_request(format!("{artifacts} is not the folder {folder}")));
        }
        self.purge_path(&artifacts.parent()).await
    }

    /// Deletes all artifacts of a namespace that has a folder of its own.
    pub(crate) async fn purge_workspace(&self, namespace: &str) -> Result<()> {
        self.purge_path(&paths::in_namespace(namespace, "")?).await
    }

    async fn purge_path(&self, folder: &BlobPath) -> Result<()> {
        match self.artifacts.blobs.delete(folder).await {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        loop {
            let path = folder.to_string();
            if self.db.write(move |tx| Box::pin(async move { store::forget_some(tx, &path).await })).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Begins an upload in parts that goes straight to the object store.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the store can't do that.
    pub(crate) async fn create_upload(&self, place: &Place, parts: u32) -> Result<Upload> {
        self.direct()?.create_upload(&place.path, parts, SIGNED_FOR).await
    }

    /// Makes the file of its parts. Its digest is not known, because its bytes did not pass here.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the store can't do that.
    pub(crate) async fn complete_upload(&self, place: &Place, id: &str, parts: Vec<SentPart>) -> Result<()> {
        self.direct()?.complete_upload(&place.path, id, parts).await?;
        let path = place.path.to_string();
        self.db.write(move |tx| Box::pin(async move { store::forget(tx, &path).await })).await
    }

    /// Forgets an upload in parts.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the store can't do that.
    pub(crate) async fn abort_upload(&self, place: &Place, id: &str) -> Result<()> {
        self.direct()?.abort_upload(&place.path, id).await
    }

    fn direct(&self) -> Result<mcplane_blobs::Direct<'_>> {
        let unsupported = || "Multipart upload is not supported for the current artifact repository".to_owned();
        self.artifacts.blobs.direct().ok_or_else(|| Error::Unsupported(unsupported()))
    }
}

/// The body, given up when nothing comes for too long: a whole file may take hours, a client that went away may not.
fn lively(body: Body) -> impl futures::Stream<Item = Result<bytes::Bytes>> + Send {
    futures::stream::try_unfold(body.into_data_stream(), async |mut chunks| {
        match tokio::time::timeout(SILENCE, chunks.next()).await {
            Ok(Some(Ok(chunk))) => Ok(Some((chunk, chunks))),
            Ok(Some(Err(error))) => Err(Error::bad_request(format!("the upload broke off: {error}"))),
            Ok(None) => Ok(None),
            Err(_) => Err(Error::Timeout(format!("nothing came for {SILENCE:?}"))),
        }
    })
}
