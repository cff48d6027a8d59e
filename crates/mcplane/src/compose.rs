//! Wires everything into one server. Read this file to know what mcplane is made of.

use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use axum::Router;
use mcplane_core::authz::AllowAll;
use mcplane_core::{Authorizer, SystemClock};
use mcplane_db::{Db, StoreUrl};
use mcplane_objects::http::{self, Door};
use mcplane_objects::storage::{Cipher, Encrypted, Storage, TableStorage};
use mcplane_objects::{Objects, Quotas, Registry, controllers, kinds};
use tokio_util::task::TaskTracker;

use crate::config::{AuthMode, Config};
use crate::server::{
    DataDir, Endpoint, Exposure, Metrics, Operations, Server, Shutdown, StartError, failure, operations_router,
};

/// How long background work may take to end after the last request.
const BACKGROUND_GRACE: Duration = Duration::from_secs(5);

/// What parts of the application are built on.
#[derive(Debug)]
pub struct Foundation<'a> {
    /// All configuration; each part is given its own section.
    pub config: &'a Config,
    /// Where files are kept.
    pub data_dir: &'a DataDir,
    /// Who can reach the server, which decides whether callers must log in.
    pub exposure: Exposure,
    /// Where parts register their metrics.
    pub metrics: Metrics,
    /// When to stop.
    pub shutdown: Shutdown,
    /// The certificate authority that clients must trust, if it is the server's own.
    pub authority_pem: Option<Arc<str>>,
}

/// What the server runs.
#[derive(Debug)]
pub struct Application {
    /// All routes, authentication included.
    pub router: Router,
    /// Work beside requests, such as controllers; it ends when the server is told to stop.
    pub background: TaskTracker,
}

/// Runs `mcplane server` until it is told to stop; `ready` is called once requests are answered.
///
/// # Errors
/// When the server can't start.
pub async fn serve(config: &Config, shutdown: Shutdown, ready: impl FnOnce(&Endpoint)) -> Result<(), StartError> {
    serve_with(config, shutdown, application, ready).await
}

/// [`serve`] with an application of the caller's.
///
/// # Errors
/// When the server can't start.
pub async fn serve_with(
    config: &Config,
    shutdown: Shutdown,
    build: impl AsyncFnOnce(&Foundation<'_>) -> Result<Application, StartError>,
    ready: impl FnOnce(&Endpoint),
) -> Result<(), StartError> {
    let data_dir = DataDir::open(&config.server.data_dir)?;
    let server = Server::bind(&config.server, &data_dir).await?;
    let foundation = Foundation {
        config,
        data_dir: &data_dir,
        exposure: server.exposure(),
        metrics: Metrics::new(),
        shutdown: shutdown.clone(),
        authority_pem: server.certificates().authority_pem().map(Arc::from),
    };
    let Application { router, background } = build(&foundation).await?;

    let endpoint = Endpoint { address: server.address(), url: server.local_url(), pid: std::process::id() };
    data_dir.announce(&endpoint)?;
    tracing::info!(server.address = %endpoint.address, url = endpoint.url, "ready");
    ready(&endpoint);
    let served = server.serve(router, foundation.metrics, shutdown.clone()).await;

    shutdown.request();
    data_dir.withdraw();
    background.close();
    if tokio::time::timeout(BACKGROUND_GRACE, background.wait()).await.is_err() {
        tracing::warn!(tasks = background.len(), "background work did not end in time");
    }
    tracing::info!("stopped");
    served
}

/// The application of a data directory without a listener, for commands on the data of a server that is not running.
/// Whoever may write the directory is its administrator.
#[derive(Debug)]
pub struct Offline {
    application: Application,
    shutdown: Shutdown,
    _data_dir: DataDir,
}

impl Offline {
    /// Opens the data directory as a server does, so that none can run on it at the same time.
    ///
    /// # Errors
    /// When a server could not start either.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let mut config = config.clone();
        config.auth.mode = AuthMode::Auto;
        let data_dir = DataDir::open(&config.server.data_dir)?;
        let shutdown = Shutdown::new();
        let foundation = Foundation {
            config: &config,
            data_dir: &data_dir,
            exposure: Exposure { loopback: true, proxied: false },
            metrics: Metrics::new(),
            shutdown: shutdown.clone(),
            authority_pem: None,
        };
        let application = application(&foundation).await?;
        Ok(Self { application, shutdown, _data_dir: data_dir })
    }

    /// A client of the API, without a socket.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.application.router.clone(), "default")
    }

    /// Ends what runs beside requests.
    pub async fn close(self) {
        self.shutdown.request();
        self.application.background.close();
        let _ = tokio::time::timeout(BACKGROUND_GRACE, self.application.background.wait()).await;
    }
}

/// Builds the application on its foundation; also used without a listener, for commands on a server's data.
///
/// # Errors
/// When a part can't start, or when the server would be open to anybody.
pub async fn application(foundation: &Foundation<'_>) -> Result<Application, StartError> {
    foundation.exposure.login_policy(foundation.config.auth.mode, false)?;
    let background = TaskTracker::new();
    let db = open_store(foundation).await?;
    let authorizer: Arc<dyn Authorizer> = Arc::new(AllowAll);
    let objects = objects(foundation, &db).await?;

    let operations = operations_router(Operations {
        probes: Arc::new([]),
        metrics: foundation.metrics.clone(),
        authorizer: Arc::clone(&authorizer),
        shutdown: foundation.shutdown.clone(),
        authority_pem: foundation.authority_pem.clone(),
    });
    let door = Door {
        objects: Arc::clone(&objects),
        authorizer,
        max_body: usize::try_from(foundation.config.server.max_body.0).unwrap_or(usize::MAX),
        stopping: foundation.shutdown.token(),
    };
    let api = http::router(door);
    let client = controllers::in_process(api.clone(), "controllers");
    controllers::start(&objects, &client, &foundation.shutdown.token(), &background);
    let router = operations.merge(api).fallback(async || {
        failure(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    });
    Ok(Application { router, background })
}

async fn open_store(foundation: &Foundation<'_>) -> Result<Db, StartError> {
    let url = &foundation.config.store.url;
    let url = if url.is_sqlite() {
        StoreUrl::Sqlite(foundation.data_dir.path().join("mcplane.db"))
    } else {
        url.expose().parse().map_err(|error: String| StartError::Application(error.into()))?
    };
    Db::open(&url, Arc::new(SystemClock)).await.map_err(|error| StartError::Application(Box::new(error)))
}

async fn objects(foundation: &Foundation<'_>, db: &Db) -> Result<Arc<Objects>, StartError> {
    let failed = |error| StartError::Application(Box::new(error));
    let table = TableStorage::new(db.clone());
    let cipher = Cipher::load_or_create(&foundation.data_dir.path().join("secrets.key")).map_err(failed)?;
    let encrypted: Arc<dyn Storage> = Arc::new(Encrypted::new(table.clone(), cipher));
    let quotas = Quotas::start(db, &table).await.map_err(failed)?;
    let mut registry = Registry::default();
    kinds::register(&mut registry, &(Arc::new(table) as Arc<dyn Storage>), &encrypted);
    Ok(Arc::new(Objects::new(registry, db.clone(), quotas)))
}
