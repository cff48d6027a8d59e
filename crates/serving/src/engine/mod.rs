//! What runs models: an [`Engine`] turns bytes into a [`Model`] that answers, from any number of threads at a time.
//!
//! Invariants: a model is refused when it is loaded rather than when it is asked; no bytes and no input make an engine
//! panic or hang, nor the built-in one take memory without bound; a model that was dropped has freed what it took.

mod choice;
pub mod onnxruntime;
pub mod tabular;

pub use choice::Engines;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mcplane_core::Error;

use crate::tensor::{Datatype, Tensor};

/// Something that runs models of a format.
pub trait Engine: fmt::Debug + Send + Sync {
    /// Makes a model from the content of its file.
    ///
    /// # Errors
    /// When the content is no model, or one that the engine can't run.
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Model>, LoadError>;
}

/// A model that answers.
pub trait Model: fmt::Debug + Send + Sync {
    /// Name of what runs it as metadata shows it: the `platform` of the Open Inference Protocol.
    fn platform(&self) -> &'static str;

    /// Whether an answer to a small request may take milliseconds, so that it is not for a thread that has other work.
    fn is_slow(&self) -> bool {
        false
    }

    /// What it must be given, in the order of [`Model::infer`].
    fn inputs(&self) -> &[TensorSpec];

    /// What it answers, in order.
    fn outputs(&self) -> &[TensorSpec];

    /// Answers; as many outputs as [`Model::outputs`] says.
    ///
    /// # Errors
    /// When the inputs are not what the model takes.
    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferError>;

    /// Memory that the model itself takes, in bytes, without what requests take for a moment.
    fn memory(&self) -> usize;
}

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Length of each dimension; `None` where any length will do.
    pub shape: Vec<Option<usize>>,
    /// What the columns of an output stand for, when the model says so: the classes of probabilities.
    pub labels: Vec<String>,
}

impl TensorSpec {
    /// Whether the first dimension may have any length, so that rows of several requests can be answered together.
    pub fn is_batched(&self) -> bool {
        self.shape.first() == Some(&None)
    }

    /// A sentence when a tensor is not of this type and shape.
    pub fn mismatch(&self, tensor: &Tensor) -> Option<String> {
        let Self { name, datatype, shape, .. } = self;
        if tensor.datatype() != *datatype {
            return Some(format!("input {name:?} must be {datatype}, got {}", tensor.datatype()));
        }
        let fits = |(wanted, got): (&Option<usize>, &usize)| wanted.is_none_or(|wanted| wanted == *got);
        let same = tensor.shape().len() == shape.len() && shape.iter().zip(tensor.shape()).all(fits);
        (!same).then(|| format!("input {name:?} must have shape {}, got {:?}", ShapeOf(shape), tensor.shape()))
    }
}

/// Refuses tensors that are not those of some inputs.
fn check(specs: &[TensorSpec], inputs: &[Tensor]) -> Result<(), InferError> {
    if inputs.len() != specs.len() {
        let message = format!("the model takes {} inputs, got {}", specs.len(), inputs.len());
        return Err(InferError::Input(message));
    }
    let mismatch = specs.iter().zip(inputs).find_map(|(spec, tensor)| spec.mismatch(tensor));
    mismatch.map_or(Ok(()), |message| Err(InferError::Input(message)))
}

/// A shape in the protocol's words: -1 for any length.
struct ShapeOf<'a>(&'a [Option<usize>]);

impl fmt::Display for ShapeOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = self.0.iter().map(|length| length.map_or_else(|| "-1".to_owned(), |length| length.to_string()));
        write!(f, "[{}]", lengths.collect::<Vec<_>>().join(", "))
    }
}

/// Why a model can't be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The content is not a whole model.
    #[error("not a valid ONNX model: {0}")]
    Malformed(String),
    /// The model is valid as far as can be seen, and wants an operator that the engine lacks.
    #[error(
        "operator {operator} of {domain} version {version}, wanted by node {node:?}, is not among those of the built-in engine; \
         onnxruntime may have it, if serving.onnxruntime-library names the library"
    )]
    UnsupportedOperator {
        /// Type of the operator.
        operator: String,
        /// Set of operators; `ai.onnx` for the standard one.
        domain: String,
        /// Version of the set that the model imports.
        version: i64,
        /// Name of the node, or of its first output.
        node: String,
    },
    /// A node has attributes that make no sense, or that the engine lacks.
    #[error("node {node:?} ({operator}): {message}")]
    Node {
        /// Name of the node, or of its first output.
        node: String,
        /// Type of its operator.
        operator: String,
        /// What is wrong.
        message: String,
    },
    /// The library that is to run the model does not.
    #[error("onnxruntime can't load it: {0}")]
    Library(String),
}

/// Why a model gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// The inputs are not what the model takes.
    #[error("{0}")]
    Input(String),
    /// A step of the model can't take what these inputs make of its own input.
    #[error("the model can't take this input: node {node:?} ({operator}): {message}")]
    Node {
        /// Name of the node, or of its first output.
        node: String,
        /// Type of its operator.
        operator: String,
        /// What is wrong.
        message: String,
    },
    /// The library that runs the model refuses the inputs, in its own words.
    #[error("the model can't take this input: {0}")]
    Refused(String),
    /// The library that runs the model failed, in its own words.
    #[error("the model failed: {0}")]
    Failed(String),
    /// It took longer than it may.
    #[error("the model took longer than {0:?}")]
    TooLong(Duration),
}

impl From<InferError> for Error {
    fn from(error: InferError) -> Self {
        match error {
            InferError::Input(_) | InferError::Node { .. } | InferError::Refused(_) => {
                Self::BadRequest(error.to_string())
            }
            InferError::Failed(_) => Self::internal(error),
            InferError::TooLong(_) => Self::Timeout(error.to_string()),
        }
    }
}
