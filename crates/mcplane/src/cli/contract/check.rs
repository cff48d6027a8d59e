//! `mcplane contract check`: the data stays here, and is read in this process; a report may go to the server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mcplane_core::FieldError;
use mcplane_data::columns::Limits;
use mcplane_data::contracts::{self, Options, Outcome, Plan, Report, Spec};
use serde_json::{Value, json};

use super::text;
use crate::cli::connection::{Connection, Place, encode, request};
use crate::cli::failure::{Exit, Failure};
use crate::cli::manifests;
use crate::cli::output::{complain, print};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("by").required(true))]
pub(super) struct Check {
    /// The files; each is checked by itself
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A contract of the server, which is told what comes of it
    #[arg(long, value_name = "NAME", group = "by")]
    contract: Option<String>,
    /// A contract in a file
    #[arg(short, long, value_name = "FILE", group = "by")]
    filename: Option<String>,
    /// Write the report to a file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Rows to show of those that broke an expectation
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=100))]
    examples: u16,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// What was broken, for people
    Text,
    /// The reports
    Json,
}

/// A contract, and where it came from.
struct Contract {
    name: String,
    generation: Option<i64>,
    spec: Spec,
}

impl Contract {
    fn read(object: &Value, origin: &str) -> Result<Self, Failure> {
        if object["kind"] != "DataContract" {
            return Err(Failure::usage(format!("{origin} holds a {}, not a DataContract", object["kind"])));
        }
        let spec = serde_json::from_value::<Spec>(object["spec"].clone())
            .map_err(|error| Failure::usage(format!("{origin}: spec: {error}")))?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(Self { name, generation: object["metadata"]["generation"].as_i64(), spec })
    }

    fn from_file(file: &str) -> Result<Self, Failure> {
        match manifests::read(&[file.to_owned()], false)?.as_slice() {
            [one] => Self::read(&one.object, &one.origin),
            many => Err(Failure::usage(format!("{file} holds {} objects: name a file with one contract", many.len()))),
        }
    }
}

pub(super) async fn run(command: &Check, place: &Place) -> Result<(), Failure> {
    let (contract, server) = match (&command.contract, &command.filename) {
        (Some(name), _) => {
            let server = place.connect().await?;
            let own = format!("/apis/mcplane.io/v1alpha1/namespaces/{}", encode(&server.namespace));
            let path = format!("{own}/datacontracts/{}", encode(name));
            let object: Value = server.get(&path).await?;
            (Contract::read(&object, name)?, Some(server))
        }
        (None, Some(file)) => (Contract::from_file(file)?, None),
        (None, None) => return Err(Failure::usage("--contract or --filename names the contract")),
    };
    let plan = Plan::new(&contract.spec).map_err(|faults| wrong(&contract.name, &faults))?;
    let options = Options { examples: command.examples.into(), ..Options::default() };
    let mut reports = Vec::with_capacity(command.files.len());
    for file in &command.files {
        let mut report = contracts::check_file(&plan, &contract.spec.csv(), file, &Limits::default(), &options);
        report.generation = contract.generation;
        if command.output == Format::Text {
            print(&text::of_report(&report))?;
        }
        reports.push(report);
    }
    let all = json!({"contract": contract.name, "reports": reports});
    if command.output == Format::Json {
        print(&format!("{all:#}\n"))?;
    }
    if let Some(file) = &command.report {
        std::fs::write(file, format!("{all:#}\n"))
            .map_err(|error| Failure::from_error(format!("can't write {}", file.display()), &error))?;
    }
    let told = match &server {
        Some(server) => tell(server, &contract.name, &reports).await,
        None => Ok(()),
    };
    if reports.iter().any(|report| report.outcome == Outcome::Failed) {
        if let Err(failure) = told {
            complain(&format!("the server could not be told: {}", failure.text()));
        }
        return Err(Failure::told_already(Exit::Failed));
    }
    told
}

async fn tell(server: &Connection, contract: &str, reports: &[Report]) -> Result<(), Failure> {
    let path = format!("/data/v1/namespaces/{}/reports", encode(&server.namespace));
    for report in reports {
        let body = json!({"contract": contract, "report": report});
        let stored: Value = server.json(request("POST", &path, Some(&body))?).await?;
        complain(&format!("reported as {}", stored["id"].as_str().unwrap_or_default()));
    }
    Ok(())
}

fn wrong(name: &str, faults: &[FieldError]) -> Failure {
    let list: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
    Failure::usage(format!("the contract {name} is not valid:\n{}", list.join("\n")))
}
