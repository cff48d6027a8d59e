//! Wires everything into one server. Read this file to know what mcplane is made of.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use axum::Router;
use mcplane_access::{self as access, Access, Anonymous};
use mcplane_blobs::{Blobs, BlobsConfig, External};
use mcplane_core::SystemClock;
use mcplane_data::{self as data, Data};
use mcplane_db::{Compactor, Db, StoreUrl};
use mcplane_delivery as delivery;
use mcplane_features as features;
use mcplane_objects::controllers::{self, Content};
use mcplane_objects::http::{self, Door, PathGuard, Route};
use mcplane_objects::storage::{Cipher, TableStorage};
use mcplane_objects::{Objects, Quotas, Registry, kinds};
use mcplane_pipelines as pipelines;
use mcplane_scheduler as scheduler;
use mcplane_serving::services;
use mcplane_tracking::artifacts::Artifacts;
use mcplane_tracking::models::SourcePattern;
use mcplane_tracking::{self as tracking, Tracking};
use tokio_util::task::TaskTracker;

use crate::config::{AuthMode, Config};
use crate::lineage::Lineage;
use crate::plane::{self, Listening};
use crate::server::{
    DataDir, Endpoint, Exposure, LoginPolicy, Metrics, Operations, OwnLimits, Probe, Server, Shutdown, StartError,
    failure, operations_routes,
};
use crate::watched::{self, Watched};
use crate::work::{self, Work};

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
    /// Where processes of this machine reach the server; `None` when there is no listener, and nothing is to run.
    pub local_url: Option<String>,
    /// Where the data plane listens; `None` when there is no listener.
    pub serving: Option<Listening>,
}

/// What the server runs.
#[derive(Debug)]
pub struct Application {
    /// All routes, authentication included.
    pub router: Router,
    /// What the router answers.
    pub routes: Vec<Route>,
    /// Which of them are not held to the server's limits on requests.
    pub own_limits: OwnLimits,
    /// What the data plane answers.
    pub data_plane: Router,
    /// The store, if there is one; it is closed last.
    pub store: Option<Db>,
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
    let plane = server.beside(config.serving.address(server.address()), "--serving-listen").await?;
    let exposure = plane.exposure();
    let foundation = Foundation {
        config,
        data_dir: &data_dir,
        exposure: server.exposure(),
        metrics: Metrics::new(),
        shutdown: shutdown.clone(),
        authority_pem: server.certificates().authority_pem().map(Arc::from),
        local_url: Some(server.local_url()),
        serving: Some(Listening {
            address: plane.address(),
            local: exposure.is_local(),
            plain: exposure.allows_plain_http(),
        }),
    };
    let Application { router, own_limits, data_plane, store, background, .. } = build(&foundation).await?;

    let endpoint = Endpoint {
        address: server.address(),
        url: server.local_url(),
        serving: plane.local_url(),
        pid: std::process::id(),
    };
    data_dir.announce(&endpoint)?;
    tracing::info!(server.address = %endpoint.address, url = endpoint.url, serving = endpoint.serving, "ready");
    ready(&endpoint);
    let answering = tokio::spawn(plane.serve_bare(data_plane, foundation.metrics.clone(), shutdown.clone()));
    let served = server.serve(router, own_limits, foundation.metrics, shutdown.clone()).await;

    shutdown.request();
    let served = served.and(answering.await.map_err(std::io::Error::other)?);
    data_dir.withdraw();
    wind_up(store.as_ref(), &background).await;
    tracing::info!("stopped");
    served
}

/// Waits for background work to end, then closes the store.
async fn wind_up(store: Option<&Db>, background: &TaskTracker) {
    background.close();
    if tokio::time::timeout(BACKGROUND_GRACE, background.wait()).await.is_err() {
        tracing::warn!(tasks = background.len(), "background work did not end in time");
    }
    if let Some(store) = store {
        store.close().await;
    }
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
            local_url: None,
            serving: None,
        };
        let application = application(&foundation).await?;
        Ok(Self { application, shutdown, _data_dir: data_dir })
    }

    /// A client of the API, without a socket.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.application.router.clone(), "default")
    }

    /// Every route of a server.
    pub fn routes(&self) -> &[Route] {
        &self.application.routes
    }

    /// Ends what runs beside requests.
    pub async fn close(self) {
        self.shutdown.request();
        wind_up(self.application.store.as_ref(), &self.application.background).await;
    }
}

