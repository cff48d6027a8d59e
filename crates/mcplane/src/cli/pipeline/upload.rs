//! `mcplane pipeline upload`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::super::connection::{encode, request};
use super::super::failure::Failure;
use super::super::output::print_line;
use super::run::{dns, parse, read};
use super::{Pipelines, text};

/// Where pipelines are.
const PIPELINES: &str = "/apis/pipelines.kubeflow.org/v2beta1";

/// Keep a compiled pipeline as a version, which runs can name
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What `kfp dsl compile` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name of the pipeline; without it the one in the file
    #[arg(long)]
    name: Option<String>,
    /// Name of the version; without it the pipeline's and something random
    #[arg(long)]
    version: Option<String>,
}

pub(super) async fn run(pipelines: &Pipelines<'_>, arguments: Arguments) -> Result<(), Failure> {
    let content = read(&arguments.file)?;
    let plan = parse(&arguments.file, &content)?;
    let name = arguments.name.unwrap_or_else(|| dns(plan.name()));
    let collection = pipelines.path(PIPELINES, "pipelines");
    if pipelines.connection.get_optional(&format!("{collection}/{}", encode(&name))).await?.is_none() {
        let pipeline = json!({
            "apiVersion": "pipelines.kubeflow.org/v2beta1", "kind": "Pipeline", "metadata": {"name": name},
            "spec": {"displayName": plan.display_name(), "description": plan.description()},
        });
        pipelines.connection.json::<Value>(request("POST", &collection, Some(&pipeline))?).await?;
    }
    let metadata = match &arguments.version {
        Some(version) => json!({"name": version}),
        None => json!({"generateName": format!("{name}-")}),
    };
    let version = json!({
        "apiVersion": "pipelines.kubeflow.org/v2beta1", "kind": "PipelineVersion", "metadata": metadata,
        "spec": {"pipelineName": name, "pipelineSpec": content},
    });
    let path = pipelines.path(PIPELINES, "pipelineversions");
    let made: Value = pipelines.connection.json(request("POST", &path, Some(&version))?).await?;
    print_line(&format!("pipeline {name}: version {}", text(&made["metadata"], "name")))
}
