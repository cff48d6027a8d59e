//! Models as scikit-learn, XGBoost, LightGBM and their converters make them, against the answers of onnxruntime.
//! `make.py` beside this file made both.

mod hostile;
mod onnxruntime;

use std::path::PathBuf;
use std::sync::Arc;

use mcplane_serving::engine::tabular::Tabular;
use mcplane_serving::engine::{Engine, InferError, LoadError, Model};
use mcplane_serving::tensor::{Data, Tensor};
use serde_json::Value;

/// How far a float may be from onnxruntime's: sums are made in another order.
const RELATIVE: f64 = 2e-5;
const ABSOLUTE: f64 = 2e-6;
/// The approximation of PROBIT takes differences of nearly equal numbers.
const ABSOLUTE_PROBIT: f64 = 1e-4;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/serving/engine/models")
}

/// Every model of the folder, in order.
pub(crate) fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|name| name.strip_suffix(".onnx").map(str::to_owned)).collect();
    names.sort();
    names
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

pub(crate) fn load(name: &str) -> Result<Arc<dyn Model>, LoadError> {
    Tabular.load(&bytes(name))
}

struct Case {
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<(String, Tensor)>,
}

fn cases(name: &str) -> Vec<Case> {
    let text = std::fs::read(folder().join(format!("{name}.json"))).unwrap();
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let named = |list: &Value| list.as_array().unwrap().iter().map(named_tensor).collect();
    all.iter().map(|case| Case { inputs: named(&case["inputs"]), outputs: named(&case["outputs"]) }).collect()
}

fn named_tensor(value: &Value) -> (String, Tensor) {
    let shape = value["shape"].as_array().unwrap().iter().map(|length| length.as_u64().unwrap() as usize).collect();
    let raw: Vec<u8> = value["hex"].as_str().map_or_else(Vec::new, |hex| {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    });
    let data = match value["datatype"].as_str().unwrap() {
        "FP32" => Data::F32(raw.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect()),
        "FP64" => Data::F64(raw.as_chunks().0.iter().copied().map(f64::from_le_bytes).collect()),
        "INT64" => Data::I64(raw.as_chunks().0.iter().copied().map(i64::from_le_bytes).collect()),
        "INT32" => Data::I32(raw.as_chunks().0.iter().copied().map(i32::from_le_bytes).collect()),
        "BOOL" => Data::Bool(raw.iter().map(|&byte| byte != 0).collect()),
        _ => {
            let texts = value["data"].as_array().unwrap().iter();
            Data::Bytes(texts.map(|text| text.as_str().unwrap().to_owned().into()).collect())
        }
    };
    (value["name"].as_str().unwrap().to_owned(), Tensor::new(shape, data).unwrap())
}

fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.data() {
        Data::F32(values) => Some(values.iter().copied().map(f64::from).collect()),
        Data::F64(values) => Some(values.clone()),
        _ => None,
    }
}

/// A sentence when an answer is not the one wanted.
fn difference(got: &Tensor, wanted: &Tensor, absolute: f64) -> Option<String> {
    if got.shape() != wanted.shape() || got.datatype() != wanted.datatype() {
        return Some(format!("{} {:?} for {} {:?}", got.datatype(), got.shape(), wanted.datatype(), wanted.shape()));
    }
    let (Some(ours), Some(theirs)) = (floats(got), floats(wanted)) else {
        return (got != wanted).then(|| format!("{got:?} for {wanted:?}"));
    };
    let differ = |(ours, theirs): (&f64, &f64)| {
        let near = theirs.is_finite() && (ours - theirs).abs() <= absolute + RELATIVE * theirs.abs();
        !(near || ours == theirs || (ours.is_nan() && theirs.is_nan()))
    };
    let place = ours.iter().zip(&theirs).position(differ)?;
    Some(format!("element {place} of {:?}: {} for {}", got.shape(), ours[place], theirs[place]))
}

/// Models that the built-in engine refuses.
const BEYOND: [&str; 3] = ["convolution", "endless", "knn"];
/// One that every engine refuses.
const SHAPELESS: &str = "shapeless";

/// Every difference of a model's answers from those that onnxruntime gave in Python.
fn check(engine: &dyn Engine, name: &str) -> Vec<String> {
    let model = match engine.load(&bytes(name)) {
        Ok(model) => model,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let absolute = if name.contains("probit") { ABSOLUTE_PROBIT } else { ABSOLUTE };
    let mut differences = Vec::new();
    for (number, case) in cases(name).into_iter().enumerate() {
        let input = |wanted: &str| case.inputs.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
        let inputs: Vec<_> = model.inputs().iter().map(|spec| input(&spec.name)).collect();
        let made = match model.infer(&inputs) {
            Ok(made) => made,
            // onnxruntime refuses no rows for some operators; `make.py` writes down what would be the answer.
            Err(InferError::Refused(_) | InferError::Failed(_)) if inputs[0].is_empty() => continue,
            Err(error) => {
                differences.push(format!("{name} case {number}: {error}"));
                continue;
            }
        };
        for (output, wanted) in &case.outputs {
            let place = model.outputs().iter().position(|spec| spec.name == *output).unwrap();
            if let Some(difference) = difference(&made[place], wanted, absolute) {
                differences.push(format!("{name} case {number} {output}: {difference}"));
            }
        }
    }
    differences
}

#[test]
fn answers_are_those_of_onnxruntime() {
    let names = names();
    assert!(names.len() > 100, "the models are missing");
    let names = names.iter().filter(|name| !BEYOND.contains(&name.as_str()) && *name != SHAPELESS);
    let differences: Vec<_> = names.flat_map(|name| check(&Tabular, name)).collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn an_operator_that_is_missing_is_named() {
    let error = load("knn").unwrap_err();
    let LoadError::UnsupportedOperator { operator, domain, version, node } = &error else { panic!("{error}") };
    assert_eq!((operator.as_str(), domain.as_str(), *version), ("Scan", "ai.onnx", 17));
    assert!(error.to_string().contains(node.as_str()) && !node.is_empty(), "{error}");
}

#[test]
fn models_tell_what_they_take_and_give() {
    let model = load("columns_logistic").unwrap();
    let inputs: Vec<_> =
        model.inputs().iter().map(|spec| (spec.name.as_str(), spec.datatype.name(), spec.shape.clone())).collect();
    let column = || vec![None, Some(1)];
    assert_eq!(
        inputs,
        [
            ("age", "FP32", column()),
            ("pay", "FP32", column()),
            ("city", "BYTES", column()),
            ("grade", "INT64", column())
        ]
    );
    let outputs: Vec<_> = model.outputs().iter().map(|spec| (spec.datatype.name(), spec.labels.join(" "))).collect();
    assert_eq!(outputs, [("INT64", String::new()), ("FP32", "0 1 2".to_owned())]);
    assert!(model.memory() > 500, "{}", model.memory());
}

#[test]
fn wrong_inputs_are_refused_in_words() {
    let model = load("forest_names").unwrap();
    let infer = |shape: Vec<usize>, data| model.infer(&[Tensor::new(shape, data).unwrap()]).unwrap_err().to_string();
    assert_eq!(infer(vec![1, 6], Data::I64(vec![0; 6])), "input \"X\" must be FP32, got INT64");
    assert_eq!(infer(vec![1, 5], Data::F32(vec![0.0; 5])), "input \"X\" must have shape [-1, 6], got [1, 5]");
    assert_eq!(model.infer(&[]).unwrap_err().to_string(), "the model takes 1 inputs, got 0");
}
