//! `mcplane gate`.

mod decisions;
mod evaluate;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::{Connection, Place, encode, query, request};
use super::failure::{Exit, Failure};
use super::output::{print, print_line};

const EXAMPLES: &str = "\
Examples:
  mcplane gate evaluate held-out.csv --gate fraud --model fraud --version 7    measure, and have it decided
  mcplane gate decisions --model fraud
  mcplane gate check --model fraud --version 7                                 may it be deployed?
  mcplane gate override 5f0c... --reason \"the label of March was wrong\"

The file has a row for each held-out case, with the label and what the model says of it, and, to compare, what the serving model
says. It is read where the command runs; only the numbers go to the server, which decides.

Exit codes of `evaluate` and `check`:
  0  it passed, or may be deployed     1  it was refused, or nothing is proven
";

/// Decide whether a version of a model may go on
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
    /// Measure a version on held-out rows, and have a gate decide
    Evaluate(evaluate::Evaluate),
    /// List decisions, newest first
    Decisions(decisions::Decisions),
    /// Ask whether a version may be deployed
    Check {
        /// The model
        #[arg(long)]
        model: String,
        /// Its version
        #[arg(long)]
        version: String,
        /// A gate that must have passed it; may be repeated. Without any, every gate that decided on it
        #[arg(long = "gate", value_name = "NAME")]
        gates: Vec<String>,
    },
    /// Let a version on that a gate did not pass
    ///
    /// The decision stays as it was; who let it on and why is kept beside it, and in the audit log.
    Override {
        /// Id of the decision
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let server = arguments.place.connect().await?;
    match arguments.command {
        Command::Evaluate(command) => evaluate::run(&command, &server).await,
        Command::Decisions(command) => decisions::run(&command, &server).await,
        Command::Check { model, version, gates } => check(&server, &model, &version, &gates).await,
        Command::Override { id, reason } => {
            let path = format!("{}/{}/override", decisions_of(&server), encode(&id));
            let decision: Value = server.json(request("POST", &path, Some(&json!({"reason": reason})))?).await?;
            print_line(&format!("{} may go on: {}", of(&decision), decision["override"]["reason"]))
        }
    }
}

async fn check(server: &Connection, model: &str, version: &str, gates: &[String]) -> Result<(), Failure> {
    let named = gates.join(",");
    let query = query(&[("gates", (!gates.is_empty()).then_some(named.as_str()))]);
    let (namespace, model, version) = (encode(&server.namespace), encode(model), encode(version));
    let path = format!("/data/v1/namespaces/{namespace}/models/{model}/versions/{version}/deployable{query}");
    let answer: Value = server.get(&path).await?;
    let allowed = answer["allowed"] == true;
    print(&format!("{}\n{}", if allowed { "it may be deployed" } else { "it may not be deployed" }, reasons(&answer)))?;
    if allowed { Ok(()) } else { Err(Failure::told_already(Exit::Failed)) }
}

fn decisions_of(server: &Connection) -> String {
    format!("/data/v1/namespaces/{}/decisions", encode(&server.namespace))
}

/// The model and version that a decision is on.
fn of(decision: &Value) -> String {
    let text = |field: &str| printable(decision[field].as_str().unwrap_or_default());
    format!("{} {}", text("model"), text("version"))
}

fn reasons(answer: &Value) -> String {
    let reasons = answer["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
    reasons.iter().map(|reason| format!("  {}\n", printable(reason.as_str().unwrap_or_default()))).collect()
}

/// What others wrote must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
