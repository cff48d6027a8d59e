#![doc = include_str!("../README.md")]

pub mod bands;
pub mod drift;
pub mod live;
mod prediction_id;
pub mod profiles;
pub mod records;
pub mod statistics;
pub mod windows;

pub use prediction_id::{NotAPredictionId, PredictionId};
