//! A pipeline as the machine walks it: names are resolved to indexes, expressions are parsed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::expression::{Condition, Selector};
use crate::run::RetryPolicy;
use crate::values::{ArtifactType, ParameterType};

/// Index of a component in its plan.
pub(crate) type ComponentIndex = usize;
/// Index of a task in its DAG.
pub(crate) type TaskIndex = usize;

/// An input parameter of a component or pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Its type.
    pub parameter_type: ParameterType,
    /// The value where none is given.
    pub default: Option<Arc<Value>>,
    /// Whether it may be missing.
    pub optional: bool,
    /// The only values allowed; empty allows all.
    pub literals: Vec<Value>,
    /// What people are told.
    pub description: String,
}

/// An input artifact of a component or pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactSpec {
    /// Its type.
    pub artifact_type: ArtifactType,
    /// Whether any number of artifacts is taken.
    pub list: bool,
    /// Whether it may be missing.
    pub optional: bool,
}

/// What a component or pipeline takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// Parameters by name.
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// Artifacts by name.
    pub artifacts: BTreeMap<String, ArtifactSpec>,
}

/// What a component gives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outputs {
    pub(crate) parameters: BTreeMap<String, ParameterType>,
    pub(crate) artifacts: BTreeMap<String, OutputArtifact>,
}

#[derive(Debug, Clone)]
pub(crate) struct OutputArtifact {
    pub(crate) artifact_type: ArtifactType,
    pub(crate) metadata: Map<String, Value>,
}

#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) inputs: Inputs,
    pub(crate) outputs: Outputs,
    pub(crate) body: Body,
    /// Parameters that tasks within take although the component does not declare them: they come from what is around
    /// it. The SDK forgets to declare the item of an outer loop in an inner one.
    pub(crate) inherited: BTreeSet<String>,
}

#[derive(Debug)]
pub(crate) enum Body {
    Dag(Dag),
    Container(Box<Container>),
    Importer(Box<Importer>),
}

#[derive(Debug, Default)]
pub(crate) struct Dag {
    pub(crate) tasks: Vec<Task>,
    pub(crate) index: HashMap<String, TaskIndex>,
    pub(crate) parameters: BTreeMap<String, Vec<Source>>,
    pub(crate) artifacts: BTreeMap<String, Vec<Source>>,
}

/// An output of a DAG's task. Of several, the first that ran counts (`dsl.OneOf`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) task: TaskIndex,
    pub(crate) key: String,
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) key: String,
    pub(crate) display_name: String,
    pub(crate) component: ComponentIndex,
    pub(crate) parameters: BTreeMap<String, ParameterInput>,
    pub(crate) artifacts: BTreeMap<String, ArtifactInput>,
    /// Tasks that must end before this one: those named, and those whose outputs or status it takes.
    pub(crate) upstream: Vec<TaskIndex>,
    /// The inverse.
    pub(crate) downstream: Vec<TaskIndex>,
    pub(crate) trigger: Trigger,
    pub(crate) condition: Option<Condition>,
    pub(crate) iterator: Option<Iterator>,
    /// How many iterations may run at a time; 0 means any number.
    pub(crate) parallelism: usize,
    pub(crate) retry: RetryPolicy,
    pub(crate) caching: Caching,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Caching {
    pub(crate) enabled: bool,
    pub(crate) key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Every upstream task succeeded.
    Succeeded,
    /// Every upstream task ended: exit tasks, and tasks that ignore failures before them.
    Completed,
}

#[derive(Debug)]
pub(crate) struct ParameterInput {
    pub(crate) source: ParameterSource,
    pub(crate) selector: Option<Selector>,
}

#[derive(Debug)]
pub(crate) enum ParameterSource {
    Output(Source),
    Input(String),
    Constant(Arc<Value>),
    FinalStatus(TaskIndex),
}

#[derive(Debug)]
pub(crate) enum ArtifactInput {
    Output(Source),
    Input(String),
}

#[derive(Debug)]
pub(crate) enum Iterator {
    /// Over a list of parameters; each item becomes the input `item`.
    Parameters { items: Items, item: String },
    /// Over the artifacts of the input `items`; each becomes the input `item`.
    Artifacts { items: String, item: String },
}

#[derive(Debug)]
pub(crate) enum Items {
    Constant(Vec<Arc<Value>>),
    Input(String),
}

#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) resources: crate::run::Resources,
    /// Settings of the executor by platform.
    pub(crate) platforms: Map<String, Value>,
}

#[derive(Debug)]
pub(crate) struct Importer {
    pub(crate) uri: ImporterUri,
    pub(crate) artifact_type: ArtifactType,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) reimport: bool,
    pub(crate) download_to_workspace: bool,
    /// The one output.
    pub(crate) output: String,
}

#[derive(Debug)]
pub(crate) enum ImporterUri {
    Constant(String),
    Input(String),
}
