//! Where a request goes. Pure: VirtualServices are compiled once to a [`Routes`] table, and [`Routes::route`] decides for one
//! request without I/O, clock or randomness.
//!
//! **Rules** are Istio's: the virtual service of the request's host; its HTTP rules in order, where the first that matches
//! counts; conditions within a match all hold, matches are alternatives. What the table does not know is left out and named
//! in [`Compiled::notes`].
//!
//! **Shares.** A request that names its user goes by weighted rendezvous hashing: every destination has a score
//! -weight / ln(u), with u from a hash of user and destination, and the greatest wins. So a user stays on one version without
//! a cookie, on every server and after every restart, and when weights change only as many users move as must, all of them
//! towards what gained weight. A request without a user goes by a counter times the golden ratio, modulo 1: shares are right
//! within a few requests, not only on average.
//!
//! **Audiences** come before shares: operators' addresses, users of a region, requests with a header. A stage of a rollout
//! may have all of them and a weight for everybody else.
//!
//! **Why.** A [`Decision`] says which version it chose and why; [`Decision::explain`] is the response header.

mod audience;
mod compile;
mod decision;
mod durations;
mod headers;
mod hosts;
mod matching;
mod rewrite;
mod spec;
mod split;
#[cfg(test)]
mod tests;

pub use audience::{Audience, AudienceSpec};
pub use compile::{Compiled, Options, compile};
pub use decision::{Action, Decision, Destination, Reason, Request, Retries};
pub use durations::parse_duration;
pub use headers::HeaderOperations;
pub use hosts::{Override, Routes};
pub use spec::VirtualServiceSpec;
pub use split::{Key, Split};
