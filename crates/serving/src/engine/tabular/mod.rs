//! ONNX models of tables: trees, linear models, small networks and what prepares their features. No library and no
//! installation; numbers as onnxruntime makes them.
//!
//! A file is read (`wire`, `proto`), its nodes become operators with their attributes checked (`ops`, `trees`), and the
//! graph becomes a list of steps over numbered places (`graph`). Comparisons are made in the type of the input, as
//! onnxruntime does: a threshold that was rounded to single precision must meet a feature that was.

mod attributes;
mod graph;
mod inputs;
mod ops;
pub(crate) mod proto;
mod trees;
pub(super) mod wire;

use std::sync::Arc;

use super::{Engine, LoadError, Model};

/// No model file may be larger.
pub const MAX_MODEL_BYTES: usize = 512 << 20;

/// The built-in engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tabular;

impl Engine for Tabular {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Model>, LoadError> {
        if bytes.len() > MAX_MODEL_BYTES {
            return Err(LoadError::Malformed(format!("it is larger than the limit of {MAX_MODEL_BYTES} bytes")));
        }
        Ok(Arc::new(graph::Graph::load(bytes)?))
    }
}
