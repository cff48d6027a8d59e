//! What a grant gives access to: which namespace, and as which noun roles speak of it.

use mcplane_core::Attributes;
use mcplane_objects::roles::{CHANGE, SEE, part, rule};
use serde_json::Value;

/// A resource as roles name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noun {
    /// API group.
    pub group: &'static str,
    /// Plural name.
    pub resource: &'static str,
}

/// The group of what is tracked.
pub(crate) const GROUP: &str = "tracking.mcplane.io";

/// The group of what the object API shows too.
pub(crate) const OBJECT_GROUP: &str = "mcplane.io";

/// Experiments.
pub const EXPERIMENTS: Noun = Noun { group: GROUP, resource: "experiments" };
/// Runs, with what is logged to them.
pub const RUNS: Noun = Noun { group: GROUP, resource: "runs" };
/// Models that runs made.
pub const LOGGED_MODELS: Noun = Noun { group: GROUP, resource: "loggedmodels" };
/// Files that runs and models leave.
pub const ARTIFACTS: Noun = Noun { group: GROUP, resource: "artifacts" };
/// Evaluation datasets, with their records.
pub const EVALUATION_DATASETS: Noun = Noun { group: GROUP, resource: "evaluationdatasets" };
/// Traces, with their spans and what is said of them.
pub const TRACES: Noun = Noun { group: GROUP, resource: "traces" };
/// What judges traces.
pub const SCORERS: Noun = Noun { group: GROUP, resource: "scorers" };
/// Registered models.
pub const MODELS: Noun = Noun { group: OBJECT_GROUP, resource: "models" };
/// Versions of registered models.
pub const MODEL_VERSIONS: Noun = Noun { group: OBJECT_GROUP, resource: "modelversions" };
/// What was made from what.
pub const LINEAGE: Noun = Noun { group: GROUP, resource: "lineage" };
/// Webhooks. They send what happens here elsewhere, and their addresses may be secrets.
pub const WEBHOOKS: Noun = Noun { group: GROUP, resource: "webhooks" };

/// What those who may see or change a namespace see and change of this crate.
const EVERYDAY: [Noun; 7] = [EXPERIMENTS, RUNS, LOGGED_MODELS, ARTIFACTS, EVALUATION_DATASETS, TRACES, LINEAGE];

impl Noun {
    /// What a role must allow for `verb` in `namespace`.
    pub fn attributes(self, verb: &'static str, namespace: &str) -> Attributes {
        Attributes::resource(verb, self.group, self.resource, namespace, "")
    }
}

/// The ClusterRoles that give the sums `view`, `edit` and `admin` their rights in this crate's nouns.
pub fn roles() -> Vec<Value> {
    let everyday = |verbs: &[&str]| {
        let own = EVERYDAY.map(|noun| noun.resource);
        [rule(GROUP, &own, verbs), rule(OBJECT_GROUP, &[MODELS.resource, MODEL_VERSIONS.resource], verbs)]
    };
    vec![
        part("tracking", "view", &everyday(SEE)),
        part("tracking", "edit", &everyday(CHANGE)),
        part("tracking", "admin", &[rule(GROUP, &[WEBHOOKS.resource], &["*"])]),
    ]
}
