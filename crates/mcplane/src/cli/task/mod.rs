//! `mcplane task`.

mod code;
mod find;
mod follow;
mod logs;
mod run;
mod screen;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::connection::{Connection, Place, encode, query, request};
use super::failure::Failure;
use super::output::{complain, print, print_line};

const EXAMPLES: &str = "\
Examples:
  mcplane task run -- python train.py           run it with the files of this folder, and watch
  mcplane task run --cpu 4 --memory 16Gi --retries 2 --detach -- python train.py --epochs 10
  mcplane task list --state running,ready       what runs, and what waits and why
  mcplane task list -A                          in all namespaces
  mcplane task logs -f train                    follow the newest task of that name
  mcplane task cancel 0b51f0c2                  the start of an id is enough
  mcplane task retry 0b51f0c2                   again, with all its attempts
";

/// Run tasks, and look after them
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
    Run(Box<run::Arguments>),
    /// Show tasks, newest first
    List {
        /// Only tasks of this queue
        #[arg(long)]
        queue: Option<String>,
        /// Only tasks in these states: waiting, ready, running, succeeded, failed, cancelled
        #[arg(long, value_name = "STATES")]
        state: Option<String>,
        /// Tasks of all namespaces
        #[arg(short = 'A', long, conflicts_with = "namespace")]
        all_namespaces: bool,
        /// Most tasks to show
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        limit: usize,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Show all that is known of a task
    Get {
        /// Name, or the start of an id
        #[arg(value_name = "TASK")]
        task: String,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    Logs(logs::Arguments),
    /// End tasks: SIGTERM, and SIGKILL when their grace is over
    Cancel {
        /// Names, or starts of ids
        #[arg(value_name = "TASK", required = true)]
        tasks: Vec<String>,
    },
    /// Make failed or cancelled tasks ready again, with all their attempts
    Retry {
        /// Names, or starts of ids
        #[arg(value_name = "TASK", required = true)]
        tasks: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What matters, for people
    Table,
    /// All of it
    Json,
}

/// Tasks of one namespace, or in lists of all if its name is empty.
pub(super) struct Tasks<'c> {
    connection: &'c Connection,
    namespace: &'c str,
}

impl Tasks<'_> {
    fn path(&self, rest: &str) -> String {
        match self.namespace {
            "" => format!("/tasks/v1/{rest}"),
            namespace => format!("/tasks/v1/namespaces/{}/{rest}", encode(namespace)),
        }
    }

    async fn get(&self, id: &str) -> Result<Value, Failure> {
        self.connection.get(&self.path(&format!("tasks/{}", encode(id)))).await
    }

    async fn act(&self, id: &str, verb: &str) -> Result<Value, Failure> {
        let path = self.path(&format!("tasks/{}/{verb}", encode(id)));
        self.connection.json(request("POST", &path, Some(&json!({})))?).await
    }

    /// Up to `limit` tasks, newest first.
    async fn list(&self, queue: Option<&str>, state: Option<&str>, limit: usize) -> Result<Vec<Value>, Failure> {
        let (mut found, mut next) = (Vec::new(), None::<String>);
        while found.len() < limit {
            let page = (limit - found.len()).min(1000).to_string();
            let pairs =
                [("queue", queue), ("state", state), ("limit", Some(page.as_str())), ("continue", next.as_deref())];
            let mut answer: Value = self.connection.get(&self.path(&format!("tasks{}", query(&pairs)))).await?;
            let Value::Array(tasks) = answer["tasks"].take() else { break };
            found.extend(tasks);
            next = answer["continue"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.place.connect().await?;
    let namespace = connection.namespace.as_str();
    let tasks = Tasks { connection: &connection, namespace };
    match arguments.command {
        Command::Run(arguments) => run::run(&tasks, *arguments).await,
        Command::Logs(arguments) => logs::run(&tasks, arguments).await,
        Command::List { queue, state, all_namespaces, limit, output } => {
            let namespace = if all_namespaces { "" } else { namespace };
            let tasks = Tasks { connection: &connection, namespace };
            let found = tasks.list(queue.as_deref(), state.as_deref(), limit).await?;
            if output == Format::Json {
                return print(&found.iter().map(|task| format!("{task}\n")).collect::<String>());
            }
            if found.is_empty() {
                let place = if all_namespaces { String::new() } else { format!(" in namespace {namespace}") };
                complain(&format!("no tasks found{place}"));
                return Ok(());
            }
            print(&show::table(&found, all_namespaces, jiff::Timestamp::now()))
        }
        Command::Get { task, output } => {
            let task = tasks.find(&task).await?;
            match output {
                Format::Json => print(&format!("{task:#}\n")),
                Format::Table => print(&show::whole(&task)),
            }
        }
        Command::Cancel { tasks: names } => {
            for name in names {
                let task = tasks.find(&name).await?;
                let task = tasks.act(show::text(&task, "id"), "cancel").await?;
                let state = show::text(&task, "state");
                let words = if state == "running" { "is told to end" } else { state };
                print_line(&format!("task {} {words}", show::title(&task)))?;
            }
            Ok(())
        }
        Command::Retry { tasks: names } => {
            for name in names {
                let task = tasks.find(&name).await?;
                let task = tasks.act(show::text(&task, "id"), "retry").await?;
                print_line(&format!("task {} is ready again", show::title(&task)))?;
            }
            Ok(())
        }
    }
}
