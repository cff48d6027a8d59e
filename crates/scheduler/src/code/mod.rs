//! Code that travels with tasks: archives of working directories, known by what is in them.
//!
//! An archive is uploaded once, however many tasks use it: its name is the SHA-256 of its bytes. It is kept beside the
//! artifacts, and a copy is kept on each machine that ran it.

pub(crate) mod http;

use std::path::PathBuf;
use std::str::FromStr;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use mcplane_blobs::{Blobs, Digest};
use mcplane_core::{Error, Result};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

/// Bytes of the largest archive.
pub const MOST_BYTES: u64 = 256 << 20;
/// How a gzip stream begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Archives of code.
#[derive(Debug, Clone)]
pub struct Archives {
    blobs: Blobs,
    cache: PathBuf,
}

impl Archives {
    /// Archives in `blobs`, with copies for this machine's attempts in the directory `cache`.
    pub fn new(blobs: Blobs, cache: PathBuf) -> Self {
        Self { blobs, cache }
    }

    /// Keeps an archive; gives its digest in hex and its size.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no gzip stream, [`Error::TooLarge`] beyond [`MOST_BYTES`].
    pub async fn keep<S, E>(&self, body: S) -> Result<(String, u64)>
    where
        S: Stream<Item = std::result::Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let mut body = std::pin::pin!(body);
        let mut head = Vec::new();
        while head.len() < GZIP.len()
            && let Some(chunk) = body.next().await
        {
            head.extend_from_slice(&chunk.map_err(|error| Error::bad_request(error.into().to_string()))?);
        }
        if !head.starts_with(&GZIP) {
            return Err(Error::bad_request("an archive of code must be a tar file compressed by gzip"));
        }
        let whole = futures::stream::iter([Ok(Bytes::from(head))]).chain(body);
        let put = self.blobs.put_content(whole, MOST_BYTES).await?;
        Ok((put.digest.to_hex(), put.size))
    }

    /// Whether there is an archive with this digest.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub async fn check(&self, digest: &str) -> Result<()> {
        self.blobs.head_content(&read(digest)?).await.map(drop)
    }

    /// The archive as a file of this machine.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, [`Error::Unavailable`] when it can't be copied here.
    pub async fn local(&self, digest: &str) -> Result<PathBuf> {
        let id = read(digest)?;
        let path = self.cache.join(format!("{}.tar.gz", id.to_hex()));
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(path);
        }
        let away =
            |error: std::io::Error| Error::Unavailable { message: error.to_string(), source: Some(error.into()) };
        tokio::fs::create_dir_all(&self.cache).await.map_err(away)?;
        let partial = self.cache.join(format!("{}.partial", uuid::Uuid::new_v4()));
        let copied = self.copy(&id, &partial).await;
        let moved = match copied {
            Ok(()) => tokio::fs::rename(&partial, &path).await.map_err(away),
            Err(error) => Err(error),
        };
        if moved.is_err() {
            let _ = tokio::fs::remove_file(&partial).await;
        }
        moved.map(|()| path)
    }

    async fn copy(&self, digest: &Digest, to: &std::path::Path) -> Result<()> {
        let away =
            |error: std::io::Error| Error::Unavailable { message: error.to_string(), source: Some(error.into()) };
        let mut body = self.blobs.get_content(digest, None).await?.body;
        let mut file = tokio::fs::File::create(to).await.map_err(away)?;
        let mut hash = Sha256::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(away)?;
        }
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found != digest.to_hex() {
            return Err(Error::internal(format!("the store gave other bytes than those of {digest}")));
        }
        file.sync_all().await.map_err(away)
    }
}

fn read(digest: &str) -> Result<Digest> {
    Digest::from_str(digest).map_err(|_| Error::bad_request(format!("code: {digest:?} is no SHA-256 in hex")))
}
