//! The gateway: takes requests, asks the table of [`crate::routes`], sends them on and answers.
//!
//! - **The table is swapped as a whole.** A request keeps the table that it began with, so no request fails because routes
//!   change, however often.
//! - **Upstreams** are addresses or functions in this process ([`Local`]). Connections are kept and shared.
//! - **Another try** is made at another address when nothing reached the first (it does not connect), and for what the
//!   rule's `retries` say. That needs the body again, so it is for bodies up to [`Settings::replayed_bytes`]; longer ones are streamed
//!   and tried once.
//! - **Headers of the connection** end here (RFC 9110, 7.6.1). `x-forwarded-for` and `x-forwarded-proto` say who asked.
//! - **Every answer** says in `x-mcplane-version` which version gave it, and in `x-mcplane-reason` why.

mod forward;
mod headers;
mod listen;
mod retry;
mod service;
mod upstreams;

pub use listen::listen;
pub use service::{Answered, Gateway, Observe, REASON, Settings, VERSION};
pub use upstreams::{Addresses, Local, Upstream, Upstreams};

/// What goes wrong with a body or an upstream.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of any origin.
pub type Body = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>;
