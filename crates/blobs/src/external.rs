//! Objects that somebody else keeps, read to verify what a client says of them.

use crate::blobs::{self, Blobs};
use crate::config::BlobsConfig;
use crate::location::Location;
use crate::object::{Object, Put, too_large};
use mcplane_core::{Error, Result};
use std::time::Duration;

/// Read access to a list of buckets and prefixes. Where requests go is the configuration's alone: a URL only chooses
/// among the list.
#[derive(Debug, Clone, Default)]
pub struct External(Vec<Blobs>);

impl External {
    /// Access to `allowed` and to nothing else. Directories of this machine cannot be allowed.
    pub async fn open(allowed: impl IntoIterator<Item = Location>, config: &BlobsConfig) -> Result<Self> {
        let mut stores = Vec::new();
        for location in allowed {
            if location.is_local() {
                return Err(Error::bad_request(format!("{location} is no place of others")));
            }
            stores.push(Blobs::open(location, config).await?);
        }
        Ok(Self(stores))
    }

    /// Reads the object at a URL such as `s3://bucket/key`.
    pub async fn get(&self, url: &str) -> Result<Object> {
        let location = Location::parse(url)?;
        let place = |store: &Blobs| Some((store.clone(), store.location().relative(&location)?));
        let (store, path) = self.0.iter().find_map(place).ok_or_else(|| {
            Error::bad_request(format!("{location} is outside of the places that this server may read"))
        })?;
        store.get(&path, None).await
    }

    /// Size and digest of the object at a URL, if it is no larger than `limit` and read within `time`.
    pub async fn verify(&self, url: &str, limit: u64, time: Duration) -> Result<Put> {
        let reading = async {
            let object = self.get(url).await?;
            if object.meta.size > limit {
                return Err(too_large(limit));
            }
            blobs::digest(object, limit).await
        };
        let late = |_| Error::Timeout(format!("the object was not read within {} s", time.as_secs_f32()));
        tokio::time::timeout(time, reading).await.map_err(late)?
    }
}
