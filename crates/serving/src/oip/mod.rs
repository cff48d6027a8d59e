//! The Open Inference Protocol, version 2, over REST: from a body to tensors and back. Pure; the routes are in `http`.
//!
//! <https://github.com/open-inference/open-inference-protocol> and, for binary tensors,
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>
//!
//! Numbers go from the text straight into vectors of their type. Nothing is rounded or wrapped in silence: an integer
//! that does not fit is an error, and so is a float beyond the range of its type. JSON has no word for what is not
//! finite: `null` and `"NaN"`, `"Infinity"` and `"-Infinity"` are read, `null` and the latter two are written.

mod binary;
mod request;
mod response;
mod scan;
mod text;

pub use request::{Request, Wanted, decode};
pub use response::{Encoded, encode};
pub(crate) use text::{nested, write_string};

/// A sentence about what the caller did wrong.
pub type Mistake = String;

/// Header with the length of the JSON that stands before binary tensors.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

#[cfg(test)]
mod tests;
