//! `mcplane queue`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::{Connection, Place, encode, request};
use super::failure::Failure;
use super::output::{complain, print, print_line};
use super::table::Columns;

const EXAMPLES: &str = "\
Examples:
  mcplane queue list -n vision
  mcplane queue pause training              begin nothing of it; what runs goes on
  mcplane queue resume training
  mcplane queue set training --weight 3     three turns for each of a queue of weight 1
  mcplane queue set training --limit 2      at most two at a time; 0 for any number
";

/// Manage the queues of a namespace
///
/// A queue is there as soon as a task names it.
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
    /// Show queues, and how many tasks are in them
    List,
    /// Begin nothing of a queue until it is resumed
    Pause {
        /// The queue
        name: String,
    },
    /// Go on with a queue
    Resume {
        /// The queue
        name: String,
    },
    /// Change a queue's share and limit
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Set {
        /// The queue
        name: String,
        /// Its share beside the namespace's other queues, 1 to 1000
        #[arg(long, group = "change", value_parser = clap::value_parser!(i64).range(1..=1000))]
        weight: Option<i64>,
        /// Most of its tasks that run at a time; 0 for any number
        #[arg(long, value_name = "COUNT", group = "change", value_parser = clap::value_parser!(i64).range(0..))]
        limit: Option<i64>,
    },
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.place.connect().await?;
    let namespace = &connection.namespace;
    let path = format!("/tasks/v1/namespaces/{}/queues", encode(namespace));
    match arguments.command {
        Command::List => {
            let answer: Value = connection.get(&path).await?;
            let queues = answer["queues"].as_array().map(Vec::as_slice).unwrap_or_default();
            if queues.is_empty() {
                complain(&format!("no queues found in namespace {namespace}"));
                return Ok(());
            }
            print(&table(queues))
        }
        Command::Pause { name } => {
            change(&connection, &path, &name, &json!({"paused": true})).await?;
            print_line(&format!("queue {name} is paused"))
        }
        Command::Resume { name } => {
            change(&connection, &path, &name, &json!({"paused": false})).await?;
            print_line(&format!("queue {name} goes on"))
        }
        Command::Set { name, weight, limit } => {
            let mut changes = json!({});
            for (field, value) in [("weight", weight), ("limit", limit)] {
                if let Some(value) = value {
                    changes[field] = value.into();
                }
            }
            let queue = change(&connection, &path, &name, &changes).await?;
            print_line(&format!("queue {name}: weight {}, limit {}", queue["weight"], limit_of(&queue)))
        }
    }
}

async fn change(connection: &Connection, path: &str, name: &str, changes: &Value) -> Result<Value, Failure> {
    connection.json(request("PATCH", &format!("{path}/{}", encode(name)), Some(changes))?).await
}

fn limit_of(queue: &Value) -> String {
    match queue["limit"].as_i64() {
        None | Some(0) => "none".to_owned(),
        Some(limit) => limit.to_string(),
    }
}

fn table(queues: &[Value]) -> String {
    let mut rows =
        vec![["NAME", "PAUSED", "WEIGHT", "LIMIT", "WAITING", "READY", "RUNNING"].map(str::to_owned).to_vec()];
    rows.extend(queues.iter().map(|queue| {
        vec![
            queue["name"].as_str().unwrap_or_default().to_owned(),
            queue["paused"].to_string(),
            queue["weight"].to_string(),
            limit_of(queue),
            queue["waiting"].to_string(),
            queue["ready"].to_string(),
            queue["running"].to_string(),
        ]
    }));
    Columns::default().align(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_a_table() {
        let queue = |name: &str, paused: bool, limit: i64| json!({"namespace": "n", "name": name, "paused": paused, "weight": 1, "limit": limit, "waiting": 0, "ready": 12, "running": 3});
        insta::assert_snapshot!(table(&[queue("default", false, 0), queue("training-prod", true, 2)]), @r"
        NAME            PAUSED   WEIGHT   LIMIT   WAITING   READY   RUNNING
        default         false    1        none    0         12      3
        training-prod   true     1        2       0         12      3
        ");
    }
}
