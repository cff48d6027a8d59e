//! `mcplane gc`.

use clap::Args;
use mcplane_core::units::HumanDuration;
use serde_json::{Value, json};

use super::connection::{Connection, ConnectionArgs, encode, request};
use super::failure::Failure;
use super::output::{complain, print_line};

const EXAMPLES: &str = "\
Examples:
  mcplane gc                                        what is deleted in the login's namespace
  mcplane gc -A --older-than 30d                    in all namespaces, if it was deleted 30 days ago
  mcplane gc -n vision --run-ids 4bf9,77aa          these runs
  mcplane gc --older-than 7d --dry-run              only tell what would go
";

/// Purge deleted experiments, runs and logged models for good
///
/// Deleted things can be restored until they are purged. Then all that was logged to them goes, and their artifacts, if
/// those are kept by the server.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only what was deleted at least so long ago, such as 30d
    #[arg(long, value_name = "DURATION", default_value = "0")]
    older_than: HumanDuration,
    /// Only these runs
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    run_ids: Vec<String>,
    /// Only these experiments, with their runs and models
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    experiment_ids: Vec<String>,
    /// Only these logged models
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    logged_model_ids: Vec<String>,
    /// Namespace; without it the login's, or `default`
    #[arg(short, long)]
    namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "run_ids", "experiment_ids", "logged_model_ids"])]
    all_namespaces: bool,
    /// Only tell what would be purged
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection.connect().await?;
    let namespaces = match arguments.all_namespaces {
        true => all_namespaces(&connection).await?,
        false => vec![arguments.namespace.clone().unwrap_or_else(|| connection.namespace.clone())],
    };
    let asked = json!({
        "olderThanMs": u64::try_from(arguments.older_than.0.as_millis()).unwrap_or(u64::MAX),
        "runIds": arguments.run_ids,
        "experimentIds": arguments.experiment_ids,
        "loggedModelIds": arguments.logged_model_ids,
        "dryRun": arguments.dry_run,
    });
    let named =
        !(arguments.run_ids.is_empty() && arguments.experiment_ids.is_empty() && arguments.logged_model_ids.is_empty());
    for namespace in namespaces {
        let prefix = if arguments.all_namespaces { format!("{namespace}/") } else { String::new() };
        let mut asked = asked.clone();
        loop {
            let purged = purge(&connection, &namespace, &asked, &prefix, arguments.dry_run).await?;
            if purged["more"] != true {
                break;
            }
            if arguments.dry_run {
                complain(&format!("there is more in namespace {namespace} than is shown here"));
                break;
            }
            if named {
                // What was named is out of reach now; the rest of the work has no names.
                asked = json!({"resume": true});
            }
        }
    }
    Ok(())
}

async fn all_namespaces(connection: &Connection) -> Result<Vec<String>, Failure> {
    let list: Value = connection.get("/api/v1/namespaces").await?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

/// One part of the work.
async fn purge(
    connection: &Connection,
    namespace: &str,
    asked: &Value,
    prefix: &str,
    dry_run: bool,
) -> Result<Value, Failure> {
    let path = format!("/tracking/v1/namespaces/{}/gc", encode(namespace));
    let purged: Value = connection.json(request("POST", &path, Some(asked))?).await?;
    let done = if dry_run { "would be purged" } else { "purged" };
    for (kind, ids) in [("run", "runs"), ("experiment", "experiments"), ("loggedmodel", "loggedModels")] {
        for id in purged[ids].as_array().into_iter().flatten().filter_map(Value::as_str) {
            print_line(&format!("{prefix}{kind}/{id} {done}"))?;
        }
    }
    for uri in purged["artifactsElsewhere"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        complain(&format!("the server does not keep {uri}: what is there stays"));
    }
    Ok(purged)
}
