//! How commands find the server, and talk to it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use http::Request;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::{Exit, Failure};
use super::logins::{self, Login};
use crate::config::Input;
use crate::server::error_chain;

const DEFAULT_SERVER: &str = "http://127.0.0.1:5080";

/// Which server to talk to, and as whom.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// Server to talk to; without it the one of the last login, or http://127.0.0.1:5080
    #[arg(short, long, value_name = "URL", env = "MCPLANE_URL", hide_env_values = true, global = true)]
    pub(super) server: Option<String>,
    /// PEM file of the certificate authority to trust
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) certificate_authority: Option<PathBuf>,
    /// Token to use instead of the login's
    #[arg(long, env = "MCPLANE_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Kubeconfig to use instead of the file of logins
    #[arg(long, value_name = "FILE", env = "MCPLANE_KUBECONFIG", hide_env_values = true, global = true)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", global = true)]
    context: Option<String>,
}

/// Where a command works: in a namespace of a server.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Place {
    /// Namespace; without it the login's, or `default`
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Place {
    /// A connection that works in this namespace.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let mut connection = self.connection.connect().await?;
        if let Some(namespace) = &self.namespace {
            connection.namespace.clone_from(namespace);
        }
        Ok(connection)
    }
}

/// A server to talk to.
pub(super) struct Connection {
    pub(super) client: Client,
    /// The server's URL.
    pub(super) server: String,
    /// Where to work, unless told otherwise.
    pub(super) namespace: String,
    /// The login's name and token, for handing on to other tools.
    pub(super) user: Option<String>,
    pub(super) token: Option<String>,
}

impl ConnectionArgs {
    /// A connection to the server that these flags, the environment and the file of logins name.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let (kubeconfig, options) = self.choose(self.known()?)?;
        connect(kubeconfig, options).await
    }

    /// The file of logins, or the kubeconfig given instead of it.
    pub(super) fn known(&self) -> Result<Kubeconfig, Failure> {
        let path = self.kubeconfig.clone().or_else(|| logins::path(&Input::from_process().environment));
        match path {
            Some(path) => logins::read(&path),
            None => Ok(Kubeconfig::default()),
        }
    }

    /// The context to use: of the named server, of the current login, or of this machine's server.
    fn choose(&self, known: Kubeconfig) -> Result<(Kubeconfig, KubeConfigOptions), Failure> {
        let server = self.server.as_deref().filter(|server| !server.is_empty()).map(normalise).transpose()?;
        let context = match &server {
            _ if self.context.is_some() => self.context.clone(),
            Some(server) => logins::context_for(&known, server),
            None => known.current_context.clone().filter(|name| !name.is_empty()),
        };
        let changes = self.token.is_some() || self.certificate_authority.is_some();
        if let Some(context) = &context
            && !changes
        {
            let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
            return Ok((known, options));
        }
        let server = match (server, &context) {
            (Some(server), _) => server,
            (None, Some(context)) => server_of(&known, context)
                .ok_or_else(|| Failure::usage(format!("the kubeconfig has no context {context:?} with a server")))?,
            (None, None) => DEFAULT_SERVER.to_owned(),
        };
        let authority_pem = match &self.certificate_authority {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| Failure::from_error(format!("can't read {}", path.display()), &error))?,
            ),
            None => context.as_deref().and_then(|context| authority_of(&known, context)),
        };
        let login =
            Login { name: "flags".into(), server, authority_pem, token: self.token.clone(), ..Login::default() };
        Ok((login.kubeconfig()?, KubeConfigOptions::default()))
    }
}

/// A connection by a kubeconfig.
pub(super) async fn connect(kubeconfig: Kubeconfig, options: KubeConfigOptions) -> Result<Connection, Failure> {
    let (user, token) = credential_of(&kubeconfig, options.context.as_deref());
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| Failure::from_error("the kubeconfig can't be used", &error))?;
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let has_secret = config.auth_info.token.is_some() || config.auth_info.password.is_some();
    if has_secret && !is_confidential(&config.cluster_url) {
        return Err(not_confidential(&server));
    }
    let namespace = config.default_namespace.clone();
    let client =
        Client::try_from(config).map_err(|error| Failure::from_error("can't set up the connection", &error))?;
    Ok(Connection { client, server, namespace, user, token })
}

impl Connection {
    /// A connection to the API within this process.
    pub(super) fn offline(client: Client) -> Self {
        Self { client, server: "the data directory".into(), namespace: "default".into(), user: None, token: None }
    }

