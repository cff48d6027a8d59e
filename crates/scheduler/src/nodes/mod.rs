//! Nodes: the machines that run attempts, as objects of Kubernetes.
//!
//! A machine beats; that moves a time in its row and is no change of the object, which tells of a beat only each few minutes.
//! A machine that was silent for [`SILENCE_MS`] is shown as not ready by whichever beats next.

mod facts;
mod kind;
mod object;
mod projection;
mod storage;

pub use facts::Facts;
pub use kind::Node;
pub use object::{is_silent, object};
pub use projection::beat;
pub use storage::NodeStorage;

/// The collection of nodes in the feed.
pub const NODES: &str = "nodes";
/// Milliseconds after which a silent machine is taken for lost.
pub const SILENCE_MS: i64 = 15_000;
