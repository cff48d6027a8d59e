//! `mcplane pipeline run`.

use std::path::{Path, PathBuf};

use clap::Args;
use mcplane_pipelines::ir::Plan;
use mcplane_pipelines::values::parse_argument;
use serde_json::{Map, Value, json};

use super::super::connection::request;
use super::super::failure::Failure;
use super::super::output::{complain, print_line};
use super::progress::{Followed, follow};
use super::{Pipelines, RUNS, text};

/// Run a compiled pipeline, and watch its steps
///
/// The command ends with 0 if the run succeeded and with 1 if not. Ctrl-C ends the run; twice, it leaves it alone.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What `kfp dsl compile` or `kfp.compiler.Compiler().compile()` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An argument of the pipeline
    #[arg(short, long, value_name = "NAME=VALUE")]
    parameter: Vec<String>,
    /// What to call the run; without it the pipeline's name and something random
    #[arg(long)]
    name: Option<String>,
    /// Do everything again, whatever earlier runs did
    #[arg(long)]
    no_cache: bool,
    /// Service account that steps run as
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Wait for the end and show how far it is, which is the default
    #[arg(long, conflicts_with = "detach")]
    wait: bool,
    /// Only begin it, and print its name
    #[arg(short, long)]
    detach: bool,
}

/// The text of a compiled pipeline.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    if file.extension().is_some_and(|extension| extension == "py") {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("pipeline");
        let shown = file.display();
        return Err(Failure::usage(format!("{shown} is a program, and what it compiles to is what runs"))
            .hint(format!("`kfp dsl compile --py {shown} --output {stem}.yaml`, and then run {stem}.yaml")));
    }
    std::fs::read_to_string(file).map_err(|error| Failure::from_error(format!("can't read {}", file.display()), &error))
}

/// A pipeline, read as the server reads it.
pub(super) fn parse(file: &Path, content: &str) -> Result<Plan, Failure> {
    Plan::parse(content).map_err(|error| Failure::failed(error.to_string()).within(&file.display().to_string()))
}

pub(super) async fn run(pipelines: &Pipelines<'_>, arguments: Arguments) -> Result<(), Failure> {
    let content = read(&arguments.file)?;
    let plan = parse(&arguments.file, &content)?;
    let body = arguments.body(&plan, content)?;
    let path = pipelines.path(RUNS, "pipelineruns");
    let made: Value = pipelines.connection.json(request("POST", &path, Some(&body))?).await?;
    let name = text(&made["metadata"], "name");
    if arguments.detach {
        complain(&format!("`mcplane pipeline get {name}` tells of it"));
        return print_line(name);
    }
    match follow(pipelines, name).await? {
        Followed::Ended(status) if text(&status, "state") == "SUCCEEDED" => {
            print_line(&format!("run {name} succeeded"))
        }
        Followed::Ended(status) => {
            let state = text(&status, "state").to_lowercase();
            let why = text(&status, "message");
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            Err(Failure::failed(format!("run {name} {state}{why}"))
                .hint(format!("`mcplane pipeline logs {name} STEP` shows what a step printed")))
        }
        Followed::Left => {
            complain(&format!("run {name} goes on; `mcplane pipeline cancel {name}` ends it"));
            Ok(())
        }
    }
}

impl Arguments {
    /// The run as the server takes it.
    fn body(&self, plan: &Plan, content: String) -> Result<Value, Failure> {
        let mut parameters = Map::new();
        for given in &self.parameter {
            let Some((name, value)) = given.split_once('=') else {
                return Err(Failure::usage(format!("{given:?} is no argument: write NAME=VALUE")));
            };
            let Some(spec) = plan.inputs().parameters.get(name) else {
                let known: Vec<&str> = plan.inputs().parameters.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Failure::usage(format!("{} has no parameter {name:?}; it has {known}", plan.name())));
            };
            let value = parse_argument(spec.parameter_type, value)
                .map_err(|why| Failure::usage(format!("parameter {name:?}: {why}")))?;
            parameters.insert(name.to_owned(), value);
        }
        let mut metadata = json!({});
        match &self.name {
            Some(name) => metadata["name"] = name.as_str().into(),
            None => metadata["generateName"] = format!("{}-", dns(plan.name())).into(),
        }
        let mut spec = json!({"pipelineSpec": content, "parameters": parameters});
        if self.no_cache {
            spec["enableCache"] = false.into();
        }
        if let Some(account) = &self.service_account {
            spec["serviceAccountName"] = account.as_str().into();
        }
        Ok(json!({"apiVersion": "mcplane.io/v1alpha1", "kind": "PipelineRun", "metadata": metadata, "spec": spec}))
    }
}

/// A name as part of one that DNS allows.
pub(super) fn dns(name: &str) -> String {
    const LONGEST: usize = 50;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).take(LONGEST).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "pipeline".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_compiled_first() {
        let refused = read(Path::new("dir/train.py")).unwrap_err().text();
        assert!(refused.contains("kfp dsl compile --py dir/train.py --output train.yaml"), "{refused}");
    }

    #[test]
    fn names_of_pipelines_become_names_of_runs() {
        for (name, run) in [("My Pipeline_1", "my-pipeline-1"), ("Ü", "pipeline"), ("a", "a")] {
            assert_eq!(dns(name), run);
        }
    }
}
