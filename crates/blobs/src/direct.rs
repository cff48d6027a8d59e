//! Transfers that go straight between a client and the object store, by URLs that are signed here.

use crate::cloud::Cloud;
use crate::path::{self, BlobPath};
use mcplane_core::{Error, Result};
use std::time::Duration;

/// Parts of one upload: the least that stores agree on.
pub const MOST_PARTS: u32 = 10_000;

/// Signs for one store.
#[derive(Debug, Clone, Copy)]
pub struct Direct<'a>(&'a Cloud);

/// An upload in parts that a client is to make.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// The store's name for it.
    pub id: String,
    /// A URL to `PUT` to for each part; the first is part 1.
    pub urls: Vec<String>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("id", &self.id).field("urls", &self.urls.len()).finish()
    }
}

/// A part that a client has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentPart {
    /// Its number, from 1.
    pub number: u32,
    /// The `ETag` that the store answered; stores that don't need it ignore it.
    pub etag: String,
}

impl<'a> Direct<'a> {
    pub(crate) fn of(cloud: &'a Cloud) -> Self {
        Self(cloud)
    }

    /// Begins an upload of so many parts, with URLs that are good for `time`.
    pub async fn create_upload(&self, path: &BlobPath, parts: u32, time: Duration) -> Result<Upload> {
        not_root(path)?;
        if !(1..=MOST_PARTS).contains(&parts) {
            return Err(Error::bad_request(format!("an upload has 1 to {MOST_PARTS} parts")));
        }
        self.0.create_upload(path, parts, time).await
    }

    /// Makes the blob of all its parts.
    pub async fn complete_upload(&self, path: &BlobPath, id: &str, mut parts: Vec<SentPart>) -> Result<()> {
        not_root(path)?;
        parts.sort_by_key(|part| part.number);
        if parts.is_empty() || !parts.iter().zip(1..=MOST_PARTS).all(|(part, number)| part.number == number) {
            return Err(Error::bad_request("the parts are not numbered from 1 without a gap"));
        }
        if parts.len() > MOST_PARTS as usize || parts.iter().any(|part| !is_token(&part.etag)) || !is_token(id) {
            return Err(Error::bad_request("these are not parts of an upload"));
        }
        self.0.complete_upload(path, id, parts).await
    }

    /// Forgets an upload and what was sent of it.
    pub async fn abort_upload(&self, path: &BlobPath, id: &str) -> Result<()> {
        not_root(path)?;
        if !is_token(id) {
            return Err(Error::bad_request("this is not an upload"));
        }
        self.0.abort_upload(path, id).await
    }

    /// A URL to `GET` a blob from, good for `time`.
    pub async fn download_url(&self, path: &BlobPath, time: Duration) -> Result<String> {
        not_root(path)?;
        self.0.download_url(path, time).await
    }
}

fn not_root(path: &BlobPath) -> Result<()> {
    if path.is_root() { Err(path::invalid()) } else { Ok(()) }
}

/// Ids and tags come back from clients.
fn is_token(text: &str) -> bool {
    text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic())
}
