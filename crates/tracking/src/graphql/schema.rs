//! The types that MLflow's pages may ask for, and which route answers each root field.

use axum::http::Method;

/// A type of objects.
#[derive(Debug)]
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Kind)],
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Texts,
    /// A 64-bit number, as a text: JavaScript would round it.
    Long,
    /// A number, or null for those that JSON lacks.
    Number,
    Flag,
    /// Always null here: what only other servers have.
    Null,
    One(&'static Type),
    Many(&'static Type),
    /// The answer to another request, made from the object that has the field.
    Asked(&'static Asked),
}

impl Kind {
    /// The type whose fields are to be selected.
    pub(super) fn object(self) -> Option<&'static Type> {
        match self {
            Self::One(of) | Self::Many(of) => Some(of),
            Self::Asked(asked) => asked.kind.object(),
            _ => None,
        }
    }
}

/// A route, and where the wanted value is in the object and in the answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) path: &'static str,
    /// Builds the request from the id that is at `from` in the object.
    pub(super) from: &'static str,
    pub(super) input: fn(&str) -> serde_json::Value,
    pub(super) answer: &'static str,
    pub(super) kind: Kind,
}

/// A root field.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) name: &'static str,
    pub(super) mutation: bool,
    pub(super) method: Method,
    /// Below `/api/2.0/mlflow/`.
    pub(super) path: &'static str,
    pub(super) kind: &'static Type,
}

use Kind::{Asked as Other, Flag, Long, Many, Null, Number, One, Text, Texts};

const PAIR: &[(&str, Kind)] = &[("key", Text), ("value", Text)];
static EXPERIMENT_TAG: Type = Type { name: "MlflowExperimentTag", fields: PAIR };
static RUN_TAG: Type = Type { name: "MlflowRunTag", fields: PAIR };
static INPUT_TAG: Type = Type { name: "MlflowInputTag", fields: PAIR };
static PARAM: Type = Type { name: "MlflowParam", fields: PAIR };
static VERSION_TAG: Type = Type { name: "MlflowModelVersionTag", fields: PAIR };
static MODEL_PARAM: Type = Type { name: "MlflowModelParam", fields: &[("name", Text), ("value", Text)] };

const METRIC_FIELDS: &[(&str, Kind)] = &[
    ("key", Text),
    ("value", Number),
    ("timestamp", Long),
    ("step", Long),
    ("datasetName", Text),
    ("datasetDigest", Text),
    ("modelId", Text),
    ("runId", Text),
];
static METRIC: Type = Type { name: "MlflowMetricExtension", fields: METRIC_FIELDS };
static MODEL_METRIC: Type = Type { name: "MlflowModelMetric", fields: METRIC_FIELDS };
static METRIC_OF_RUN: Type = Type {
    name: "MlflowMetricWithRunId",
    fields: &[("key", Text), ("value", Number), ("timestamp", Long), ("step", Long), ("runId", Text)],
};

static EXPERIMENT: Type = Type {
    name: "MlflowExperiment",
    fields: &[
        ("experimentId", Text),
        ("name", Text),
        ("artifactLocation", Text),
        ("lifecycleStage", Text),
        ("lastUpdateTime", Long),
        ("creationTime", Long),
        ("tags", Many(&EXPERIMENT_TAG)),
        ("effectiveTraceArchivalRetention", Text),
        ("workspace", Text),
    ],
};

static INFO: Type = Type {
    name: "MlflowRunInfo",
    fields: &[
        ("runId", Text),
        ("runUuid", Text),
        ("runName", Text),
        ("experimentId", Text),
        ("userId", Text),
        ("status", Text),
        ("startTime", Long),
        ("endTime", Long),
        ("artifactUri", Text),
        ("lifecycleStage", Text),
    ],
};
static DATA: Type = Type {
    name: "MlflowRunData",
    fields: &[("metrics", Many(&METRIC)), ("params", Many(&PARAM)), ("tags", Many(&RUN_TAG))],
};
static DATASET: Type = Type {
    name: "MlflowDataset",
    fields: &[
        ("name", Text),
        ("digest", Text),
        ("sourceType", Text),
        ("source", Text),
        ("schema", Text),
        ("profile", Text),
    ],
};
static DATASET_INPUT: Type =
    Type { name: "MlflowDatasetInput", fields: &[("tags", Many(&INPUT_TAG)), ("dataset", One(&DATASET))] };
