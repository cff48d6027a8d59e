//! `mcplane dead-letters`.

use clap::Args;
use mcplane_core::clock;
use serde_json::{Value, json};

use super::connection::{Connection, Place, encode, query, request};
use super::failure::Failure;
use super::output::{print, print_line};
use super::table::Columns;

const EXAMPLES: &str = "\
Examples:
  mcplane dead-letters                              what the login's namespace could not deliver
  mcplane dead-letters -n vision -o json            with what the messages say
  mcplane dead-letters --replay                     send all of them again
  mcplane dead-letters --replay 0b0f… 77aa…         send these again
";

/// Show messages to webhooks and others that were given up, and send them again
///
/// A message is given up when its receiver refuses it, or does not take it for a day. It is kept for a week.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Ids of messages to send again; without any, all of the namespace
    #[arg(requires = "replay")]
    ids: Vec<String>,
    /// Send messages again, with their old ids
    #[arg(long)]
    replay: bool,
    /// Only messages for this receiver, such as webhook/ID
    #[arg(long, value_name = "NAME", conflicts_with = "replay")]
    receiver: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// One line a message
    Table,
    /// Whole messages, one JSON object a line
    Json,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.place.connect().await?;
    let root = format!("/tracking/v1/namespaces/{}/dead-letters", encode(&connection.namespace));
    if arguments.replay {
        replay(&connection, &root, &arguments.ids).await
    } else {
        list(&connection, &root, &arguments).await
    }
}

async fn list(connection: &Connection, root: &str, arguments: &Arguments) -> Result<(), Failure> {
    let (mut columns, mut next) = (Columns::default(), None::<String>);
    let mut heading = Some(["ID", "RECEIVER", "DIED", "REASON"].map(str::to_owned).to_vec());
    loop {
        let asked = query(&[
            ("receiver", arguments.receiver.as_deref()),
            ("limit", Some("500")),
            ("continue", next.as_deref()),
        ]);
        let page: Value = connection.get(&format!("{root}{asked}")).await?;
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        match arguments.output {
            Format::Json => print(&items.iter().map(|item| format!("{item}\n")).collect::<String>())?,
            Format::Table => {
                let rows: Vec<_> = heading.take().into_iter().chain(items.iter().map(row)).collect();
                print(&columns.align(&rows))?;
            }
        }
        next = page["continue"].as_str().map(ToOwned::to_owned);
        if next.is_none() {
            return Ok(());
        }
    }
}

fn row(item: &Value) -> Vec<String> {
    let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let died = clock::rfc3339(item["diedAt"].as_i64().unwrap_or_default());
    vec![text("id"), text("receiver"), died, text("reason")]
}

async fn replay(connection: &Connection, root: &str, ids: &[String]) -> Result<(), Failure> {
    let asked = if ids.is_empty() { json!({"all": true}) } else { json!({"ids": ids}) };
    let mut replayed = 0;
    loop {
        let answer: Value = connection.json(request("POST", &format!("{root}/replay"), Some(&asked))?).await?;
        let some = answer["replayed"].as_u64().unwrap_or_default();
        replayed += some;
        // The server does a bounded part of the work at a time.
        if !ids.is_empty() || some == 0 {
            return print_line(&format!("{replayed} messages will be sent again"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_each() {
        let item = json!({"id": "0b0f", "receiver": "webhook/1", "createdAt": 0, "diedAt": 1000, "reason": "it answered 410", "body": {}});
        assert_eq!(row(&item)[..2], ["0b0f", "webhook/1"]);
        assert!(row(&item)[2].starts_with("1970-01-01T00:00:01"), "{:?}", row(&item));
    }
}
