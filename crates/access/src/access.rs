//! The parts of access, started and handed out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use mcplane_core::{Authorizer, Error, Result};
use mcplane_db::Db;
use mcplane_objects::http::Routes;
use mcplane_objects::storage::Storage;
use mcplane_objects::{Objects, Registry};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::authenticate::{Anonymous, Authenticator, authenticate};
use crate::http::{self, Door};
use crate::rbac::{self, RbacAuthorizer};
use crate::service_accounts::ServiceAccounts;
use crate::tokens::{LocalIssuer, Realm, TokenVerifier, Verifiers, jwt, key_file};
use crate::users::{BasicLogins, Logins, Users};
use crate::{bootstrap, reviews};

/// What access is told by the operator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the keys that sign tokens; made if it isn't there.
    pub keys: PathBuf,
    /// Who issues tokens, and for whom.
    pub realm: Realm,
    /// How long a login lasts.
    pub token_lifetime: Duration,
    /// Further issuers to trust.
    pub issuers: Vec<Arc<dyn TokenVerifier>>,
}

impl Config {
    /// The defaults, with keys in `keys`.
    pub fn new(keys: impl Into<PathBuf>) -> Self {
        let own = "mcplane".to_owned();
        Self {
            keys: keys.into(),
            realm: Realm { issuer: own.clone(), audiences: vec![own] },
            token_lifetime: Duration::from_millis(jwt::USER_TOKEN_LIFETIME_MS.unsigned_abs()),
            issuers: vec![],
        }
    }
}

/// Who is who and who may do what, for one server. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    authorizer: Arc<RbacAuthorizer>,
    authenticator: Arc<Authenticator>,
    issuer: Arc<LocalIssuer>,
    users: Arc<Users>,
    accounts: Arc<ServiceAccounts>,
    door: Door,
    table: Arc<dyn Storage>,
    /// The folder of keys; held while they change.
    keys: Arc<Mutex<PathBuf>>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("authorizer", &self.authorizer).finish_non_exhaustive()
    }
}

impl Access {
    /// Reads keys, roles, bindings, users and service accounts, and follows their changes. `table` is the storage of
    /// ordinary kinds.
    ///
    /// # Errors
    /// When the store or the keys can't be read.
    pub async fn start(db: &Db, table: Arc<dyn Storage>, config: Config) -> Result<Self> {
        let now = db.clock().now();
        let folder = config.keys.clone();
        let load = tokio::task::spawn_blocking(move || key_file::load_or_create(&folder, now));
        let (authorizer, users, accounts) =
            tokio::try_join!(rbac::follow(db, &*table), Users::start(db), ServiceAccounts::start(db, &table))?;
        let ring = load.await.map_err(Error::internal)??;
        let lifetime_ms = i64::try_from(config.token_lifetime.as_millis()).unwrap_or(i64::MAX);
        let issuer = Arc::new(LocalIssuer::new(config.realm, ring).with_user_lifetime(lifetime_ms));
        let (authorizer, users, accounts) = (Arc::new(authorizer), Arc::new(users), Arc::new(accounts));

        let logins = Arc::new(Logins::new(&users, Arc::clone(&issuer)));
        let own: Arc<dyn TokenVerifier> = Arc::clone(&issuer) as _;
        let authenticator = Arc::new(Authenticator {
            verifiers: Verifiers::new(std::iter::once(own).chain(config.issuers).collect()),
            users: Arc::clone(&users),
            basic: BasicLogins::new(Arc::clone(&users), Arc::clone(&logins)),
            accounts: Arc::clone(&accounts),
            clock: Arc::clone(db.clock()),
        });
        let door = Door { db: db.clone(), authorizer: Arc::clone(&authorizer) as _, logins };
        let keys = Arc::new(Mutex::new(config.keys));
        Ok(Self { authorizer, authenticator, issuer, users, accounts, door, table, keys })
    }

    /// Adds the kinds and reviews of access: roles and bindings, users, service accounts.
    pub fn register(&self, registry: &mut Registry) {
        self.accounts.register(registry, &self.issuer);
        rbac::kinds::register(registry, &self.table, &self.authorizer);
        self.users.register(registry, &self.authorizer);
        reviews::register(registry, &self.authorizer, &self.authenticator, &self.issuer);
    }

    /// Has tokens bound to the pods of `storage`: they are good while their pod is there and has not ended.
    pub fn keep_pods(&self, storage: Arc<dyn Storage>) {
        self.accounts.keep_pods(storage);
    }

    /// Who decides.
    pub fn authorizer(&self) -> Arc<dyn Authorizer> {
        Arc::clone(&self.authorizer) as _
    }

    /// Makes sure of the objects that every server has, and of `more`, which parts of the application bring.
    ///
    /// # Errors
    /// See [`bootstrap::bootstrap`].
    pub async fn bootstrap(&self, objects: &Objects, more: Vec<Value>) -> Result<()> {
        let manifests = bootstrap::manifests().into_iter().chain(more).collect();
        bootstrap::bootstrap(objects, &*self.authorizer, manifests).await
    }

    /// The routes `POST /auth/login` and `GET /audit`.
    pub fn routes(&self) -> Routes {
        http::routes(self.door.clone())
    }

    /// `router` behind authentication: each request reaches it with its [`mcplane_core::Context`], or not at all.
    pub fn authenticate(&self, router: Router, anonymous: Anonymous) -> Router {
        router.layer(from_fn_with_state((Arc::clone(&self.authenticator), anonymous), authenticate))
    }

    /// Whether there is a user who is not disabled.
    pub fn users_exist(&self) -> bool {
        self.users.exist()
    }

    /// Signs with a new key from now on; returns its id. Tokens signed before stay good until they end.
    ///
    /// # Errors
    /// When the keys can't be written; then nothing changed.
    pub async fn rotate_keys(&self) -> Result<String> {
        let folder = self.keys.lock().await;
        let ring = self.issuer.keys().rotated(self.authenticator.clock.now());
        let (path, saved) = (folder.clone(), ring.clone());
        let save = tokio::task::spawn_blocking(move || key_file::save(&path, &saved));
        save.await.map_err(Error::internal)??;
        let id = ring.signing()?.id().to_owned();
        self.issuer.replace_keys(ring);
        Ok(id)
    }
}
