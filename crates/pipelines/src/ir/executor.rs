//! `PipelineDeploymentConfig.ExecutorSpec`: what runs a component that is no DAG.

use mcplane_core::Result;
use serde_json::{Map, Value};

use super::component::{Names, artifact_type, metadata};
use super::fields::Node;
use super::task::constant;
use super::types::{Body, Container, Importer, ImporterUri, Inputs, Outputs};
use crate::run::Resources;

pub(super) fn body(label: &str, at: &Node<'_>, names: &Names<'_>, inputs: &Inputs, outputs: &Outputs) -> Result<Body> {
    let found = names.executors.entries()?.find(|(name, _)| *name == label);
    let Some((_, executor)) = found else {
        return Err(at.error(format!("there is no executor {label:?} in deploymentSpec.executors")));
    };
    let (container_spec, importer_spec) = (executor.field("container")?, executor.field("importer")?);
    if !container_spec.is_null() {
        return Ok(Body::Container(Box::new(container(&container_spec, platforms(label, names)?)?)));
    }
    if !importer_spec.is_null() {
        return Ok(Body::Importer(Box::new(importer(&importer_spec, inputs, outputs)?)));
    }
    Err(executor.error("only container and importer executors can run here"))
}

/// The settings of an executor, by platform.
fn platforms(label: &str, names: &Names<'_>) -> Result<Map<String, Value>> {
    let mut settings = Map::new();
    for (platform, node) in names.platforms.entries()? {
        let deployment = node.field("deploymentSpec")?;
        let executors = deployment.field("executors")?;
        if let Some(setting) = executors.object()?.and_then(|executors| executors.get(label)) {
            settings.insert(platform.clone(), setting.clone());
        }
    }
    Ok(settings)
}

fn container(node: &Node<'_>, platforms: Map<String, Value>) -> Result<Container> {
    let mut env = Vec::new();
    for variable in node.field("env")?.items()? {
        let name = variable.field("name")?;
        let text = name.required()?;
        if text.contains(['=', '\0']) {
            return Err(name.error("is no name of an environment variable"));
        }
        env.push((text.to_owned(), variable.field("value")?.text()?.unwrap_or_default().to_owned()));
    }
    let texts = |name| {
        let list = node.field(name)?;
        let texts = list.items()?.map(|item| Ok(item.text()?.unwrap_or_default().to_owned()));
        texts.collect::<Result<Vec<String>>>()
    };
    Ok(Container {
        image: node.field("image")?.required()?.to_owned(),
        command: texts("command")?,
        args: texts("args")?,
        env,
        resources: resources(&node.field("resources")?)?,
        platforms,
    })
}

/// Newer SDKs write quantities as text (`resourceCpuLimit`) beside the older numbers of cores and gigabytes.
fn resources(node: &Node<'_>) -> Result<Resources> {
    let quantity = |new, old, unit: &str| {
        let text = node.field(new)?.scalar()?;
        if !text.is_empty() {
            return Ok(text);
        }
        let text = node.field(old)?.scalar()?;
        Ok::<_, mcplane_core::Error>(if text.is_empty() || text == "0" { String::new() } else { text + unit })
    };
    let accelerator = node.field("accelerator")?;
    let either = |new, old| {
        let text = accelerator.field(new)?.scalar()?;
        if text.is_empty() { accelerator.field(old)?.scalar() } else { Ok(text) }
    };
    Ok(Resources {
        cpu_request: quantity("resourceCpuRequest", "cpuRequest", "")?,
        cpu_limit: quantity("resourceCpuLimit", "cpuLimit", "")?,
        memory_request: quantity("resourceMemoryRequest", "memoryRequest", "G")?,
        memory_limit: quantity("resourceMemoryLimit", "memoryLimit", "G")?,
        accelerator_type: either("resourceType", "type")?,
        accelerator_count: either("resourceCount", "count")?,
    })
}

fn importer(node: &Node<'_>, inputs: &Inputs, outputs: &Outputs) -> Result<Importer> {
    let uri = node.field("artifactUri")?;
    let parameter = uri.field("runtimeParameter")?;
    let source = match parameter.text()? {
        Some(name) if inputs.parameters.contains_key(name) => ImporterUri::Input(name.to_owned()),
        Some(name) => return Err(parameter.error(format!("the component has no input parameter {name:?}"))),
        None => match constant(&uri)? {
            Value::String(text) if !text.is_empty() => ImporterUri::Constant(text),
            _ => return Err(uri.error("must be given as text")),
        },
    };
    let mut names = outputs.artifacts.keys();
    let (Some(output), None) = (names.next(), names.next()) else {
        return Err(node.error("the component of an importer must have exactly one output artifact"));
    };
    Ok(Importer {
        uri: source,
        artifact_type: artifact_type(&node.field("typeSchema")?)?,
        metadata: metadata(&node.field("metadata")?)?,
        reimport: node.field("reimport")?.flag()?,
        download_to_workspace: node.field("downloadToWorkspace")?.flag()?,
        output: output.clone(),
    })
}
