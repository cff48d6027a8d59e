//! From a leaf with its inputs to what the driver runs.

use std::cell::OnceCell;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::node::{Inner, NodeIndex};
use super::types::{Context, Effect, Import, NodeId, Resources, State, Step};
use super::{Run, fingerprint};
use crate::ir::types::{Body, Component, Container, Importer, ImporterUri, Task};
use crate::placeholders::{Constants, Scope, arguments};
use crate::resolve;
use crate::values::{Artifact, Bindings, DeclaredOutput, DeclaredOutputs, local_path, text};

impl Run {
    /// Asks for every leaf that started; those that can't be, fail, which may start others.
    pub(super) fn launch_all(&mut self) {
        while !self.replaying && !self.launches.is_empty() {
            for node in std::mem::take(&mut self.launches) {
                if self.nodes[node].state != State::Running {
                    continue;
                }
                match self.launch(node) {
                    Ok(effect) => {
                        self.record(node);
                        self.actions.push(effect);
                    }
                    Err(reason) => self.fail(node, reason),
                }
            }
            self.settle();
        }
    }

    fn launch(&self, index: NodeIndex) -> Result<Effect, String> {
        let node = &self.nodes[index];
        let task = node.task(&self.plan).ok_or("the task is not part of the pipeline")?;
        let component = &self.plan.components[node.component];
        let id = stable_id(&self.context, &node.id);
        let constants = Constants {
            context: &self.context,
            resource_name: &self.resource_name,
            task_name: &task.key,
            task_id: &id,
        };
        match &component.body {
            Body::Container(container) => {
                let leaf = Leaf { run: self, index, task, component, constants: &constants };
                leaf.step(container).map(|step| Effect::Execute(Box::new(step)))
            }
            Body::Importer(importer) => {
                let leaf = Leaf { run: self, index, task, component, constants: &constants };
                leaf.import(importer).map(|import| Effect::Import(Box::new(import)))
            }
            Body::Dag(_) => Err("a graph can't be launched".to_owned()),
        }
    }
}

struct Leaf<'a> {
    run: &'a Run,
    index: NodeIndex,
    task: &'a Task,
    component: &'a Component,
    constants: &'a Constants<'a>,
}

impl Leaf<'_> {
    fn scope<'a>(&'a self, outputs: Option<&'a DeclaredOutputs>, executor_input: Option<&'a Value>) -> Scope<'a> {
        let node = &self.run.nodes[self.index];
        Scope {
            constants: self.constants,
            inputs: &node.inputs,
            declared: &self.component.inputs,
            outputs,
            executor_input,
            executor_input_text: OnceCell::new(),
        }
    }

    fn step(&self, container: &Container) -> Result<Step, String> {
        let node = &self.run.nodes[self.index];
        let root = self.task_root();
        let outputs = provision(self.component, &root);
        let executor_input = executor_input(&node.inputs, &outputs);
        let scope = self.scope(Some(&outputs), Some(&executor_input));
        let owned = |text: &str| scope.substitute(text).into_owned();
        let (command, args) = (arguments(&container.command, &scope)?, arguments(&container.args, &scope)?);
        let image = owned(&container.image);
        let env = container.env.iter().map(|(name, value)| (name.clone(), owned(value))).collect();
        let asked = &container.resources;
        let resources = Resources {
            cpu_request: owned(&asked.cpu_request),
            cpu_limit: owned(&asked.cpu_limit),
            memory_request: owned(&asked.memory_request),
            memory_limit: owned(&asked.memory_limit),
            accelerator_type: owned(&asked.accelerator_type),
            accelerator_count: owned(&asked.accelerator_count),
        };
        drop(scope);
        Ok(Step {
            node: node.id.clone(),
            task: self.task.key.clone(),
            display_name: self.task.display_name.clone(),
            component: self.component.name.clone(),
            image,
            command,
            args,
            env,
            resources,
            retry: self.task.retry,
            executor_input,
            inputs: node.inputs.clone(),
            outputs,
            task_root: root,
            fingerprint: fingerprint::of(
                self.run.plan.name(),
                &self.task.caching,
                self.component,
                container,
                &node.inputs,
            ),
            platforms: self.platforms(container),
        })
    }

    fn platforms(&self, container: &Container) -> Map<String, Value> {
        let run = self.run;
        let Some(parent) = run.nodes[self.index].parent else { return Map::new() };
        let graph = match &run.nodes[parent].inner {
            Inner::Dag(_) => run.plan.components[run.nodes[parent].component].dag(),
            Inner::Leaf | Inner::Loop(_) => None,
        };
        let sibling = |task| graph.map(|graph| run.sibling(parent, graph, task));
        resolve::platforms(&container.platforms, graph, &run.nodes[parent].inputs, &sibling)
    }

    fn import(&self, importer: &Importer) -> Result<Import, String> {
        let node = &self.run.nodes[self.index];
        let scope = self.scope(None, None);
        let uri = match &importer.uri {
            ImporterUri::Constant(uri) => scope.substitute(uri).into_owned(),
            ImporterUri::Input(name) => {
                node.inputs.parameters.get(name).map(|uri| text(uri).into_owned()).unwrap_or_default()
            }
        };
        if uri.is_empty() {
            return Err("the URI to import is empty".to_owned());
        }
        let Value::Object(metadata) = scope.constant(&Value::Object(importer.metadata.clone())) else {
            return Err("the metadata to import is no object".to_owned());
        };
        let artifact = Artifact {
            name: importer.output.clone(),
            artifact_type: importer.artifact_type.clone(),
            uri,
            metadata,
            custom_path: None,
        };
        Ok(Import {
            node: node.id.clone(),
            task: self.task.key.clone(),
            display_name: self.task.display_name.clone(),
            output: importer.output.clone(),
            artifact,
            reimport: importer.reimport,
            download_to_workspace: importer.download_to_workspace,
            inputs: node.inputs.clone(),
        })
    }

    /// `ROOT/PIPELINE/RUN/TASK/ID`. What follows a `?` in an URI configures its bucket and is no part of a path.
    fn task_root(&self) -> String {
        let context = &self.run.context;
        let root = match context.pipeline_root.split_once('?') {
            Some((root, _)) if root.contains("://") => root,
            _ => &context.pipeline_root,
        };
        let root = root.trim_end_matches('/');
        let (pipeline, run) = (folder(self.run.plan.name()), folder(&context.run_id));
        format!("{root}/{pipeline}/{run}/{}/{}", self.task.key, self.constants.task_id)
    }
}

