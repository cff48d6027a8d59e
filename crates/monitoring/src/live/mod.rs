//! Everything that is watched, as it happens: the windows of each version of each service, fed on the path of requests.
//!
//! - A deployment is a host (`NAME.NAMESPACE`) and a subset of it. What happened is told in two ways: each answer with status and
//!   latency ([`Hub::answered`]), and each prediction with its features ([`Hub::predicted`]), which also is recorded on disk.
//! - Requests take one lock of their own deployment and never wait for a disk.
//! - Windows of values and outcomes are read back from the records ([`Hub::open`]), those of traffic from what
//!   [`Hub::changed`] gave to be kept: a crash loses at most the last second of either.

mod hub;
mod record;
mod watched;

pub use hub::{Hub, Kept, Sizes};
pub use record::{Labelling, Prediction, Rows};
pub use watched::{Looked, Tally, WatchConfig, Watched};