    /// Sends a request and reads the JSON of the answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: Request<Vec<u8>>) -> Result<T, Failure> {
        self.client.request(request).await.map_err(|error| self.failure(&error))
    }

    /// Gets a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(request("GET", path, None)?).await
    }

    /// Gets a path; `None` if there is nothing.
    pub(super) async fn get_optional(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.client.request(request("GET", path, None)?).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Gets a path as text.
    pub(super) async fn text(&self, path: &str) -> Result<String, Failure> {
        self.client.request_text(request("GET", path, None)?).await.map_err(|error| self.failure(&error))
    }

    /// What to tell the user about a request that failed.
    pub(super) fn failure(&self, error: &kube::Error) -> Failure {
        match error {
            kube::Error::Api(status) => {
                let reason = if status.message.is_empty() { &status.reason } else { &status.message };
                match status.code {
                    401 => Failure::new(Exit::Denied, format!("{} asks for a login: {reason}", self.server))
                        .hint(format!("`mcplane login --server {}`", self.server)),
                    403 => Failure::new(Exit::Denied, reason),
                    code if reason.is_empty() => Failure::failed(format!("the server answered {code}")),
                    _ => Failure::failed(reason),
                }
            }
            kube::Error::HyperError(_) | kube::Error::Service(_) => {
                let chain = error_chain(error);
                let failure =
                    Failure::new(Exit::Unreachable, format!("can't reach {}: {}", self.server, brief(&chain)));
                if chain.contains("certificate") || chain.contains("UnknownIssuer") {
                    failure.hint(format!(
                        "`mcplane login --server {}` learns to trust it, or name its authority with --certificate-authority",
                        self.server
                    ))
                } else {
                    failure.hint("`mcplane server` starts one on this machine; --server or MCPLANE_URL names another")
                }
            }
            other => Failure::from_error(format!("{} gave no usable answer", self.server), other),
        }
    }
}

/// A request with a JSON body, or without any.
pub(super) fn request(method: &str, path: &str, body: Option<&Value>) -> Result<Request<Vec<u8>>, Failure> {
    typed_request(method, path, "application/json", body)
}

/// A request with a JSON body of a given media type.
pub(super) fn typed_request(
    method: &str,
    path: &str,
    media_type: &str,
    body: Option<&Value>,
) -> Result<Request<Vec<u8>>, Failure> {
    let bytes = body.map(|value| value.to_string().into_bytes()).unwrap_or_default();
    let mut request = typed_bytes(method, path, media_type, bytes)?;
    if body.is_none() {
        request.headers_mut().remove("content-type");
    }
    Ok(request)
}

/// A request with a body of a given media type.
pub(super) fn typed_bytes(
    method: &str,
    path: &str,
    media_type: &str,
    body: Vec<u8>,
) -> Result<Request<Vec<u8>>, Failure> {
    let builder = Request::builder().method(method).uri(path);
    let builder = builder.header("accept", "application/json").header("content-type", media_type);
    builder.body(body).map_err(|error| Failure::from_error(format!("can't ask for {path}"), &error))
}

/// Text as one part of a path or query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A query string of the pairs that have a value, with its question mark; empty if none has.
pub(super) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let set: Vec<String> =
        pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?)))).collect();
    if set.is_empty() { String::new() } else { format!("?{}", set.join("&")) }
}

/// A server's URL from what people write: the scheme may be left out.
pub(super) fn normalise(server: &str) -> Result<String, Failure> {
    let wrong =
        || Failure::usage(format!("{server:?} is not a server: write it like https://mcplane.example.com:5080"));
    let text = server.trim().trim_end_matches('/');
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        let local = format!("http://{text}").parse::<http::Uri>().is_ok_and(|uri| is_loopback(&uri));
        format!("{}://{text}", if local { "http" } else { "https" })
    };
    let uri: http::Uri = with_scheme.parse().map_err(|_| wrong())?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.path().len() <= 1
        && uri.query().is_none();
    if plain { Ok(with_scheme) } else { Err(wrong()) }
}

/// Whether nobody on the way can read what is sent.
pub(super) fn is_confidential(uri: &http::Uri) -> bool {
    uri.scheme_str() == Some("https") || is_loopback(uri)
}

pub(super) fn not_confidential(server: &str) -> Failure {
    Failure::usage(format!("{server} would send your credential in the clear"))
        .hint("use https://; only a server on this machine may be called over http://")
}

