//! ONNX models of any kind, by the onnxruntime library that the operator names: networks of images and text, and what
//! else the built-in engine lacks.
//!
//! Models share one pool of threads, as many as there are processors, which sleep while nobody asks. A session answers
//! one request at a time, by all of the threads: not every part of the library allows more
//! (<https://docs.rs/ort/latest/ort/session/struct.Session.html#why-does-run-take-mut-self>).

mod deadlines;
mod external;
mod outline;
mod tensors;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ort::ErrorCode;
use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;
use ort::session::{RunOptions, Session, SessionInputValue};
use ort::value::Outlet;

use deadlines::Deadlines;
use outline::Outline;

use super::{Engine, InferError, LoadError, Model, TensorSpec, check};
use crate::tensor::Tensor;

/// The library. A process has one.
#[derive(Debug)]
pub struct OnnxRuntime {
    environment: Environment,
    deadlines: Deadlines,
}

/// Why the library can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("onnxruntime: {0}")]
pub struct OpenError(String);

impl OnnxRuntime {
    /// Opens the library, version 1.17 or later, for answers that take no longer than `longest`.
    ///
    /// # Errors
    /// When it is none, is too old, or this process has opened it before.
    pub fn open(library: &Path, longest: Duration) -> Result<Self, OpenError> {
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
        let deadlines = Deadlines::start(longest).map_err(|error| OpenError(error.to_string()))?;
        Ok(Self { environment, deadlines })
    }

    fn session(&self, bytes: &[u8]) -> ort::Result<Session> {
        // The library's own format is another one, whose references to files nothing here looks for.
        let builder = Session::builder(&self.environment)?.with_config_entry("session.load_model_format", "ONNX")?;
        // A pattern of memory is kept for each shape of inputs, of which callers may send any number.
        builder.with_memory_pattern(false)?.commit_from_memory(bytes)
    }
}

/// What the library says besides its errors, which callers are told. It calls much of that errors, too.
fn log(level: LogLevel, message: &str) {
    match level {
        LogLevel::Fatal => tracing::error!(target: "onnxruntime", "{message}"),
        _ => tracing::debug!(target: "onnxruntime", "{message}"),
    }
}

impl Engine for OnnxRuntime {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Model>, LoadError> {
        external::refuse(bytes).map_err(LoadError::Malformed)?;
        let outline = Outline::read(bytes).map_err(LoadError::Malformed)?;
        let session = self.session(bytes).map_err(|error| LoadError::Library(error.to_string()))?;
        let specs = |outlets: &[Outlet]| -> Result<Vec<_>, _> {
            outlets.iter().map(|outlet| tensors::spec(outlet, &outline)).collect()
        };
        let inputs = specs(session.inputs()).map_err(LoadError::Library)?;
        let outputs = specs(session.outputs()).map_err(LoadError::Library)?;
        let (session, deadlines) = (Mutex::new(session), self.deadlines.clone());
        Ok(Arc::new(Running { inputs, outputs, memory: bytes.len(), session, deadlines }))
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
    deadlines: Deadlines,
}

impl Running {
    /// Whose fault it is.
    fn fault(&self, error: &ort::Error, took: Duration) -> InferError {
        match error.code() {
            _ if took >= self.deadlines.longest => InferError::TooLong(self.deadlines.longest),
            ErrorCode::InvalidArgument => InferError::Refused(error.to_string()),
            _ => InferError::Failed(error.to_string()),
        }
    }
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
        let began = Instant::now();
        let options = Arc::new(RunOptions::new().map_err(|error| InferError::Failed(error.to_string()))?);
        self.deadlines.watch(&options);
        let made = session.run_with_options(given.as_slice(), &options);
        let made = made.map_err(|error| self.fault(&error, began.elapsed()))?;
        let tensors = made.values().zip(&self.outputs).map(|(value, spec)| tensors::made(&value, spec));
        tensors.collect::<Result<_, _>>().map_err(InferError::Failed)
    }

    fn memory(&self) -> usize {
        self.memory
    }
}
