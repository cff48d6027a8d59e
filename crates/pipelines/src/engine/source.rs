//! What a run runs: the pipeline in its object, or the version that it names.

use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use mcplane_core::{Result, clock};
use serde_json::Value;

use super::Shared;
use super::supervisor::service;
use crate::ir::Plan;
use crate::kinds::{
    KUBEFLOW, KUBEFLOW_VERSION, PipelineVersion, RunSpec, VersionSpec, arguments, parse_spec, spec_text,
};
use crate::runs::{Asked, RunRow};

/// The label by which a run chooses its queue, as Kueue has it.
const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

/// Reads the object of a run.
///
/// # Errors
/// When the store fails; inside, a sentence for why this can't run.
pub(super) async fn read(shared: &Shared, object: &DynamicObject) -> Result<Result<RunRow, String>> {
    let spec: RunSpec = match serde_json::from_value(object.data["spec"].clone()) {
        Ok(spec) => spec,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let namespace = object.namespace().unwrap_or_default();
    let (source, platform) = match (&spec.version_ref, &spec.pipeline_ref) {
        (Some(version), _) => match version_of(shared, &namespace, &version.name).await? {
            Some(version) => (version.pipeline_spec, version.platform_spec),
            None => return Ok(Err(format!("there is no PipelineVersion {:?} in {namespace}", version.name))),
        },
        (None, Some(pipeline)) => match newest_of(shared, &namespace, &pipeline.name).await? {
            Some(version) => (version.pipeline_spec, version.platform_spec),
            None => return Ok(Err(format!("there is no PipelineVersion of {:?} in {namespace}", pipeline.name))),
        },
        (None, None) => (spec.pipeline_spec.clone(), spec.platform_spec.clone()),
    };
    let checked = parse_spec(&source, &platform).and_then(|plan| match arguments(&plan, &spec.parameters).pop() {
        Some(fault) => Err(fault),
        None => Ok(plan),
    });
    let plan = match checked {
        Ok(plan) => plan,
        Err(fault) => return Ok(Err(fault.to_string())),
    };
    let text = |plan: &Plan| match spec.enable_cache {
        Some(true) => with_cache(plan.spec().clone(), &source, &platform),
        _ => spec_text(&source, &platform),
    };
    let annotation = |name: &str| object.annotations().get(name).cloned();
    let trace = annotation("mcplane.io/trace-id").unwrap_or_else(|| mcplane_core::TraceId::random().to_string());
    Ok(Ok(RunRow {
        uid: object.uid().unwrap_or_default(),
        namespace,
        name: object.name_any(),
        pipeline: plan.name().to_owned(),
        spec: text(&plan).into(),
        asked: Asked {
            parameters: spec.parameters,
            enable_cache: spec.enable_cache,
            service_account: spec.service_account_name,
            queue: object.labels().get(QUEUE_LABEL).cloned().unwrap_or_default(),
            display_name: spec.display_name,
            trace,
        },
        state: None,
        error: String::new(),
        canceling: false,
        experiment: String::new(),
        tracked: String::new(),
        created_at: object
            .metadata
            .creation_timestamp
            .as_ref()
            .and_then(|time| clock::parse_rfc3339(&time.0.to_string()))
            .unwrap_or_else(|| shared.clock().now()),
        finished_at: None,
    }))
}

/// Has all tasks of the root take what was done before, as the SDK does for a run that wants it.
fn with_cache(mut spec: Value, source: &Value, platform: &Value) -> String {
    let tasks = spec.pointer_mut("/root/dag/tasks").and_then(Value::as_object_mut);
    for task in tasks.into_iter().flat_map(|tasks| tasks.values_mut()) {
        let field = if task.get("caching_options").is_some() { "caching_options" } else { "cachingOptions" };
        task[field] = serde_json::json!({"enableCache": true});
    }
    // What the text said to platforms, in a second document, is said again.
    let second = match source {
        Value::String(text) => {
            let platforms = Plan::parse(text).map(|plan| plan.platforms().clone()).unwrap_or_default();
            serde_json::json!({ "platforms": platforms })
        }
        _ => platform.clone(),
    };
    spec_text(&spec, &second)
}

fn versions(shared: &Shared, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(KUBEFLOW, KUBEFLOW_VERSION, "PipelineVersion");
    let resource = ApiResource::from_gvk_with_plural(&kind, "pipelineversions");
    Api::namespaced_with(shared.client.clone(), namespace, &resource)
}

fn typed(object: &DynamicObject) -> VersionSpec {
    serde_json::from_value::<PipelineVersion>(object.data.clone()).unwrap_or_default().spec
}

async fn version_of(shared: &Shared, namespace: &str, name: &str) -> Result<Option<VersionSpec>> {
    let found = versions(shared, namespace).get_opt(name).await.map_err(service)?;
    Ok(found.as_ref().map(typed))
}

async fn newest_of(shared: &Shared, namespace: &str, pipeline: &str) -> Result<Option<VersionSpec>> {
    let of_pipeline = ListParams::default().fields(&format!("spec.pipelineName={pipeline}"));
    let found = versions(shared, namespace).list(&of_pipeline).await.map_err(service)?;
    let newest = found.items.iter().max_by_key(|version| {
        let made = version.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (made, version.name_any())
    });
    Ok(newest.map(typed))
}
