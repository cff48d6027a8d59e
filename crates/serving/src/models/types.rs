//! What a loaded model is.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{InferError, Model, TensorSpec};
use crate::metrics::OfVersion;
use crate::tensor::Tensor;

/// Number of a version: 1 and up, higher is newer.
pub type Version = u64;

/// A version that is ready.
#[derive(Debug)]
pub struct Loaded {
    pub(super) name: Arc<str>,
    pub(super) version: Version,
    pub(super) version_text: String,
    pub(super) platform: &'static str,
    pub(super) model: Arc<dyn Model>,
    pub(super) took: Duration,
    pub(super) metrics: OfVersion,
}

impl Loaded {
    /// Name of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The version as text.
    pub fn version_text(&self) -> &str {
        &self.version_text
    }

    /// What runs it.
    pub fn platform(&self) -> &'static str {
        self.platform
    }

    /// What it must be given.
    pub fn inputs(&self) -> &[TensorSpec] {
        self.model.inputs()
    }

    /// What it answers.
    pub fn outputs(&self) -> &[TensorSpec] {
        self.model.outputs()
    }

    /// Memory that it takes, in bytes.
    pub fn memory(&self) -> usize {
        self.model.memory()
    }

    /// How long it took to load and warm.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Answers.
    ///
    /// # Errors
    /// When the inputs are not what the model takes.
    pub fn infer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferError> {
        let started = std::time::Instant::now();
        let answer = self.model.infer(inputs);
        let rows = inputs.first().and_then(|tensor| tensor.shape().first()).copied().unwrap_or(1);
        self.metrics.answered(answer.is_ok(), rows, started.elapsed());
        answer
    }

    /// Counts a request that never reached the model.
    pub fn refused(&self) {
        self.metrics.refused();
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.metrics.unloaded(self.model.memory());
    }
}
