//! `PipelineSpec` and its components.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mcplane_core::{Error, Result};
use serde_json::{Map, Value};

use super::fields::Node;
use super::types::{
    ArtifactSpec, Body, Component, ComponentIndex, Dag, Inputs, OutputArtifact, Outputs, ParameterSource, ParameterSpec,
};
use super::{MAX_TASKS, Plan, check, executor, task};
use crate::values::{ArtifactType, ParameterType, convert, normalized, within};

/// What components refer to.
pub(super) struct Names<'a> {
    pub(super) components: HashMap<&'a str, ComponentIndex>,
    pub(super) executors: Node<'a>,
    pub(super) platforms: Node<'a>,
}

pub(super) fn plan(spec: Value, platforms: &Value) -> Result<Plan> {
    let read = read(&spec, platforms)?;
    let platforms = Node::root("platformSpec", platforms).field("platforms")?.object()?.cloned().unwrap_or_default();
    let (info, components, root) = read;
    let mut plan = Plan {
        name: info.name,
        display_name: info.display_name,
        description: info.description,
        default_root: info.default_root,
        components,
        root,
        platforms,
        spec,
    };
    check::nesting(&mut plan)?;
    Ok(plan)
}

struct Info {
    name: String,
    display_name: String,
    description: String,
    default_root: Option<String>,
}

