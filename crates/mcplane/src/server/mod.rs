//! The server: one port, TLS and plain HTTP, HTTP/1.1 and HTTP/2, and what surrounds every request.
//!
//! From outside in, a request passes [`listener`] (transport, connection limits), [`requests`] (trace, log, metrics),
//! [`guard`] (host, time, body size) and then the application's routes.

mod data_dir;
mod exposure;
mod guard;
mod listener;
mod logs;
mod metrics;
mod operations;
mod pki;
mod process;
mod reply;
mod requests;
mod shutdown;
mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;

pub use data_dir::{DataDir, DataDirError, Endpoint};
pub use exposure::{Exposure, LoginPolicy, NoUsers};
pub use guard::{HostPolicy, OwnLimits, Paths};
pub use listener::Transport;
pub use logs::{EcsLayer, init as init_logs};
pub use metrics::Metrics;
pub use operations::{Operations, Probe, routes as operations_routes};
pub use pki::{Authority, PkiError, fingerprint};
pub use shutdown::Shutdown;
pub use tls::Certificates;

pub(crate) use data_dir::{PRIVATE, write_atomically};
pub(crate) use logs::error_chain;
pub(crate) use reply::failure;

use crate::config::ServerConfig;
use listener::Connections;
use requests::Observer;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The address can't be used.
    #[error("can't listen on {address}: another {flag} address may be free")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets another.
        flag: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The server would be open to anybody.
    #[error(transparent)]
    NoUsers(#[from] NoUsers),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something behind the listener, such as the store, failed.
    #[error("the application can't start")]
    Application(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<mcplane_core::Error> for StartError {
    fn from(error: mcplane_core::Error) -> Self {
        Self::Application(Box::new(error))
    }
}

/// A listener with its certificates that does not answer yet; clients that connect wait.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    listener: TcpListener,
    address: SocketAddr,
    exposure: Exposure,
    certificates: Arc<Certificates>,
}

impl Server {
    /// Takes the address and makes the certificates ready.
    ///
    /// # Errors
    /// When either is not to be had.
    pub async fn bind(config: &ServerConfig, data_dir: &DataDir) -> Result<Self, StartError> {
        process::raise_file_limit();
        let (listener, address) = bind(config.listen.0, "--listen").await?;
        let certificates = Certificates::open(&config.tls, data_dir.path(), address.ip())?;
        let exposure = Exposure::of(config, address.ip());
        Ok(Self { config: config.clone(), listener, address, exposure, certificates })
    }

    /// A second listener with the same limits and certificates.
    ///
    /// # Errors
    /// When the address is not to be had.
    pub async fn beside(&self, wanted: SocketAddr, flag: &'static str) -> Result<Self, StartError> {
        let (listener, address) = bind(wanted, flag).await?;
        let (config, certificates) = (self.config.clone(), Arc::clone(&self.certificates));
        let exposure = Exposure::of(&config, address.ip());
        Ok(Self { config, listener, address, exposure, certificates })
    }

    /// The address in use.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who can reach the server.
    pub fn exposure(&self) -> Exposure {
        self.exposure
    }

    /// The certificates in use.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// A URL that reaches the server from its own machine.
    pub fn local_url(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let scheme = if self.exposure.allows_plain_http() { "http" } else { "https" };
        format!("{scheme}://{}", SocketAddr::new(ip, self.address.port()))
    }

    /// Answers with `router` until told to stop and all requests have ended or time is up.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub async fn serve(
        self,
        router: Router,
        own: OwnLimits,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Result<(), StartError> {
        let observer = Observer { metrics: metrics.clone(), behind_proxy: self.config.behind_tls_proxy };
        let hosts = Arc::new(HostPolicy::new(&self.config, self.exposure, self.certificates.names()));
        let router = router
            // Our own limit stands in for axum's.
            .layer(DefaultBodyLimit::disable())
            .layer(from_fn_with_state((self.config.max_body.0, own), guard::limit_body))
            .layer(from_fn_with_state((self.config.request_timeout.0, own), guard::limit_time))
            .layer(from_fn_with_state(hosts, guard::check_host))
            .layer(from_fn_with_state(observer, requests::observe));
        tokio::spawn(Arc::clone(&self.certificates).keep_fresh(shutdown.clone()));
        self.serve_bare(router, metrics, shutdown).await
    }

    /// [`Server::serve`] without anything around the router: any host, its own limits.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub async fn serve_bare(self, router: Router, metrics: Metrics, shutdown: Shutdown) -> Result<(), StartError> {
        let acceptor = self.certificates.acceptor()?;
        let plain = self.exposure.allows_plain_http();
        Connections::new(&self.config, router, acceptor, plain, metrics, shutdown)
            .serve(self.listener, self.config.graceful_stop.0)
            .await;
        Ok(())
    }
}

async fn bind(wanted: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address: wanted, flag, source };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
