//! ONNX models of any kind, by the onnxruntime library that the operator names: networks of images and text, and what
//! else the built-in engine lacks.
//!
//! Models share one pool of threads, as many as there are processors, which sleep while nobody asks. A session answers
//! one request at a time, by all of the threads: not every part of the library allows more
//! (<https://docs.rs/ort/latest/ort/session/struct.Session.html#why-does-run-take-mut-self>).

mod external;
mod tensors;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;
use ort::session::{Session, SessionInputValue};

use super::{Engine, InferError, LoadError, Model, TensorSpec, check};
use crate::tensor::Tensor;

/// The library. A process has one.
#[derive(Debug)]
pub struct OnnxRuntime {
    environment: Environment,
}

/// Why the library can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("onnxruntime: {0}")]
pub struct OpenError(String);

impl OnnxRuntime {
    /// Opens the library, version 1.17 or later.
    ///
    /// # Errors
    /// When it is none, is too old, or this process has opened it before.
    pub fn open(library: &Path) -> Result<Self, OpenError> {
        let builder = ort::init_from(library).map_err(|error| OpenError(error.to_string()))?;
        let environment = (|| {
            // Threads that spin between requests would cost an idle server a processor.
            let threads = GlobalThreadPoolOptions::default().with_intra_threads(0)?.with_spin_control(false)?;
            builder
                .with_name("mcplane")
                .with_telemetry(false)
                .with_global_thread_pool(threads)
                .with_logger(Arc::new(|level, _category, _id, _place, message| log(level, message)))
                .build()
        })();
        let environment = environment.map_err(|error: ort::Error| OpenError(error.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        Ok(Self { environment })
    }
}

fn log(level: LogLevel, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => tracing::debug!(target: "onnxruntime", "{message}"),
        LogLevel::Warning => tracing::warn!(target: "onnxruntime", "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "onnxruntime", "{message}"),
    }
}

impl Engine for OnnxRuntime {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Model>, LoadError> {
        external::refuse(bytes).map_err(LoadError::Malformed)?;
        let session = Session::builder(&self.environment).and_then(|mut builder| builder.commit_from_memory(bytes));
        let session = session.map_err(|error| LoadError::Library(error.to_string()))?;
        let specs = |outlets: &[_]| outlets.iter().map(tensors::spec).collect::<Result<Vec<_>, _>>();
        let inputs = specs(session.inputs()).map_err(LoadError::Library)?;
        let outputs = specs(session.outputs()).map_err(LoadError::Library)?;
        Ok(Arc::new(Running { inputs, outputs, memory: bytes.len(), session: Mutex::new(session) }))
    }
}

/// A model that the library runs.
#[derive(Debug)]
struct Running {
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    /// The library does not tell; weights are nearly all of a file.
    memory: usize,
    session: Mutex<Session>,
}

impl Model for Running {
    fn platform(&self) -> &'static str {
        "onnxruntime_onnx"
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferError> {
        check(&self.inputs, inputs)?;
        let given: Vec<SessionInputValue<'_>> =
            inputs.iter().map(tensors::given).collect::<Result<_, _>>().map_err(InferError::Input)?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let made = session.run(given.as_slice()).map_err(|error| InferError::Library(error.to_string()))?;
        made.values().map(|value| tensors::made(&value)).collect::<Result<_, _>>().map_err(InferError::Library)
    }

    fn memory(&self) -> usize {
        self.memory
    }
}