fn read(spec: &Value, platforms: &Value) -> Result<(Info, Vec<Component>, ComponentIndex)> {
    let spec = Node::root("pipelineSpec", spec);
    if spec.object()?.is_none() {
        return Err(spec.error("must be given"));
    }
    let version = spec.field("schemaVersion")?;
    match version.text()? {
        Some(text) if text == "2.1.0" || text.starts_with("2.1.") => {}
        Some(text) => {
            return Err(
                version.error(format!("{text:?} is not supported: compile the pipeline with kfp 2 (schema 2.1.0)"))
            );
        }
        None => {
            return Err(version.error("must be given: this is no pipeline that the kfp SDK compiled"));
        }
    }
    let info = spec.field("pipelineInfo")?;
    let name = info.field("name")?.required()?.to_owned();
    if name.len() > 256 {
        return Err(info.field("name")?.error("is longer than 256 bytes"));
    }
    let info = Info {
        display_name: info.field("displayName")?.text()?.unwrap_or(&name).to_owned(),
        description: info.field("description")?.text()?.unwrap_or_default().to_owned(),
        default_root: spec.field("defaultPipelineRoot")?.text()?.map(str::to_owned),
        name,
    };

    let (map, deployment) = (spec.field("components")?, spec.field("deploymentSpec")?);
    let platforms = Node::root("platformSpec", platforms);
    let mut names = Names {
        components: HashMap::new(),
        executors: deployment.field("executors")?,
        platforms: platforms.field("platforms")?,
    };
    let entries: Vec<(&String, Node<'_>)> = map.entries()?.collect();
    names.components = entries.iter().enumerate().map(|(index, (name, _))| (name.as_str(), index)).collect();
    let root = spec.field("root")?;
    let mut components = Vec::with_capacity(entries.len() + 1);
    for (name, node) in entries.iter().map(|(name, node)| (name.as_str(), node)).chain([("root", &root)]) {
        components.push(component(name, node, &names)?);
    }
    let tasks: usize = components.iter().map(|component| component.dag().map_or(0, |dag| dag.tasks.len())).sum();
    if tasks > MAX_TASKS {
        return Err(Error::bad_request(format!(
            "the pipeline has {tasks} tasks, which is more than the {MAX_TASKS} allowed"
        )));
    }
    let index = components.len() - 1;
    if components[index].dag().is_none() {
        return Err(root.error("must have a dag"));
    }
    for ((_, node), component) in entries.iter().zip(&components) {
        check::references(node, component, &components)?;
    }
    check::references(&root, &components[index], &components)?;
    Ok((info, components, index))
}

fn component(name: &str, node: &Node<'_>, names: &Names<'_>) -> Result<Component> {
    let inputs = inputs(&node.field("inputDefinitions")?)?;
    let outputs = outputs(&node.field("outputDefinitions")?)?;
    let (dag, label) = (node.field("dag")?, node.field("executorLabel")?);
    let body = match (dag.is_null(), label.text()?) {
        (false, None) => Body::Dag(task::dag(&dag, &inputs, names)?),
        (true, Some(text)) => executor::body(text, &label, names, &inputs, &outputs)?,
        (false, Some(_)) => return Err(node.error("has both a dag and an executorLabel")),
        (true, None) => return Err(node.error("has neither a dag nor an executorLabel")),
    };
    Ok(Component { name: name.to_owned(), inherited: inherited(&inputs, &body), inputs, outputs, body })
}

impl Component {
    pub(crate) fn dag(&self) -> Option<&Dag> {
        match &self.body {
            Body::Dag(dag) => Some(dag),
            Body::Container(_) | Body::Importer(_) => None,
        }
    }
}

fn inherited(inputs: &Inputs, body: &Body) -> BTreeSet<String> {
    let Body::Dag(dag) = body else { return BTreeSet::new() };
    let sources = dag.tasks.iter().flat_map(|task| task.parameters.values()).map(|input| &input.source);
    let names = sources.filter_map(|source| match source {
        ParameterSource::Input(name) if !inputs.parameters.contains_key(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

fn inputs(node: &Node<'_>) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    for (name, node) in node.field("parameters")?.entries()? {
        inputs.parameters.insert(name.clone(), parameter(&node)?);
    }
    for (name, node) in node.field("artifacts")?.entries()? {
        let spec = ArtifactSpec {
            artifact_type: artifact_type(&node.field("artifactType")?)?,
            list: node.field("isArtifactList")?.flag()?,
            optional: node.field("isOptional")?.flag()?,
        };
        inputs.artifacts.insert(name.clone(), spec);
    }
    Ok(inputs)
}

fn parameter(node: &Node<'_>) -> Result<ParameterSpec> {
    let parameter_type = parameter_type(node)?;
    let literals: Vec<Value> =
        node.field("literals")?.items()?.map(|literal| normalized(literal.value.clone())).collect();
    let default = node.field("defaultValue")?;
    let value = if default.is_null() {
        None
    } else {
        let value = convert(Arc::new(normalized(default.value.clone())), parameter_type);
        let value = value.map_err(|reason| default.error(reason))?;
        within(&value, &literals).map_err(|reason| default.error(reason))?;
        Some(value)
    };
    Ok(ParameterSpec {
        parameter_type,
        optional: node.field("isOptional")?.flag()? || value.is_some(),
        default: value,
        literals,
        description: node.field("description")?.text()?.unwrap_or_default().to_owned(),
    })
}

fn parameter_type(node: &Node<'_>) -> Result<ParameterType> {
    let (new, old) = (node.field("parameterType")?, node.field("type")?);
    let given = if new.is_null() { old } else { new };
    ParameterType::from_json(given.value)
        .ok_or_else(|| given.error("is not a parameter type: use STRING, NUMBER_INTEGER …"))
}

fn outputs(node: &Node<'_>) -> Result<Outputs> {
    let mut outputs = Outputs::default();
    for (name, node) in node.field("parameters")?.entries()? {
        file_name(name, &node)?;
        outputs.parameters.insert(name.clone(), parameter_type(&node)?);
    }
    for (name, node) in node.field("artifacts")?.entries()? {
        file_name(name, &node)?;
        let artifact = OutputArtifact {
            artifact_type: artifact_type(&node.field("artifactType")?)?,
            metadata: metadata(&node.field("metadata")?)?,
        };
        outputs.artifacts.insert(name.clone(), artifact);
    }
    Ok(outputs)
}

pub(super) fn metadata(node: &Node<'_>) -> Result<Map<String, Value>> {
    let entries = node.object()?.into_iter().flatten();
    Ok(entries.map(|(key, value)| (key.clone(), normalized(value.clone()))).collect())
}

pub(super) fn artifact_type(node: &Node<'_>) -> Result<ArtifactType> {
    let text = |name| Ok::<_, Error>(node.field(name)?.text()?.unwrap_or_default().to_owned());
    Ok(ArtifactType {
        schema_title: text("schemaTitle")?,
        schema_version: text("schemaVersion")?,
        schema_uri: text("schemaUri")?,
        instance_schema: text("instanceSchema")?,
    })
}

/// Names of tasks and outputs become files and directories.
pub(super) fn file_name(name: &str, node: &Node<'_>) -> Result<()> {
    let bad = |letter: char| letter.is_control() || matches!(letter, '/' | '\\' | '[' | ']');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || name.contains(bad) {
        return Err(node.error(
            "has a name that can't be a file's: give 1 to 200 bytes without / \\ [ ] and control characters that do not begin with a dot",
        ));
    }
    Ok(())
}

pub(super) type ByName<T> = BTreeMap<String, T>;
