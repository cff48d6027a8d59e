//! A graph as a list of steps over numbered places.

use std::borrow::Cow;
use std::collections::HashMap;

use super::attributes::Attributes;
use super::inputs::{Budget, Inputs};
use super::ops::{self, Built, Operator};
use super::proto::{self, domain};
use crate::engine::{InferError, LoadError, Model, TensorSpec, check};
use crate::tensor::{Datatype, Tensor};

/// A loaded model.
#[derive(Debug)]
pub(super) struct Graph {
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    constants: Vec<Tensor>,
    steps: Vec<Step>,
    /// Where each output of the graph is found.
    results: Vec<Place>,
    /// How many places steps write to.
    places: usize,
    memory: usize,
}

/// Where a value is while the graph runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Input(usize),
    Constant(usize),
    Made(usize),
}

#[derive(Debug)]
struct Step {
    operator: Box<dyn Operator>,
    inputs: Vec<Option<Read>>,
    /// Places of the outputs; `None` where nobody wants one.
    outputs: Vec<Option<usize>>,
    label: Box<str>,
    kind: Box<str>,
}

#[derive(Debug, Clone, Copy)]
struct Read {
    place: Place,
    /// Nobody reads the place afterwards.
    last: bool,
}

impl Graph {
    pub(super) fn load(bytes: &[u8]) -> Result<Self, LoadError> {
        let model = proto::Model::read(bytes).map_err(LoadError::Malformed)?;
        let malformed = |message: &str| LoadError::Malformed(message.to_owned());
        if model.functions > 0 {
            return Err(malformed("it defines functions of its own, which are not supported"));
        }
        let graph = model.graph.ok_or_else(|| malformed("there is no graph in it"))?;
        let mut loading = Loading::new(graph.initializers, &graph.inputs)?;
        for node in &graph.nodes {
            let version = model.opsets.get(domain(node.domain)).copied().unwrap_or(1);
            loading.node(node, version)?;
        }
        loading.finish(&graph.outputs)
    }

    fn steps(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferError> {
        let budget = Budget::full();
        let mut places: Vec<Option<Tensor>> = Vec::new();
        places.resize_with(self.places, || None);
        for step in &self.steps {
            let failed =
                |message| InferError::Node { node: step.label.to_string(), operator: step.kind.to_string(), message };
            // What is read for the last time is moved out first, so that the rest may be borrowed.
            let mut moved: Vec<_> = step.inputs.iter().map(|read| take(&mut places, *read)).collect();
            let reads = step.inputs.iter().zip(&mut moved);
            let all = reads.map(|(read, moved)| match (moved.take(), read) {
                (Some(owned), _) => Some(Cow::Owned(owned)),
                (None, Some(read)) => self.look(read.place, inputs, &places).map(Cow::Borrowed),
                (None, None) => None,
            });
            let mut given = Inputs { all: all.collect(), budget: &budget };
            let made = step.operator.run(&mut given).map_err(failed)?;
            drop(given);
            for (place, tensor) in step.outputs.iter().zip(made) {
                if let Some(place) = place {
                    places[*place] = Some(tensor);
                }
            }
        }
        let mut results = Vec::with_capacity(self.results.len());
        for (place, spec) in self.results.iter().zip(&self.outputs) {
            let found = self.look(*place, inputs, &places).cloned();
            let missing = || InferError::Input(format!("the model made no output {:?}", spec.name));
            results.push(found.ok_or_else(missing)?);
        }
        Ok(results)
    }

    fn look<'a>(&'a self, place: Place, inputs: &'a [Tensor], places: &'a [Option<Tensor>]) -> Option<&'a Tensor> {
        match place {
            Place::Input(index) => inputs.get(index),
            Place::Constant(index) => self.constants.get(index),
            Place::Made(index) => places.get(index)?.as_ref(),
        }
    }
}

fn take(places: &mut [Option<Tensor>], read: Option<Read>) -> Option<Tensor> {
    match read {
        Some(Read { place: Place::Made(index), last: true }) => places.get_mut(index)?.take(),
        _ => None,
    }
}

impl Model for Graph {
    fn platform(&self) -> &'static str {
        "onnx_tabular"
    }

    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferError> {
        check(&self.inputs, inputs)?;
        self.steps(inputs)
    }

    fn memory(&self) -> usize {
        self.memory
    }
}

/// A graph while its nodes are added.
struct Loading<'a> {
    inputs: Vec<TensorSpec>,
    constants: Vec<Tensor>,
    steps: Vec<Step>,
    names: HashMap<&'a str, Place>,
    /// Which columns a value has, when the node that made it said so.
    labels: HashMap<Place, Vec<String>>,
    places: usize,
    doubles: bool,
}

impl std::hash::Hash for Place {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match *self {
            Self::Input(index) => (0, index).hash(state),
            Self::Constant(index) => (1, index).hash(state),
            Self::Made(index) => (2, index).hash(state),
        }
    }
}

impl<'a> Loading<'a> {
    fn new(initializers: Vec<(&'a str, Tensor)>, declared: &[proto::ValueInfo<'a>]) -> Result<Self, LoadError> {
        let mut constants = Vec::with_capacity(initializers.len());
        let mut names = HashMap::new();
        for (name, tensor) in initializers {
            names.insert(name, Place::Constant(constants.len()));
            constants.push(tensor);
        }
        let mut inputs = Vec::new();
        // Old files list what is constant among the inputs as well.
        for info in
            declared.iter().filter(|info| !matches!(names.get(info.name), Some(Place::Constant(_)))).collect::<Vec<_>>()
        {
            let (Some(datatype), Some(shape)) = (info.datatype, info.shape.clone()) else {
                let message = format!(
                    "input {:?} is not a tensor of known type and rank, which is all that is supported",
                    info.name
                );
                return Err(LoadError::Malformed(message));
            };
            if names.insert(info.name, Place::Input(inputs.len())).is_some() {
                return Err(LoadError::Malformed(format!("there are two inputs {:?}", info.name)));
            }
            inputs.push(TensorSpec { name: info.name.to_owned(), datatype, shape, labels: Vec::new() });
        }
        let is_double = |tensor: &Tensor| tensor.datatype() == Datatype::Fp64;
        let doubles = constants.iter().any(is_double) || inputs.iter().any(|spec| spec.datatype == Datatype::Fp64);
        Ok(Self { inputs, constants, steps: Vec::new(), names, labels: HashMap::new(), places: 0, doubles })
    }

