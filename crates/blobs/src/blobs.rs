//! The store itself, whatever it is made of.

use crate::cloud::Cloud;
use crate::config::BlobsConfig;
use crate::digest::Digest;
use crate::direct::Direct;
use crate::file::Directory;
use crate::location::Location;
use crate::object::{ByteRange, Incoming, Listing, Meta, Object, Put};
use crate::path::BlobPath;
use bytes::Bytes;
use futures::stream::{Stream, StreamExt};
use mcplane_core::{Error, Result, Subject};
use std::sync::Arc;

/// A store of blobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    location: Arc<Location>,
    backend: Backend,
}

#[derive(Debug, Clone)]
enum Backend {
    Directory(Arc<Directory>),
    Cloud(Arc<Cloud>),
}

/// Sends a call to the backend that there is.
macro_rules! on {
    ($blobs:expr, $backend:ident => $call:expr) => {
        match &$blobs.backend {
            Backend::Directory($backend) => $call,
            Backend::Cloud($backend) => $call,
        }
    };
}

impl Blobs {
    /// Opens a store. A directory is made if it is not there, and what a crash left in it is swept; of an object store
    /// only the configuration is checked.
    pub async fn open(location: Location, config: &BlobsConfig) -> Result<Self> {
        let backend = match &location {
            Location::File(dir) => Backend::Directory(Arc::new(Directory::open(dir.clone()).await?)),
            remote => Backend::Cloud(Arc::new(Cloud::open(remote, config)?)),
        };
        Ok(Self { location: Arc::new(location), backend })
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Writes a blob, replacing what was there. The old content or the whole new one is visible, never a mixture, and
    /// when this returns the new one is durable. Dropping the future leaves nothing.
    pub async fn put<S, E>(&self, path: &BlobPath, body: S, limit: u64) -> Result<Put>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        blob(path)?;
        let incoming = Incoming::new(body, limit);
        on!(self, backend => backend.put(path, incoming).await)
    }

    /// Reads a blob or a part of it.
    pub async fn get(&self, path: &BlobPath, range: Option<ByteRange>) -> Result<Object> {
        blob(path)?;
        on!(self, backend => backend.get(path, range).await)
    }

    /// What is known of a blob.
    pub async fn head(&self, path: &BlobPath) -> Result<Meta> {
        blob(path)?;
        on!(self, backend => backend.head(path).await)
    }

    /// One level of a directory, at most `limit` names of it; nothing for a directory that is not there.
    pub async fn list(&self, dir: &BlobPath, limit: usize) -> Result<Listing> {
        on!(self, backend => backend.list(dir, limit).await)
    }

    /// Deletes a blob, or a directory with all that is in it, and tells how many blobs that were.
    pub async fn delete(&self, path: &BlobPath) -> Result<u64> {
        blob(path)?;
        on!(self, backend => backend.delete(path).await)
    }

    /// Copies a blob over another, with the guarantees of [`Self::put`].
    pub async fn copy(&self, from: &BlobPath, to: &BlobPath) -> Result<()> {
        blob(from)?;
        blob(to)?;
        on!(self, backend => backend.copy(from, to).await)
    }

    /// Reads a blob to tell its size and digest.
    pub async fn digest(&self, path: &BlobPath) -> Result<Put> {
        digest(self.get(path, None).await?, u64::MAX).await
    }

    /// Keeps content under its own digest, for ever: no path leads there, and there is no way to delete it.
    pub async fn put_content<S, E>(&self, body: S, limit: u64) -> Result<Put>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let incoming = Incoming::new(body, limit);
        on!(self, backend => backend.put_content(incoming).await)
    }

    /// Keeps what a blob holds now as content: later writes to the path don't change it.
    pub async fn pin(&self, path: &BlobPath) -> Result<Put> {
        let object = self.get(path, None).await?;
        self.put_content(object.body, u64::MAX).await
    }

    /// Reads content. A reading of all of it ends in an error if that is not what the digest says: disks and buckets
    /// change under those who trust them.
    pub async fn get_content(&self, digest: &Digest, range: Option<ByteRange>) -> Result<Object> {
        let object: Object = on!(self, backend => backend.get(&content_path(digest), range).await)?;
        Ok(if object.range == (0..object.meta.size) { object.checked(*digest) } else { object })
    }

    /// What is known of content.
    pub async fn head_content(&self, digest: &Digest) -> Result<Meta> {
        on!(self, backend => backend.head(&content_path(digest)).await)
    }

    /// Transfers between clients and the store that don't pass through here; none where the store cannot do that.
    pub fn direct(&self) -> Option<Direct<'_>> {
        match &self.backend {
            Backend::Directory(_) => None,
            Backend::Cloud(cloud) => Some(Direct::of(cloud)),
        }
    }

    /// Removes what uploads that broke off have left out of sight, and tells how many. Uploads that go on are spared.
    pub async fn sweep(&self) -> Result<u64> {
        on!(self, backend => backend.sweep().await)
    }
}

/// Size and digest of what is read.
pub(crate) async fn digest(object: Object, limit: u64) -> Result<Put> {
    let mut incoming = Incoming::new(object.body.boxed(), limit);
    while incoming.next().await?.is_some() {}
    Ok(incoming.finish())
}

/// Where content lies.
pub(crate) fn content_path(digest: &Digest) -> BlobPath {
    let hex = digest.to_hex();
    BlobPath::internal(format!("{}/sha256/{}/{}", crate::path::RESERVED, &hex[..2], &hex[2..]))
}

fn blob(path: &BlobPath) -> Result<()> {
    if path.is_root() { Err(crate::path::invalid()) } else { Ok(()) }
}

pub(crate) fn not_found(path: &BlobPath) -> Error {
    Error::NotFound(Subject::new("", "artifact", path.as_str()))
}
