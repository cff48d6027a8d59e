//! What the columns of training data look like, small enough to keep with a version: what serving is compared with.
//!
//! A profile is made from a stream, can be merged (profiles of parts are the profile of the whole), and is JSON. Numbers are
//! a [`Sketch`]: exact up to a few thousand values, beyond that a sample with weights whose error of rank is known and kept,
//! not only probable. Categories are counted, the rarest together once there are too many.

mod column;
mod sketch;

pub use column::{Categories, Column, MOST_CATEGORIES, Numbers, Profile, ProfileError};
pub use sketch::{CAPACITY, Sketch};
