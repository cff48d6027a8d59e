//! `mcplane server`.

use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::output;
use super::settings::Settings;
use crate::compose;
use crate::config::Config;
use crate::server::{Endpoint, Shutdown, StartError, error_chain, init_logs};

const EXAMPLES: &str = "\
Examples:
  mcplane server
      on 127.0.0.1:5080, for this machine only; whoever calls is the administrator
  mcplane server --data-dir ./data --listen 127.0.0.1:0
      on a free port; DATA_DIR/server.json tells which
  mcplane user create admin --role admin --data-dir /srv/mcplane
  mcplane server --data-dir /srv/mcplane --listen 0.0.0.0:5080
      for other machines: TLS and logins, with a certificate authority of its own in DATA_DIR/pki
  mcplane server --store postgres://mcplane@db/mcplane
      on PostgreSQL

The server stops on SIGTERM or SIGINT when its requests have ended, and at once on the second.
";

/// Longest wait for threads that are busy when all is done.
const LINGER: Duration = Duration::from_secs(2);

/// Start the server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.settings.load()?.config;
    init_logs(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error("can't start", &error))?;
    let served = runtime.block_on(serve(&config)).map_err(|error| Failure::failed(error_chain(&error)));
    // All that must be done is done; what else keeps a thread busy, such as a model that is being loaded, is not waited for.
    runtime.shutdown_timeout(LINGER);
    served
}

async fn serve(config: &Config) -> Result<(), StartError> {
    let shutdown = Shutdown::on_signals()?;
    compose::serve(config, shutdown, |endpoint: &Endpoint| {
        let (data, Endpoint { url, serving, .. }) = (config.server.data_dir.display(), endpoint);
        let line = format!("mcplane is ready at {url}, models at {serving} (data in {data})");
        // A supervisor may have closed standard output.
        let _ = output::print_line(&line);
    })
    .await
}
