//! What flows between tasks: typed parameters and artifacts.
//!
//! Invariants:
//! - JSON has one number type and protocol buffers' `Value` too, so `2` and `2.0` are the same number. Whatever enters
//!   a run is [`normalized`]: an integral number is stored and printed without a fraction, at any depth.
//! - Values are shared, not copied: an iteration of a loop holds the same list as the loop itself.

mod artifact;
mod outputs;
mod parameter;

pub use artifact::{Artifact, ArtifactType, local_path};
pub use outputs::{DeclaredOutput, DeclaredOutputs, read_outputs};
pub(crate) use parameter::excerpt;
pub use parameter::{ParameterType, convert, kind_of, normalized, parse_argument, parse_bool, text, within};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Parameters by name.
pub type Parameters = BTreeMap<String, Arc<Value>>;
/// Artifacts by name; a single artifact is a list of one, what a loop collects is a longer list.
pub type Artifacts = BTreeMap<String, Arc<Vec<Artifact>>>;

/// What a task takes or gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bindings {
    /// Parameters by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: Parameters,
    /// Artifacts by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: Artifacts,
}

impl Bindings {
    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.artifacts.is_empty()
    }

    /// The `inputs` of an `ExecutorInput`: `{"parameterValues": …, "artifacts": {name: {"artifacts": […]}}}`.
    pub fn to_executor_inputs(&self) -> Map<String, Value> {
        let mut inputs = Map::new();
        if !self.parameters.is_empty() {
            let values = self.parameters.iter().map(|(name, value)| (name.clone(), Value::clone(value)));
            inputs.insert("parameterValues".to_owned(), Value::Object(values.collect()));
        }
        if !self.artifacts.is_empty() {
            let lists = self.artifacts.iter().map(|(name, list)| (name.clone(), artifact::list_to_json(list)));
            inputs.insert("artifacts".to_owned(), Value::Object(lists.collect()));
        }
        inputs
    }
}
