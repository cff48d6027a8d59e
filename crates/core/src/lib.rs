//! The vocabulary that every other crate of mcplane shares: one public error, who is calling and why, the
//! authorisation proof that services demand, time as a parameter, turns for work beside requests, and human units. No
//! I/O, no heavy dependency.

pub mod authz;
pub mod clock;
pub mod context;
pub mod error;
pub mod trace;
pub mod turns;
pub mod units;

pub use authz::{Attributes, Authorizer, Decision, Grant, Target};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use context::{Caller, Context};
pub use error::{Error, FieldError, FieldReason, Result, Subject};
pub use trace::TraceId;