fn is_loopback(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn server_of(known: &Kubeconfig, context: &str) -> Option<String> {
    cluster_of(known, context)?.server.clone()
}

pub(super) fn authority_of(known: &Kubeconfig, context: &str) -> Option<String> {
    use base64::Engine;
    let cluster = cluster_of(known, context)?;
    let encoded = cluster.certificate_authority_data.as_deref()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok()
}

/// Name and token of a context's user. The kubeconfig's own types show a token only when serialised.
fn credential_of(kubeconfig: &Kubeconfig, context: Option<&str>) -> (Option<String>, Option<String>) {
    let context = context.or(kubeconfig.current_context.as_deref()).unwrap_or_default();
    let context =
        kubeconfig.contexts.iter().find(|named| named.name == context).and_then(|named| named.context.as_ref());
    let Some(user) = context.and_then(|context| context.user.as_deref()) else { return (None, None) };
    let info = kubeconfig.auth_infos.iter().find(|named| named.name == user).and_then(|named| named.auth_info.as_ref());
    let token = info.and_then(|info| serde_json::to_value(info).ok()?["token"].as_str().map(ToOwned::to_owned));
    (user.split('@').next().map(ToOwned::to_owned), token)
}

fn cluster_of<'a>(known: &'a Kubeconfig, context: &str) -> Option<&'a kube::config::Cluster> {
    let context = known.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    known.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()
}

/// The part of an error chain that says something: what the system said last.
fn brief(chain: &str) -> &str {
    chain.rsplit(": ").next().unwrap_or(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged_in() -> Kubeconfig {
        let login = Login {
            name: "box:1".into(),
            server: "https://box:1".into(),
            authority_pem: Some("PEM".into()),
            user: Some("ann".into()),
            token: Some("secret".into()),
            namespace: Some("dev".into()),
        };
        login.kubeconfig().unwrap()
    }

    fn chosen(args: &ConnectionArgs, known: Kubeconfig) -> (String, Option<String>, bool) {
        let (kubeconfig, options) = args.choose(known).unwrap();
        let context = options.context.or(kubeconfig.current_context.clone()).unwrap();
        let token = logins::to_yaml(&kubeconfig).unwrap().contains("token: secret");
        (server_of(&kubeconfig, &context).unwrap(), authority_of(&kubeconfig, &context), token)
    }

    #[test]
    fn flags_win_over_logins_win_over_the_default() {
        let none = ConnectionArgs::default();
        assert_eq!(chosen(&none, Kubeconfig::default()).0, DEFAULT_SERVER);
        assert_eq!(chosen(&none, logged_in()), ("https://box:1".into(), Some("PEM".into()), true));
        let same = ConnectionArgs { server: Some("box:1/".into()), ..ConnectionArgs::default() };
        assert_eq!(chosen(&same, logged_in()), ("https://box:1".into(), Some("PEM".into()), true));
        let other = ConnectionArgs { server: Some("localhost:7".into()), ..ConnectionArgs::default() };
        assert_eq!(chosen(&other, logged_in()), ("http://localhost:7".into(), None, false));
        let token = ConnectionArgs { token: Some("mine".into()), ..ConnectionArgs::default() };
        assert_eq!(chosen(&token, logged_in()), ("https://box:1".into(), Some("PEM".into()), false));
        let missing =
            ConnectionArgs { context: Some("x".into()), token: Some("t".into()), ..ConnectionArgs::default() };
        assert!(missing.choose(logged_in()).err().unwrap().text().contains("no context \"x\""));
    }

    #[test]
    fn servers_are_written_in_many_ways() {
        for (text, url) in [
            ("localhost:5080", "http://localhost:5080"),
            ("127.0.0.1:5080", "http://127.0.0.1:5080"),
            ("[::1]:5080", "http://[::1]:5080"),
            ("mcplane.example.com", "https://mcplane.example.com"),
            ("http://box:1/", "http://box:1"),
        ] {
            assert_eq!(normalise(text).unwrap(), url);
        }
        for bad in ["", "ftp://x", "https://me:pw@x", "https://x/path", "https://x?q", "two words"] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn credentials_are_not_sent_in_the_clear() {
        let login =
            Login { name: "x".into(), server: "http://box:1".into(), token: Some("t".into()), ..Login::default() };
        let refused = connect(login.kubeconfig().unwrap(), KubeConfigOptions::default()).await.err().unwrap();
        assert!(refused.text().contains("in the clear"), "{}", refused.text());
    }

    #[test]
    fn paths_and_queries_are_encoded() {
        assert_eq!(encode("a/b c=ä"), "a%2Fb%20c%3D%C3%A4");
        assert_eq!(query(&[("a", Some("1 2")), ("b", None), ("c", Some("x"))]), "?a=1%202&c=x");
        assert_eq!(query(&[("a", None)]), "");
    }
}
