#![doc = include_str!("../README.md")]

mod blobs;
mod cloud;
mod config;
mod digest;
mod direct;
mod external;
mod file;
mod location;
mod object;
mod path;

pub use blobs::Blobs;
pub use config::BlobsConfig;
pub use digest::Digest;
pub use direct::{Direct, MOST_PARTS, SentPart, Upload};
pub use external::External;
pub use location::{Bucket, Location};
pub use object::{Body, ByteRange, Entry, Listing, Meta, Object, Put};
pub use path::{BlobPath, DEEPEST_PATH, LONGEST_NAME, LONGEST_PATH};
