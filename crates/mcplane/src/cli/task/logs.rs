//! `mcplane task logs`.

use clap::Args;
use mcplane_core::units::HumanDuration;

use super::super::connection::{encode, query};
use super::super::failure::Failure;
use super::super::output::print;
use super::follow::Follower;
use super::screen::Screen;
use super::{Tasks, show};

/// Show what a task printed
///
/// Of a task that was attempted several times it is the newest attempt's, unless --attempt names another.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name, or the start of an id
    #[arg(value_name = "TASK")]
    task: String,
    /// Go on until the task has finished, over all attempts to come
    #[arg(short, long)]
    follow: bool,
    /// Number of the attempt, from 1
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    attempt: Option<i64>,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Only what is not older, such as 10m
    #[arg(long, value_name = "DURATION")]
    since: Option<HumanDuration>,
    /// Put its time before each line
    #[arg(long)]
    timestamps: bool,
}

pub(super) async fn run(tasks: &Tasks<'_>, arguments: Arguments) -> Result<(), Failure> {
    let task = tasks.find(&arguments.task).await?;
    let id = show::text(&task, "id");
    let tail = arguments.tail.map(|lines| lines.to_string());
    let since = arguments.since.map(|since| since.0.as_secs().max(1).to_string());
    let options = [
        ("tailLines", tail.as_deref()),
        ("sinceSeconds", since.as_deref()),
        ("timestamps", arguments.timestamps.then_some("true")),
    ];
    if arguments.follow {
        let mut follower = Follower { tasks, id, options: &options, screen: Screen::new(), keys: None };
        follower.follow(arguments.attempt).await?;
        return Ok(());
    }
    let attempt = arguments.attempt.map(|attempt| attempt.to_string());
    let pairs: Vec<_> = options.into_iter().chain([("attempt", attempt.as_deref())]).collect();
    let path = tasks.path(&format!("tasks/{}/logs{}", encode(id), query(&pairs)));
    print(&tasks.connection.text(&path).await?)
}
