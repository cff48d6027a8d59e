//! The engine with access on a real database, behind its door.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt as _;
use mcplane_access::{Access, Anonymous, Config};
use mcplane_core::{Clock, ManualClock};
use mcplane_db::{Db, StoreUrl};
use mcplane_objects::http::{self, Door};
use mcplane_objects::storage::{Cipher, TableStorage};
use mcplane_objects::{Objects, Quotas, Registry, kinds};
use mcplane_testkit::Database;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Runs each scenario on both databases.
macro_rules! on_both_databases {
    ($($scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                Box::pin(super::$scenario(crate::world::World::sqlite().await)).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                Box::pin(super::$scenario(crate::world::World::postgres().await)).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;

pub(crate) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
pub(crate) const USERS: &str = "/apis/mcplane.io/v1alpha1/users";

pub(crate) struct World {
    pub(crate) access: Access,
    pub(crate) objects: Arc<Objects>,
    pub(crate) db: Db,
    pub(crate) clock: Arc<ManualClock>,
    /// Without a credential, callers are nobody.
    guarded: Router,
    /// Without a credential, callers are the administrator.
    home: Router,
    url: StoreUrl,
    folder: TempDir,
    _database: Option<Database>,
}

/// An answer: its status and its JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        self.json
    }

    pub(crate) fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or_default()
    }
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("mcplane.db"));
        Self::open(url, folder, None, start_time()).await
    }

    pub(crate) async fn postgres() -> Self {
        let database = tokio::task::spawn_blocking(Database::create).await.unwrap();
        let url = database.url().parse().unwrap();
        Self::open(url, tempfile::tempdir().unwrap(), Some(database), start_time()).await
    }

    /// The same store in a new server.
    pub(crate) async fn restart(self) -> Self {
        let Self { db, url, folder, _database: database, clock, .. } = self;
        db.close().await;
        Self::open(url, folder, database, clock.now()).await
    }

    async fn open(url: StoreUrl, folder: TempDir, database: Option<Database>, now: i64) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let db = Db::open(&url, Arc::clone(&clock) as _).await.unwrap();
        let table = TableStorage::new(db.clone());
        let cipher = Cipher::load_or_create(&folder.path().join("secrets.key")).unwrap();
        let access =
            Access::start(&db, Arc::new(table.clone()), Config::new(folder.path().join("keys"))).await.unwrap();
        let mut registry = Registry::default();
        kinds::register(&mut registry, &table, &cipher);
        access.register(&mut registry);
        let quotas = Quotas::start(&db, &table).await.unwrap();
        let objects = Arc::new(Objects::new(registry, db.clone(), quotas));
        access.bootstrap(&objects, vec![]).await.unwrap();
        let door = Door {
            objects: Arc::clone(&objects),
            authorizer: access.authorizer(),
            max_body: 3 << 20,
            stopping: CancellationToken::new(),
        };
        let router = http::routes(door).merge(access.routes()).into_router();
        let guarded = access.authenticate(router.clone(), Anonymous::Nobody);
        let home = access.authenticate(router, Anonymous::Admin);
        Self { access, objects, db, clock, guarded, home, url, folder, _database: database }
    }

    /// A request by the administrator.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        send(&self.home, request(method, path, None, &body)).await
    }

    /// A request with a token, or without any credential.
    pub(crate) async fn call(&self, token: Option<&str>, method: &str, path: &str, body: Value) -> Answer {
        send(&self.guarded, request(method, path, token, &body)).await
    }

    /// As [`Self::call`], on the server whose callers without a credential are the administrator.
    pub(crate) async fn call_home(&self, token: &str, method: &str, path: &str) -> Answer {
        send(&self.home, request(method, path, Some(token), &Value::Null)).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.guarded, request).await
    }

    pub(crate) async fn create(&self, path: &str, body: Value) -> Value {
        self.admin("POST", path, body).await.expect(201)
    }

    pub(crate) async fn namespace(&self, name: &str) {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.create("/api/v1/namespaces", body).await;
    }

    pub(crate) async fn user(&self, name: &str, role: &str) -> Value {
        self.create(USERS, user(name, role, PASSWORD)).await
    }

    pub(crate) async fn login(&self, name: &str, password: &str) -> Answer {
        self.call(None, "POST", "/auth/login", json!({"username": name, "password": password})).await
    }

    /// A user with that role, logged in.
    pub(crate) async fn token_of(&self, name: &str, role: &str) -> String {
        self.user(name, role).await;
        self.login(name, PASSWORD).await.expect(200)["token"].as_str().unwrap().to_owned()
    }

    /// Entries of the audit log that match.
    pub(crate) async fn audit(&self, query: &str) -> Vec<Value> {
        let answer = self.admin("GET", &format!("/audit?{query}"), Value::Null).await.expect(200);
        answer["items"].as_array().unwrap().clone()
    }

    /// Everything that the store holds but the hashes where they belong.
    pub(crate) async fn everything_stored(&self) -> String {
        let mut all = String::new();
        for sql in [
            "SELECT body || coalesce(previous, '') FROM changes",
            "SELECT body FROM objects",
            "SELECT actor || name || detail || resource FROM audit",
            "SELECT name || role || metadata FROM users",
        ] {
            for row in self.db.fetch(sql, vec![]).await.unwrap() {
                all.push_str(row.text(0).unwrap());
                all.push('\n');
            }
        }
        all
    }
}

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) fn user(name: &str, role: &str, password: &str) -> Value {
    json!({"apiVersion": "mcplane.io/v1alpha1", "kind": "User", "metadata": {"name": name},
           "spec": {"role": role, "password": password}})
}

fn start_time() -> i64 {
    mcplane_core::SystemClock.now()
}

pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: &Value) -> Request<Body> {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut builder = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content_type);
    if let Some(token) = token {
        builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    builder.body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) }).unwrap()
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let sent = async {
        let response = router.clone().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { code, json: serde_json::from_str(&text).unwrap_or_default(), text }
    };
    tokio::time::timeout(Duration::from_secs(30), sent).await.unwrap()
}
