//! `mcplane pipeline`.

mod logs;
mod progress;
mod run;
mod upload;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::connection::{Connection, Place, encode, query, typed_request};
use super::failure::Failure;
use super::output::{print, print_line};
use super::table::Columns;

const EXAMPLES: &str = "\
Examples:
  mcplane pipeline run train.yaml -p epochs=10       run what kfp compiled, and watch
  name=$(mcplane pipeline run train.yaml --detach)
  mcplane pipeline list
  mcplane pipeline get train-x7k2p                   steps with their inputs and outputs
  mcplane pipeline logs train-x7k2p fit              what a step printed
  mcplane pipeline cancel train-x7k2p
  mcplane pipeline upload train.yaml                 keep it as a version of a pipeline
";

/// Where runs are.
const RUNS: &str = "/apis/mcplane.io/v1alpha1";

/// Run pipelines that the Kubeflow Pipelines SDK compiled
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    /// Show runs, newest first
    List {
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Show a run's steps, with their inputs and outputs
    Get {
        /// Name of the run
        #[arg(value_name = "RUN")]
        run: String,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    Logs(logs::Arguments),
    /// End runs: what runs of them is told to stop, nothing more begins
    Cancel {
        /// Names of runs
        #[arg(value_name = "RUN", required = true)]
        runs: Vec<String>,
    },
    Upload(upload::Arguments),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What matters, for people
    Table,
    /// All of it
    Json,
}

/// Runs of one namespace.
struct Pipelines<'c> {
    connection: &'c Connection,
    namespace: &'c str,
}

impl Pipelines<'_> {
    fn path(&self, group: &str, rest: &str) -> String {
        format!("{group}/namespaces/{}/{rest}", encode(self.namespace))
    }

    fn run_path(&self, name: &str) -> String {
        self.path(RUNS, &format!("pipelineruns/{}", encode(name)))
    }

    async fn run(&self, name: &str) -> Result<Value, Failure> {
        self.connection.get(&self.run_path(name)).await
    }

    async fn steps(&self, name: &str) -> Result<Value, Failure> {
        self.connection.get(&format!("{}/steps", self.run_path(name))).await
    }

    async fn cancel(&self, name: &str) -> Result<(), Failure> {
        let wish = json!({"spec": {"terminate": true}});
        let patch = typed_request("PATCH", &self.run_path(name), "application/merge-patch+json", Some(&wish))?;
        self.connection.json::<Value>(patch).await.map(drop)
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.place.connect().await?;
    let pipelines = Pipelines { connection: &connection, namespace: &connection.namespace };
    match arguments.command {
        Command::Run(arguments) => run::run(&pipelines, arguments).await,
        Command::List { output } => list(&pipelines, output).await,
        Command::Get { run, output } => get(&pipelines, &run, output).await,
        Command::Logs(arguments) => logs::run(&pipelines, arguments).await,
        Command::Cancel { runs } => {
            for run in runs {
                pipelines.cancel(&run).await?;
                print_line(&format!("run {run} is told to end"))?;
            }
            Ok(())
        }
        Command::Upload(arguments) => upload::run(&pipelines, arguments).await,
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn pretty(value: &Value) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::from_error("the answer can't be shown", &error);
    serde_json::to_string_pretty(value).map_err(failed)
}

async fn list(pipelines: &Pipelines<'_>, output: Format) -> Result<(), Failure> {
    let page = query(&[("limit", Some("500"))]);
    let path = pipelines.path(RUNS, &format!("pipelineruns{page}"));
    let found: Value = pipelines.connection.get(&path).await?;
    let mut runs = found["items"].as_array().cloned().unwrap_or_default();
    runs.sort_by(|a, b| text(&b["metadata"], "creationTimestamp").cmp(text(&a["metadata"], "creationTimestamp")));
    if output == Format::Json {
        return print_line(&pretty(&Value::from(runs))?);
    }
    if runs.is_empty() {
        return print_line(&format!("no runs found in namespace {}", pipelines.namespace));
    }
    let mut rows = vec![["NAME", "PIPELINE", "STATE", "STEPS", "BEGAN", "TOOK"].map(str::to_owned).to_vec()];
    for run in &runs {
        let status = &run["status"];
        let count = |name: &str| status["steps"][name].as_i64().unwrap_or(0);
        rows.push(vec![
            text(&run["metadata"], "name").to_owned(),
            text(status, "pipeline").to_owned(),
            text(status, "state").to_owned(),
            format!("{}/{}", count("done"), count("total")),
            text(&run["metadata"], "creationTimestamp").to_owned(),
            progress::took(status, jiff::Timestamp::now()),
        ]);
    }
    print(&Columns::default().align(&rows))
}

async fn get(pipelines: &Pipelines<'_>, name: &str, output: Format) -> Result<(), Failure> {
    let detail = pipelines.steps(name).await?;
    if output == Format::Json {
        return print_line(&pretty(&detail)?);
    }
    let run = &detail["run"];
    let mut out = format!("{} of {}: {}", text(run, "name"), text(run, "pipeline"), text(run, "state"));
    if !text(run, "error").is_empty() {
        out.push_str(&format!(": {}", text(run, "error")));
    }
    out.push('\n');
    for (parameter, value) in run["parameters"].as_object().into_iter().flatten() {
        out.push_str(&format!("  {parameter} = {value}\n"));
    }
    for step in detail["steps"].as_array().into_iter().flatten().filter(|step| step["parent"].is_string()) {
        let cached = if step["cached"] == true { ", cached" } else { "" };
        let took = progress::took(step, jiff::Timestamp::now());
        out.push_str(&format!("{}: {}{cached} {took}\n", text(step, "node"), text(step, "state")));
        if !text(step, "error").is_empty() {
            out.push_str(&format!("  {}\n", text(step, "error")));
        }
        for (what, word) in [("inputs", "<"), ("outputs", ">")] {
            for (name, value) in step[what]["parameters"].as_object().into_iter().flatten() {
                out.push_str(&format!("  {word} {name} = {value}\n"));
            }
            for (name, list) in step[what]["artifacts"].as_object().into_iter().flatten() {
                for artifact in list.as_array().into_iter().flatten() {
                    out.push_str(&format!("  {word} {name}: {}\n", text(artifact, "uri")));
                }
            }
        }
    }
    print(&plain(&out))
}

/// Text that can't command the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}
