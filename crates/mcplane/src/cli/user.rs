//! `mcplane user`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::{Connection, ConnectionArgs, encode, request, typed_request};
use super::failure::Failure;
use super::output::{print, print_line};
use super::password;
use super::settings::Settings;
use super::table::Columns;
use crate::compose::Offline;
use crate::server::{StartError, error_chain};

const USERS: &str = "/apis/mcplane.io/v1alpha1/users";

const EXAMPLES: &str = "\
Examples:
  mcplane user create admin --role admin
  mcplane user create ci --role editor --password-stdin < password
  mcplane user list
  mcplane user passwd ann
  mcplane user delete ann
  mcplane user create admin --role admin --data-dir /srv/mcplane
      while no server runs on that directory, as before its first start for other machines
";

/// Manage the server's local users
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Work on the data of a server that is not running; wins over --server
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
    /// Database of that server, if it is not in its data directory
    #[arg(long, value_name = "URL", global = true)]
    store: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a user; asks for the password
    Create {
        /// Name to log in with
        name: String,
        /// admin, editor, viewer, or another that role bindings name as the group mcplane:role:ROLE
        #[arg(long)]
        role: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List all users
    List,
    /// Change a user's password
    Passwd {
        /// The user
        name: String,
        /// Read the new password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Delete a user
    Delete {
        /// The user
        name: String,
    },
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Some(data_dir) = arguments.data_dir else {
        let connection = arguments.connection.connect().await?;
        return execute(&connection, arguments.command).await;
    };
    let config = Settings::of(data_dir, arguments.store).load()?.config;
    let failed = |error: StartError| Failure::failed(error_chain(&error));
    let offline = Offline::open(&config).await.map_err(failed)?;
    let done = execute(&Connection::offline(offline.client()), arguments.command).await;
    offline.close().await;
    done
}

async fn execute(connection: &Connection, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { name, role, password_stdin } => {
            let password = password::choose(&format!("Password of {name}"), password_stdin)?;
            let user = json!({
                "apiVersion": "mcplane.io/v1alpha1",
                "kind": "User",
                "metadata": {"name": name},
                "spec": {"role": role, "password": password},
            });
            let _: Value = connection.json(request("POST", USERS, Some(&user))?).await?;
            print_line(&format!("user {name} created"))
        }
        Command::List => {
            let list: Value = connection.get(USERS).await?;
            let users = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut rows = vec![["NAME", "ROLE", "DISABLED", "CREATED"].map(str::to_owned).to_vec()];
            rows.extend(users.iter().map(row));
            print(&Columns::default().align(&rows))
        }
        Command::Passwd { name, password_stdin } => {
            let password = password::choose(&format!("New password of {name}"), password_stdin)?;
            let patch = json!({"spec": {"password": password}});
            let path = format!("{USERS}/{}", encode(&name));
            let request = typed_request("PATCH", &path, "application/merge-patch+json", Some(&patch))?;
            let _: Value = connection.json(request).await?;
            print_line(&format!("password of {name} changed"))
        }
        Command::Delete { name } => {
            let path = format!("{USERS}/{}", encode(&name));
            let _: Value = connection.json(request("DELETE", &path, None)?).await?;
            print_line(&format!("user {name} deleted"))
        }
    }
}

fn row(user: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    vec![
        text(&user["metadata"]["name"]),
        text(&user["spec"]["role"]),
        user["spec"]["disabled"].as_bool().unwrap_or(false).to_string(),
        text(&user["metadata"]["creationTimestamp"]),
    ]
}
