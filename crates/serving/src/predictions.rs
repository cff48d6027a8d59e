//! Who hears of each prediction.

use mcplane_core::Timestamp;
use mcplane_monitoring::PredictionId;

use crate::engine::TensorSpec;
use crate::models::About;
use crate::tensor::Tensor;

/// A prediction that was made.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Its identifier, which its caller was told.
    pub id: PredictionId,
    /// When.
    pub at: Timestamp,
    /// Name of the service.
    pub service: &'a str,
    /// Number of the revision within the service.
    pub number: u64,
    /// What else there is to know of the revision.
    pub about: &'a About,
    /// What the model takes, and what it was given, in the same order.
    pub inputs: (&'a [TensorSpec], &'a [Tensor]),
    /// What the model answers, and what it answered, in the same order.
    pub outputs: (&'a [TensorSpec], &'a [Tensor]),
}

/// Is told of every prediction, on the thread that answers: must be quick.
pub trait Predictions: Send + Sync {
    /// A prediction was made.
    fn made(&self, made: Made<'_>);
}
