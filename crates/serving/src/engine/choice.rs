//! Which engine runs a model.

use std::sync::Arc;

use super::onnxruntime::OnnxRuntime;
use super::tabular::Tabular;
use super::{Engine, LoadError, Model};

/// The built-in engine for what it knows, and onnxruntime for the rest where there is one.
#[derive(Debug, Default)]
pub struct Engines {
    /// The library, where the operator names one.
    pub onnxruntime: Option<OnnxRuntime>,
}

impl Engine for Engines {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Model>, LoadError> {
        match (Tabular.load(bytes), &self.onnxruntime) {
            (Err(_), Some(onnxruntime)) => onnxruntime.load(bytes),
            (tabular, _) => tabular,
        }
    }
}
