//! Writing: what is small in one request, the rest in parts that become visible together.

use super::{Cloud, Store, fault};
use crate::blobs::content_path;
use crate::object::{Incoming, Put};
use crate::path::{BlobPath, RESERVED};
use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt};
use mcplane_core::{Error, Result};
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a part. Twice that is the memory of an upload: one part is sent while the next one comes in.
const PART: usize = 8 << 20;
/// Parts of that size; later ones grow, so that 10,000 parts, which is what stores take, hold a terabyte.
const EVEN_PARTS: usize = 3000;
/// What stores copy in one request.
const LARGEST_COPY: u64 = 5 << 30;
/// An upload that is older has broken off.
const STALE: Duration = Duration::from_secs(48 * 3600);

fn part_size(index: usize) -> usize {
    PART << (index.saturating_sub(EVEN_PARTS) / 1000).min(6)
}

impl Cloud {
    pub(crate) async fn put(&self, path: &BlobPath, mut incoming: Incoming<'_>) -> Result<Put> {
        let key = self.key(path)?;
        let (first, last) = incoming.part(part_size(0)).await?;
        if last {
            self.put_small(&key, path, first).await?;
        } else {
            self.put_parts(&key, path, first, &mut incoming).await?;
        }
        Ok(incoming.finish())
    }

    async fn put_small(&self, key: &Key, path: &BlobPath, content: Bytes) -> Result<()> {
        let sent = self.store.put(key, PutPayload::from(content)).await;
        sent.map(drop).map_err(|error| fault(error, path))
    }

    async fn put_parts(&self, key: &Key, path: &BlobPath, first: Bytes, incoming: &mut Incoming<'_>) -> Result<()> {
        let mut upload = Parts::begin(&self.store, key).await.map_err(|error| fault(error, path))?;
        let sent = upload.send(path, first, incoming).await;
        match sent {
            Ok(()) => upload.finish().await.map_err(|error| fault(error, path)),
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    pub(crate) async fn put_content(&self, mut incoming: Incoming<'_>) -> Result<Put> {
        let (first, last) = incoming.part(part_size(0)).await?;
        if last {
            let put = incoming.finish();
            let path = content_path(&put.digest);
            if self.lacks(&path).await? {
                self.put_small(&self.key(&path)?, &path, first).await?;
            }
            return Ok(put);
        }
        // The address is known only at the end, so the content waits under a name that nobody else has.
        let staged = BlobPath::internal(format!("{}/{}", staging().as_str(), uuid::Uuid::new_v4().simple()));
        let staged_key = self.key(&staged)?;
        self.put_parts(&staged_key, &staged, first, &mut incoming).await?;
        let put = incoming.finish();
        let path = content_path(&put.digest);
        let kept = match self.lacks(&path).await {
            Ok(true) => self.copy(&staged, &path).await,
            known => known.map(drop),
        };
        let removed = self.store.delete(&staged_key).await;
        kept?;
        removed.map_err(|error| fault(error, &staged))?;
        Ok(put)
    }

    async fn lacks(&self, path: &BlobPath) -> Result<bool> {
        match self.head(path).await {
            Ok(_) => Ok(false),
            Err(Error::NotFound(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn copy(&self, from: &BlobPath, to: &BlobPath) -> Result<()> {
        let found = self.head(from).await?;
        if found.size <= LARGEST_COPY {
            let copied = self.store.copy(&self.key(from)?, &self.key(to)?).await;
            return copied.map_err(|error| fault(error, from));
        }
        let object = self.get(from, None).await?;
        Box::pin(self.put(to, Incoming::new(object.body, u64::MAX))).await.map(drop)
    }

    pub(crate) async fn sweep(&self) -> Result<u64> {
        let staging = staging();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest = i64::try_from(now.saturating_sub(STALE).as_millis()).unwrap_or(i64::MAX);
        let stale = self.store.list(Some(&self.key(&staging)?)).try_filter_map(move |object| async move {
            Ok((object.last_modified.timestamp_millis() < oldest).then_some(object.location))
        });
        self.delete_all(stale.boxed(), &staging).await
    }
}

fn staging() -> BlobPath {
    BlobPath::internal(format!("{RESERVED}/uploads"))
}

/// An upload in parts that the store forgets when this is dropped unfinished.
struct Parts {
    store: Arc<dyn Store>,
    key: Key,
    id: String,
    sent: Vec<object_store::multipart::PartId>,
    open: bool,
}

impl Parts {
    /// Runs to its end whether or not anybody waits: an upload that nobody knows could not be aborted.
    async fn begin(store: &Arc<dyn Store>, key: &Key) -> object_store::Result<Self> {
        let (store, key) = (Arc::clone(store), key.clone());
        let beginning = tokio::spawn(async move {
            let id = store.create_multipart(&key).await?;
            Ok(Self { store, key, id, sent: Vec::new(), open: true })
        });
        beginning.await?
    }

    async fn send(&mut self, path: &BlobPath, first: Bytes, incoming: &mut Incoming<'_>) -> Result<()> {
        let (mut part, mut last) = (first, false);
        while !(last && part.is_empty()) {
            let index = self.sent.len();
            let store = Arc::clone(&self.store);
            let sending = store.put_part(&self.key, &self.id, index, PutPayload::from(part));
            let sending = async { sending.await.map_err(|error| fault(error, path)) };
            let coming =
                async { if last { Ok((Bytes::new(), true)) } else { incoming.part(part_size(index + 1)).await } };
            let (sent, next) = futures::future::try_join(sending, coming).await?;
            self.sent.push(sent);
            (part, last) = next;
        }
        Ok(())
    }

    async fn finish(mut self) -> object_store::Result<()> {
        let sent = std::mem::take(&mut self.sent);
        self.store.complete_multipart(&self.key, &self.id, sent).await?;
        self.open = false;
        Ok(())
    }

    async fn abort(mut self) {
        self.open = false;
        forget(&self.store, &self.key, &self.id).await;
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        // Who drops an upload cannot wait, so that somebody else must.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (store, key, id) = (Arc::clone(&self.store), self.key.clone(), std::mem::take(&mut self.id));
            runtime.spawn(async move {
                forget(&store, &key, &id).await;
                // A part that was on its way may have come after that and brought the upload back.
                tokio::time::sleep(Duration::from_secs(3)).await;
                store.abort_multipart(&key, &id).await.ok();
            });
        }
    }
}

async fn forget(store: &Arc<dyn Store>, key: &Key, id: &String) {
    if let Err(error) = store.abort_multipart(key, id).await {
        tracing::warn!(%key, %error, "parts of an upload that broke off stay in the store");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_so_that_a_terabyte_fits() {
        assert!((0..3000).all(|index| part_size(index) == PART));
        assert!((0..10_000).map(|index| part_size(index) as u64).sum::<u64>() > 1_000_000_000_000);
        assert!(part_size(usize::MAX) <= 512 << 20);
    }
}