static MODEL_INPUT: Type = Type { name: "MlflowModelInput", fields: &[("modelId", Text)] };
static MODEL_OUTPUT: Type = Type { name: "MlflowModelOutput", fields: &[("modelId", Text), ("step", Long)] };
static INPUTS: Type = Type {
    name: "MlflowRunInputs",
    fields: &[("datasetInputs", Many(&DATASET_INPUT)), ("modelInputs", Many(&MODEL_INPUT))],
};
static OUTPUTS: Type = Type { name: "MlflowRunOutputs", fields: &[("modelOutputs", Many(&MODEL_OUTPUT))] };
static EXPERIMENT_OF_RUN: Asked = Asked {
    path: "experiments/get",
    from: "/info/experiment_id",
    input: |id| serde_json::json!({"experiment_id": id}),
    answer: "experiment",
    kind: One(&EXPERIMENT),
};
static VERSIONS_OF_RUN: Asked = Asked {
    path: "model-versions/search",
    from: "/info/run_id",
    input: |id| serde_json::json!({"filter": format!("run_id='{id}'")}),
    answer: "model_versions",
    kind: Many(&VERSION),
};
static RUN: Type = Type {
    name: "MlflowRunExtension",
    fields: &[
        ("info", One(&INFO)),
        ("data", One(&DATA)),
        ("inputs", One(&INPUTS)),
        ("outputs", One(&OUTPUTS)),
        ("experiment", Other(&EXPERIMENT_OF_RUN)),
        ("modelVersions", Other(&VERSIONS_OF_RUN)),
    ],
};

static VERSION: Type = Type {
    name: "MlflowModelVersion",
    fields: &[
        ("name", Text),
        ("version", Text),
        ("creationTimestamp", Long),
        ("lastUpdatedTimestamp", Long),
        ("userId", Text),
        ("currentStage", Text),
        ("description", Text),
        ("source", Text),
        ("runId", Text),
        ("status", Text),
        ("statusMessage", Text),
        ("tags", Many(&VERSION_TAG)),
        ("runLink", Text),
        ("aliases", Texts),
        ("modelId", Text),
        ("modelParams", Many(&MODEL_PARAM)),
        ("modelMetrics", Many(&MODEL_METRIC)),
        ("deploymentJobState", Null),
    ],
};
static FILE: Type = Type { name: "MlflowFileInfo", fields: &[("path", Text), ("isDir", Flag), ("fileSize", Long)] };
static SUMMARY: Type = Type {
    name: "MlflowDatasetSummary",
    fields: &[("experimentId", Text), ("name", Text), ("digest", Text), ("context", Text)],
};

static GOT_RUN: Type = Type { name: "MlflowGetRunResponse", fields: &[("run", One(&RUN)), ("apiError", Null)] };
static GOT_EXPERIMENT: Type =
    Type { name: "MlflowGetExperimentResponse", fields: &[("experiment", One(&EXPERIMENT)), ("apiError", Null)] };
static SAMPLES: Type = Type {
    name: "MlflowGetMetricHistoryBulkIntervalResponse",
    fields: &[("metrics", Many(&METRIC_OF_RUN)), ("apiError", Null)],
};
static FILES: Type = Type {
    name: "MlflowListArtifactsResponse",
    fields: &[("rootUri", Text), ("files", Many(&FILE)), ("nextPageToken", Text), ("apiError", Null)],
};
static RUNS: Type = Type {
    name: "MlflowSearchRunsResponse",
    fields: &[("runs", Many(&RUN)), ("nextPageToken", Text), ("apiError", Null)],
};
static VERSIONS: Type = Type {
    name: "MlflowSearchModelVersionsResponse",
    fields: &[("modelVersions", Many(&VERSION)), ("nextPageToken", Text), ("apiError", Null)],
};
static SUMMARIES: Type =
    Type { name: "MlflowSearchDatasetsResponse", fields: &[("datasetSummaries", Many(&SUMMARY)), ("apiError", Null)] };

static ROOTS: [Root; 8] = {
    const fn root(name: &'static str, mutation: bool, method: Method, path: &'static str, kind: &'static Type) -> Root {
        Root { name, mutation, method, path, kind }
    }
    [
        root("mlflowGetExperiment", false, Method::GET, "experiments/get", &GOT_EXPERIMENT),
        root("mlflowGetRun", false, Method::GET, "runs/get", &GOT_RUN),
        root("mlflowGetMetricHistoryBulkInterval", false, Method::GET, "metrics/get-history-bulk-interval", &SAMPLES),
        root("mlflowListArtifacts", false, Method::GET, "artifacts/list", &FILES),
        root("mlflowSearchModelVersions", false, Method::GET, "model-versions/search", &VERSIONS),
        root("mlflowSearchRuns", false, Method::POST, "runs/search", &RUNS),
        // These change nothing; the protocol calls them mutations.
        root("mlflowSearchRuns", true, Method::POST, "runs/search", &RUNS),
        root("mlflowSearchDatasets", true, Method::POST, "experiments/search-datasets", &SUMMARIES),
    ]
};

/// The root field of that name.
pub(super) fn root(name: &str, mutation: bool) -> Option<&'static Root> {
    ROOTS.iter().find(|root| root.name == name && root.mutation == mutation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_once() {
        for root in &ROOTS {
            let mut names: Vec<_> = root.kind.fields.iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), root.kind.fields.len(), "{}", root.kind.name);
        }
        assert!(root("mlflowSearchDatasets", false).is_none() && root("mlflowSearchDatasets", true).is_some());
    }
}