    fn node(&mut self, node: &proto::Node<'a>, version: i64) -> Result<(), LoadError> {
        let fault =
            |message| LoadError::Node { node: node.label().to_owned(), operator: node.operator.to_owned(), message };
        let attributes = Attributes::read(node, version, self.doubles).map_err(fault)?;
        let mut reads = Vec::with_capacity(node.inputs.len());
        for &name in &node.inputs {
            if name.is_empty() {
                reads.push(None);
                continue;
            }
            let unknown = || {
                fault(format!("it reads {name:?}, which no earlier node makes: nodes must be in order, without cycles"))
            };
            reads.push(Some(Read { place: *self.names.get(name).ok_or_else(unknown)?, last: false }));
        }
        let built = ops::build(domain(node.domain), node.operator, &attributes).map_err(fault)?;
        let places = match built {
            Built::Constant(tensor) => {
                self.doubles |= tensor.datatype() == Datatype::Fp64;
                self.constants.push(tensor);
                vec![Some(Place::Constant(self.constants.len() - 1))]
            }
            Built::Same(labels) => {
                let place =
                    reads.first().copied().flatten().ok_or_else(|| fault("input 0 is missing".to_owned()))?.place;
                if !labels.is_empty() {
                    self.labels.insert(place, labels);
                }
                vec![Some(place)]
            }
            Built::Operator(operator) => self.step(operator, reads, node),
            Built::Unknown => {
                return Err(LoadError::UnsupportedOperator {
                    operator: node.operator.to_owned(),
                    domain: domain(node.domain).to_owned(),
                    version,
                    node: node.label().to_owned(),
                });
            }
        };
        for (&name, place) in node.outputs.iter().zip(places) {
            let Some(place) = place else { continue };
            if self.names.insert(name, place).is_some() {
                return Err(fault(format!("{name:?} is made twice")));
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        operator: Box<dyn Operator>,
        inputs: Vec<Option<Read>>,
        node: &proto::Node<'a>,
    ) -> Vec<Option<Place>> {
        self.doubles |= operator.makes_doubles();
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for name in &node.outputs {
            outputs.push((!name.is_empty()).then_some(self.places));
            self.places += usize::from(!name.is_empty());
        }
        let made = outputs.iter().map(|place| place.map(Place::Made)).collect();
        self.steps.push(Step { operator, inputs, outputs, label: node.label().into(), kind: node.operator.into() });
        made
    }

    fn finish(mut self, declared: &[proto::ValueInfo<'a>]) -> Result<Graph, LoadError> {
        let mut results = Vec::with_capacity(declared.len());
        let mut outputs = Vec::with_capacity(declared.len());
        for info in declared {
            let nobody = || LoadError::Malformed(format!("no node makes the output {:?}", info.name));
            let place = *self.names.get(info.name).ok_or_else(nobody)?;
            let labels = self.labels.remove(&place).unwrap_or_default();
            // What is no tensor here is a sequence of maps; the engine answers it as the matrix of its values.
            let columns = vec![None, (!labels.is_empty()).then_some(labels.len())];
            outputs.push(TensorSpec {
                name: info.name.to_owned(),
                datatype: info.datatype.unwrap_or(Datatype::Fp32),
                shape: info.shape.clone().unwrap_or(columns),
                labels,
            });
            results.push(place);
        }
        if outputs.is_empty() {
            return Err(LoadError::Malformed("it has no output".to_owned()));
        }
        mark_last_reads(&mut self.steps, &results, self.places);
        let of_steps = |step: &Step| size_of::<Step>() + step.operator.bytes() + step.label.len() + step.kind.len();
        let memory = self.steps.iter().map(of_steps).sum::<usize>()
            + self.constants.iter().map(|tensor| size_of::<Tensor>() + tensor.data().bytes()).sum::<usize>();
        let Self { inputs, constants, steps, places, .. } = self;
        Ok(Graph { inputs, outputs, constants, steps, results, places, memory })
    }
}

/// Finds for each place the last step that reads it; a step that reads it twice borrows it.
fn mark_last_reads(steps: &mut [Step], results: &[Place], places: usize) {
    let mut read = vec![false; places];
    for place in results {
        if let Place::Made(index) = place {
            read[*index] = true;
        }
    }
    // How often the step at hand reads each place; always zero between steps.
    let mut times = vec![0_usize; places];
    for step in steps.iter_mut().rev() {
        let made = |read: &Option<Read>| match read.map(|read| read.place) {
            Some(Place::Made(index)) => Some(index),
            _ => None,
        };
        let all: Vec<_> = step.inputs.iter().map(made).collect();
        for index in all.iter().flatten() {
            times[*index] += 1;
        }
        for (index, given) in all.iter().zip(&mut step.inputs) {
            let (Some(index), Some(given)) = (index, given) else { continue };
            given.last = !read[*index] && times[*index] == 1;
        }
        for index in all.into_iter().flatten() {
            times[index] = 0;
            read[index] = true;
        }
    }
}
