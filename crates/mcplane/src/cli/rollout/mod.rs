//! `mcplane rollout`.

mod show;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::connection::{Connection, Place, encode, query, request};
use super::failure::Failure;
use super::live::{Live, plain};
use super::output::{print, print_line};
use super::table::Columns;

const EXAMPLES: &str = "\
Examples:
  mcplane rollout status fraud --watch     follow it until it is over
  mcplane rollout promote fraud            to the next stage now
  mcplane rollout abort fraud              back to the stable version
  mcplane rollout decisions fraud          what was decided, with the numbers
";

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// See how a version goes out, and say how it goes on
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
    /// Show where it is, and what was measured
    Status {
        /// The rollout
        rollout: String,
        /// Follow it until it is over
        #[arg(short, long)]
        watch: bool,
    },
    /// To the next stage now, whatever time and verdict say
    Promote {
        /// The rollout
        rollout: String,
        /// To the last stage: all of the traffic
        #[arg(long)]
        full: bool,
    },
    /// Back to the stable version
    Abort {
        /// The rollout
        rollout: String,
    },
    /// Nothing goes forward; a version that is worse still goes back
    Pause {
        /// The rollout
        rollout: String,
    },
    /// It goes on
    Resume {
        /// The rollout
        rollout: String,
    },
    /// From the first stage again, after it went back
    Retry {
        /// The rollout
        rollout: String,
    },
    /// List what was decided, newest first
    Decisions {
        /// The rollout
        rollout: String,
        /// At most so many
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1000))]
        limit: i64,
    },
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let server = arguments.place.connect().await?;
    let namespace = encode(&server.namespace);
    let say = async |rollout: &str, word: &str| say(&server, &namespace, rollout, word).await;
    match arguments.command {
        Command::Status { rollout, watch } => status(&server, &namespace, &rollout, watch).await,
        Command::Promote { rollout, full: true } => say(&rollout, "override").await,
        Command::Promote { rollout, .. } => say(&rollout, "promote").await,
        Command::Abort { rollout } => say(&rollout, "abort").await,
        Command::Pause { rollout } => say(&rollout, "pause").await,
        Command::Resume { rollout } => say(&rollout, "resume").await,
        Command::Retry { rollout } => say(&rollout, "retry").await,
        Command::Decisions { rollout, limit } => decisions(&server, &namespace, &rollout, limit).await,
    }
}

async fn say(server: &Connection, namespace: &str, rollout: &str, word: &str) -> Result<(), Failure> {
    let path = format!("/delivery/v1/namespaces/{namespace}/rollouts/{}/{word}", encode(rollout));
    let answer: Value = server.json(request("POST", &path, None)?).await?;
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    print_line(&plain(&format!("rollout {rollout} is {}: {}", text("phase"), text("message"))))
}

async fn status(server: &Connection, namespace: &str, rollout: &str, watch: bool) -> Result<(), Failure> {
    let path = format!("/apis/mcplane.io/v1alpha1/namespaces/{namespace}/rollouts/{}", encode(rollout));
    let mut live = Live::new();
    loop {
        let object: Value = server.get(&path).await?;
        let text = plain(&show::text_of(&object));
        if !watch {
            return print(&text);
        }
        live.show(&text)?;
        if matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "RolledBack")) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn decisions(server: &Connection, namespace: &str, rollout: &str, limit: i64) -> Result<(), Failure> {
    let query = query(&[("limit", Some(limit.to_string().as_str()))]);
    let path = format!("/delivery/v1/namespaces/{namespace}/rollouts/{}/decisions{query}", encode(rollout));
    let answer: Value = server.get(&path).await?;
    let decisions = answer["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if decisions.is_empty() {
        return print_line(&format!("nothing was decided of rollout {rollout} so far"));
    }
    let mut rows = vec![["AT", "DECISION", "VERSION", "BY", "WHY"].map(str::to_owned).to_vec()];
    rows.extend(decisions.iter().map(|decision| {
        let fields = ["at", "action", "version", "by", "message"];
        fields.map(|field| plain(decision[field].as_str().unwrap_or_default())).to_vec()
    }));
    print(&Columns::default().align(&rows))
}
