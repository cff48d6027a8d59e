//! What a loaded model is.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use mcplane_core::turns::Turns;

use crate::engine::{InferError, Model, TensorSpec};
use crate::metrics::OfVersion;
use crate::services::Revision;
use crate::tensor::Tensor;

/// Number of a version: 1 and up, higher is newer.
pub type Version = u64;

/// What a version is beside its number, where it belongs to a revision of a service.
#[derive(Debug, Clone)]
pub struct About {
    /// Namespace of the service.
    pub namespace: String,
    /// Number of the revision, unique everywhere.
    pub no: u64,
    /// Name of the revision, for the header of answers.
    pub revision: HeaderValue,
    /// What it was loaded from, such as `models:/iris/3`, for the header of answers.
    pub source: HeaderValue,
}

impl About {
    /// Of a revision.
    pub fn new(revision: &Revision) -> Self {
        let source = format!("models:/{}/{}", revision.model, revision.version);
        // Names of models may have letters that no header has.
        let header = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"));
        Self {
            namespace: revision.namespace.clone(),
            no: revision.no,
            revision: header(&revision.name()),
            source: header(&source),
        }
    }
}

/// A version that is ready.
#[derive(Debug)]
pub struct Loaded {
    pub(super) name: Arc<str>,
    pub(super) version: Version,
    pub(super) version_text: String,
    pub(super) model: Arc<dyn Model>,
    pub(super) took: Duration,
    pub(super) metrics: OfVersion,
    pub(super) about: Option<About>,
    pub(super) turns: Option<Turns>,
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

    /// What it is beside its number.
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// What runs it.
    pub fn platform(&self) -> &'static str {
        self.model.platform()
    }

    /// The queue of requests, where an answer to a small one may take milliseconds.
    pub fn turns(&self) -> Option<&Turns> {
        self.turns.as_ref()
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
