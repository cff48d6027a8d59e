//! A server that demands a login, and callers who speak HTTP/1.1 over a socket of their own for each request.

use std::net::SocketAddr;

use mcplane_testkit::process::run;
use mcplane_testkit::{Backend, Server, http};
use serde_json::{Value, json};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mcplane");
pub(crate) const PASSWORD: &str = "a login for the first of all";
pub(crate) const USERS: &str = "/apis/mcplane.io/v1alpha1/users";
pub(crate) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// The server and its administrator.
pub(crate) struct Guarded {
    pub(crate) server: Server,
    pub(crate) root: Caller,
}

impl Guarded {
    /// A fresh server whose first user was made before it started, as an operator does.
    pub(crate) fn start(backend: Backend, args: &[&str]) -> Self {
        let args = [&["--set", "auth.mode=required"], args].concat();
        let mut server = Server::stopped(BINARY, backend, &args);
        let data = server.data_dir().display().to_string();
        let store = server.database().map(|database| database.url().to_owned());
        let mut create = vec!["user", "create", "root", "--role", "admin", "--password-stdin", "--data-dir", &data];
        create.extend(store.iter().flat_map(|url| ["--store", url]));
        run(server.cli().args(create), Some(PASSWORD.as_bytes())).ok();
        server.restart();
        let nobody = Caller::nobody(&server);
        let root = nobody.login("root", PASSWORD);
        Self { server, root }
    }

    pub(crate) fn nobody(&self) -> Caller {
        Caller::nobody(&self.server)
    }

    pub(crate) fn namespace(&self, name: &str) {
        self.root.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
    }

    /// A new user, logged in.
    pub(crate) fn user(&self, name: &str, role: &str) -> Caller {
        let password = format!("the password of {name}");
        self.root.create(USERS, &json!({"metadata": {"name": name}, "spec": {"role": role, "password": password}}));
        self.nobody().login(name, &password)
    }

    /// A new service account with a token.
    pub(crate) fn account(&self, namespace: &str, name: &str) -> Caller {
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.root.create(&accounts, &json!({"metadata": {"name": name}}));
        let answer = self.root.create(&format!("{accounts}/{name}/token"), &json!({"spec": {}}));
        self.nobody().with_token(answer["status"]["token"].as_str().unwrap())
    }
}

/// Somebody who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
    /// The workspace that requests name, as clients of MLflow do.
    workspace: Option<String>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) text: String,
    /// Null where the text is no JSON.
    pub(crate) json: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        let line = |line: &'_ str| line.split_once(": ").is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head
            .lines()
            .find(|found| line(found))
            .and_then(|line| line.split_once(": "))
            .map_or("", |(_, value)| value)
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text);
        self.json
    }
}

impl From<http::Answer> for Reply {
    fn from(answer: http::Answer) -> Self {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self { status: answer.status, head: answer.head, text, json }
    }
}

impl Caller {
    pub(crate) fn nobody(server: &Server) -> Self {
        Self { address: server.address(), token: None, workspace: None }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub(crate) fn in_workspace(&self, name: &str) -> Self {
        Self { workspace: Some(name.to_owned()), ..self.clone() }
    }

    pub(crate) fn login(&self, name: &str, password: &str) -> Self {
        let answer = self.send("POST", "/auth/login", &json!({"username": name, "password": password})).expect(200);
        self.with_token(answer["token"].as_str().unwrap())
    }

    /// The head of a request up to its own headers: each of them ends with a line break, as does the whole.
    pub(crate) fn head(&self, method: &str, path: &str, headers: &str) -> String {
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let workspace =
            self.workspace.as_ref().map(|name| format!("X-MLFLOW-WORKSPACE: {name}\r\n")).unwrap_or_default();
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}{workspace}{headers}\r\n")
    }

    /// A request with any body; none when the connection broke without an answer.
    pub(crate) fn try_send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Option<Reply> {
        let headers = match (content_type, body.len()) {
            ("", 0) => String::new(),
            (content_type, length) => format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n"),
        };
        http::send(self.address, &self.head(method, path, &headers), body).map(Reply::from)
    }

    #[track_caller]
    pub(crate) fn send_as(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let shown = path.get(..200).unwrap_or(path);
        self.try_send(method, path, content_type, body).unwrap_or_else(|| panic!("no answer to {method} {shown}"))
    }

    /// A request with a JSON body, if there is one.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        match (body, method) {
            (Value::Null, _) => self.send_as(method, path, "", b""),
            (body, "PATCH") => self.send_as(method, path, "application/merge-patch+json", body.to_string().as_bytes()),
            (body, _) => self.send_as(method, path, "application/json", body.to_string().as_bytes()),
        }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &Value::Null)
    }

    #[track_caller]
    pub(crate) fn create(&self, path: &str, body: &Value) -> Value {
        self.send("POST", path, body).expect(201)
    }
}
