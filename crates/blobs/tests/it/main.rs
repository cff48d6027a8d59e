//! One suite over every backend, and what is each backend's own.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test reports by panicking")]

mod file;
mod gcs_azure;
mod s3;
mod suite;

use bytes::Bytes;
use futures::stream::{self, Stream};
use mcplane_blobs::{BlobPath, Blobs, BlobsConfig};

pub(crate) type Chunk = Result<Bytes, std::io::Error>;

/// Content in chunks of 100 kB that differ.
pub(crate) fn chunks(content: &[u8]) -> impl Stream<Item = Chunk> + Send + use<> {
    let chunks: Vec<Chunk> = content.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks)
}

/// Bytes that repeat nowhere near.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..size / 8 + 1).flat_map(|_| next()).collect();
    bytes.truncate(size);
    bytes
}

pub(crate) fn path(text: &str) -> BlobPath {
    BlobPath::parse(text).unwrap()
}

pub(crate) async fn open(location: &str, config: &BlobsConfig) -> Blobs {
    Blobs::open(location.parse().unwrap(), config).await.unwrap()
}

pub(crate) async fn read(blobs: &Blobs, at: &str) -> Vec<u8> {
    blobs.get(&path(at), None).await.unwrap().bytes(u64::MAX).await.unwrap().to_vec()
}

pub(crate) async fn write(blobs: &Blobs, at: &str, content: &[u8]) {
    blobs.put(&path(at), chunks(content), u64::MAX).await.unwrap();
}

/// HTTP status of a failure.
pub(crate) fn status<T: std::fmt::Debug>(result: Result<T, mcplane_core::Error>) -> u16 {
    result.unwrap_err().http_status()
}