/// A name as a single folder.
fn folder(name: &str) -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let folder: String = name.chars().map(safe).collect();
    if folder.starts_with('.') { format!("-{folder}") } else { folder }
}

/// Tells nodes of all runs apart, and is the same after a restart: 16 hexadecimal digits.
pub(super) fn stable_id(context: &Context, node: &NodeId) -> String {
    let digest = Sha256::new().chain_update(&context.run_id).chain_update([0]).chain_update(node.as_str()).finalize();
    fingerprint::hexadecimal(&digest[..8])
}

/// Where a task is to put its outputs. The `ExecutorOutput` lies in the task root, as `dsl.get_uri` wants it.
fn provision(component: &Component, root: &str) -> DeclaredOutputs {
    let local = local_path(root);
    let parameters = component.outputs.parameters.iter().map(|(name, parameter_type)| {
        let path = format!("{local}/.parameters/{name}");
        (name.clone(), DeclaredOutput { parameter_type: *parameter_type, path })
    });
    let artifacts = component.outputs.artifacts.iter().map(|(name, output)| {
        let artifact = Artifact {
            name: name.clone(),
            artifact_type: output.artifact_type.clone(),
            uri: format!("{root}/{name}"),
            metadata: output.metadata.clone(),
            custom_path: None,
        };
        (name.clone(), artifact)
    });
    DeclaredOutputs {
        output_file: format!("{local}/output_metadata.json"),
        parameters: parameters.collect(),
        artifacts: artifacts.collect(),
    }
}

fn executor_input(inputs: &Bindings, outputs: &DeclaredOutputs) -> Value {
    let parameters = outputs.parameters.iter().map(|(name, output)| (name.clone(), json!({"outputFile": output.path})));
    let parameters: Map<String, Value> = parameters.collect();
    let artifacts =
        outputs.artifacts.iter().map(|(name, artifact)| (name.clone(), json!({"artifacts": [artifact.to_json()]})));
    let artifacts: Map<String, Value> = artifacts.collect();
    let mut places = Map::new();
    if !parameters.is_empty() {
        places.insert("parameters".to_owned(), Value::Object(parameters));
    }
    if !artifacts.is_empty() {
        places.insert("artifacts".to_owned(), Value::Object(artifacts));
    }
    places.insert("outputFile".to_owned(), Value::String(outputs.output_file.clone()));
    json!({"inputs": inputs.to_executor_inputs(), "outputs": places})
}
