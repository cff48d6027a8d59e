//! URLs that let a client talk to the store for a while.

use super::{Cloud, Dialect, answered, fault};
use crate::direct::{SentPart, Upload};
use crate::path::BlobPath;
use mcplane_core::{Error, Result};
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::signer::{Method, SignedUrlOptions};
use std::time::Duration;

impl Cloud {
    pub(crate) async fn create_upload(&self, path: &BlobPath, parts: u32, time: Duration) -> Result<Upload> {
        let key = self.key(path)?;
        let id = match self.dialect {
            // Azure has no uploads, only blocks of a blob; the id keeps those of one upload apart.
            Dialect::Azure => uuid::Uuid::new_v4().simple().to_string(),
            Dialect::S3 | Dialect::Gcs => {
                self.store.create_multipart(&key).await.map_err(|error| fault(error, path))?
            }
        };
        let urls = self.part_urls(&key, &id, parts, time).await;
        match urls {
            Ok(urls) => Ok(Upload { id, urls }),
            Err(error) => {
                self.abort_upload(path, &id).await?;
                Err(fault(error, path))
            }
        }
    }

    async fn part_urls(&self, key: &Key, id: &str, parts: u32, time: Duration) -> object_store::Result<Vec<String>> {
        let mut urls = Vec::with_capacity(parts as usize);
        for number in 1..=parts {
            let url = match self.dialect {
                Dialect::S3 | Dialect::Gcs => {
                    let query = [("partNumber", number.to_string()), ("uploadId", id.to_owned())];
                    let options = SignedUrlOptions::default().with_query(query);
                    self.store.signed_url_opts(Method::PUT, key, time, &options).await?
                }
                Dialect::Azure => {
                    let mut url = self.store.signed_url(Method::PUT, key, time).await?;
                    let block = base64(block_id(id, number).as_bytes());
                    url.query_pairs_mut().append_pair("comp", "block").append_pair("blockid", &block);
                    url
                }
            };
            urls.push(url.into());
        }
        Ok(urls)
    }

    pub(crate) async fn complete_upload(&self, path: &BlobPath, id: &str, parts: Vec<SentPart>) -> Result<()> {
        let part = |part: SentPart| match self.dialect {
            Dialect::S3 | Dialect::Gcs => PartId { content_id: part.etag },
            Dialect::Azure => PartId { content_id: block_id(id, part.number) },
        };
        let parts = parts.into_iter().map(part).collect();
        let id = id.to_owned();
        let done = self.store.complete_multipart(&self.key(path)?, &id, parts).await;
        done.map(drop).map_err(|error| refused(error, path))
    }

    pub(crate) async fn abort_upload(&self, path: &BlobPath, id: &str) -> Result<()> {
        let done = self.store.abort_multipart(&self.key(path)?, &id.to_owned()).await;
        done.map_err(|error| refused(error, path))
    }

    pub(crate) async fn download_url(&self, path: &BlobPath, time: Duration) -> Result<String> {
        let url = self.store.signed_url(Method::GET, &self.key(path)?, time).await;
        url.map(Into::into).map_err(|error| fault(error, path))
    }
}

/// An upload that the store does not know is the caller's mistake.
fn refused(error: object_store::Error, path: &BlobPath) -> Error {
    match fault(error, path) {
        Error::Unavailable { message, source: Some(source) } if answered(source.as_ref()) == Some(400) => {
            tracing::debug!(%path, error = %source, message, "the store refused an upload");
            Error::bad_request("the artifact store does not accept these parts for this upload")
        }
        other => other,
    }
}

/// Blocks of one blob must have names of one length.
fn block_id(upload: &str, number: u32) -> String {
    format!("{upload}-{number:05}")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
