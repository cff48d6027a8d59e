//! Object stores: S3, Google Cloud Storage and Azure Blob Storage, spoken to through `object_store`.

mod direct;
mod http;
mod open;
mod upload;

use crate::blobs::not_found;
use crate::location::Bucket;
use crate::object::{ByteRange, Entry, Listing, Meta, Object};
use crate::path::{self, BlobPath};
use futures::stream::{StreamExt, TryStreamExt};
use mcplane_core::{Error, Result};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::signer::Signer;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::sync::Arc;

/// All that an object store must be able to do.
pub(crate) trait Store: ObjectStore + MultipartStore + PaginatedListStore + Signer {}

impl<T: ObjectStore + MultipartStore + PaginatedListStore + Signer> Store for T {}

/// Keys of a bucket that start with a prefix.
pub(crate) struct Cloud {
    store: Arc<dyn Store>,
    bucket: Bucket,
    dialect: Dialect,
}

/// What differs between stores and `object_store` does not hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    S3,
    Gcs,
    Azure,
}

impl std::fmt::Debug for Cloud {
    /// Without the client, which knows credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("dialect", &self.dialect).field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Bytes of a key: the least that stores agree on.
    const LONGEST_KEY: usize = 1024;

    fn key(&self, path: &BlobPath) -> Result<Key> {
        let key = self.bucket.key(path);
        if key.as_str().len() > Self::LONGEST_KEY {
            return Err(path::invalid());
        }
        Key::parse(key.as_str()).map_err(|_| path::invalid())
    }

    pub(crate) async fn get(&self, path: &BlobPath, range: Option<ByteRange>) -> Result<Object> {
        let key = self.key(path)?;
        let mut options = GetOptions::default();
        if range.is_some() {
            // A store's answer to a bad range differs from store to store, ours does not.
            let found = self.store.head(&key).await.map_err(|error| fault(error, path))?;
            options.range = Some(GetRange::Bounded(ByteRange::resolve(range, found.size)?));
            options.if_match = found.e_tag;
        }
        let found = self.store.get_opts(&key, options).await.map_err(|error| fault(error, path))?;
        let (meta, range, told) = (meta(&found.meta), found.range.clone(), path.clone());
        let body = found.into_stream().map_err(move |error| fault(error, &told)).boxed();
        Ok(Object { meta, range, body })
    }

    pub(crate) async fn head(&self, path: &BlobPath) -> Result<Meta> {
        let found = self.store.head(&self.key(path)?).await;
        Ok(meta(&found.map_err(|error| fault(error, path))?))
    }

    pub(crate) async fn list(&self, dir: &BlobPath, limit: usize) -> Result<Listing> {
        let key = self.key(dir)?;
        let prefix = if key.as_ref().is_empty() { String::new() } else { format!("{key}/") };
        let mut options = PaginatedListOptions { delimiter: Some("/".into()), ..Default::default() };
        let mut entries = Vec::new();
        loop {
            let page = self.store.list_paginated(Some(&prefix), options.clone()).await;
            let page = page.map_err(|error| fault(error, dir))?;
            let dirs = page.result.common_prefixes.iter().map(|key| (key, true, 0));
            let blobs = page.result.objects.iter().map(|object| (&object.location, false, object.size));
            entries.extend(dirs.chain(blobs).filter_map(|(key, is_dir, size)| {
                let name = key.as_ref().strip_prefix(&prefix)?;
                // What has no path, such as a key that stands for the directory itself, is not told.
                dir.join(name).ok().map(|_| Entry { name: name.to_owned(), is_dir, size })
            }));
            options.page_token = page.page_token;
            if options.page_token.is_none() || entries.len() > limit {
                break;
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let truncated = entries.len() > limit || options.page_token.is_some();
        entries.truncate(limit);
        Ok(Listing { entries, truncated })
    }

    pub(crate) async fn delete(&self, path: &BlobPath) -> Result<u64> {
        let key = self.key(path)?;
        let own = match self.store.head(&key).await {
            Ok(_) => vec![Ok(key.clone())],
            Err(object_store::Error::NotFound { .. }) => vec![],
            Err(error) => return Err(fault(error, path)),
        };
        let below = self.store.list(Some(&key)).map_ok(|object| object.location);
        self.delete_all(futures::stream::iter(own).chain(below).boxed(), path).await
    }

    async fn delete_all(
        &self,
        keys: futures::stream::BoxStream<'static, object_store::Result<Key>>,
        path: &BlobPath,
    ) -> Result<u64> {
        let gone = self.store.delete_stream(keys).map(|gone| match gone {
            // Somebody was faster.
            Err(object_store::Error::NotFound { .. }) => Ok(0),
            other => other.map(|_| 1),
        });
        gone.try_fold(0, |sum, one| async move { Ok(sum + one) }).await.map_err(|error| fault(error, path))
    }
}

fn meta(found: &ObjectMeta) -> Meta {
    Meta { size: found.size, modified: found.last_modified.timestamp_millis() }
}

/// The HTTP status that the store answered, which `object_store` tells of some requests in words only.
fn answered(error: &(dyn std::error::Error + 'static)) -> Option<u16> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        let text = error.to_string();
        let (_, rest) = text.split_once("status code: ")?;
        rest.get(..3)?.parse().ok()
    })
}

fn fault(error: object_store::Error, path: &BlobPath) -> Error {
    use object_store::Error as E;
    let message = match &error {
        E::NotFound { .. } => return not_found(path),
        E::InvalidPath { .. } => return path::invalid(),
        E::AlreadyExists { .. } | E::Precondition { .. } => {
            return Error::Conflict {
                subject: mcplane_core::Subject::new("", "artifact", path.as_str()),
                message: "it was changed meanwhile".to_owned(),
            };
        }
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            "the artifact store refuses this server's credentials"
        }
        E::NotSupported { .. } | E::NotImplemented { .. } => "the artifact store cannot do this",
        other if matches!(answered(other), Some(401 | 403)) => "the artifact store refuses this server's credentials",
        _ => "the artifact store is away",
    };
    Error::Unavailable { message: message.to_owned(), source: Some(Box::new(error)) }
}
