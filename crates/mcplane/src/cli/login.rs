//! `mcplane login`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Deserialize;
use serde_json::json;

use super::connection::{self, Connection, is_confidential, normalise, not_confidential, request};
use super::failure::{Exit, Failure};
use super::logins::{self, Login};
use super::output::print_line;
use super::password;
use crate::config::Input;
use crate::server::fingerprint;

const EXAMPLES: &str = "\
Examples:
  mcplane login --server https://mcplane.example.com:5080 --username ann
      asks for the password and, the first time, whether to trust the server's certificate authority
  mcplane login --server https://10.0.0.7:5080 --username ci --password-stdin \\
      --ca-fingerprint sha256:… < password
      for scripts; `mcplane kubeconfig --fingerprint` on the server's machine tells the fingerprint

The login is kept in ~/.config/mcplane/config, readable by you only, until the token expires.
";

/// Log in to a server, and make it the one that commands talk to
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Server to log in to
    #[arg(
        short,
        long,
        value_name = "URL",
        env = "MCPLANE_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:5080"
    )]
    server: String,
    /// User; asked for without it
    #[arg(short, long)]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Namespace of later commands that name none
    #[arg(short, long)]
    namespace: Option<String>,
    /// PEM file of the certificate authority to trust
    #[arg(long, value_name = "FILE", conflicts_with = "ca_fingerprint")]
    certificate_authority: Option<PathBuf>,
    /// Trust the server's own authority if it has this fingerprint
    #[arg(long, value_name = "SHA256")]
    ca_fingerprint: Option<String>,
    /// File of logins
    #[arg(long, value_name = "FILE", env = "MCPLANE_KUBECONFIG", hide_env_values = true)]
    kubeconfig: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Answer {
    token: String,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let server = normalise(&arguments.server)?;
    let uri: http::Uri = server.parse().map_err(|_| Failure::usage(format!("{server:?} is not a server")))?;
    if !is_confidential(&uri) {
        return Err(not_confidential(&server));
    }
    let path =
        arguments.kubeconfig.clone().or_else(|| logins::path(&Input::from_process().environment)).ok_or_else(|| {
            Failure::usage("there is no home directory for the login").hint("name a file with --kubeconfig")
        })?;
    let name = uri.authority().map(ToString::to_string).unwrap_or_default();
    let known = logins::read(&path)?;
    let mut login = Login {
        authority_pem: arguments.authority(&known, &server, uri.scheme_str()).await?,
        namespace: arguments.namespace.clone(),
        name,
        server,
        ..Login::default()
    };
    let connection = connection::connect(login.kubeconfig()?, KubeConfigOptions::default()).await?;
    let username = match &arguments.username {
        Some(name) => name.clone(),
        None if arguments.password_stdin => return Err(Failure::usage("--password-stdin needs --username too")),
        None => prompt("User")?,
    };
    let password = password::ask(&format!("Password of {username}"), arguments.password_stdin)?;
    login.token = Some(authenticate(&connection, &username, &password).await?);
    login.user = Some(username.clone());
    logins::remember(&path, &login)?;
    print_line(&format!("logged in to {} as {username}", login.server))
}

async fn authenticate(connection: &Connection, username: &str, password: &str) -> Result<String, Failure> {
    let body = json!({"username": username, "password": password});
    let request = request("POST", "/auth/login", Some(&body))?;
    match connection.client.request::<Answer>(request).await {
        Ok(answer) => Ok(answer.token),
        Err(kube::Error::Api(status)) if status.code == 401 => {
            Err(Failure::new(Exit::Denied, "the server does not know this user with this password"))
        }
        Err(error) => Err(connection.failure(&error)),
    }
}

impl Arguments {
    /// The authority to trust: the one given, the one of an earlier login, or the server's own if somebody vouches
    /// for it. Servers with a certificate that the system trusts need none.
    async fn authority(
        &self,
        known: &Kubeconfig,
        server: &str,
        scheme: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        if scheme != Some("https") {
            return Ok(None);
        }
        if let Some(path) = &self.certificate_authority {
            let pem = std::fs::read_to_string(path);
            return pem
                .map(Some)
                .map_err(|error| Failure::from_error(format!("can't read {}", path.display()), &error));
        }
        if self.ca_fingerprint.is_none()
            && let Some(context) = logins::context_for(known, server)
            && let Some(pem) = connection::authority_of(known, &context)
        {
            return Ok(Some(pem));
        }
        if self.ca_fingerprint.is_none() && system_trusts(server).await {
            return Ok(None);
        }
        let pem = offered_authority(server).await?;
        let found = fingerprint(&pem).ok_or_else(|| Failure::failed("the server's authority is not a certificate"))?;
        match &self.ca_fingerprint {
            Some(expected) if same_fingerprint(expected, &found) => Ok(Some(pem)),
            Some(_) => Err(Failure::failed(format!("the server's authority has another fingerprint: {found}"))
                .hint("do not log in unless you know why")),
            None if std::io::stdin().is_terminal() => {
                print_line(&format!("{server} presents a certificate authority of its own:\n  {found}"))?;
                if prompt("Is that what `mcplane kubeconfig --fingerprint` says there (yes/no)")? == "yes" {
                    return Ok(Some(pem));
                }
                Err(Failure::failed("the server is not trusted"))
            }
            None => Err(Failure::failed(format!("{server} presents a certificate authority of its own: {found}"))
                .hint(format!("if that is right, add --ca-fingerprint {found}"))),
        }
    }
}

fn same_fingerprint(expected: &str, found: &str) -> bool {
    let digits = |text: &str| text.trim().trim_start_matches("sha256:").replace(':', "").to_ascii_lowercase();
    digits(expected) == digits(found)
}

async fn system_trusts(server: &str) -> bool {
    let login = Login { name: "probe".into(), server: server.into(), ..Login::default() };
    let Ok(kubeconfig) = login.kubeconfig() else { return false };
    match connection::connect(kubeconfig, KubeConfigOptions::default()).await {
        Ok(connection) => connection.text("/livez").await.is_ok(),
        Err(_) => false,
    }
}

/// What the server says its authority is. Nothing secret is sent, and nothing is believed before it is vouched for.
async fn offered_authority(server: &str) -> Result<String, Failure> {
    let login = Login { name: "probe".into(), server: server.into(), ..Login::default() };
    let mut kubeconfig = login.kubeconfig()?;
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        cluster.insecure_skip_tls_verify = Some(true);
    }
    connection::connect(kubeconfig, KubeConfigOptions::default()).await?.text("/auth/ca.pem").await
}

fn prompt(question: &str) -> Result<String, Failure> {
    let mut out = std::io::stdout().lock();
    write!(out, "{question}: ")?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_compared_however_they_are_written() {
        assert!(same_fingerprint("AB:CD", "sha256:abcd"));
        assert!(same_fingerprint("sha256:abcd\n", "sha256:abcd"));
        assert!(!same_fingerprint("sha256:abce", "sha256:abcd"));
        assert!(!same_fingerprint("", "sha256:abcd"));
    }
}
