//! `mcplane pipeline logs`.

use clap::Args;
use serde_json::Value;

use super::super::connection::{encode, query};
use super::super::failure::Failure;
use super::super::output::{complain, print, print_line};
use super::{Pipelines, text};

/// Show what the steps of a run printed
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the run
    #[arg(value_name = "RUN")]
    run: String,
    /// A step: its place in the run, or its name; all steps if left out
    #[arg(value_name = "STEP")]
    step: Option<String>,
    /// Number of the attempt, from 1; without it the newest
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    attempt: Option<i64>,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
}

pub(super) async fn run(pipelines: &Pipelines<'_>, arguments: Arguments) -> Result<(), Failure> {
    let detail = pipelines.steps(&arguments.run).await?;
    let all: Vec<&Value> = detail["steps"].as_array().into_iter().flatten().collect();
    let steps: Vec<&Value> = match &arguments.step {
        None => all.iter().copied().filter(|step| !text(step, "taskId").is_empty()).collect(),
        Some(wanted) => chosen(&all, wanted)?,
    };
    if steps.is_empty() {
        complain(&format!("no step of {} has begun", arguments.run));
    }
    let several = steps.len() > 1;
    for step in steps {
        if several {
            print_line(&format!("--- {} ({})", text(step, "node"), text(step, "state")))?;
        }
        print(&pipelines.log(step, &arguments).await?)?;
    }
    Ok(())
}

/// The steps of this place or name.
fn chosen<'s>(all: &[&'s Value], wanted: &str) -> Result<Vec<&'s Value>, Failure> {
    let at =
        |field: &str| -> Vec<&'s Value> { all.iter().copied().filter(|step| text(step, field) == wanted).collect() };
    let found = [at("node"), at("task"), at("displayName")].into_iter().find(|found| !found.is_empty());
    let found = found.unwrap_or_default();
    let begun: Vec<&Value> = found.iter().copied().filter(|step| !text(step, "taskId").is_empty()).collect();
    if begun.is_empty() {
        let why = match found.first() {
            None => {
                let known: Vec<&str> = all.iter().map(|step| text(step, "task")).collect();
                format!("there is no step {wanted:?}; there are {}", known.join(", "))
            }
            Some(step) => format!("step {wanted:?} has printed nothing: it is {}", text(step, "state")),
        };
        return Err(Failure::failed(why));
    }
    Ok(begun)
}

impl Pipelines<'_> {
    async fn log(&self, step: &Value, arguments: &Arguments) -> Result<String, Failure> {
        let tail = arguments.tail.map(|lines| lines.to_string());
        let attempt = arguments.attempt.map(|attempt| attempt.to_string());
        let pairs = [("tailLines", tail.as_deref()), ("attempt", attempt.as_deref())];
        let task = encode(text(step, "taskId"));
        let path = self.path("/tasks/v1", &format!("tasks/{task}/logs{}", query(&pairs)));
        self.connection.text(&path).await
    }
}
