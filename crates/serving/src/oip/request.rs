//! Requests for inference.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Mistake, binary, scan};
use crate::engine::TensorSpec;
use crate::tensor::{Datatype, Tensor};

/// A request whose tensors are in the order that the model wants.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// The caller's own name for it, which the answer repeats.
    pub id: Option<String>,
    /// One for each input of the model.
    pub inputs: Vec<Tensor>,
    /// What is to be answered.
    pub outputs: Vec<Wanted>,
}

/// An output that is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which of the model's.
    pub output: usize,
    /// As bytes behind the JSON rather than in it.
    pub binary: bool,
}

#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(default)]
    parameters: Option<Parameters>,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(borrow, default)]
    outputs: Option<Vec<Output<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<Parameters>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<Parameters>,
}

/// The parameters that mean something here; others are for models, and ignored.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    binary_data_size: Option<u64>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    classification: Option<u64>,
}

/// Reads a request for a model.
///
/// `json_length` is the header [`super::HEADER_LENGTH`]; without it the whole body is JSON.
///
/// # Errors
/// A sentence about whatever the model can't be asked with.
pub fn decode(
    body: &Bytes,
    json_length: Option<usize>,
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
) -> Result<Request, Mistake> {
    let json_length = json_length.unwrap_or(body.len());
    let too_long = || format!("the header says {json_length} bytes of JSON, but the body has {}", body.len());
    let json = body.get(..json_length).ok_or_else(too_long)?;
    let parsed: Body<'_> =
        serde_json::from_slice(json).map_err(|error| format!("the body is no request for inference: {error}"))?;

    let mut tensors: Vec<Option<Tensor>> = vec![None; inputs.len()];
    let mut at = json_length;
    for input in &parsed.inputs {
        let name = input.name.as_ref();
        let place = inputs.iter().position(|spec| spec.name == name).ok_or_else(|| unknown("input", name, inputs))?;
        let tensor = input.tensor(body, &mut at)?;
        if let Some(message) = inputs[place].mismatch(&tensor) {
            return Err(message);
        }
        if tensors[place].replace(tensor).is_some() {
            return Err(format!("input {name:?} is given twice"));
        }
    }
    if at != body.len() {
        return Err(format!("{} bytes behind the JSON belong to no input", body.len() - at));
    }
    let missing = |(spec, tensor): (&TensorSpec, Option<Tensor>)| {
        tensor.ok_or_else(|| format!("input {:?} is missing", spec.name))
    };
    let tensors = inputs.iter().zip(tensors).map(missing).collect::<Result<_, _>>()?;

    let binary = parsed.parameters.as_ref().and_then(|parameters| parameters.binary_data_output).unwrap_or(false);
    let wanted = match parsed.outputs.as_deref() {
        None | Some([]) => (0..outputs.len()).map(|output| Wanted { output, binary }).collect(),
        Some(asked) => asked.iter().map(|one| one.wanted(outputs, binary)).collect::<Result<_, _>>()?,
    };
    Ok(Request { id: parsed.id.map(Cow::into_owned), inputs: tensors, outputs: wanted })
}

fn unknown(what: &str, name: &str, known: &[TensorSpec]) -> Mistake {
    let names: Vec<_> = known.iter().map(|spec| spec.name.as_str()).collect();
    format!("the model has no {what} {name:?}; it has {names:?}")
}

impl Input<'_> {
    /// The tensor, from the JSON or from the bytes behind it, of which it takes its part.
    fn tensor(&self, body: &Bytes, at: &mut usize) -> Result<Tensor, Mistake> {
        let name = self.name.as_ref();
        let datatype = Datatype::named(&self.datatype);
        let datatype = datatype.ok_or_else(|| format!("input {name:?}: there is no datatype {:?}", self.datatype))?;
        let shape = self.shape.iter().map(|&length| usize::try_from(length)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| format!("input {name:?}: shape {:?} has a negative length", self.shape))?;
        let size = self.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
        match (size, self.data) {
            (None, Some(data)) => scan::tensor(name, datatype, shape, data.get()),
            (Some(size), None) => {
                let end =
                    usize::try_from(size).ok().and_then(|size| at.checked_add(size)).filter(|&end| end <= body.len());
                let end = end.ok_or_else(|| format!("input {name:?}: the body ends before its {size} bytes"))?;
                let raw = body.slice(*at..end);
                *at = end;
                binary::tensor(name, datatype, shape, &raw)
            }
            (Some(_), Some(_)) => Err(format!("input {name:?} has data as well as binary_data_size")),
            (None, None) => Err(format!("input {name:?} has neither data nor binary_data_size")),
        }
    }
}

impl Output<'_> {
    fn wanted(&self, outputs: &[TensorSpec], binary: bool) -> Result<Wanted, Mistake> {
        let name = self.name.as_ref();
        let output =
            outputs.iter().position(|spec| spec.name == name).ok_or_else(|| unknown("output", name, outputs))?;
        let parameters = self.parameters.as_ref();
        if parameters.is_some_and(|parameters| parameters.classification.is_some()) {
            return Err(format!("output {name:?}: classification is not supported; ask for the scores"));
        }
        Ok(Wanted { output, binary: parameters.and_then(|parameters| parameters.binary_data).unwrap_or(binary) })
    }
}
