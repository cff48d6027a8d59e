//! `mcplane kubeconfig`.

use std::path::{Path, PathBuf};

use clap::Args;
use http::Uri;

use super::connection::ConnectionArgs;
use super::failure::{Exit, Failure};
use super::logins::{self, Login};
use super::output::{complain, print, print_line};
use crate::server::{Authority, Endpoint, fingerprint};

const EXAMPLES: &str = "\
Examples:
  mcplane kubeconfig > mcplane.kubeconfig && export KUBECONFIG=$PWD/mcplane.kubeconfig
      for kubectl and everything else that reads kubeconfigs
  mcplane kubeconfig --data-dir /srv/mcplane
      on the server's machine, from its data directory
  mcplane kubeconfig --fingerprint
      what others compare when they log in for the first time
";

/// Print a kubeconfig for other tools, with certificate authority and token
///
/// A server on this machine that asks for no login is reached over plain HTTP. With a login the kubeconfig names the
/// server's https address, because tools such as kubectl send tokens only there; one port speaks both.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Data directory of a server that runs on this machine; wins over --server
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Name of the context
    #[arg(long, default_value = "mcplane")]
    name: String,
    /// Namespace of commands that name none
    #[arg(short, long)]
    namespace: Option<String>,
    /// Print the authority's fingerprint instead
    #[arg(long)]
    fingerprint: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut login = match &arguments.data_dir {
        Some(data_dir) => from_data_dir(data_dir)?,
        None => from_server(&arguments.connection).await?,
    };
    if arguments.fingerprint {
        let found = login.authority_pem.as_deref().and_then(fingerprint);
        return print_line(
            &found.ok_or_else(|| Failure::failed("the server has no certificate authority of its own"))?,
        );
    }
    // kubectl asks for a user name and a password when it has no token for a server with TLS.
    match &login.token {
        Some(_) => login.server = over_tls(&login.server)?,
        None if login.server.starts_with("http://") => login.authority_pem = None,
        None => complain("note: nobody is logged in, so the kubeconfig holds no token; `mcplane login` gets one"),
    }
    login.name = arguments.name;
    login.namespace = arguments.namespace.or(login.namespace);
    print(&logins::to_yaml(&login.kubeconfig()?)?)
}

/// The server that runs on a data directory.
fn from_data_dir(data_dir: &Path) -> Result<Login, Failure> {
    let endpoint = Endpoint::read(data_dir).ok_or_else(|| {
        let message = format!("no server runs on {}", data_dir.display());
        Failure::new(Exit::Unreachable, message).hint("start it with `mcplane server --data-dir DIR`")
    })?;
    let authority_pem = std::fs::read_to_string(Authority::certificate_path(data_dir)).ok();
    Ok(Login { server: endpoint.url, authority_pem, ..Login::default() })
}

/// The server that commands talk to, with the login's token if there is one.
async fn from_server(arguments: &ConnectionArgs) -> Result<Login, Failure> {
    let connection = arguments.connect().await?;
    let authority_pem = match connection.text("/auth/ca.pem").await {
        Ok(pem) => Some(pem),
        Err(failure) if failure.exit() == Exit::Unreachable => return Err(failure),
        // The certificate is of an authority that the system knows.
        Err(_) => None,
    };
    Ok(Login {
        server: connection.server,
        authority_pem,
        user: connection.user,
        token: connection.token,
        namespace: Some(connection.namespace).filter(|namespace| namespace != "default"),
        ..Login::default()
    })
}

/// The same server over TLS, without which tools like kubectl send no token; one port speaks both.
fn over_tls(server: &str) -> Result<String, Failure> {
    let uri: Uri = server.parse().map_err(|_| Failure::failed(format!("{server:?} is not a URL")))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) if authority.port().is_none() => Ok(format!("https://{authority}:80")),
        (Some(_), Some(authority)) => Ok(format!("https://{authority}")),
        _ => Err(Failure::failed(format!("{server:?} names no host"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_stays_when_the_scheme_changes() {
        assert_eq!(over_tls("http://127.0.0.1:5080").unwrap(), "https://127.0.0.1:5080");
        assert_eq!(over_tls("http://localhost").unwrap(), "https://localhost:80");
        assert_eq!(over_tls("https://box").unwrap(), "https://box");
        assert!(over_tls("box").is_err());
    }
}