/// Builds the application on its foundation; also used without a listener, for commands on a server's data.
///
/// # Errors
/// When a part can't start, or when the server would be open to anybody.
pub async fn application(foundation: &Foundation<'_>) -> Result<Application, StartError> {
    let Foundation { config, shutdown, .. } = foundation;
    let (stopping, background) = (shutdown.token(), TaskTracker::new());

    // The store, and what keeps it small.
    let db = open_store(foundation).await?;
    let compaction = Compactor::new(db.clone(), config.store.retention.0).run(config.store.compaction_interval.0);
    background.spawn(stopping.clone().run_until_cancelled_owned(compaction));

    // Who may do what, and to which kinds.
    let table = TableStorage::new(db.clone());
    let access = Access::start(&db, Arc::new(table.clone()), access_config(foundation)).await?;
    let login = foundation.exposure.login_policy(config.auth.mode, access.users_exist())?;
    let mut registry = Registry::default();
    let cipher = cipher(foundation)?;
    kinds::register(&mut registry, &table, &cipher);
    access.register(&mut registry);
    tracking::models::register(&mut registry, &db);
    let pods = scheduler::register(&mut registry, &db, &(Arc::new(table.clone()) as _));
    data::register(&mut registry, &(Arc::new(table.clone()) as _));
    pipelines::kinds::register(&mut registry, &(Arc::new(table.clone()) as _), &db);
    services::register(&mut registry, Arc::new(table.clone()));
    delivery::register(&mut registry, &(Arc::new(table.clone()) as _));
    access.keep_pods(Arc::new(pods.clone()));
    let features = features::register(&mut registry, &db, &(Arc::new(table.clone()) as _));
    let quotas = Quotas::start(&db, &table).await?;
    let objects = Arc::new(Objects::new(registry, db.clone(), quotas));
    let roles = [
        tracking::roles(),
        scheduler::scope::roles(),
        data::scope::roles(),
        features::scope::roles(),
        pipelines::kinds::roles(),
        services::roles(),
        delivery::scope::roles(),
    ];
    access.bootstrap(&objects, roles.concat()).await?;

    // Doors, and the controllers behind them.
    let api = http::routes(Door {
        objects: Arc::clone(&objects),
        authorizer: access.authorizer(),
        max_body: usize::try_from(config.server.max_body.0).unwrap_or(usize::MAX),
        stopping: stopping.clone(),
    });
    let tracked = Arc::new(start_tracking(foundation, &db, &table, cipher).await?);
    let client = controllers::in_process(api.clone().into_router(), "controllers");
    let checked = Arc::new(Data::new(&db, Arc::clone(&objects), access.authorizer(), Arc::new(Lineage)));
    let watched = Watched::start(watched::Parts {
        foundation,
        db: &db,
        tracking: Arc::clone(&tracked),
        authorizer: access.authorizer(),
        node: work::node_name(foundation.data_dir.path())?,
    });
    let watched = watched.await?;
    let contents: Vec<Arc<dyn Content>> = vec![
        tracked.clone(),
        checked.clone(),
        features,
        Arc::new(pods.clone()),
        Arc::new(services::Revisions::new(&db)),
        Arc::new(watched.clone()),
    ];
    controllers::start(&objects, contents, &client, &stopping, &background);
    let purging = Arc::clone(&tracked);
    background.spawn(stopping.clone().run_until_cancelled_owned(async move { purging.finish_purges().await }));
    background.spawn(Arc::clone(&tracked).send_messages(stopping.clone()));
    background.spawn(stopping.clone().run_until_cancelled_owned(Arc::clone(&checked).run()));
    let said = watched.routes(access.authorizer(), &db).await?;
    let checks = data::http::routes(data::http::Door { service: checked, authorizer: access.authorizer() });
    let work =
        work::start(Work { foundation, db: &db, table: &table, client: &client, pods: &pods, login }, &background)
            .await?;
    if foundation.local_url.is_some() {
        let recorder = pipelines::Recorder::new(Arc::clone(&tracked), access.authorizer());
        let metrics = pipelines::environments::Metrics::default();
        foundation.metrics.register(|registry| metrics.register(registry));
        let parts = pipelines::engine::Parts {
            db: db.clone(),
            client: client.clone(),
            tasks: work.clone(),
            recorder,
            images: scheduler::processes::Images(config.agent.images.clone()),
            data_dir: foundation.data_dir.path().to_owned(),
            environments: config.agent.environments(),
            metrics,
            node: Arc::clone(work.node()),
        };
        background.spawn(pipelines::engine::run(parts, stopping.clone()));
    }
    let data_plane = match foundation.serving {
        None => Router::new(),
        Some(listening) => {
            let holds = watched.run(foundation, &client, &background);
            let parts = plane::Parts {
                foundation,
                listening,
                db: &db,
                table: &table,
                client: &client,
                access: &access,
                tracking: Arc::clone(&tracked),
                holds,
                observers: vec![watched.observer()],
                predictions: vec![watched.predictions()],
            };
            plane::start(parts, &background).await?
        }
    };
    let tasks = scheduler::http::routes(scheduler::http::Door { service: work, authorizer: access.authorizer() });
    let operations = operations_routes(Operations {
        probes: Arc::new([store_probe(&db)]),
        metrics: foundation.metrics.clone(),
        guard: PathGuard { authorizer: access.authorizer(), db: db.clone() },
        shutdown: shutdown.clone(),
        authority_pem: foundation.authority_pem.clone(),
    });
    let tracking = tracking::mlflow::routes(tracking::mlflow::Door {
        tracking: tracked,
        objects,
        authorizer: access.authorizer(),
    });
    let mut all = operations.merge(api).merge(access.routes()).merge(tracking).merge(tasks).merge(checks).merge(said);
    if !config.tracking.mlflow_ui.is_empty() {
        all = all.merge(tracking::pages::routes(Path::new(&config.tracking.mlflow_ui))?);
    }
    let routes = all.list().to_vec();
    let router = all.into_router().fallback(async || {
        failure(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    });
    let anonymous = match login {
        LoginPolicy::LocalAdministrator => Anonymous::Admin,
        LoginPolicy::Required => Anonymous::Nobody,
    };
    let own_limits = OwnLimits {
        bodies: &[tracking::mlflow::OWN_BODY_LIMITS, scheduler::http::OWN_BODY_LIMITS],
        streams: &[tracking::mlflow::STREAMS, scheduler::http::STREAMS],
    };
    let router = access.authenticate(router, anonymous);
    Ok(Application { router, routes, own_limits, data_plane, store: Some(db), background })
}

async fn start_tracking(
    foundation: &Foundation<'_>,
    db: &Db,
    table: &TableStorage,
    cipher: Cipher,
) -> Result<Tracking, StartError> {
    let config = &foundation.config.tracking;
    let destination = config.destination(foundation.data_dir.path())?;
    let blobs = Blobs::open(destination, &BlobsConfig::from_vars(std::env::vars())).await?;
    let sources = config.sources()?;
    let external = External::open(sources, &BlobsConfig::from_vars(std::env::vars())).await?;
    let artifacts = Artifacts { blobs, most_bytes: config.max_artifact.0, external };
    let config = tracking::Config {
        default_artifact_root: config.default_artifact_root.to_string(),
        webhook_hosts: config.webhook_policy()?,
        openlineage: config.openlineage(std::env::var("OPENLINEAGE_API_KEY").ok().as_deref())?,
        version_source: SourcePattern::read(std::env::var(SourcePattern::VARIABLE).ok().as_deref())?,
        ..tracking::Config::default()
    };
    Ok(Tracking::start(db, table, artifacts, cipher, config).await?)
}

async fn open_store(foundation: &Foundation<'_>) -> Result<Db, StartError> {
    let url = &foundation.config.store.url;
    let url = if url.is_sqlite() {
        StoreUrl::Sqlite(foundation.data_dir.path().join("mcplane.db"))
    } else {
        url.expose().parse().map_err(|error: String| StartError::Application(error.into()))?
    };
    Ok(Db::open(&url, Arc::new(SystemClock)).await?)
}

fn access_config(foundation: &Foundation<'_>) -> access::Config {
    let token_lifetime = foundation.config.auth.token_lifetime.0;
    access::Config { token_lifetime, ..access::Config::new(keys(foundation)) }
}

fn cipher(foundation: &Foundation<'_>) -> Result<Cipher, StartError> {
    Ok(Cipher::load_or_create(&keys(foundation).join("secrets"))?)
}

/// What must not be in the database.
fn keys(foundation: &Foundation<'_>) -> PathBuf {
    foundation.data_dir.path().join("keys")
}

/// The store answers.
fn store_probe(db: &Db) -> Probe {
    let db = db.clone();
    Probe::new("store", move || {
        let db = db.clone();
        async move { db.fetch("SELECT 1", vec![]).await.map(drop).map_err(|error| error.to_string()) }
    })
}
