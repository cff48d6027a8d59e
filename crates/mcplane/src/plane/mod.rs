//! The data plane: a listener of its own, on which services of models answer behind the gateway.
//!
//! - **Any host may be asked**: who is meant follows from the host, and without one that is known from the path ([`door`]).
//! - **Routes follow objects** (`table`, pure): a change of a VirtualService, a DestinationRule, a service, what is loaded or a
//!   rollout makes a new table, which takes the place of the old one at once. A request keeps the table that it began with, and a
//!   table holds the models that it names, so that no change fails a request.
//! - **Nothing is routed before all is known**: until rollouts have been read, no service answers.

mod allowed;
mod auth;
mod door;
mod metrics;
mod model;
mod table;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use mcplane_access::Access;
use mcplane_core::Authorizer;
use mcplane_db::Db;
use mcplane_delivery::gateway::{Gateway, Observe, Settings};
use mcplane_delivery::rollouts::Holds;
use mcplane_delivery::routes::Options;
use mcplane_objects::Mirror;
use mcplane_objects::storage::TableStorage;
use mcplane_serving::Predictions;
use mcplane_serving::engine::Engines;
use mcplane_serving::engine::onnxruntime::OnnxRuntime;
use mcplane_serving::http::Limits;
use mcplane_serving::services::{self, Fleet, Places};
use mcplane_tracking::Tracking;
use tokio_util::task::TaskTracker;

use crate::compose::Foundation;
use crate::config::{AuthMode, ServingAuth, ServingConfig};
use crate::server::StartError;

pub use allowed::Allowed;
use auth::Guard;
use door::Door;
use table::Object;
use watch::Watcher;

/// Where the data plane listens, and who reaches it.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// The address.
    pub address: SocketAddr,
    /// Whether only processes of this machine reach it.
    pub local: bool,
    /// Whether plain HTTP is spoken.
    pub plain: bool,
}

/// What the data plane is made of.
pub(crate) struct Parts<'p> {
    pub(crate) foundation: &'p Foundation<'p>,
    pub(crate) listening: Listening,
    pub(crate) db: &'p Db,
    pub(crate) table: &'p TableStorage,
    pub(crate) client: &'p kube::Client,
    pub(crate) access: &'p Access,
    pub(crate) tracking: Arc<Tracking>,
    /// What rollouts hold.
    pub(crate) holds: Holds,
    /// Who hears of every answer of the gateway.
    pub(crate) observers: Vec<Arc<dyn Observe>>,
    /// Who hears of every prediction.
    pub(crate) predictions: Vec<Arc<dyn Predictions>>,
}

/// Starts what keeps models and routes true to the objects; gives what the listener answers with.
pub(crate) async fn start(parts: Parts<'_>, background: &TaskTracker) -> Result<Router, StartError> {
    let Parts { foundation, listening, db, table, client, access, tracking, holds, observers, predictions } = parts;
    let config = &foundation.config.serving;
    let wrong = |why: String| StartError::Application(why.into());
    let served = mcplane_serving::Metrics::default();
    let counted = metrics::Counted::default();
    foundation.metrics.register(|registry| {
        served.register(registry);
        counted.register(registry);
    });
    let onnxruntime = config.onnxruntime_library.as_deref().map(|library| OnnxRuntime::open(library, config.timeout.0));
    let onnxruntime =
        onnxruntime.transpose().map_err(|error| wrong(format!("serving.onnxruntime-library: {error}")))?;
    let fleet = Arc::new(Fleet::new(Arc::new(Engines { onnxruntime }), served));
    let observers = metrics::Everybody::new(counted.clone(), observers);
    let gateway = Arc::new(Gateway::new(settings(config, listening), Some(Arc::new(observers))));
    let authorizer = access.authorizer();
    let stopping = foundation.shutdown.token();
    let places = places(config, listening);

    let changed = Arc::new(tokio::sync::Notify::new());
    let mirror = async |resource: &str| {
        let changed = Arc::clone(&changed);
        let tell = move |_: &Mirror<Object>| changed.notify_one();
        Mirror::start(db, table, &Arc::from(resource), Object::read, tell).await
    };
    let watcher = Watcher {
        services: mirror("inferenceservices.serving.kserve.io").await?,
        virtual_services: mirror("virtualservices.networking.istio.io").await?,
        rules: mirror("destinationrules.networking.istio.io").await?,
        changed,
        holds,
        fleet: Arc::clone(&fleet),
        gateway: Arc::clone(&gateway),
        allowed: Allowed::parse(&config.upstreams).map_err(wrong)?,
        options: options(config).map_err(wrong)?,
        limits: Limits { body: usize::try_from(config.max_body.0).unwrap_or(usize::MAX) },
        clock: Arc::clone(db.clock()),
        listeners: predictions.into(),
        built: Arc::default(),
        counted,
        client: client.clone(),
    };
    let known = Arc::clone(&watcher.built);
    background.spawn(stopping.clone().run_until_cancelled_owned(watcher.run()));
    let controller = services::Parts {
        db: db.clone(),
        client: client.clone(),
        tracking,
        authorizer: Arc::clone(&authorizer),
        fleet: Arc::clone(&fleet),
        places,
        most: config.max_model.0,
    };
    background.spawn(services::run(controller, stopping));
    let guard = guard(foundation, listening, authorizer);
    let locked = guard.is_some();
    let door = Door {
        gateway,
        known,
        fleet: Arc::clone(&fleet),
        server: mcplane_serving::http::server_routes(fleet),
        domain: format!(".{}", config.domain.to_ascii_lowercase()).into(),
        most: config.max_body.0,
        origins: foundation.config.server.allowed_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
        guard,
    };
    let router = door::router(door);
    Ok(if locked { auth::demand(access, router) } else { router })
}

fn settings(config: &ServingConfig, listening: Listening) -> Settings {
    Settings {
        port: listening.address.port(),
        trusted_proxies: config.trusted_proxies.iter().filter_map(|text| Allowed::network(text)).collect(),
        timeout: config.timeout.0,
        ..Settings::default()
    }
}

fn options(config: &ServingConfig) -> Result<Options, String> {
    let header = |name: &String| name.parse().map_err(|_| format!("{name:?} is no header"));
    let user_headers = config.user_headers.iter().map(header).collect::<Result<_, String>>()?;
    Ok(Options { user_headers, region_header: header(&config.region_header)? })
}

fn places(config: &ServingConfig, listening: Listening) -> Places {
    let scheme = if listening.plain { "http" } else { "https" };
    let port = listening.address.port();
    let host = match listening.address.ip() {
        ip if ip.is_unspecified() => config.domain.clone(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    Places { scheme, domain: config.domain.clone(), port, base: format!("{scheme}://{host}:{port}") }
}

/// Who is asked whether a caller may; `None` where everybody may.
fn guard(foundation: &Foundation<'_>, listening: Listening, authorizer: Arc<dyn Authorizer>) -> Option<Guard> {
    let config = foundation.config;
    let open = match config.serving.auth {
        ServingAuth::Open => true,
        ServingAuth::Required => false,
        ServingAuth::Auto => listening.local && config.auth.mode == AuthMode::Auto,
    };
    (!open).then_some(Guard { authorizer })
}
