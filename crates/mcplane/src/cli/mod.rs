//! The command line. Each command is one file; this one names them, and turns failures into text and exit codes.

mod apply;
mod archive;
mod audit;
mod completions;
mod config;
mod connection;
mod contract;
mod dead_letters;
mod delete;
mod failure;
mod features;
mod gate;
mod gc;
mod get;
mod kubeconfig;
mod lineage;
mod live;
mod login;
mod logins;
mod manifests;
mod monitor;
mod output;
mod password;
mod pipeline;
mod queue;
mod resources;
mod rollout;
mod server;
mod settings;
mod shim;
mod table;
mod task;
mod user;
mod version;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
pub use shim::shim;

const EXAMPLES: &str = "\
Examples:
  mcplane server                                  start a server on this machine
  kubectl --server http://127.0.0.1:5080 get ns   use it with kubectl
  mcplane apply -f manifests/                     or with mcplane itself
  mcplane get configmaps -n development
  mcplane task run -- python train.py             run this folder's program, and watch
  mcplane pipeline run train.yaml -p epochs=10    run what the Kubeflow Pipelines SDK compiled
  mcplane kubeconfig > ~/.kube/config             hand the server to other tools

Exit codes:
  0  done            1  the server refused, or something failed
  2  wrong usage     3  the server can't be reached
  4  a login is needed, or is not allowed to do this
  `mcplane task run` ends with the task's own

Environment:
  MCPLANE_URL                 server to talk to
  MCPLANE_TOKEN               token to use instead of the login's
  MCPLANE_KUBECONFIG          file of logins instead of ~/.config/mcplane/config
  MCPLANE_SECTION__KEY        any setting of the server; see `mcplane config explain`
  NO_COLOR                    no colours
";

/// The machine learning control plane: one server that speaks the Kubernetes API, and the commands to use it.
#[derive(Debug, Parser)]
#[command(name = "mcplane", version, after_help = EXAMPLES, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Server(server::Arguments),
    Login(login::Arguments),
    Get(get::Arguments),
    Apply(apply::Arguments),
    Delete(delete::Arguments),
    Audit(audit::Arguments),
    Gc(gc::Arguments),
    DeadLetters(dead_letters::Arguments),
    Task(task::Arguments),
    Queue(queue::Arguments),
    Contract(contract::Arguments),
    Gate(gate::Arguments),
    Pipeline(pipeline::Arguments),
    Features(features::Arguments),
    Rollout(rollout::Arguments),
    Monitor(monitor::Arguments),
    Lineage(lineage::Arguments),
    User(user::Arguments),
    Kubeconfig(kubeconfig::Arguments),
    Config(config::Arguments),
    Completions(completions::Arguments),
    Version(version::Arguments),
}

/// Runs the command line of this process; the binary's whole `main`.
pub fn main() -> ExitCode {
    // The only provider compiled in; naming it spares every TLS client and server the choice.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match Cli::parse().command {
        Command::Server(arguments) => server::run(arguments),
        Command::Login(arguments) => wait_for(login::run(arguments)),
        Command::Get(arguments) => wait_for(get::run(arguments)),
        Command::Apply(arguments) => wait_for(apply::run(arguments)),
        Command::Delete(arguments) => wait_for(delete::run(arguments)),
        Command::Audit(arguments) => wait_for(audit::run(arguments)),
        Command::Gc(arguments) => wait_for(gc::run(arguments)),
        Command::DeadLetters(arguments) => wait_for(dead_letters::run(arguments)),
        Command::Task(arguments) => wait_for(task::run(arguments)),
        Command::Queue(arguments) => wait_for(queue::run(arguments)),
        Command::Contract(arguments) => wait_for(contract::run(arguments)),
        Command::Gate(arguments) => wait_for(gate::run(arguments)),
        Command::Pipeline(arguments) => wait_for(pipeline::run(arguments)),
        Command::Features(arguments) => features::run(arguments),
        Command::Rollout(arguments) => wait_for(rollout::run(arguments)),
        Command::Monitor(arguments) => wait_for(monitor::run(arguments)),
        Command::Lineage(arguments) => wait_for(lineage::run(arguments)),
        Command::User(arguments) => wait_for(user::run(arguments)),
        Command::Kubeconfig(arguments) => wait_for(kubeconfig::run(arguments)),
        Command::Config(arguments) => config::run(arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs a command that talks to a server; one thread is enough.
fn wait_for(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
