//! What is to be sent to others, kept until it was.
//!
//! A message is written in the transaction of the change that it tells of, so that neither is there without the other. It waits
//! in a lane, one for each receiver. A lane is sent in the order of its messages: the next one goes when the one before
//! arrived or was given up. One server at a time has a lane, by a lease; should two believe it, the number of the claim
//! decides whose word counts. A server that dies after a message arrived and before that was written down leaves it to be sent
//! again: with the same id, by which receivers can tell.
//!
//! A message is given up when its receiver refuses it, after too many attempts, or when it is too old; then it is dead and is
//! kept for a time, for whoever wants to know, or to have it sent again.

mod dead;
pub(crate) mod http;
mod schedule;
mod sender;
mod store;

use std::fmt;

use futures::future::BoxFuture;
use mcplane_core::Result;

pub use dead::DeadLetter;
pub(crate) use schedule::Outcome;
pub use schedule::Pace;
pub(crate) use sender::{Wake, run};
pub(crate) use store::{enqueue, pause, remove_lane, resume};

/// A message on its way.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) no: i64,
    /// Unique everywhere, and the same in each attempt.
    pub(crate) id: String,
    pub(crate) created_at: i64,
    pub(crate) body: String,
    /// Attempts before this one.
    pub(crate) attempts: i64,
}

/// What it says is for its receiver.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What came of handing over a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was tried.
    Tried(Outcome),
    /// There is nobody to tell, or nothing to say, and never will be.
    Void,
    /// The receiver does not want anything now; it says when it does.
    Resting,
}

/// Brings messages to the receivers of lanes.
pub(crate) trait Carrier: Send + Sync + 'static {
    /// Hands over one message.
    fn carry<'a>(&'a self, lane: &'a str, message: &'a Message) -> BoxFuture<'a, Result<Fate>>;
}
