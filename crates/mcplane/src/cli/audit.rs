//! `mcplane audit`.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use mcplane_core::units::HumanDuration;
use serde_json::Value;

use super::connection::{Connection, ConnectionArgs, query};
use super::failure::Failure;
use super::output::{complain, print, print_line};
use super::table::Columns;

const EXAMPLES: &str = "\
Examples:
  mcplane audit                                     the latest entries
  mcplane audit --actor ann --since 1h              what ann did in the last hour
  mcplane audit --verb delete -n development        what was deleted there
  mcplane audit --verify                            whether the log is as it was written
  mcplane audit --since 2026-11-01T00:00:00Z -o json --limit 10000
";

/// Show who did what
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only what this user or service account did
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only this verb, such as create, update, patch or delete
    #[arg(long)]
    verb: Option<String>,
    /// Only this resource, such as configmaps
    #[arg(long)]
    resource: Option<String>,
    /// Only this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// Only objects of this name
    #[arg(long)]
    name: Option<String>,
    /// Only this trace, as the X-Trace-ID of an answer tells it
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Only from a moment on: a time such as 2026-11-01T00:00:00Z, or an age such as 1h30m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Most entries to show
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Check instead that no entry was changed or removed since it was written
    #[arg(long, conflicts_with_all = ["actor", "verb", "resource", "namespace", "name", "trace", "since"])]
    verify: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One line an entry
    Table,
    /// Whole entries, one JSON object a line
    Json,
}

/// Reads a time, or an age.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let age: HumanDuration =
        text.parse().map_err(|_| "write a time such as 2026-11-01T00:00:00Z, or an age such as 1h30m".to_owned())?;
    Timestamp::now().checked_sub(age.0).map_err(|_| "that is before the beginning of time".to_owned())
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection.connect().await?;
    if arguments.verify {
        return verify(&connection).await;
    }
    let since = arguments.since.map(|at| at.to_string());
    let (mut left, mut next) = (arguments.limit, None::<String>);
    let mut columns = Columns::default();
    let mut heading = Some(["TIME", "ACTOR", "VERB", "OBJECT", "OUTCOME", "CODE", "TRACE"].map(str::to_owned).to_vec());
    while left > 0 {
        let limit = left.min(500).to_string();
        let path = query(&[
            ("actor", arguments.actor.as_deref()),
            ("verb", arguments.verb.as_deref()),
            ("resource", arguments.resource.as_deref()),
            ("namespace", arguments.namespace.as_deref()),
            ("name", arguments.name.as_deref()),
            ("trace", arguments.trace.as_deref()),
            ("since", since.as_deref()),
            ("limit", Some(&limit)),
            ("continue", next.as_deref()),
        ]);
        let mut page: Value = connection.get(&format!("/audit{path}")).await?;
        let Value::Array(entries) = page["items"].take() else { break };
        left = left.saturating_sub(entries.len());
        match arguments.output {
            Format::Json => print(&entries.iter().map(|entry| format!("{entry}\n")).collect::<String>())?,
            Format::Table => {
                let rows: Vec<_> = heading.take().into_iter().chain(entries.iter().map(row)).collect();
                print(&columns.align(&rows))?;
            }
        }
        next = page["continue"].as_str().filter(|next| !next.is_empty()).map(ToOwned::to_owned);
        if next.is_none() || entries.is_empty() {
            return Ok(());
        }
    }
    complain(&format!("there are more entries than {}: narrow the question, or raise --limit", arguments.limit));
    Ok(())
}

/// Has the server check the chain of hashes that runs through the log.
async fn verify(connection: &Connection) -> Result<(), Failure> {
    let answer: Value = connection.get("/audit?verify=true").await?;
    if answer["verified"] == true {
        return print_line(&format!("the audit log is whole: {} entries", answer["entries"]));
    }
    Err(Failure::failed(format!("the audit log was tampered with at entry {}", answer["brokenAt"])))
}

fn row(entry: &Value) -> Vec<String> {
    let text = |field: &str| match &entry[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let object: Vec<String> =
        ["namespace", "resource", "name"].map(text).into_iter().filter(|part| !part.is_empty()).collect();
    vec![text("time"), text("actor"), text("verb"), object.join("/"), text("outcome"), text("code"), text("trace")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_one_line_each() {
        let entry = json!({
            "sequence": 7, "time": "2023-11-14T22:13:20.123000Z", "actor": "ann", "verb": "delete", "namespace": "dev",
            "resource": "configmaps", "name": "a", "outcome": "allowed", "code": 200, "trace": "4bf9", "source": "",
        });
        assert_eq!(
            row(&entry),
            ["2023-11-14T22:13:20.123000Z", "ann", "delete", "dev/configmaps/a", "allowed", "200", "4bf9"]
        );
        assert_eq!(row(&json!({"resource": "users"}))[3], "users");
    }

    #[test]
    fn moments_are_times_or_ages() {
        assert_eq!(moment("2026-11-01T00:00:00Z").unwrap().to_string(), "2026-11-01T00:00:00Z");
        let age = Timestamp::now().duration_since(moment("1h30m").unwrap());
        assert!((5399..=5401).contains(&age.as_secs()), "{age:?}");
        for bad in ["yesterday", "", "999999999999d"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
