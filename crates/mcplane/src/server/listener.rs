//! One port for everything: each connection's first byte tells TLS from plain HTTP, and what follows tells HTTP/1.1
//! from HTTP/2. Nothing that a client sends, or fails to send, holds a connection without limit.

use std::io;
use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::metrics::Metrics;
use super::reply::failure;
use super::shutdown::Shutdown;
use crate::config::ServerConfig;

/// First byte of a TLS record of type handshake.
const TLS_HANDSHAKE: u8 = 0x16;
const MOST_HEADER_BYTES: u32 = 64 << 10;
const MOST_STREAMS: u32 = 1024;
/// How long a connection may stay open between HTTP/1.1 requests.
const IDLE: Duration = Duration::from_secs(90);
/// A peer that answers no HTTP/2 ping is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after the operating system refused to accept, which mostly means that open files ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether a request came over TLS; in each request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Plain HTTP.
    Plain,
    /// TLS ended by this server.
    Tls,
}

/// What serves connections; clones share it.
#[derive(Clone)]
pub(super) struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    router: Router,
    acceptor: TlsAcceptor,
    allow_plain: bool,
    header_timeout: Duration,
    slots: Arc<Semaphore>,
    http: auto::Builder<TokioExecutor>,
    metrics: Metrics,
    shutdown: Shutdown,
    tasks: TaskTracker,
}

impl Connections {
    pub(super) fn new(
        config: &ServerConfig,
        router: Router,
        acceptor: TlsAcceptor,
        allow_plain: bool,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(MOST_HEADER_BYTES as usize)
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MOST_HEADER_BYTES)
            .max_concurrent_streams(MOST_STREAMS)
            .adaptive_window(true)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        let shared = Shared {
            router,
            acceptor,
            allow_plain,
            header_timeout: config.header_timeout.0,
            slots: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            http,
            metrics,
            shutdown,
            tasks: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Accepts connections until the server is told to stop, then gives the open ones `grace` to finish.
    pub(super) async fn serve(self, listener: TcpListener, grace: Duration) {
        let shutdown = self.shared.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                () = shutdown.requested() => break,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, peer, slot)) => {
                    let connections = self.clone();
                    self.shared.tasks.spawn(async move {
                        connections.connection(stream, peer).await;
                        drop(slot);
                    });
                }
                // Clients that gave up while they waited in the kernel's queue.
                Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.shared.tasks.close();
        let drained = tokio::select! {
            drained = timeout(grace, self.shared.tasks.wait()) => drained.is_ok(),
            () = shutdown.forced() => false,
        };
        if !drained {
            tracing::warn!(connections = self.shared.tasks.len(), "closing connections that are still in use");
            shutdown.force();
            self.shared.tasks.wait().await;
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        // The slot comes first: connections beyond the limit wait in the kernel's queue.
        let slot = Arc::clone(&self.shared.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        // Fails only for a client that is gone already, which shows soon enough.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer, slot))
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        self.shared.metrics.connections.inc();
        let opened = tokio::select! {
            opened = self.open(stream, peer) => opened,
            () = self.shared.shutdown.forced() => Ok(()),
        };
        self.shared.metrics.connections.dec();
        if let Err(reason) = opened {
            self.shared.metrics.refused.inc();
            tracing::debug!(client.address = %peer.ip(), %reason, "a connection failed");
        }
    }

    /// Finds out what the client speaks and serves it. Everything up to the first request has one deadline.
    async fn open(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), String> {
        let deadline = Instant::now() + self.shared.header_timeout;
        let mut first = [0];
        let peeked = timeout_at(deadline, stream.peek(&mut first)).await.map_err(|_| "it sent nothing")?;
        match (peeked, first) {
            (Err(error), _) => Err(error.to_string()),
            // Port scans and health checks of load balancers connect and close.
            (Ok(0), _) => Ok(()),
            (Ok(_), [TLS_HANDSHAKE]) => {
                let handshake = timeout_at(deadline, self.shared.acceptor.accept(stream)).await;
                let stream = handshake.map_err(|_| "the TLS handshake took too long")?.map_err(|e| e.to_string())?;
                self.http(stream, peer, Some(Transport::Tls), deadline).await
            }
            (Ok(_), _) => {
                let transport = self.shared.allow_plain.then_some(Transport::Plain);
                self.http(stream, peer, transport, deadline).await
            }
        }
    }

    /// Serves HTTP; without a transport that is allowed, by refusing.
    async fn http<I>(
        &self,
        io: I,
        peer: SocketAddr,
        transport: Option<Transport>,
        deadline: Instant,
    ) -> Result<(), String>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = Arc::new(AtomicBool::new(false));
        let service = {
            let (started, router) = (Arc::clone(&started), self.shared.router.clone());
            service_fn(move |request: Request<Incoming>| {
                started.store(true, Ordering::Relaxed);
                respond(router.clone(), request, peer, transport)
            })
        };
        let mut connection = pin!(self.shared.http.serve_connection_with_upgrades(TokioIo::new(io), service));
        let (mut deadline_passed, mut stopping) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    return ended.map_err(|error| error.to_string()).or_else(|error| {
                        // Clients that were served go away as they like.
                        if started.load(Ordering::Relaxed) { Ok(()) } else { Err(error) }
                    });
                }
                () = sleep_until(deadline), if !deadline_passed => {
                    deadline_passed = true;
                    if !started.load(Ordering::Relaxed) {
                        return Err("it sent no request in time".to_owned());
                    }
                }
                () = self.shared.shutdown.requested(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

async fn respond(
    router: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    transport: Option<Transport>,
) -> Result<Response, std::convert::Infallible> {
    let Some(transport) = transport else { return Ok(plain_refused()) };
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(transport);
    router.oneshot(request.map(Body::new)).await
}

fn plain_refused() -> Response {
    let message =
        "this server speaks HTTPS here: use https:// and the authority's certificate (`mcplane kubeconfig` has both)";
    let mut response = failure(StatusCode::BAD_REQUEST, "BadRequest", message);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
