//! The operators. Each is built once, with its attributes checked, and run by any number of threads.
//!
//! What an operator means is defined at <https://onnx.ai/onnx/operators/>; where the definition leaves room, onnxruntime
//! decides.

mod arithmetic;
mod broadcast;
mod cast;
mod features;
mod labels;
mod layout;
mod linear;
mod matrix;
mod onehot;
mod reduce;
pub(super) mod scores;
mod select;
mod svm;
mod topk;
mod unary;

use std::fmt;

use bytes::Bytes;

use super::attributes::{Attributes, Fault};
use super::inputs::Inputs;
use super::proto::{CLASSICAL, STANDARD};
use super::trees;
use crate::tensor::{Data, Tensor};

pub(super) use cast::cast;
pub(super) use labels::Labels;

/// An operator with its attributes.
pub(super) trait Operator: Send + Sync {
    /// Makes the outputs from the inputs.
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>>;

    /// Memory that it takes, in bytes.
    fn bytes(&self) -> usize {
        0
    }

    /// Whether it makes double precision from something else.
    fn makes_doubles(&self) -> bool {
        false
    }
}

impl fmt::Debug for dyn Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator")
    }
}

/// An operator with one output that needs no memory of its own.
struct Function<F>(F);

impl<F: Fn(&mut Inputs<'_>) -> Fault<Tensor> + Send + Sync> Operator for Function<F> {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        Ok(vec![(self.0)(inputs)?])
    }
}

/// What a node becomes.
pub(super) enum Built {
    /// A step.
    Operator(Box<dyn Operator>),
    /// A value that never changes.
    Constant(Tensor),
    /// Another name for its first input, and names of the columns if the node knows them.
    Same(Vec<String>),
    /// Nothing: there is no such operator here.
    Unknown,
}

fn function(run: impl Fn(&mut Inputs<'_>) -> Fault<Tensor> + Send + Sync + 'static) -> Fault<Built> {
    Ok(Built::Operator(Box::new(Function(run))))
}

fn operator(operator: impl Operator + 'static) -> Fault<Built> {
    Ok(Built::Operator(Box::new(operator)))
}

/// Makes a node's operator.
pub(super) fn build(domain: &str, kind: &str, attributes: &Attributes<'_>) -> Fault<Built> {
    match domain {
        STANDARD => standard(kind, attributes),
        CLASSICAL => classical(kind, attributes),
        _ => Ok(Built::Unknown),
    }
}

fn standard(kind: &str, attributes: &Attributes<'_>) -> Fault<Built> {
    match kind {
        "Constant" => constant(attributes),
        "Identity" => Ok(Built::Same(Vec::new())),
        "Cast" => cast::build(attributes),
        "MatMul" => function(matrix::matmul),
        "Gemm" => matrix::gemm(attributes),
        "Where" => function(arithmetic::choose),
        "Not" => function(unary::not),
        "Clip" => unary::clip(attributes),
        "IsNaN" => function(unary::is_nan),
        "Softmax" => reduce::softmax(attributes, false),
        "LogSoftmax" => reduce::softmax(attributes, true),
        "ArgMax" => reduce::arg(attributes, true),
        "ArgMin" => reduce::arg(attributes, false),
        "TopK" => topk::build(attributes),
        "Concat" => select::concat(attributes),
        "Gather" => select::gather(attributes),
        "Slice" => select::slice(attributes),
        "Reshape" => layout::reshape(attributes),
        "Flatten" => layout::flatten(attributes),
        "Squeeze" => layout::squeeze(attributes),
        "Unsqueeze" => layout::unsqueeze(attributes),
        "Transpose" => layout::transpose(attributes),
        "Expand" => function(layout::expand),
        "Shape" => layout::shape(attributes),
        "ConstantOfShape" => layout::constant_of_shape(attributes),
        _ => {
            if let Some(operation) = arithmetic::Operation::named(kind) {
                return arithmetic::build(operation, attributes);
            }
            if let Some(comparison) = arithmetic::Comparison::named(kind) {
                return function(move |inputs| arithmetic::compare(comparison, inputs));
            }
            if let Some(reduction) = reduce::Reduction::named(kind) {
                return reduce::build(reduction, attributes);
            }
            unary::build(kind, attributes)
        }
    }
}

fn classical(kind: &str, attributes: &Attributes<'_>) -> Fault<Built> {
    match kind {
        "TreeEnsembleClassifier" => operator(trees::Classifier::build(attributes)?),
        "TreeEnsembleRegressor" => operator(trees::Regressor::build(attributes)?),
        "TreeEnsemble" => operator(trees::Regressor::build_version_5(attributes)?),
        "LinearClassifier" => operator(linear::Classifier::build(attributes)?),
        "LinearRegressor" => operator(linear::Regressor::build(attributes)?),
        "SVMClassifier" => operator(svm::Classifier::build(attributes)?),
        "SVMRegressor" => operator(svm::Regressor::build(attributes)?),
        "Scaler" => features::scaler(attributes),
        "Normalizer" => features::normalizer(attributes),
        "Imputer" => features::imputer(attributes),
        "Binarizer" => features::binarizer(attributes),
        "FeatureVectorizer" => function(features::vectorizer),
        "ArrayFeatureExtractor" => function(select::extract),
        "OneHotEncoder" => operator(onehot::OneHot::build(attributes)?),
        "LabelEncoder" => labels::encoder(attributes),
        "ZipMap" => zip_map(attributes),
        _ => Ok(Built::Unknown),
    }
}

/// The maps from class to probability would be the only value that is no tensor. The matrix that they are made of says
/// the same, and is what the protocol can carry.
fn zip_map(attributes: &Attributes<'_>) -> Fault<Built> {
    let texts = attributes.texts("classlabels_strings")?;
    let ints = attributes.ints("classlabels_int64s")?;
    let texts = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned());
    let labels: Vec<_> = texts.chain(ints.iter().map(i64::to_string)).collect();
    if labels.is_empty() {
        return Err("it names no classes".to_owned());
    }
    Ok(Built::Same(labels))
}

fn constant(attributes: &Attributes<'_>) -> Fault<Built> {
    let list = |data: Data| Tensor::new(vec![data.len()], data);
    let scalar = |data: Data| Tensor::new(Vec::new(), data);
    let tensor = if let Some(tensor) = attributes.tensor("value")? {
        tensor.clone()
    } else if attributes.has("value_float") {
        scalar(Data::F32(vec![attributes.float("value_float", 0.0)?]))?
    } else if attributes.has("value_int") {
        scalar(Data::I64(vec![attributes.int("value_int", 0)?]))?
    } else if attributes.has("value_string") {
        scalar(Data::Bytes(vec![Bytes::copy_from_slice(attributes.text("value_string", "")?.as_bytes())]))?
    } else if attributes.has("value_floats") {
        list(Data::F32(attributes.floats("value_floats")?.to_vec()))?
    } else if attributes.has("value_ints") {
        list(Data::I64(attributes.ints("value_ints")?.to_vec()))?
    } else if attributes.has("value_strings") {
        list(Data::Bytes(attributes.texts("value_strings")?))?
    } else {
        return Err("it has no value that is a tensor, a number or a string".to_owned());
    };
    Ok(Built::Constant(tensor))
}
